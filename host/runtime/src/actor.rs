//! One actor: what it is, and the loop that handles what its broker says.
//!
//! Owns: identity, running tasks, links, the way from the first word to the last. Must not know:
//! which guest runs, or that it is a process. Invariant: once cancelled, an actor starts
//! nothing new and ends when its last task has.

use core::net::IpAddr;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use foldhash::fast::RandomState;
use greenroom_abi::kind::{Exit, LimitExceeded};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_sabotage::Protection;
use greenroom_transport::{Attachment, Channel, Pipe};
use greenroom_wire::control::{self, Limits, LogLine, Rights, ToActor, ToBroker};
use greenroom_wire::{Gate, Passage, Role};
use tokio::sync::{Notify, watch};

use crate::cancel::Cancellation;
use crate::dialog::Dialog;
use crate::dispatch::cancelled;
use crate::guest::Guest;
use crate::introduce::{Introductions, Origin, handed_over};
use crate::lending::Lenders;
use crate::link::{ExitNotice, Link, Owner, Queue};
use crate::port::{Packets, Port, broker_gone};
use crate::room::{Bounds, Streams};
use crate::task::{Called, Task};
use crate::voice::Voice;

/// Who an actor is, as the broker has said.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Name and uuid.
    pub id: ActorId,
    /// The names from the root of the tree down to it.
    pub path: Vec<String>,
    /// Its process.
    pub pid: u32,
    /// Whether it is the root of its tree.
    pub is_root: bool,
    /// What it may do beyond its tree.
    pub rights: Rights,
}

/// Why an actor's loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to end, and all its tasks have.
    Cancelled,
    /// It was ordered to exit at once.
    Ordered,
    /// Its broker is gone.
    BrokerGone,
}

/// A handle to the actor; clones are the same actor.
#[derive(Clone)]
pub struct Actor(Arc<Shared>);

struct Shared {
    identity: Identity,
    limits: Limits,
    guest: Box<dyn Guest>,
    port: Port,
    cancellation: Cancellation,
    next_task: AtomicU64,
    tasks: Mutex<HashMap<u64, Task, RandomState>>,
    task_ended: Notify,
    peers: Mutex<HashMap<String, watch::Sender<Option<Exit>>>>,
    links: Mutex<Vec<Link>>,
    introductions: Introductions,
    log_gate: Mutex<Gate>,
    voice: OnceLock<Voice>,
    bounds: Bounds,
    lenders: Lenders,
    tidying: Tidying,
}

/// When to forget what is of no use any more: always where there is little, and where there is much
/// only once it has doubled, so that each new peer is paid for once.
#[derive(Default)]
struct Tidying(AtomicUsize);

impl Tidying {
    /// Up to how many links are always looked through.
    const FEW: usize = 32;

    fn is_time(&self, links: usize) -> bool {
        links <= Self::FEW || links >= 2 * self.0.load(Ordering::Relaxed)
    }

    fn done(&self, left: usize) {
        self.0.store(left, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Actor").field(&self.0.identity.id).finish()
    }
}

/// The packets an actor has for its broker, to be handed to [`Actor::run`].
#[derive(Debug)]
pub struct Outbox(Packets);

impl Actor {
    /// An actor that can be called as soon as it has a link.
    pub fn new(identity: Identity, limits: Limits, guest: Box<dyn Guest>) -> (Self, Outbox) {
        let (port, packets) = Port::new(&limits);
        let actor = Self(Arc::new(Shared {
            identity,
            log_gate: Mutex::new(Gate::new(limits.log_rate)),
            voice: OnceLock::new(),
            bounds: Bounds::new(&limits, &Streams::new(&limits)),
            lenders: Lenders::default(),
            limits,
            guest,
            port,
            cancellation: Cancellation::default(),
            next_task: AtomicU64::new(1),
            tasks: Mutex::default(),
            task_ended: Notify::new(),
            peers: Mutex::default(),
            links: Mutex::default(),
            introductions: Introductions::default(),
            tidying: Tidying::default(),
        }));
        (actor, Outbox(packets))
    }

    /// Has the broker's words about its guests' output heard, once.
    pub fn speaks_with(&self, voice: Voice) {
        let _ = self.0.voice.set(voice);
    }

    /// Who this is.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// Name and uuid.
    pub fn id(&self) -> &ActorId {
        &self.0.identity.id
    }

    /// The bounds it lives in.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// What each of its links may have.
    pub(crate) fn bounds(&self) -> Bounds {
        self.0.bounds.clone()
    }

    /// The places for those of its links that lend.
    pub(crate) fn lenders(&self) -> Lenders {
        self.0.lenders.clone()
    }

    /// What may be called in it.
    pub fn exposed(&self) -> Vec<String> {
        self.0.guest.exposed()
    }

    /// Sends a line to the log.
    pub fn log(&self, line: LogLine) {
        let now = tokio::time::Instant::now().into_std();
        let passage = match Protection::LogRate.is_off() {
            true => Passage::Through { dropped: 0 },
            false => self.log_gate().pass(now),
        };
        match passage {
            Passage::Through { dropped } => {
                self.log_dropped(dropped);
                let LogLine { level, target, message, task } = line;
                let (target, message) = (self.shortened(target), self.shortened(message));
                self.0.port.tell(&ToBroker::Log(LogLine { level, target, message, task }));
            }
            Passage::Dropped { until: None } => {}
            Passage::Dropped { until: Some(until) } => {
                // Should nothing more be logged, this tells what is missing.
                let actor = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep_until(until.into()).await;
                    let dropped = actor.log_gate().dropped();
                    actor.log_dropped(dropped);
                });
            }
        }
    }

    fn log_dropped(&self, dropped: u64) {
        if dropped > 0 {
            self.0.port.tell(&ToBroker::Log(self.0.limits.dropped(dropped)));
        }
    }

    fn shortened(&self, text: String) -> String {
        if Protection::LogLine.is_off() { text } else { self.0.limits.shortened(text) }
    }

    fn log_gate(&self) -> MutexGuard<'_, Gate> {
        self.0.log_gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the user how far a long job has come.
    pub fn progress(&self, done: u64, total: u64, message: String) {
        let message = self.shortened(message);
        self.0.port.tell(&ToBroker::Progress { done, total, message });
    }

    /// Tells the broker that this actor can be called.
    pub fn ready(&self) {
        self.0.port.tell(&ToBroker::Ready);
    }

    /// The addresses of a host to which this actor may connect; none if it has none. The broker looks
    /// them up: an actor's own process has no way to a name server.
    ///
    /// # Errors
    /// `PermissionDenied` if this actor may not connect there; `LimitExceeded` if too many such
    /// questions are open.
    pub async fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, Box<RemoteError>> {
        self.0.port.look_up(host).await
    }

    /// Cancels every task; the actor's loop ends once they have.
    pub fn cancel(&self, by: &ActorId) {
        self.0.cancellation.ask(by);
        for task in self.tasks().values() {
            task.cancel(by);
        }
        self.0.task_ended.notify_one();
    }

    /// Drives a pipe to `peer`.
    ///
    /// # Errors
    /// When the pipe cannot be registered with the reactor.
    pub(crate) fn link(
        &self,
        peer: ActorId,
        pipe: Attachment,
        exit: ExitNotice,
        role: Role,
        owner: Owner,
    ) -> io::Result<Link> {
        let pipe = Pipe::from_attachment(pipe)?;
        let link = Link::drive(self.clone(), peer, owner, pipe, role, exit);
        self.links().push(link.clone());
        Ok(link)
    }

    /// Drives a pipe to a peer for whom calls have waited.
    ///
    /// # Errors
    /// When the pipe cannot be registered with the reactor.
    pub(crate) fn lead(
        &self,
        queue: Queue,
        peer: ActorId,
        pipe: Attachment,
        exit: ExitNotice,
    ) -> io::Result<Link> {
        let pipe = Pipe::from_attachment(pipe)?;
        let link = queue.lead(self.clone(), peer, pipe, Role::Initiator, exit);
        self.links().push(link.clone());
        Ok(link)
    }

    /// Accepts calls from whoever started this actor.
    ///
    /// # Errors
    /// When the pipe cannot be registered with the reactor.
    pub fn serve_parent(&self, parent: ActorId, pipe: Attachment) -> io::Result<()> {
        let exit = self.watch_peer(&parent);
        self.link(parent, pipe, exit, Role::Acceptor, Owner::Peer).map(drop)
    }

    /// Handles what the broker says until the actor's end. After it, every request to the broker
    /// fails, and with it every nursery that still has children.
    pub async fn run(&self, channel: impl Into<Arc<Channel>>, outbox: Outbox) -> End {
        let Outbox(mut packets) = outbox;
        let channel = channel.into();
        let speak = async {
            while let Some(packet) = packets.next().await {
                if channel.send(packet).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let listen = async {
            loop {
                let packet = match channel.receive().await {
                    Ok(Some(packet)) => packet,
                    Ok(None) | Err(_) if Protection::ControlEnd.is_off() => std::future::pending().await,
                    Ok(None) | Err(_) => return End::BrokerGone,
                };
                match control::decode(&packet.bytes) {
                    Ok(ToActor::Exit) => return End::Ordered,
                    Ok(message) => self.hear(message, packet.attachments),
                    Err(error) => {
                        tracing::error!(%error, "the broker sent what is not a message");
                        return End::BrokerGone;
                    }
                }
            }
        };
        let end = tokio::select! {
            end = listen => end,
            () = self.wound_up() => End::Cancelled,
            () = speak => End::BrokerGone,
        };
        while let Some(packet) = packets.try_next() {
            if channel.send(packet).await.is_err() {
                break;
            }
        }
        // Nobody answers any more, or says how a peer died.
        self.0.port.shut(broker_gone());
        self.peers().clear();
        end
    }

    fn hear(&self, message: ToActor, attachments: Vec<Attachment>) {
        match message {
            ToActor::Spawned { request, result } => {
                let result = result.and_then(|child| match Attachment::pipe(attachments) {
                    Some(pipe) => {
                        // Its exit notice may be the very next message.
                        let exit = self.watch_peer(&child);
                        Ok((child, pipe, exit))
                    }
                    None => Err(Box::new(pipe_missing())),
                });
                self.0.port.spawned(request, result);
            }
            ToActor::Ended { request, result } => self.0.port.ended(request, result),
            ToActor::Found { request, result } => {
                let pipe = self.take_pipe(attachments);
                let met =
                    |found: Option<_>| found.map(|peer| self.meet(peer, pipe, Origin::Tree)).transpose();
                self.0.port.found(request, result.and_then(met));
            }
            ToActor::FoundBeyond { request, actor } => {
                let pipe = self.take_pipe(attachments);
                self.0.port.found(request, self.meet(actor, pipe, Origin::Beyond).map(Some));
            }
            ToActor::Listed { request, result, more } => self.0.port.listed(request, result, more),
            ToActor::LookedUp { request, result } => self.0.port.looked_up(request, result),
            ToActor::Invited { request, result } => {
                self.0.port.invited(
                    request,
                    result.and_then(|guest| handed_over(guest, Attachment::pipe(attachments))),
                );
            }
            ToActor::Introduced { actor } => {
                let pipe = self.take_pipe(attachments);
                self.receive(actor, pipe);
            }
            ToActor::Exited { actor, exit } => {
                if let Some(peer) = self.peers().get(&actor.uuid) {
                    peer.send_replace(Some(exit));
                }
            }
            ToActor::Shown => {
                self.0.voice.get().inspect(|voice| voice.shown());
            }
            ToActor::Measure => {
                let tasks = u32::try_from(self.tasks().len()).unwrap_or(u32::MAX);
                self.0.port.tell(&ToBroker::Measured { tasks });
            }
            ToActor::Cancel { by } => self.cancel(&by),
            ToActor::Init(_) | ToActor::Exit => tracing::error!("the broker repeats itself"),
        }
    }

    /// Takes the pipe of an introduction, and tells the broker, which counts those that lie about.
    fn take_pipe(&self, attachments: Vec<Attachment>) -> Option<Attachment> {
        let pipe = Attachment::pipe(attachments);
        if pipe.is_some() {
            self.0.port.tell(&ToBroker::Taken);
        }
        pipe
    }

    /// Waits until the actor is cancelled, its last task has ended and its links are flushed.
    async fn wound_up(&self) {
        self.0.cancellation.wait().await;
        while !self.tasks().is_empty() {
            self.0.task_ended.notified().await;
        }
        let links = std::mem::take(&mut *self.links());
        for link in &links {
            link.close();
        }
        let flushed = futures_util::future::join_all(links.iter().map(Link::closed));
        // A peer that does not read must not keep this actor from leaving.
        let _ = tokio::time::timeout(self.0.limits.grace, flushed).await;
    }

    /// The exit notice of a peer, to come or already here. Forgets what nobody asks about any more.
    pub(crate) fn watch_peer(&self, peer: &ActorId) -> ExitNotice {
        if self.0.tidying.is_time(self.links().len()) {
            let mut links = self.links();
            links.retain(|link| !link.is_closed());
            self.introductions().tidy();
            self.peers().retain(|_, sender| sender.receiver_count() > 0);
            self.0.tidying.done(links.len());
        }
        let mut peers = self.peers();
        peers.entry(peer.uuid.clone()).or_default().subscribe()
    }

    pub(crate) async fn cancel_peer(&self, peer: &ActorId) -> Result<(), Box<RemoteError>> {
        self.0.port.cancel_actor(peer).await
    }

    pub(crate) fn port(&self) -> &Port {
        &self.0.port
    }

    pub(crate) fn introductions(&self) -> &Introductions {
        &self.0.introductions
    }

    /// The link over which this actor started a child, if it is still open.
    pub(crate) fn link_to_child(&self, peer: &ActorId) -> Option<Link> {
        let links = self.links();
        links.iter().find(|link| link.is_ours() && link.peer() == peer && !link.is_closed()).cloned()
    }

    pub(crate) fn guest(&self) -> &dyn Guest {
        &*self.0.guest
    }

    pub(crate) fn canceller(&self) -> Option<&ActorId> {
        self.0.cancellation.by()
    }

    /// Makes a call a task, unless there are too many or the actor is cancelled.
    ///
    /// # Errors
    /// `LimitExceeded` or `ContextCancelled`.
    pub(crate) fn begin_task(&self, dialog: Arc<Dialog>, called: Called) -> Result<Task, RemoteError> {
        let mut tasks = self.tasks();
        // Under the lock: whoever cancels the actor finds the task, or this finds the canceller.
        if let Some(by) = self.canceller() {
            return Err(cancelled(dialog.function(), by));
        }
        let limit = self.limits().tasks;
        if tasks.len() >= limit && !Protection::Tasks.is_off() {
            return Err(RemoteError::of(&LimitExceeded { limit: "tasks".to_owned(), value: limit as u64 }));
        }
        let id = self.0.next_task.fetch_add(1, Ordering::Relaxed);
        let task = Task::new(id, self.clone(), dialog, called);
        tasks.insert(id, task.clone());
        Ok(task)
    }

    /// Takes a task out, after `answer` has handed over its outcome.
    pub(crate) fn end_task(&self, task: &Task, answer: impl FnOnce()) {
        let mut tasks = self.tasks();
        // Under the lock: an actor without tasks closes its links.
        answer();
        tasks.remove(&task.id());
        if self.canceller().is_some() {
            self.0.task_ended.notify_one();
        }
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<u64, Task, RandomState>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Option<Exit>>>> {
        self.0.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, Vec<Link>> {
        self.0.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What it comes to when a broker's message lacks its attachment.
pub(crate) fn pipe_missing() -> RemoteError {
    RemoteError::new("BrokerGone", "the broker's message lacks the pipe")
}

/// What tests count to see that nothing is left.
#[cfg(test)]
impl Actor {
    pub(crate) fn task_count(&self) -> usize {
        self.tasks().len()
    }

    pub(crate) fn open_links(&self) -> usize {
        self.links().iter().filter(|link| !link.is_closed()).count()
    }

    /// How many handles to this actor there are: each task, link and nursery has one.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// How much is remembered of peers, links and requests, whether still of use or not.
    pub(crate) fn memory(&self) -> usize {
        self.peers().len() + self.links().len() + self.0.introductions.len() + self.0.port.open_requests()
    }
}
