//! A live handle to another actor.
//!
//! Owns: what one may do with a peer. Must not know: how calls travel. Invariant: every clone
//! leads to the same actor, and to the same successor of one that was started again.

use std::sync::Arc;

use bytes::Bytes;
use greenroom_abi::kind::{Exit, NoResult};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_wire::Outcome;
use tokio::sync::watch;

use crate::actor::Actor;
use crate::context::{Call, CallOptions, Context};
use crate::introduce::Lease;
use crate::slot::Slot;

/// A live handle to another actor; clones lead to the same one.
#[derive(Clone, Debug)]
pub struct Portal {
    actor: Actor,
    slot: Slot,
    main: Option<watch::Receiver<Option<Outcome>>>,
    /// Keeps a link open that is there for portals only.
    _lease: Option<Arc<Lease>>,
}

impl Portal {
    pub(crate) fn new(actor: Actor, slot: Slot, main: Option<watch::Receiver<Option<Outcome>>>) -> Self {
        Self { actor, slot, main, _lease: None }
    }

    /// A portal over a link that is closed with its last portal.
    pub(crate) fn leased(actor: Actor, lease: Arc<Lease>) -> Self {
        Self { actor, slot: Slot::fixed(lease.link().clone()), main: None, _lease: Some(lease) }
    }

    /// Whom it leads to; while a successor is awaited, who was there before.
    pub fn peer(&self) -> ActorId {
        self.slot.last().peer().clone()
    }

    /// What a call to the peer ends with if it is dead.
    pub(crate) fn obituary(&self) -> RemoteError {
        self.slot.last().obituary()
    }

    /// Starts a fresh task in the peer, or in its successor while that is awaited. Dropping the
    /// call cancels it.
    pub fn call(&self, function: &str, kwargs: Bytes) -> Call {
        self.call_with(function, kwargs, CallOptions::default())
    }

    /// As [`Portal::call`], with a deadline or on behalf of a task.
    pub fn call_with(&self, function: &str, kwargs: Bytes, options: CallOptions<'_>) -> Call {
        self.slot.link().call(function, kwargs, options)
    }

    /// Starts a linked task in the peer; resolves once that has called `started`, with the value
    /// it gave. The timeout is for the whole context. Dropping the future cancels the task.
    ///
    /// # Errors
    /// What the task failed with; `ContextProtocol` if it returned without `started`.
    pub fn open_context(
        &self,
        function: &str,
        kwargs: Bytes,
        options: CallOptions<'_>,
    ) -> impl Future<Output = Result<(Context, Bytes), Box<RemoteError>>> + use<> {
        self.slot.link().open_context(function, kwargs, options)
    }

    /// Resolves once the process that it leads to now is gone, with how that ended.
    pub fn closed(&self) -> impl Future<Output = Exit> + Send + use<> {
        // While a successor is awaited that is who was there before, and is gone.
        let (is_gone, link) = (self.slot.is_awaited(), self.slot.last());
        let exited = link.exited();
        async move {
            let exit = exited.await;
            if exit == Exit::Unknown && !is_gone {
                // Nobody says how it ends; the end of the link says that it has.
                link.closed().await;
            }
            exit
        }
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
