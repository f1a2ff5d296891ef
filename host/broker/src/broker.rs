//! The broker's loop: everything that happens to the tree happens here, one event at a time.
//!
//! Owns: carrying out spawns, cancels and reaping. Must not know: what actors say to each
//! other. Invariant: a request is answered once, and an actor's death is told to whoever had a
//! pipe to it.

mod birth;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use greenroom_abi::kind::{Exit, PermissionDenied, SpawnFailed};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_sabotage::Protection;
use greenroom_sandbox::Without;
use greenroom_transport::{Channel, channel_from_fd, socket_channel};
use greenroom_wire::control::{Limits, RequestId, Rights, ToActor, ToBroker};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::catalogue::Catalogue;
use crate::conduct;
use crate::discovery::{self, Progress};
use crate::grants::Grant;
use crate::introduce;
use crate::ladder::{Ladder, Rung};
use crate::lookup::{self, Turns};
use crate::output::Tail;
use crate::registry::beyond::Beyond;
use crate::registry::{Entry, Publication, Registry, RegistryError};
use crate::report::Report;
use crate::spawner::Spawner;
use crate::station::{self, Answer, Logbook, Place, Reply, Reporter, Visit};
use crate::tree::{Birth, Failure, Key, Record, Stage, Step, Tree, Waiter};
use crate::visits;
use crate::watch::{Event, FoundBeyond, Watch};

/// How long the end of a broker waits for what it has left to other threads.
const LAST_LOOKUPS: Duration = Duration::from_secs(1);

/// What a run is made of.
pub struct Settings {
    /// The tree's name, shown in the process list.
    pub tree: String,
    /// The components there are.
    pub catalogue: Catalogue,
    /// The bounds of every actor, which may give those it starts less.
    pub limits: Limits,
    /// What the operator may grant to its root actors.
    pub grants: Vec<Grant>,
    /// The walls that actors do not raise around themselves.
    pub without: Without,
    /// What the operator may do, and grant to its root actors.
    pub rights: Rights,
    /// The pipe that actors with the right to it have as standard input; none: it is closed.
    pub stdin: Option<OwnedFd>,
    /// The log filter of actor processes, in `tracing`'s syntax.
    pub log: Option<String>,
    /// How processes are started.
    pub spawner: Box<dyn Spawner>,
    /// Where its root actors, and those started with `publish`, are made known beyond the tree.
    pub registry: Option<Arc<dyn Registry>>,
    /// Where reports go. When nobody takes them, the actors that make them wait.
    pub reports: mpsc::Sender<Report>,
}

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system refuses a thread or descriptors.
    #[error("cannot start the broker: {0}")]
    System(#[from] io::Error),
    /// The registry has no room for it.
    #[error("cannot make the broker known: {0}")]
    Registry(#[from] RegistryError),
}

/// A running broker. Dropping it kills every actor that is left.
#[derive(Debug)]
pub struct Broker {
    operator: ActorId,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Starts a broker in a thread of its own, which lives as long as the broker: actors die
    /// with the thread that started them. Gives the operator's control channel beside it.
    ///
    /// # Errors
    /// When the system refuses a thread or descriptors, or the registry an entry.
    pub fn start(settings: Settings) -> Result<(Self, OwnedFd), StartError> {
        let (ours, theirs) = socket_channel()?;
        let key = Uuid::new_v4();
        let operator = ActorId { name: "operator".to_owned(), uuid: key.to_string() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let id = operator.clone();
        let registry = settings.registry.clone();
        let seat = registry.map(|registry| Beyond::enter(registry, &id.uuid)).transpose()?;
        let thread = std::thread::Builder::new().name("broker".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let (beyond, listener) = seat.unzip();
                let (visitors, visits) = mpsc::unbounded_channel();
                let book = Logbook::default();
                let open = || {
                    if let Some(listener) = listener {
                        station::serve(listener, book.clone(), visitors)?;
                    }
                    Ok::<_, io::Error>((channel_from_fd(ours)?, Watch::new()?))
                };
                match open() {
                    Ok((channel, watch)) => {
                        let broker = Loop::new(settings, key, id, channel, beyond, (book, visits), watch);
                        broker.run(stopped).await;
                    }
                    Err(error) => tracing::error!(%error, "the broker has no control channel"),
                }
            });
            // A name server may let a lookup wait for longer than anybody would.
            runtime.shutdown_timeout(LAST_LOOKUPS);
        })?;
        Ok((Self { operator, stop: Some(stop), thread: Some(thread) }, theirs))
    }

    /// Who the program that started the broker is in the tree.
    pub fn operator(&self) -> &ActorId {
        &self.operator
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has already been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

struct Loop {
    settings: Settings,
    tree: Tree,
    operator: Key,
    /// The way beyond the tree, if there is one.
    beyond: Option<Beyond>,
    book: Logbook,
    lookups: Turns,
    events: mpsc::UnboundedReceiver<Event>,
    visits: mpsc::UnboundedReceiver<Visit>,
    watch: Watch,
}

impl Loop {
    fn new(
        settings: Settings,
        key: Key,
        id: ActorId,
        channel: Channel,
        beyond: Option<Beyond>,
        (book, visits): (Logbook, mpsc::UnboundedReceiver<Visit>),
        (watch, events): (Watch, mpsc::UnboundedReceiver<Event>),
    ) -> Self {
        let tree = Tree::default();
        let lookups = Turns::default();
        let mut broker = Self { settings, tree, operator: key, beyond, book, lookups, events, visits, watch };
        let (reporter, limits) = (broker.reporter(&id, &[]), &broker.settings.limits);
        // Nothing but messages comes from the operator, which is this program.
        let line = broker.watch.channel(key, reporter, limits, Tail::default(), Vec::new(), channel);
        let record = Record {
            rights: broker.settings.rights.clone(),
            limits: broker.settings.limits.clone(),
            grants: broker.settings.grants.clone(),
            ..Record::new(id, std::process::id(), line.packets)
        };
        broker.tree.insert(key, record);
        broker
    }

    /// How an actor reports.
    fn reporter(&self, actor: &ActorId, path: &[String]) -> Reporter {
        let (book, reports) = (self.book.clone(), self.settings.reports.clone());
        Reporter { actor: actor.clone(), path: path.to_owned(), book, reports }
    }

    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            let due = self.tree.due();
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = &mut stopped => break,
                Some(event) = self.events.recv() => self.handle(event),
                Some(visit) = self.visits.recv() => self.handle_visit(visit),
                () = timer => self.handle_due(),
            }
        }
        self.kill(self.operator);
        while self.tree.actors() > 0 {
            match self.events.recv().await {
                Some(event) => self.handle(event),
                None => break,
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Message { actor, message, turn: _turn } => {
                match conduct::lie(&self.tree, self.operator, actor, &message) {
                    Some(how) if !Protection::Conduct.is_off() => self.punish(actor, &how),
                    _ => self.handle_message(actor, message),
                }
            }
            Event::Exited { actor, exit } => self.handle_exit(actor, exit),
            Event::Misbehaved { actor, how } => self.punish(actor, &how),
            Event::Published { actor, result } => self.handle_published(actor, result),
            Event::FoundBeyond { asker, request, result } => self.handle_found(asker, request, result),
            Event::LookedUp { asker, request, result } => {
                let Some(record) = self.tree.get_mut(asker) else { return };
                record.lookups = record.lookups.saturating_sub(1);
                record.tell(&ToActor::LookedUp { request, result: result.map_err(Box::new) }, Vec::new());
            }
            Event::ListedBeyond { asker, request, result } => {
                let Some(record) = self.tree.get(asker) else { return };
                discovery::tell_all(record, request, result.map_err(Into::into));
            }
        }
    }

    /// Kills an actor that has said what no honest one does.
    fn punish(&mut self, actor: Key, how: &str) {
        let Some(record) = self.tree.get(actor).filter(|record| !record.is_gone()) else { return };
        tracing::error!(actor = %record.id, pid = record.pid, how, "broke the control protocol; killed");
        match record.stage {
            Stage::Starting(_) => {
                self.doom(actor, Failure::Reason(format!("it broke the control protocol: {how}")))
            }
            _ => self.kill(actor),
        }
    }

    fn handle_visit(&mut self, visit: Visit) {
        match visit {
            // Its slot is free once it is with the actor, which bounds it from then on.
            Visit::Connect { place, guest, pipe, slot: _slot } => {
                visits::connect(&mut self.tree, &place, guest, pipe);
            }
            Visit::Describe { place, reply } => {
                let _ = reply.send(visits::describe(&self.tree, &self.settings.catalogue, &place));
            }
            Visit::Status { reply } => {
                let _ = reply.send(visits::status(&mut self.tree, self.operator, &self.settings));
            }
            Visit::Cancel { place, reply } => self.cancel_for_visitor(&place, reply),
            Visit::Locate { place, reply } => {
                let _ = reply.send(visits::path(&self.tree, &place));
            }
        }
    }

    fn handle_message(&mut self, actor: Key, message: ToBroker) {
        match message {
            ToBroker::Ready => self.handle_ready(actor),
            ToBroker::LoadFailed { reason } => self.doom(actor, Failure::Reason(reason)),
            ToBroker::Spawn { request, spec } => {
                let name = spec.name.clone();
                if let Err(error) = self.spawn(actor, request, spec) {
                    tracing::debug!(%error, name, "spawn refused");
                    self.answer_spawn(actor, request, Err(error), Vec::new());
                }
            }
            ToBroker::AbandonSpawn { request } => {
                if let Some(child) = self.tree.starting(actor, request) {
                    self.doom(child, Failure::Reason("its start was cancelled".to_owned()));
                }
            }
            ToBroker::CancelActor { request, actor: target } => self.cancel(actor, request, &target),
            ToBroker::Find { request, name, wait } => {
                if discovery::find(&mut self.tree, actor, request, name, wait) == Progress::Nobody {
                    self.look_beyond(actor, request);
                }
            }
            ToBroker::AbandonFind { request } => discovery::abandon(&mut self.tree, actor, request),
            ToBroker::List { request, name } => self.list(actor, request, name),
            ToBroker::LookUp { request, name } => self.look_up(actor, request, name),
            ToBroker::Measured { tasks } => {
                if let Some(record) = self.tree.get_mut(actor) {
                    visits::counted(record, tasks);
                }
            }
            ToBroker::Taken => self.handle_taken(actor),
            ToBroker::Invite { request, actor: target, name } => {
                let by_operator = actor == self.operator;
                introduce::invite(&mut self.tree, actor, by_operator, request, &target, name);
            }
            // These are passed on by the channel's own task.
            ToBroker::Output { .. } | ToBroker::Log(_) | ToBroker::Progress { .. } => {}
        }
    }

    fn handle_ready(&mut self, actor: Key) {
        let Some(record) = self.tree.get(actor) else { return };
        let taken = discovery::check_unique(&self.tree, &record.id.name, record.unique);
        let Some(record) = self.tree.get_mut(actor) else { return };
        let birth = match &mut record.stage {
            Stage::Starting(birth) => birth,
            // It says so twice.
            Stage::Ready => return self.kill(actor),
            Stage::Gone => return,
        };
        match (&birth.failure, birth.step, taken) {
            // It is being killed: what it says no longer counts.
            (Some(_), ..) => {}
            (None, Step::Publishing, _) => self.kill(actor),
            (None, Step::Loading, Err(error)) => self.doom(actor, Failure::Error(Box::new(error))),
            (None, Step::Loading, Ok(())) => match self.beyond.clone().filter(|_| record.published) {
                None => self.settle(actor),
                Some(beyond) => {
                    birth.step = Step::Publishing;
                    let entry = Entry {
                        id: record.id.clone(),
                        tree: self.settings.tree.clone(),
                        path: record.path.clone(),
                        pid: record.pid,
                        host: self.operator.to_string(),
                        host_pid: std::process::id(),
                        started: station::now_ms(),
                        unique: record.unique,
                        order: 0,
                    };
                    self.watch.publish(actor, beyond, entry);
                }
            },
        }
    }

    fn handle_published(&mut self, actor: Key, result: Result<Box<dyn Publication>, RegistryError>) {
        let Some(record) = self.tree.get_mut(actor) else { return };
        // Of one that has begun to end the publication is dropped.
        let Stage::Starting(Birth { failure: None, .. }) = &record.stage else { return };
        match result {
            Ok(publication) => {
                record.publication = Some(publication);
                self.settle(actor);
            }
            Err(error) => self.doom(actor, Failure::Error(error.into())),
        }
    }

    /// An actor can be called, and its starter is told.
    fn settle(&mut self, actor: Key) {
        let Some(record) = self.tree.get_mut(actor) else { return };
        let Stage::Starting(birth) = std::mem::replace(&mut record.stage, Stage::Ready) else { return };
        let (id, parent) = (record.id.clone(), record.parent);
        self.tree.enlist(actor, SystemTime::now());
        if let Some(parent) = parent {
            self.answer_spawn(parent, birth.request, Ok(id.clone()), vec![birth.pipe]);
        }
        self.look_again(&id.name);
    }

    /// Looks further for an actor that the tree does not have.
    fn look_beyond(&mut self, asker: Key, request: RequestId) {
        let Some(record) = self.tree.get_mut(asker) else { return };
        match self.beyond.clone().filter(|_| record.rights.discover) {
            None => discovery::give_up(&mut self.tree, asker, request),
            Some(beyond) => discovery::look_out(record, request, |who, name, wait| {
                self.watch.find_beyond(asker, request, beyond, who, name, wait)
            }),
        }
    }

    fn handle_found(&mut self, asker: Key, request: RequestId, result: FoundBeyond) {
        if let Some(record) = self.tree.get_mut(asker) {
            discovery::found_beyond(record, request, result);
        }
    }

    /// Looks again at the questions for a name: who has it has changed, or what can be sent there.
    fn look_again(&mut self, name: &str) {
        for (asker, request) in discovery::revisit(&mut self.tree, name) {
            self.look_beyond(asker, request);
        }
    }

    fn list(&self, asker: Key, request: RequestId, name: Option<String>) {
        let Some(record) = self.tree.get(asker) else { return };
        let entries = discovery::entries(&self.tree, &self.settings.tree, name.as_deref());
        match self.beyond.clone().filter(|_| record.rights.discover) {
            None => discovery::tell_all(record, request, Ok(entries)),
            Some(beyond) => self.watch.list_beyond(asker, request, beyond, entries, name),
        }
    }

    fn look_up(&mut self, asker: Key, request: RequestId, name: String) {
        let Some(record) = self.tree.get_mut(asker) else { return };
        match lookup::begin(record, &name) {
            Ok(()) => self.watch.look_up(asker, request, self.lookups.clone(), name),
            Err(error) => {
                record.tell(&ToActor::LookedUp { request, result: Err(Box::new(error)) }, Vec::new());
            }
        }
    }

    fn handle_taken(&mut self, actor: Key) {
        let Some(record) = self.tree.get_mut(actor) else { return };
        let was_full = record.untaken >= record.limits.finds;
        record.untaken = record.untaken.saturating_sub(1);
        if was_full {
            let name = record.id.name.clone();
            self.look_again(&name);
        }
    }

    /// Ends an actor that has not come up, for the given reason.
    fn doom(&mut self, actor: Key, reason: Failure) {
        if let Some(Record { stage: Stage::Starting(birth), .. }) = self.tree.get_mut(actor) {
            birth.failure.get_or_insert(reason);
            self.kill(actor);
        }
    }

    fn cancel(&mut self, asker: Key, request: RequestId, target: &str) {
        let ended = |result| ToActor::Ended { request, result };
        let Some(record) = self.tree.get(asker) else { return };
        let Some(key) = Uuid::parse_str(target).ok().filter(|key| self.tree.get(*key).is_some()) else {
            let result = match record.strangers.contains(target) {
                true => Err(denied(target)),
                // Whoever is gone has been ended.
                false => Ok(()),
            };
            return self.tell(asker, &ended(result));
        };
        let owns = self.tree.owns(asker, key) || Protection::Owners.is_off();
        if key == asker || !owns {
            return self.tell(asker, &ended(Err(denied(&self.name(key)))));
        }
        let by = record.id.clone();
        self.end(key, by, Waiter::Actor(asker, request));
    }

    fn cancel_for_visitor(&mut self, place: &Place, reply: oneshot::Sender<Reply>) {
        match (visits::locate(&self.tree, place), self.tree.get(self.operator)) {
            (Ok(key), Some(operator)) => {
                let by = operator.id.clone();
                self.end(key, by, Waiter::Visitor(reply));
            }
            (Err(error), _) => drop(reply.send(Err(error))),
            (Ok(_), None) => {}
        }
    }

    /// Asks an actor to end, and tells who waits for that once it is gone.
    fn end(&mut self, key: Key, by: ActorId, waiter: Waiter) {
        let Some(record) = self.tree.get_mut(key) else { return };
        record.waiters.push(waiter);
        if record.ladder.is_none() && !record.is_gone() {
            match &record.stage {
                Stage::Starting(_) => {
                    self.doom(key, Failure::Reason("it was cancelled while it started".to_owned()));
                }
                _ => {
                    record.ladder = Some(Ladder::ask(Instant::now(), &record.limits));
                    record.tell(&ToActor::Cancel { by }, Vec::new());
                    tracing::trace!(actor = %record.id, "asked to end");
                    self.retire(key);
                }
            }
        }
    }

    fn handle_due(&mut self) {
        let now = Instant::now();
        for key in self.tree.late(now) {
            let held_up = self.tree.held_up(key);
            // What has been done for another may have changed it.
            let Some(record) =
                self.tree.get_mut(key).filter(|record| record.due().is_some_and(|due| due <= now))
            else {
                continue;
            };
            if let Stage::Starting(birth) = &record.stage
                && birth.deadline <= now
                && !Protection::StartUp.is_off()
            {
                let waited = record.limits.spawn;
                self.doom(key, Failure::Reason(format!("it was not ready within {waited:?}")));
                continue;
            }
            discovery::expire(record, now);
            let Some(ladder) = &mut record.ladder else { continue };
            match ladder.climb(now, held_up, &record.limits) {
                Some(Rung::Ordered) => {
                    tracing::trace!(actor = %record.id, after = ?ladder.elapsed(now), "ordered to exit");
                    record.tell(&ToActor::Exit, Vec::new());
                }
                Some(Rung::Killed) => {
                    tracing::trace!(actor = %record.id, after = ?ladder.elapsed(now), "killed");
                    self.kill(key);
                }
                Some(Rung::Asked) | None => {}
            }
        }
    }

    /// Kills an actor and all below it.
    fn kill(&mut self, top: Key) {
        for key in self.tree.subtree(top) {
            if key != self.operator {
                if let Some(record) = self.tree.get_mut(key) {
                    record.child.as_ref().inspect(|child| child.kill());
                    record.ladder = Some(Ladder::kill(Instant::now()));
                }
                self.retire(key);
            }
        }
    }

    /// An actor that is being ended looks for nobody any more, and is not found.
    fn retire(&mut self, actor: Key) {
        let Some(record) = self.tree.get_mut(actor) else { return };
        record.publication = None;
        discovery::forsake(record);
        let name = record.id.name.clone();
        self.look_again(&name);
    }

    fn handle_exit(&mut self, actor: Key, exit: Exit) {
        let now = Instant::now();
        let Some(record) = self.tree.get_mut(actor) else { return };
        if let Some(ladder) = &record.ladder {
            let (rung, elapsed) = (ladder.rung(), ladder.elapsed(now));
            tracing::trace!(actor = %record.id, ?rung, ?elapsed, %exit, "gone");
        } else {
            tracing::debug!(actor = %record.id, %exit, "gone");
        }
        let (id, parent) = (record.id.clone(), record.parent);
        let stage = std::mem::replace(&mut record.stage, Stage::Gone);
        if let (Stage::Starting(birth), Some(parent)) = (stage, parent) {
            let ended = || Failure::Reason("it ended before it was ready".to_owned());
            let error = match birth.failure.unwrap_or_else(ended) {
                Failure::Error(error) => *error,
                Failure::Reason(reason) => {
                    let (name, stderr) = (id.name.clone(), record.tail.lines());
                    RemoteError::of(&SpawnFailed { name, reason, exit: Some(exit.clone()), stderr })
                }
            };
            self.answer_spawn(parent, birth.request, Err(error), Vec::new());
        }
        self.retire(actor);
        introduce::announce_exit(&mut self.tree, actor, &exit);
        let children = self.tree.get(actor).map(|record| record.children.clone()).unwrap_or_default();
        for child in children.into_values().filter(|_| !Protection::Descendants.is_off()) {
            self.kill(child);
        }
        for pruned in self.tree.prune(actor) {
            for waiter in pruned.waiters {
                match waiter {
                    Waiter::Actor(asker, request) => {
                        self.tell(asker, &ToActor::Ended { request, result: Ok(()) });
                    }
                    // It may have left.
                    Waiter::Visitor(reply) => drop(reply.send(Ok(Answer::Ended))),
                }
            }
            let above = pruned.parent.and_then(|parent| self.tree.get_mut(parent));
            if let Some(ladder) = above.and_then(|record| record.ladder.as_mut()) {
                ladder.descendant_gone(now);
            }
        }
    }

    fn tell(&self, actor: Key, message: &ToActor) {
        if let Some(record) = self.tree.get(actor) {
            record.tell(message, Vec::new());
        }
    }

    fn name(&self, actor: Key) -> String {
        self.tree.get(actor).map_or_else(|| actor.to_string(), |record| record.id.name.clone())
    }
}

fn denied(actor: &str) -> Box<RemoteError> {
    let right = format!("only an owner may cancel actor `{actor}`");
    Box::new(RemoteError::of(&PermissionDenied { right }))
}
