//! A live handle to another actor.
//!
//! Owns: what one may do with a peer. Must not know: how calls travel. Invariant: every clone
//! leads to the same actor, and to the same successor of one that was started again.

use bytes::Bytes;
use greenroom_abi::kind::{Exit, NoResult};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_wire::Outcome;
use tokio::sync::watch;

use crate::actor::Actor;
use crate::link::Call;
use crate::slot::Slot;

/// A live handle to another actor; clones lead to the same one.
#[derive(Clone, Debug)]
pub struct Portal {
    actor: Actor,
    slot: Slot,
    main: Option<watch::Receiver<Option<Outcome>>>,
}

impl Portal {
    pub(crate) fn new(actor: Actor, slot: Slot, main: Option<watch::Receiver<Option<Outcome>>>) -> Self {
        Self { actor, slot, main }
    }

    /// Whom it leads to; while a successor is awaited, who was there before.
    pub fn peer(&self) -> ActorId {
        self.slot.last().peer().clone()
    }

    /// Starts a fresh task in the peer, or in its successor while that is awaited. Dropping the
    /// call cancels it.
    pub fn call(&self, function: &str, kwargs: Bytes) -> Call {
        self.slot.link().call(function, kwargs)
    }

    /// Resolves once the process that it leads to now is gone, with how that ended.
    pub fn closed(&self) -> impl Future<Output = Exit> + Send + use<> {
        // While a successor is awaited that is who was there before, and is gone.
        self.slot.last().exited()
    }

    /// The outcome of the peer's main task: waits for it, gives the same each time.
    ///
    /// # Errors
    /// The task's own error; `NoResult` if the peer is a daemon.
    pub async fn wait_for_result(&self) -> Outcome {
        let no_result = || Err(Box::new(RemoteError::of(&NoResult { actor: self.peer() })));
        let Some(mut main) = self.main.clone() else {
            tracing::warn!(actor = %self.peer(), "wait_for_result on a daemon gives NoResult");
            return no_result();
        };
        match main.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(no_result),
            Err(_) => Err(Box::new(self.slot.last().obituary())),
        }
    }

    /// Ends the peer, all below it and its process; resolves once it is gone. It gets no successor.
    ///
    /// # Errors
    /// `PermissionDenied` for whoever does not own it.
    pub async fn cancel_actor(&self) -> Result<(), Box<RemoteError>> {
        self.slot.dismiss(self.actor.id());
        if self.slot.is_awaited() {
            self.slot.settled().await;
            return Ok(());
        }
        let link = self.slot.last();
        link.expect_end();
        self.actor.cancel_peer(link.peer()).await
    }
}
