//! Calls whose results are Rust values.
//!
//! Owns: [`PortalExt`] and what it gives. Must not know: contexts' insides.

use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use greenroom_abi::{Kwargs, RemoteError, payload};
use greenroom_runtime::Portal;
use serde::de::DeserializeOwned;

use super::context::OpenContext;
use super::request::{self, Asked, Lazy, Request};

/// What one may do with a peer, in terms of Rust types.
pub trait PortalExt {
    /// Calls a function, as a fresh task in the peer: `portal.run("math:square", kwargs! { x: 3 })`.
    /// The call is made when it is awaited. It fails with `DecodeError` if the result is not a `T`.
    fn run<T: DeserializeOwned>(&self, function: &str, kwargs: Kwargs) -> Run<T>;

    /// Opens a context: a task in the peer that this program talks with. Its types are as the
    /// function declares them: what it starts with, sends, receives, and returns. Await it for the
    /// context and its first value, or use it in a [`scope`](OpenContext::scope).
    fn open_context_as<First, Sends, Receives, Output>(
        &self,
        function: &str,
        kwargs: Kwargs,
    ) -> OpenContext<First, Sends, Receives, Output>;
}

impl PortalExt for Portal {
    fn run<T: DeserializeOwned>(&self, function: &str, kwargs: Kwargs) -> Run<T> {
        Run { lazy: Lazy::new(Request::new(self, function, kwargs)) }
    }

    fn open_context_as<First, Sends, Receives, Output>(
        &self,
        function: &str,
        kwargs: Kwargs,
    ) -> OpenContext<First, Sends, Receives, Output> {
        OpenContext::new(Request::new(self, function, kwargs))
    }
}

/// A call about to be made: await it for its result.
///
/// # Errors
/// What the function failed with, or what kept it from ending: the standard errors of
/// [`kind`](crate::kind).
///
/// # Cancel safety
/// Dropping the call cancels the remote task. It has run at most once.
#[derive(Debug)]
#[must_use = "the call is made when this is awaited"]
pub struct Run<T> {
    lazy: Lazy<T>,
}

impl<T> Run<T> {
    /// How long the call may take. Past it the remote task is cancelled, and the outcome is
    /// `DeadlineExceeded`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.lazy.set_timeout(timeout);
        self
    }
}

impl<T: DeserializeOwned> Future for Run<T> {
    type Output = Result<T, Box<RemoteError>>;

    fn poll(mut self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<Self::Output> {
        self.lazy.poll(waker, |request| {
            Box::pin(async move {
                let options = request.options();
                let kwargs = request::payload(request.kwargs)?;
                decode(&request.portal.call_with(&request.function, kwargs, options).await?)
            })
        })
    }
}

/// A portal to an actor with one main task, whose result is a `T`.
#[derive(Debug)]
pub struct ResultPortal<T> {
    portal: Portal,
    result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> ResultPortal<T> {
    pub(super) fn new(portal: Portal) -> Self {
        Self { portal, result: PhantomData }
    }

    /// The outcome of the main task: the same each time.
    ///
    /// # Errors
    /// What the task failed with.
    ///
    /// # Cancel safety
    /// Dropping the wait leaves the task running.
    pub async fn wait_for_result(&self) -> Result<T, Box<RemoteError>> {
        decode(&self.portal.wait_for_result().await?)
    }
}

impl<T> Clone for ResultPortal<T> {
    fn clone(&self) -> Self {
        Self { portal: self.portal.clone(), result: PhantomData }
    }
}

impl<T> Deref for ResultPortal<T> {
    type Target = Portal;

    fn deref(&self) -> &Portal {
        &self.portal
    }
}

/// Decodes a result.
///
/// # Errors
/// `DecodeError` if it is not a `T`.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Asked<T> {
    payload::decode(bytes).map_err(|error| Box::new(RemoteError::of(&error)))
}
