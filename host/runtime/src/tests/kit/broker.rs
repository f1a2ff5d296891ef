//! A broker that starts actors as tasks of this process.
//!
//! Owns: the tree, starting, introducing, cancelling and killing its actors, their exit notices.
//! Must not know: guests, links. Invariant: it speaks and hears what the real one does, message
//! for message.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use greenroom_abi::kind::{Exit, PermissionDenied, SpawnFailed};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_transport::{Attachment, Channel, Packet, memory_channel};
use greenroom_wire::control::{self, ActorEntry, Limits, RequestId, SpawnSpec, ToActor, ToBroker};
use tokio::sync::{mpsc, oneshot};

use super::cable::Cable;
use super::guest::Library;
use super::world::{Journal, packet};
use crate::{Actor, End, Identity};

/// When the death of an actor is told to those who have a pipe to it.
#[derive(Clone, Copy, Default)]
pub(crate) enum Notice {
    #[default]
    AtOnce,
    Late(Duration),
    Never,
}

#[derive(Clone)]
pub(crate) struct Broker(Arc<Inner>);

struct Inner {
    library: Library,
    limits: Limits,
    journal: Journal,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    started: u64,
    notice: Notice,
    /// How long each actor takes from its process's start until it is ready.
    startup: Duration,
    /// How many more starts of a name fail.
    refusals: BTreeMap<String, usize>,
    records: BTreeMap<String, Record>,
    /// Those that can be called, in the order in which they could.
    ready: Vec<String>,
    /// Those who wait for somebody of a name.
    searches: Vec<Search>,
}

struct Search {
    asker: String,
    request: RequestId,
    name: String,
}

struct Record {
    id: ActorId,
    parent: Option<String>,
    actor: Actor,
    cable: Option<Cable>,
    /// The pipes to whom it has found and who has found it.
    others: Vec<(String, Cable)>,
    packets: mpsc::UnboundedSender<Packet>,
    /// What a stopped actor will never read from.
    frozen: Option<mpsc::UnboundedSender<Packet>>,
    starting: Option<(RequestId, Attachment)>,
    /// Taken when it is killed.
    kill: Option<oneshot::Sender<Exit>>,
    cancelled: bool,
    gone: bool,
    waiters: Vec<(String, RequestId)>,
}

impl Broker {
    pub(super) fn new(library: Library, limits: Limits) -> Self {
        let (journal, state) = (Journal::default(), Mutex::default());
        Self(Arc::new(Inner { library, limits, journal, state }))
    }

    /// Takes in an actor that this broker has not started: the operator.
    pub(super) fn introduce(&self, operator: &Actor) -> Channel {
        let (channel, packets) = self.attend(&operator.id().uuid);
        let record = Record {
            id: operator.id().clone(),
            parent: None,
            actor: operator.clone(),
            cable: None,
            others: Vec::new(),
            packets,
            frozen: None,
            starting: None,
            kill: None,
            cancelled: false,
            gone: false,
            waiters: Vec::new(),
        };
        self.state().records.insert(operator.id().uuid.clone(), record);
        channel
    }

    /// Starts, refusals, exits, each as `word name`.
    pub(crate) fn journal(&self) -> &Journal {
        &self.0.journal
    }

    pub(crate) fn set_notice(&self, notice: Notice) {
        self.state().notice = notice;
    }

    pub(crate) fn set_startup(&self, startup: Duration) {
        self.state().startup = startup;
    }

    /// Has the next so many starts of `name` fail.
    pub(crate) fn refuse_next(&self, name: &str, times: usize) {
        self.state().refusals.insert(name.to_owned(), times);
    }

    /// How many actors are alive, the operator not counted.
    pub(crate) fn alive(&self) -> usize {
        self.state().records.len() - 1
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state().records.values().map(|record| record.id.name.clone()).collect()
    }

    pub(crate) fn actor(&self, id: &ActorId) -> Option<Actor> {
        self.state().records.get(&id.uuid).map(|record| record.actor.clone())
    }

    /// The actors of that name, in the order they were started.
    pub(crate) fn named(&self, name: &str) -> Vec<ActorId> {
        let state = self.state();
        state
            .records
            .values()
            .filter(|record| record.id.name == name)
            .map(|record| record.id.clone())
            .collect()
    }

    /// Ends an actor's process in the middle of whatever it does.
    pub(crate) fn kill(&self, id: &ActorId, exit: Exit) {
        let kill = self.state().records.get_mut(&id.uuid).and_then(|record| record.kill.take());
        if let Some(kill) = kill {
            let _ = kill.send(exit);
        }
    }

    /// Cuts an actor's pipe to its parent while its process lives on.
    pub(crate) fn cut(&self, id: &ActorId) {
        if let Some(Record { cable: Some(cable), .. }) = self.state().records.get(&id.uuid) {
            cable.cut();
        }
    }

    /// The pipes that an actor has to others, its parent's first.
    pub(crate) fn cables(&self, id: &ActorId) -> Vec<Cable> {
        let state = self.state();
        state.records.get(&id.uuid).into_iter().flat_map(Record::cables).cloned().collect()
    }

    /// Stops an actor: it neither reads nor writes any more, and only a kill ends it.
    pub(crate) fn stop(&self, id: &ActorId) {
        if let Some(record) = self.state().records.get_mut(&id.uuid) {
            record.cables().for_each(Cable::hold);
            let nowhere = mpsc::unbounded_channel().0;
            record.frozen = Some(std::mem::replace(&mut record.packets, nowhere));
        }
    }

    /// Says something to an actor.
    pub(crate) fn tell(&self, uuid: &str, message: &ToActor, attachments: Vec<Attachment>) {
        if let Some(record) = self.state().records.get(uuid) {
            let _ = record.packets.send(packet(message, attachments));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("not poisoned")
    }

    /// An actor's end of a control channel whose other end is heard here.
    fn attend(&self, uuid: &str) -> (Channel, mpsc::UnboundedSender<Packet>) {
        let (ours, theirs) = memory_channel();
        let Channel::Memory { sender, receiver } = ours else { panic!("a memory channel") };
        let (broker, uuid) = (self.clone(), uuid.to_owned());
        tokio::spawn(async move {
            let mut receiver = receiver.into_inner();
            while let Some(packet) = receiver.recv().await {
                broker.hear(&uuid, control::decode(&packet.bytes).expect("a control message"));
            }
        });
        (theirs, sender)
    }

    fn hear(&self, from: &str, message: ToBroker) {
        match message {
            ToBroker::Ready => self.ready(from),
            ToBroker::Spawn { request, spec } => {
                let name = spec.name.clone();
                if let Err(reason) = self.spawn(from, request, &spec) {
                    self.0.journal.note(format!("refused {name}"));
                    self.refuse(from, request, name, reason, None);
                }
            }
            ToBroker::AbandonSpawn { request } => {
                let starting = self.state().records.values().find_map(|record| {
                    let ours = record.parent.as_deref() == Some(from);
                    (ours && record.starting.as_ref()?.0 == request).then(|| record.id.clone())
                });
                if let Some(child) = starting {
                    self.0.journal.note(format!("abandoned {}", child.name));
                    self.kill(&child, Exit::Signal(9));
                }
            }
            ToBroker::CancelActor { request, actor } => self.cancel(from, request, &actor),
            ToBroker::Find { request, name, wait } => {
                let search = Search { asker: from.to_owned(), request, name };
                if let Some(search) = self.find(search) {
                    match wait {
                        true => self.state().searches.push(search),
                        false => self.tell(from, &ToActor::Found { request, result: Ok(None) }, Vec::new()),
                    }
                }
            }
            ToBroker::AbandonFind { request } => {
                self.0.journal.note("abandoned a search");
                self.state().searches.retain(|search| search.asker != from || search.request != request);
            }
            ToBroker::List { request, name } => self.list(from, request, name.as_deref()),
            ToBroker::Taken => self.0.journal.note("taken"),
            ToBroker::Invite { .. } => panic!("no program is outside this one"),
            ToBroker::LookUp { .. } => panic!("nobody here has a network"),
            ToBroker::LoadFailed { .. }
            | ToBroker::Measured { .. }
            | ToBroker::Output { .. }
            | ToBroker::Log(_)
            | ToBroker::Progress { .. } => {}
        }
    }

    fn spawn(&self, parent: &str, request: RequestId, spec: &SpawnSpec) -> Result<(), String> {
        let guest = self.0.library.guest(&spec.modules).map_err(|module| format!("no module `{module}`"))?;
        let startup = {
            let mut state = self.state();
            let left = state.refusals.get_mut(&spec.name).filter(|left| **left > 0);
            if let Some(left) = left {
                *left -= 1;
                return Err("on purpose".to_owned());
            }
            state.started += 1;
            state.startup
        };
        let uuid = format!("{:06}", self.state().started);
        let id = ActorId { name: spec.name.clone(), uuid: uuid.clone() };
        let parent_id = self.state().records.get(parent).ok_or("its parent is gone")?.id.clone();
        let identity = Identity {
            id: id.clone(),
            path: Vec::new(),
            pid: 1,
            is_root: false,
            rights: spec.rights.clone(),
        };
        let (actor, outbox) = Actor::new(identity, self.0.limits.clone(), Box::new(guest));
        let (cable, near, far) = Cable::lay();
        let (channel, packets) = self.attend(&uuid);
        let (kill, killed) = oneshot::channel();
        let record = Record {
            id,
            parent: Some(parent.to_owned()),
            actor: actor.clone(),
            cable: Some(cable),
            others: Vec::new(),
            packets,
            frozen: None,
            starting: Some((request, near)),
            kill: Some(kill),
            cancelled: false,
            gone: false,
            waiters: Vec::new(),
        };
        self.state().records.insert(uuid.clone(), record);
        let broker = self.clone();
        tokio::spawn(async move {
            let live = async {
                tokio::time::sleep(startup).await;
                actor.serve_parent(parent_id, far).expect("memory needs no reactor");
                actor.ready();
                match actor.run(channel, outbox).await {
                    End::Cancelled => Exit::Code(0),
                    End::Ordered => Exit::Code(143),
                    End::BrokerGone => Exit::Code(1),
                }
            };
            let exit = tokio::select! {
                exit = live => exit,
                Ok(exit) = killed => exit,
            };
            broker.exited(&uuid, exit);
        });
        Ok(())
    }

    fn ready(&self, uuid: &str) {
        let starting = self.state().records.get_mut(uuid).and_then(|record| {
            let (request, pipe) = record.starting.take()?;
            Some((request, pipe, record.id.clone(), record.parent.clone()?))
        });
        if let Some((request, pipe, id, parent)) = starting {
            self.0.journal.note(format!("started {}", id.name));
            self.state().ready.push(uuid.to_owned());
            self.tell(&parent, &ToActor::Spawned { request, result: Ok(id) }, vec![pipe]);
            let searches = std::mem::take(&mut self.state().searches);
            let left: Vec<_> = searches.into_iter().filter_map(|search| self.find(search)).collect();
            self.state().searches.extend(left);
        }
    }

    fn refuse(&self, parent: &str, request: RequestId, name: String, reason: String, exit: Option<Exit>) {
        let failed = SpawnFailed { name, reason, exit, stderr: Vec::new() };
        let result = Err(Box::new(RemoteError::of(&failed)));
        self.tell(parent, &ToActor::Spawned { request, result }, Vec::new());
    }

    /// Gives two actors a pipe to each other, and tells each who the other is; gives the question
    /// back if there is nobody.
    fn find(&self, search: Search) -> Option<Search> {
        let Search { asker, request, name } = &search;
        let mut state = self.state();
        let ready = state.ready.iter().filter(|uuid| *uuid != asker);
        let found = ready
            .filter_map(|uuid| state.records.get(uuid))
            .find(|record| record.id.name == *name && !record.cancelled && !record.gone);
        let Some(found) = found.map(|record| record.id.clone()) else {
            return Some(search);
        };
        let (cable, near, far) = Cable::lay();
        let finder = state.records.get_mut(asker)?;
        let actor = finder.id.clone();
        finder.others.push((found.uuid.clone(), cable.clone()));
        if let Some(record) = state.records.get_mut(&found.uuid) {
            record.others.push((asker.to_owned(), cable));
        }
        drop(state);
        self.0.journal.note(format!("introduced {actor} to {found}"));
        self.tell(&found.uuid, &ToActor::Introduced { actor }, vec![far]);
        self.tell(asker, &ToActor::Found { request: *request, result: Ok(Some(found)) }, vec![near]);
        None
    }

    /// Tells who can be called, each in a part of its own.
    fn list(&self, asker: &str, request: RequestId, name: Option<&str>) {
        let state = self.state();
        let ready = state.ready.iter().filter_map(|uuid| state.records.get(uuid));
        let named =
            ready.filter(|record| !record.cancelled && name.is_none_or(|name| record.id.name == name));
        let entry = |record: &Record| ActorEntry {
            id: record.id.clone(),
            tree: "kit".to_owned(),
            path: vec![record.id.name.clone()],
            pid: 1,
            started: 0,
            published: false,
        };
        let parts: Vec<_> = named.map(entry).collect();
        drop(state);
        let left = parts.len();
        for (at, part) in parts.into_iter().enumerate() {
            let message = ToActor::Listed { request, result: Ok(vec![part]), more: at + 1 < left };
            self.tell(asker, &message, Vec::new());
        }
        if left == 0 {
            self.tell(asker, &ToActor::Listed { request, result: Ok(Vec::new()), more: false }, Vec::new());
        }
    }

    /// Asks an actor to end, then orders it, then kills it.
    fn cancel(&self, asker: &str, request: RequestId, uuid: &str) {
        let mut state = self.state();
        let by = state.records[asker].id.clone();
        if state.records.contains_key(uuid) && !state.owns(asker, uuid) {
            drop(state);
            let right = "only an owner may".to_owned();
            let result = Err(Box::new(RemoteError::of(&PermissionDenied { right })));
            return self.tell(asker, &ToActor::Ended { request, result }, Vec::new());
        }
        let Some(record) = state.records.get_mut(uuid) else {
            drop(state);
            return self.tell(asker, &ToActor::Ended { request, result: Ok(()) }, Vec::new());
        };
        record.waiters.push((asker.to_owned(), request));
        if std::mem::replace(&mut record.cancelled, true) || record.gone {
            return;
        }
        let (broker, id) = (self.clone(), record.id.clone());
        self.0.journal.note(format!("asked {}", id.name));
        let _ = record.packets.send(packet(&ToActor::Cancel { by }, Vec::new()));
        drop(state);
        tokio::spawn(async move {
            let limits = &broker.0.limits;
            tokio::time::sleep(limits.ask).await;
            if broker.has_children(&id.uuid) {
                tokio::time::sleep(limits.ladder.saturating_sub(limits.ask)).await;
            }
            broker.tell(&id.uuid, &ToActor::Exit, Vec::new());
            tokio::time::sleep(limits.order).await;
            broker.kill(&id, Exit::Signal(9));
        });
    }

    fn exited(&self, uuid: &str, exit: Exit) {
        let mut state = self.state();
        let notice = state.notice;
        let Some(record) = state.records.get_mut(uuid) else { return };
        record.gone = true;
        record.cables().for_each(Cable::cut);
        record.cable = None;
        let mut others: Vec<String> = record.others.drain(..).map(|(other, _)| other).collect();
        others.extend(record.parent.clone());
        others.sort();
        others.dedup();
        let (id, parent, starting) = (record.id.clone(), record.parent.clone(), record.starting.take());
        let children: Vec<_> = state.children(uuid).map(|record| record.id.clone()).collect();
        drop(state);
        self.0.journal.note(format!("exited {}", id.name));
        if let (Some(parent), Some((request, _))) = (parent, starting) {
            let reason = "it ended before it was ready".to_owned();
            self.refuse(&parent, request, id.name.clone(), reason, Some(exit.clone()));
        }
        for other in others {
            self.announce(other, id.clone(), exit.clone(), notice);
        }
        for child in children {
            self.kill(&child, Exit::Signal(9));
        }
        self.prune(uuid);
    }

    fn announce(&self, to: String, actor: ActorId, exit: Exit, notice: Notice) {
        let message = ToActor::Exited { actor, exit };
        match notice {
            Notice::AtOnce => self.tell(&to, &message, Vec::new()),
            Notice::Never => {}
            Notice::Late(delay) => {
                let broker = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    broker.tell(&to, &message, Vec::new());
                });
            }
        }
    }

    /// Forgets an actor that is gone with all below it, and tells those who wait for that.
    fn prune(&self, uuid: &str) {
        let mut state = self.state();
        if !state.records.get(uuid).is_some_and(|record| record.gone) || state.children(uuid).next().is_some()
        {
            return;
        }
        let Some(record) = state.records.remove(uuid) else { return };
        drop(state);
        for (asker, request) in record.waiters {
            self.tell(&asker, &ToActor::Ended { request, result: Ok(()) }, Vec::new());
        }
        if let Some(parent) = record.parent {
            self.prune(&parent);
        }
    }

    fn has_children(&self, uuid: &str) -> bool {
        self.state().children(uuid).next().is_some()
    }
}

impl Record {
    fn cables(&self) -> impl Iterator<Item = &Cable> {
        self.cable.iter().chain(self.others.iter().map(|(_, cable)| cable))
    }
}

impl State {
    /// Whether `ancestor` stands above `actor`.
    fn owns(&self, ancestor: &str, actor: &str) -> bool {
        let parent = self.records.get(actor).and_then(|record| record.parent.as_deref());
        parent.is_some_and(|parent| parent == ancestor || self.owns(ancestor, parent))
    }

    fn children<'a>(&'a self, uuid: &'a str) -> impl Iterator<Item = &'a Record> {
        self.records.values().filter(move |record| record.parent.as_deref() == Some(uuid))
    }
}
