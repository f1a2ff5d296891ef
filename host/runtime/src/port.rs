//! The actor's side of its control channel.
//!
//! Owns: numbering requests and matching the broker's answers to them. Must not know: why
//! somebody asks. Invariant: every request ends, also when the broker does.

use core::net::IpAddr;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use greenroom_abi::kind::LimitExceeded;
use greenroom_abi::{ActorId, RemoteError};
use greenroom_sabotage::Protection;
use greenroom_transport::{Attachment, MAX_PACKET_BYTES, Packet};
use greenroom_wire::control::{self, ActorEntry, Limit, Limits, RequestId, SpawnSpec, ToBroker};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::link::ExitNotice;
use crate::portal::Portal;

/// How many lists may be under way at once: each may be long, and the broker holds it until it is
/// read.
const LISTS: usize = 4;

/// What the broker gives for a spawn: who the child is, the pipe to it, word of its exit.
pub(crate) type Spawned = Result<(ActorId, Attachment, ExitNotice), Box<RemoteError>>;

/// What the broker gives for a cancel.
pub(crate) type Ended = Result<(), Box<RemoteError>>;

/// What the broker gives for a name: the portal to the actor that has it, if there is one.
pub(crate) type Found = Result<Option<Portal>, Box<RemoteError>>;

/// What the broker gives for a question who there is.
pub(crate) type Listed = Result<Vec<ActorEntry>, Box<RemoteError>>;

/// What the broker gives for an invitation: the pipe of the program that is invited, if the
/// actor it may call is there.
pub(crate) type Invited = Result<Option<Attachment>, Box<RemoteError>>;

/// What the broker gives for the name of a host: its addresses, if it has any.
pub(crate) type LookedUp = Result<Vec<IpAddr>, Box<RemoteError>>;

/// A question the broker has not answered yet.
#[derive(Debug)]
enum Pending {
    Spawn(oneshot::Sender<Spawned>),
    Cancel(oneshot::Sender<Ended>),
    Find(oneshot::Sender<Found>),
    List(List, oneshot::Sender<Listed>),
    Invite(oneshot::Sender<Invited>),
    LookUp(oneshot::Sender<LookedUp>),
}

/// A list that is not complete yet.
#[derive(Debug)]
struct List {
    entries: Vec<ActorEntry>,
    /// Kept until the last part is here, also when nobody waits for it any more.
    _turn: OwnedSemaphorePermit,
}

/// The way to the broker.
#[derive(Debug)]
enum Line {
    /// It is there, and has not answered these yet.
    Open(HashMap<RequestId, Pending>),
    /// Nobody will answer, for this reason.
    Shut(RemoteError),
}

/// Asks the broker.
#[derive(Debug)]
pub(crate) struct Port {
    outgoing: mpsc::UnboundedSender<Packet>,
    /// How many bytes of them the broker has not taken yet.
    queued: Arc<AtomicU64>,
    most: u64,
    line: Mutex<Line>,
    next: AtomicU64,
    lists: Arc<Semaphore>,
}

impl Port {
    /// A port, and the packets that must be sent for it.
    pub(crate) fn new(limits: &Limits) -> (Self, Packets) {
        let (outgoing, incoming) = mpsc::unbounded_channel();
        let (line, queued) = (Mutex::new(Line::Open(HashMap::new())), Arc::<AtomicU64>::default());
        let packets = Packets { incoming, queued: queued.clone() };
        let most = if Protection::Queue.is_off() { u64::MAX } else { limits.queue };
        let (next, lists) = (AtomicU64::new(1), Arc::new(Semaphore::new(LISTS)));
        (Self { outgoing, queued, most, line, next, lists }, packets)
    }

    /// Says something that has no answer. After the broker's death nobody hears it.
    pub(crate) fn tell(&self, message: &ToBroker) {
        if let Err(error) = self.post(message) {
            tracing::debug!(%error, "not told to the broker");
        }
    }

    /// Asks for a child. The number serves to abandon the request. Whoever asks waits for the
    /// answer, even then: a child that comes nevertheless is theirs to end.
    pub(crate) fn spawn(&self, spec: SpawnSpec) -> (RequestId, oneshot::Receiver<Spawned>) {
        let (sender, receiver) = oneshot::channel();
        let request = self.register(Pending::Spawn(sender));
        if let Err(error) = self.post(&ToBroker::Spawn { request, spec }) {
            self.spawned(request, Err(Box::new(error)));
        }
        (request, receiver)
    }

    /// Asks to forget about a child; the answer to the spawn still comes.
    pub(crate) fn abandon(&self, request: RequestId) {
        self.tell(&ToBroker::AbandonSpawn { request });
    }

    /// Ends an actor; resolves once its process is gone.
    ///
    /// # Errors
    /// `PermissionDenied` for whoever does not own it.
    pub(crate) async fn cancel_actor(&self, actor: &ActorId) -> Ended {
        let actor = actor.uuid.clone();
        self.ask(Pending::Cancel, |request| ToBroker::CancelActor { request, actor }).await
    }

    /// Looks for an actor, and waits for one if asked to. Dropping the future abandons the question.
    ///
    /// # Errors
    /// When the broker cannot make a pipe, or is gone.
    pub(crate) async fn find_actor(&self, name: &str, wait: bool) -> Found {
        let (sender, answer) = oneshot::channel();
        let request = self.register(Pending::Find(sender));
        let question = Question { port: self, request };
        if let Err(error) = self.post(&ToBroker::Find { request, name: name.to_owned(), wait }) {
            self.take(request);
            return Err(Box::new(error));
        }
        let found = answer.await.unwrap_or_else(|_| Err(Box::new(self.silence())));
        drop(question);
        found
    }

    /// Asks who there is.
    ///
    /// # Errors
    /// When the broker cannot tell, or is gone.
    pub(crate) async fn list_actors(&self, name: Option<&str>) -> Listed {
        let name = name.map(str::to_owned);
        // The semaphore is never closed.
        let turn = self.lists.clone().acquire_owned().await.map_err(|_| Box::new(self.silence()))?;
        let list = List { entries: Vec::new(), _turn: turn };
        self.ask(|sender| Pending::List(list, sender), |request| ToBroker::List { request, name }).await
    }

    /// Has an actor let a program outside the tree call it.
    ///
    /// # Errors
    /// `PermissionDenied` for whoever is not the operator.
    pub(crate) async fn invite(&self, actor: &ActorId, name: &str) -> Invited {
        let (actor, name) = (actor.uuid.clone(), name.to_owned());
        self.ask(Pending::Invite, |request| ToBroker::Invite { request, actor, name }).await
    }

    /// Looks up the addresses of a host.
    ///
    /// # Errors
    /// `PermissionDenied` if the actor may not connect there; `LimitExceeded` if too many such
    /// questions are open.
    pub(crate) async fn look_up(&self, name: &str) -> LookedUp {
        let name = name.to_owned();
        self.ask(Pending::LookUp, |request| ToBroker::LookUp { request, name }).await
    }

    /// Ends all requests, those to come as well: nobody will answer, for the reason given.
    pub(crate) fn shut(&self, reason: RemoteError) {
        *self.lock() = Line::Shut(reason);
    }

    /// Hands the answer to a spawn to whoever asked.
    pub(crate) fn spawned(&self, request: RequestId, result: Spawned) {
        if let Some(Pending::Spawn(sender)) = self.take(request) {
            let _ = sender.send(result);
        }
    }

    /// Hands the answer to a cancel to whoever asked.
    pub(crate) fn ended(&self, request: RequestId, result: Ended) {
        if let Some(Pending::Cancel(sender)) = self.take(request) {
            let _ = sender.send(result);
        }
    }

    /// Hands the answer to a find to whoever asked. A portal that nobody waits for is dropped.
    pub(crate) fn found(&self, request: RequestId, result: Found) {
        if let Some(Pending::Find(sender)) = self.take(request) {
            let _ = sender.send(result);
        }
    }

    /// Hands the answer to a question who there is to whoever asked, once it is complete.
    pub(crate) fn listed(&self, request: RequestId, part: Listed, more: bool) {
        let Some(Pending::List(mut list, sender)) = self.take(request) else { return };
        match part {
            Ok(part) => {
                list.entries.extend(part);
                match more {
                    true => self.keep(request, Pending::List(list, sender)),
                    false => _ = sender.send(Ok(list.entries)),
                }
            }
            Err(error) => _ = sender.send(Err(error)),
        }
    }

    /// Hands the answer to an invitation to whoever asked.
    pub(crate) fn invited(&self, request: RequestId, result: Invited) {
        if let Some(Pending::Invite(sender)) = self.take(request) {
            let _ = sender.send(result);
        }
    }

    /// Hands the addresses of a host to whoever asked.
    pub(crate) fn looked_up(&self, request: RequestId, result: LookedUp) {
        if let Some(Pending::LookUp(sender)) = self.take(request) {
            let _ = sender.send(result);
        }
    }

    #[cfg(test)]
    pub(crate) fn open_requests(&self) -> usize {
        match &*self.lock() {
            Line::Open(pending) => pending.len(),
            Line::Shut(_) => 0,
        }
    }

    /// Asks, and waits for the answer.
    async fn ask<T>(
        &self,
        pending: impl FnOnce(oneshot::Sender<Result<T, Box<RemoteError>>>) -> Pending,
        question: impl FnOnce(RequestId) -> ToBroker,
    ) -> Result<T, Box<RemoteError>> {
        let (sender, answer) = oneshot::channel();
        let request = self.register(pending(sender));
        if let Err(error) = self.post(&question(request)) {
            self.take(request);
            return Err(Box::new(error));
        }
        answer.await.unwrap_or_else(|_| Err(Box::new(self.silence())))
    }

    /// Why a question has no answer.
    fn silence(&self) -> RemoteError {
        match &*self.lock() {
            Line::Open(_) => broker_gone(),
            Line::Shut(reason) => reason.clone(),
        }
    }

    fn post(&self, message: &ToBroker) -> Result<(), RemoteError> {
        let bytes = control::encode(message).map_err(|error| RemoteError::of(&error))?;
        if bytes.len() > MAX_PACKET_BYTES {
            let limit = LimitExceeded { limit: "control_message".to_owned(), value: MAX_PACKET_BYTES as u64 };
            return Err(RemoteError::of(&limit));
        }
        let size = bytes.len() as u64;
        let grown = |queued: u64| queued.checked_add(size).filter(|queued| *queued <= self.most);
        if self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_err() {
            let limit = LimitExceeded { limit: Limit::Queue.name().to_owned(), value: self.most };
            return Err(RemoteError::of(&limit));
        }
        // The actor's loop sees the end of the channel itself.
        let _ = self.outgoing.send(Packet { bytes, attachments: Vec::new() });
        Ok(())
    }

    fn register(&self, pending: Pending) -> RequestId {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        self.keep(request, pending);
        request
    }

    fn keep(&self, request: RequestId, pending: Pending) {
        if let Line::Open(all) = &mut *self.lock() {
            all.insert(request, pending);
        }
    }

    fn take(&self, request: RequestId) -> Option<Pending> {
        match &mut *self.lock() {
            Line::Open(all) => all.remove(&request),
            Line::Shut(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be sent to the broker.
#[derive(Debug)]
pub(crate) struct Packets {
    incoming: mpsc::UnboundedReceiver<Packet>,
    queued: Arc<AtomicU64>,
}

impl Packets {
    /// The next packet, once there is one; none after the last.
    pub(crate) async fn next(&mut self) -> Option<Packet> {
        let packet = self.incoming.recv().await?;
        Some(self.took(packet))
    }

    /// The next packet, if there is one.
    pub(crate) fn try_next(&mut self) -> Option<Packet> {
        let packet = self.incoming.try_recv().ok()?;
        Some(self.took(packet))
    }

    fn took(&self, packet: Packet) -> Packet {
        self.queued.fetch_sub(packet.bytes.len() as u64, Ordering::Relaxed);
        packet
    }
}

/// A search under way. Dropped before its answer, it is abandoned.
struct Question<'a> {
    port: &'a Port,
    request: RequestId,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if self.port.take(self.request).is_some() {
            self.port.tell(&ToBroker::AbandonFind { request: self.request });
        }
    }
}

/// What every request ends with once the broker is gone.
pub fn broker_gone() -> RemoteError {
    RemoteError::new("BrokerGone", "the broker is gone; this actor is about to exit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_much_waits_for_the_broker() {
        let (port, mut packets) = Port::new(&Limits { queue: 150, ..Limits::default() });
        let message = ToBroker::Progress { done: 1, total: 2, message: "x".repeat(60) };
        assert_eq!(port.post(&message), Ok(()));
        let full = port.post(&message).expect_err("there is no room");
        assert_eq!(full.kind(), Some(LimitExceeded { limit: "queue".to_owned(), value: 150 }));
        assert!(packets.try_next().is_some(), "the first is still to be sent");
        assert_eq!(port.post(&message), Ok(()));
    }
}
