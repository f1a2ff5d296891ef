//! The broker's loop: everything that happens to the tree happens here, one event at a time.
//!
//! Owns: carrying out spawns, cancels and reaping. Must not know: what actors say to each
//! other. Invariant: a request is answered once, and an actor's death is told to whoever had a
//! pipe to it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use greenroom_abi::kind::{Exit, PermissionDenied, SpawnFailed};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_transport::{
    Attachment, Channel, Packet, attach, channel_from_fd, socket_channel, socket_pipe,
};
use greenroom_wire::control::{self, Init, Limits, RequestId, SpawnSpec, ToActor, ToBroker};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::catalogue::{Catalogue, Resolved};
use crate::grants::{self, Grant, GrantError};
use crate::introduce;
use crate::ladder::{Ladder, Rung};
use crate::output::{self, Tail};
use crate::process::TITLE;
use crate::quota::{self, Standing};
use crate::report::{Report, Stream};
use crate::spawner::{Process, Spawner};
use crate::tree::{Birth, Key, MAX_NAME_BYTES, Record, Stage, Tree, check_name};

/// The longest message of an error about a spawn, and the largest value of one: far below what a
/// control packet holds.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// How long the last lines of a dead actor's output may take to arrive.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(50);

/// What a run is made of.
pub struct Settings {
    /// The tree's name, shown in the process list.
    pub tree: String,
    /// The components there are.
    pub catalogue: Catalogue,
    /// The bounds of every actor.
    pub limits: Limits,
    /// What the operator may grant to its root actors.
    pub grants: Vec<Grant>,
    /// The log filter of actor processes, in `tracing`'s syntax.
    pub log: Option<String>,
    /// How processes are started.
    pub spawner: Box<dyn Spawner>,
    /// Where reports go. When nobody takes them, the actors that make them wait.
    pub reports: mpsc::Sender<Report>,
}

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the broker: {0}")]
pub struct StartError(#[from] io::Error);

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
    /// When the system refuses a thread or descriptors.
    pub fn start(settings: Settings) -> Result<(Self, OwnedFd), StartError> {
        let (ours, theirs) = socket_channel()?;
        let key = Uuid::new_v4();
        let operator = ActorId { name: "operator".to_owned(), uuid: key.to_string() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let id = operator.clone();
        let thread = std::thread::Builder::new().name("broker".to_owned()).spawn(move || {
            runtime.block_on(async move {
                match channel_from_fd(ours) {
                    Ok(channel) => Loop::new(settings, key, id, channel).run(stopped).await,
                    Err(error) => tracing::error!(%error, "the broker has no control channel"),
                }
            });
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

/// Everything that can happen to the tree.
enum Event {
    Message { actor: Key, message: ToBroker },
    Exited { actor: Key, exit: Exit },
    Misbehaved { actor: Key, how: String },
}

struct Loop {
    settings: Settings,
    tree: Tree,
    operator: Key,
    events: mpsc::UnboundedReceiver<Event>,
    /// Handed to the tasks that watch channels and processes.
    sender: mpsc::UnboundedSender<Event>,
}

impl Loop {
    fn new(settings: Settings, key: Key, id: ActorId, channel: Channel) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let mut broker = Self { settings, tree: Tree::default(), operator: key, events, sender };
        let packets = broker.attend(key, &id.name, channel);
        let record = Record {
            id,
            path: Vec::new(),
            parent: None,
            children: Vec::new(),
            peers: BTreeSet::new(),
            stage: Stage::Ready,
            ladder: None,
            packets,
            pidfd: None,
            grants: broker.settings.grants.clone(),
            components: Vec::new(),
            tail: Tail::default(),
            waiters: Vec::new(),
        };
        broker.tree.insert(key, record);
        broker
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
                () = timer => self.handle_due(),
            }
        }
        for key in self.tree.keys() {
            self.signal(key, Signal::KILL);
        }
        while self.tree.actors() > 0 {
            match self.events.recv().await {
                Some(event) => self.handle(event),
                None => break,
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Message { actor, message } => self.handle_message(actor, message),
            Event::Exited { actor, exit } => self.handle_exit(actor, exit),
            Event::Misbehaved { actor, how } => {
                tracing::error!(actor = %self.name(actor), how, "broke the control protocol; killed");
                self.kill(actor);
            }
        }
    }

    fn handle_message(&mut self, actor: Key, message: ToBroker) {
        match message {
            ToBroker::Ready => self.handle_ready(actor),
            ToBroker::LoadFailed { reason } => {
                self.doom(actor, reason);
            }
            ToBroker::Spawn { request, spec } => {
                let name = spec.name.clone();
                if let Err(error) = self.spawn(actor, request, spec) {
                    tracing::debug!(%error, name, "spawn refused");
                    self.answer_spawn(actor, request, Err(error), Vec::new());
                }
            }
            ToBroker::AbandonSpawn { request } => {
                if let Some(child) = self.tree.starting(actor, request) {
                    self.doom(child, "its start was cancelled".to_owned());
                }
            }
            ToBroker::CancelActor { request, actor: target } => self.cancel(actor, request, &target),
            ToBroker::Find { request, name } => introduce::find(&mut self.tree, actor, request, &name),
            ToBroker::Invite { request, actor: target, name } => {
                let by_operator = actor == self.operator;
                introduce::invite(&self.tree, actor, by_operator, request, &target, name);
            }
            // These two are passed on by the channel's own task.
            ToBroker::Log(_) | ToBroker::Progress { .. } => {}
        }
    }

    /// Starts a child, whose birth will be answered for later.
    fn spawn(&mut self, parent: Key, request: RequestId, spec: SpawnSpec) -> Result<(), RemoteError> {
        let failed = |reason: String| {
            let name = spec.name.chars().take(MAX_NAME_BYTES).collect();
            RemoteError::of(&SpawnFailed { name, reason, exit: None, stderr: Vec::new() })
        };
        check_name(&spec.name).map_err(&failed)?;
        let Some(record) = self.tree.get(parent) else { return Err(failed("its parent is gone".to_owned())) };
        if record.ladder.is_some() {
            return Err(failed(format!("actor `{}` is being cancelled", record.id)));
        }
        let standing =
            Standing { children: record.children.len(), depth: record.path.len(), tree: self.tree.actors() };
        quota::check(standing, &self.settings.limits)?;
        let granted = grants::narrow(&record.grants, &spec.dirs).map_err(|error| match error {
            GrantError::Denied(right) => RemoteError::of(&PermissionDenied {
                right: format!("actor `{}` cannot grant what it does not have: {right}", record.id),
            }),
            other => failed(other.to_string()),
        })?;
        let resolved = self.settings.catalogue.resolve(&spec.modules, &record.components).map_err(&failed)?;
        let path: Vec<String> = record.path.iter().cloned().chain([spec.name.clone()]).collect();
        let is_root = parent == self.operator;
        let parent_id = record.id.clone();
        self.give_birth(parent, request, &spec, path, is_root, parent_id, granted, resolved)
            .map_err(|error| failed(format!("the system refuses: {error}")))
    }

    #[expect(clippy::too_many_arguments, reason = "the checked parts of one spawn, used once")]
    fn give_birth(
        &mut self,
        parent: Key,
        request: RequestId,
        spec: &SpawnSpec,
        path: Vec<String>,
        is_root: bool,
        parent_id: ActorId,
        granted: Vec<Grant>,
        resolved: Resolved,
    ) -> io::Result<()> {
        let key = Uuid::new_v4();
        let id = ActorId { name: spec.name.clone(), uuid: key.to_string() };
        let (near, far) = socket_pipe()?;
        let (ours, theirs) = socket_channel()?;
        let mut attachments = vec![far];
        for component in &resolved.components {
            attachments.push(attach(self.settings.catalogue.code(*component)?));
        }
        for grant in &granted {
            attachments.push(attach(grant.descriptor()?));
        }
        let init = Init {
            id: id.clone(),
            path: path.clone(),
            is_root,
            parent: parent_id,
            components: resolved.components.len(),
            modules: resolved.modules,
            dirs: granted.iter().map(|grant| (grant.guest_path(), grant.writable())).collect(),
            env: spec.env.clone(),
            limits: self.settings.limits.clone(),
            log: self.settings.log.clone(),
        };
        let title = format!("{TITLE}{}/{}", self.settings.tree, path.join("/"));
        let Process { pid, pidfd, stdout, stderr, reap } = self.settings.spawner.spawn(&title, theirs)?;
        tracing::debug!(actor = %id, pid, "process started");
        let tail = Tail::default();
        let reports = &self.settings.reports;
        let out = output::read(stdout, &spec.name, Stream::Stdout, None, reports.clone())?;
        let err = output::read(stderr, &spec.name, Stream::Stderr, Some(tail.clone()), reports.clone())?;
        self.watch(key, pidfd.try_clone()?, reap, out, err)?;
        let packets = self.attend(key, &spec.name, channel_from_fd(ours)?);
        let record = Record {
            id,
            path,
            parent: Some(parent),
            children: Vec::new(),
            peers: BTreeSet::new(),
            stage: Stage::Starting(Birth {
                request,
                pipe: near,
                deadline: Instant::now() + self.settings.limits.spawn,
                failure: None,
            }),
            ladder: None,
            packets,
            pidfd: Some(pidfd),
            grants: granted,
            components: resolved.components,
            tail,
            waiters: Vec::new(),
        };
        record.tell(&ToActor::Init(Box::new(init)), attachments);
        self.tree.insert(key, record);
        Ok(())
    }

    fn handle_ready(&mut self, actor: Key) {
        let Some(record) = self.tree.get_mut(actor) else { return };
        match std::mem::replace(&mut record.stage, Stage::Ready) {
            Stage::Starting(birth) if birth.failure.is_none() => {
                let (id, parent) = (record.id.clone(), record.parent);
                self.tree.enlist(actor);
                if let Some(parent) = parent {
                    self.answer_spawn(parent, birth.request, Ok(id), vec![birth.pipe]);
                }
            }
            // It is being killed: what it says no longer counts.
            stage @ (Stage::Starting(_) | Stage::Gone) => record.stage = stage,
            Stage::Ready => self.kill(actor),
        }
    }

    /// Ends an actor that has not come up, for the given reason.
    fn doom(&mut self, actor: Key, reason: String) {
        if let Some(Record { stage: Stage::Starting(birth), .. }) = self.tree.get_mut(actor) {
            birth.failure.get_or_insert(reason);
            self.kill(actor);
        }
    }

    fn cancel(&mut self, asker: Key, request: RequestId, target: &str) {
        let ended = |result| ToActor::Ended { request, result };
        let Some(key) = Uuid::parse_str(target).ok().filter(|key| self.tree.get(*key).is_some()) else {
            // Whoever is gone has been ended.
            return self.tell(asker, &ended(Ok(())));
        };
        if key == asker || !self.tree.owns(asker, key) {
            let right = format!("only an owner may cancel actor `{}`", self.name(key));
            let denied = RemoteError::of(&PermissionDenied { right });
            return self.tell(asker, &ended(Err(Box::new(denied))));
        }
        let by = self.tree.get(asker).map(|record| record.id.clone());
        let Some((record, by)) = self.tree.get_mut(key).zip(by) else { return };
        record.waiters.push((asker, request));
        if record.ladder.is_none() && !record.is_gone() {
            match &record.stage {
                Stage::Starting(_) => self.doom(key, "it was cancelled while it started".to_owned()),
                _ => {
                    record.ladder = Some(Ladder::ask(Instant::now(), &self.settings.limits));
                    record.tell(&ToActor::Cancel { by }, Vec::new());
                    tracing::trace!(actor = %record.id, "asked to end");
                }
            }
        }
    }

    fn handle_due(&mut self) {
        let now = Instant::now();
        for key in self.tree.keys() {
            let held_up = self.tree.held_up(key);
            let Some(record) =
                self.tree.get_mut(key).filter(|record| record.due().is_some_and(|due| due <= now))
            else {
                continue;
            };
            if let Stage::Starting(birth) = &record.stage
                && birth.deadline <= now
            {
                let waited = self.settings.limits.spawn;
                self.doom(key, format!("it was not ready within {waited:?}"));
                continue;
            }
            let Some(ladder) = &mut record.ladder else { continue };
            match ladder.climb(now, held_up, &self.settings.limits) {
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
                self.signal(key, Signal::KILL);
                if let Some(record) = self.tree.get_mut(key) {
                    record.ladder = Some(Ladder::kill(Instant::now()));
                }
            }
        }
    }

    fn signal(&self, actor: Key, signal: Signal) {
        let record = self.tree.get(actor).filter(|record| !record.is_gone());
        if let Some(pidfd) = record.and_then(|record| record.pidfd.as_ref()) {
            // It may have just ended by itself; its exit is on the way.
            let _ = pidfd_send_signal(pidfd, signal);
        }
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
            let failed = SpawnFailed {
                name: id.name.clone(),
                reason: birth.failure.unwrap_or_else(|| "it ended before it was ready".to_owned()),
                exit: Some(exit.clone()),
                stderr: record.tail.lines(),
            };
            self.answer_spawn(parent, birth.request, Err(RemoteError::of(&failed)), Vec::new());
        }
        introduce::announce_exit(&mut self.tree, actor, &exit);
        for child in self.tree.get(actor).map(|record| record.children.clone()).unwrap_or_default() {
            self.kill(child);
        }
        for pruned in self.tree.prune(actor) {
            for (asker, request) in pruned.waiters {
                self.tell(asker, &ToActor::Ended { request, result: Ok(()) });
            }
            let above = pruned.parent.and_then(|parent| self.tree.get_mut(parent));
            if let Some(ladder) = above.and_then(|record| record.ladder.as_mut()) {
                ladder.descendant_gone(now);
            }
        }
    }

    fn answer_spawn(
        &self,
        parent: Key,
        request: RequestId,
        result: Result<ActorId, RemoteError>,
        attachments: Vec<Attachment>,
    ) {
        if let Some(record) = self.tree.get(parent) {
            let result = result.map_err(|error| Box::new(shortened(error)));
            record.tell(&ToActor::Spawned { request, result }, attachments);
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

    /// Reads and writes an actor's control channel, in tasks of their own.
    fn attend(&self, actor: Key, name: &str, channel: Channel) -> mpsc::UnboundedSender<Packet> {
        let channel = Arc::new(channel);
        let (packets, mut outgoing) = mpsc::unbounded_channel::<Packet>();
        let writer = channel.clone();
        tokio::spawn(async move {
            while let Some(packet) = outgoing.recv().await {
                if writer.send(packet).await.is_err() {
                    break;
                }
            }
        });
        let (events, reports) = (self.sender.clone(), self.settings.reports.clone());
        let name = name.to_owned();
        tokio::spawn(async move {
            let how = loop {
                let packet = match channel.receive().await {
                    Ok(Some(packet)) => packet,
                    // The end of the process follows, and with it the event that counts.
                    Ok(None) => return,
                    // It left without reading everything; what it said is still to be read.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => continue,
                    Err(error) => break error.to_string(),
                };
                let report = match control::decode(&packet.bytes) {
                    Ok(ToBroker::Log(line)) => Report::Log { actor: name.clone(), line },
                    Ok(ToBroker::Progress { done, total, message }) => {
                        Report::Progress { actor: name.clone(), done, total, message }
                    }
                    Ok(message) => {
                        if events.send(Event::Message { actor, message }).is_err() {
                            return;
                        }
                        continue;
                    }
                    Err(error) => break error.to_string(),
                };
                if reports.send(report).await.is_err() {
                    return;
                }
            };
            let _ = events.send(Event::Misbehaved { actor, how });
        });
        packets
    }

    /// Waits for the end of an actor's process and of its output.
    fn watch(
        &self,
        actor: Key,
        pidfd: OwnedFd,
        reap: Box<dyn FnOnce() -> Exit + Send>,
        stdout: impl Future<Output = ()> + Send + 'static,
        stderr: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let pidfd = readable(pidfd)?;
        let events = self.sender.clone();
        let words = tokio::spawn(async move { tokio::join!(stdout, stderr) });
        tokio::spawn(async move {
            let _ = pidfd.readable().await;
            let exit = reap();
            let _ = tokio::time::timeout(LAST_WORDS, words).await;
            let _ = events.send(Event::Exited { actor, exit });
        });
        Ok(())
    }
}

/// An error that fits a packet: what a guest wrote may be long, and an error holds it twice.
fn shortened(mut error: RemoteError) -> RemoteError {
    if error.message.len() > MAX_MESSAGE_BYTES {
        error.message.truncate(error.message.floor_char_boundary(MAX_MESSAGE_BYTES));
        error.message.push_str(" … (shortened)");
    }
    error.value = error.value.filter(|value| value.len() <= MAX_MESSAGE_BYTES);
    error
}

#[expect(unsafe_code, reason = "tokio makes the promise of I/O safety explicit")]
fn readable(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` always gives the same open descriptor, and only `AsyncFd` holds it.
    unsafe { AsyncFd::register_with_interest(pidfd, tokio::io::Interest::READABLE) }.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_always_fits_a_packet() {
        let long = "ä".repeat(200_000);
        let failed = SpawnFailed { name: long.clone(), reason: long, exit: None, stderr: Vec::new() };
        let error = shortened(RemoteError::of(&failed));
        assert_eq!(error.src_type, "SpawnFailed");
        let message = ToActor::Spawned { request: 1, result: Err(Box::new(error)) };
        assert!(control::encode(&message).expect("encodes").len() < greenroom_transport::MAX_PACKET_BYTES);
    }
}
