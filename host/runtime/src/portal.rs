//! A live handle to another actor.
//!
//! Owns: what one may do with a peer. Must not know: how calls travel. Invariant: every clone
//! leads to the same actor.

use std::sync::Arc;

use bytes::Bytes;
use greenroom_abi::kind::NoResult;
use greenroom_abi::{ActorId, RemoteError};
use greenroom_wire::Outcome;
use tokio::sync::watch;

use crate::actor::Actor;
use crate::context::{Call, CallOptions, Context};
use crate::introduce::Lease;
use crate::link::Link;

/// A live handle to another actor; clones lead to the same one.
#[derive(Clone, Debug)]
pub struct Portal {
    actor: Actor,
    link: Link,
    main: Option<watch::Receiver<Option<Outcome>>>,
    /// Keeps a link open that is there for portals only.
    _lease: Option<Arc<Lease>>,
}

impl Portal {
    pub(crate) fn new(actor: Actor, link: Link, main: Option<watch::Receiver<Option<Outcome>>>) -> Self {
        Self { actor, link, main, _lease: None }
    }

    /// A portal over a link that is closed with its last portal.
    pub(crate) fn leased(actor: Actor, lease: Arc<Lease>) -> Self {
        Self { actor, link: lease.link().clone(), main: None, _lease: Some(lease) }
    }

    /// Whom it leads to.
    pub fn peer(&self) -> &ActorId {
        self.link.peer()
    }

    /// What a call to the peer ends with if it is dead.
    pub(crate) fn obituary(&self) -> RemoteError {
        self.link.obituary()
    }

    /// Starts a fresh task in the peer. Dropping the call cancels it.
    pub fn call(&self, function: &str, kwargs: Bytes) -> Call {
        self.call_with(function, kwargs, CallOptions::default())
    }

    /// As [`Portal::call`], with a deadline or on behalf of a task.
    pub fn call_with(&self, function: &str, kwargs: Bytes, options: CallOptions<'_>) -> Call {
        self.link.call(function, kwargs, options)
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
        self.link.open_context(function, kwargs, options)
    }

    /// The outcome of the peer's main task: waits for it, gives the same each time.
    ///
    /// # Errors
    /// The task's own error; `NoResult` if the peer is a daemon.
    pub async fn wait_for_result(&self) -> Outcome {
        let no_result = || Err(Box::new(RemoteError::of(&NoResult { actor: self.peer().clone() })));
        let Some(mut main) = self.main.clone() else {
            tracing::warn!(actor = %self.peer(), "wait_for_result on a daemon gives NoResult");
            return no_result();
        };
        match main.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(no_result),
            Err(_) => Err(Box::new(self.link.obituary())),
        }
    }

    /// Ends the peer, all below it and its process; resolves once it is gone.
    ///
    /// # Errors
    /// `PermissionDenied` for whoever does not own it.
    pub async fn cancel_actor(&self) -> Result<(), Box<RemoteError>> {
        self.link.expect_end();
        self.actor.cancel_peer(self.peer()).await
    }
}
