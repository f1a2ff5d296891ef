//! The actor's side of its control channel.
//!
//! Owns: numbering requests and matching the broker's answers to them. Must not know: why
//! somebody asks. Invariant: every request ends, also when the broker does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use greenroom_abi::kind::LimitExceeded;
use greenroom_abi::{ActorId, RemoteError};
use greenroom_transport::{Attachment, MAX_PACKET_BYTES, Packet};
use greenroom_wire::control::{self, RequestId, SpawnSpec, ToBroker};
use tokio::sync::{mpsc, oneshot};

use crate::link::ExitNotice;

/// What the broker gives for a spawn: who the child is, the pipe to it, word of its exit.
pub(crate) type Spawned = Result<(ActorId, Attachment, ExitNotice), Box<RemoteError>>;

/// What the broker gives for a cancel.
pub(crate) type Ended = Result<(), Box<RemoteError>>;

/// A question the broker has not answered yet.
#[derive(Debug)]
enum Pending {
    Spawn(oneshot::Sender<Spawned>),
    Cancel(oneshot::Sender<Ended>),
}

/// Asks the broker.
#[derive(Debug)]
pub(crate) struct Port {
    outgoing: mpsc::UnboundedSender<Packet>,
    /// None once the broker is gone.
    pending: Mutex<Option<HashMap<RequestId, Pending>>>,
    next: AtomicU64,
}

impl Port {
    /// A port, and the packets that must be sent for it.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Packet>) {
        let (outgoing, packets) = mpsc::unbounded_channel();
        (Self { outgoing, pending: Mutex::new(Some(HashMap::new())), next: AtomicU64::new(1) }, packets)
    }

    /// Says something that has no answer. After the broker's death nobody hears it.
    pub(crate) fn tell(&self, message: &ToBroker) {
        if let Err(error) = self.post(message) {
            tracing::warn!(%error, "not told to the broker");
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
        let (sender, receiver) = oneshot::channel();
        let request = self.register(Pending::Cancel(sender));
        self.tell(&ToBroker::CancelActor { request, actor: actor.uuid.clone() });
        receiver.await.unwrap_or_else(|_| Err(Box::new(broker_gone())))
    }

    /// Ends all requests, those to come as well: nobody will answer.
    pub(crate) fn shut(&self) {
        self.lock().take();
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

    #[cfg(test)]
    pub(crate) fn open_requests(&self) -> usize {
        self.lock().as_ref().map_or(0, HashMap::len)
    }

    fn post(&self, message: &ToBroker) -> Result<(), RemoteError> {
        let bytes = control::encode(message).map_err(|error| RemoteError::of(&error))?;
        if bytes.len() > MAX_PACKET_BYTES {
            let limit = LimitExceeded { limit: "control_message".to_owned(), value: MAX_PACKET_BYTES as u64 };
            return Err(RemoteError::of(&limit));
        }
        // The actor's loop sees the end of the channel itself.
        let _ = self.outgoing.send(Packet { bytes, attachments: Vec::new() });
        Ok(())
    }

    fn register(&self, pending: Pending) -> RequestId {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(all) = &mut *self.lock() {
            all.insert(request, pending);
        }
        request
    }

    fn take(&self, request: RequestId) -> Option<Pending> {
        self.lock().as_mut()?.remove(&request)
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<RequestId, Pending>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What every request ends with once the broker is gone.
pub fn broker_gone() -> RemoteError {
    RemoteError::new("BrokerGone", "the broker is gone; this actor is about to exit")
}
