//! Portals: live handles to other actors.
//!
//! Owns: calls through one, typed and by name. Must not know: how actors are started.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use greenroom_abi::kind::Exit;
use greenroom_abi::{ActorId, Kwargs, RemoteError, payload};
use serde::de::DeserializeOwned;

use crate::bindings::greenroom::portal::portal;
use crate::boundary::{Asked, LocalFuture};
use crate::call::{Call, function_name};
use crate::contract::{ByName, ContextCall, Contract, encode};
use crate::remote::OpenContext;
use crate::request::{Lazy, Request};

/// A live handle to another actor. Clones lead to the same one.
#[derive(Clone, Debug)]
pub struct Portal(Rc<portal::Portal>);

impl Portal {
    pub(crate) fn new(portal: portal::Portal) -> Self {
        Self(Rc::new(portal))
    }

    /// Whom this portal leads to.
    #[must_use]
    pub fn actor(&self) -> ActorId {
        self.0.actor().into()
    }

    /// Calls a function, as a fresh task in the peer: `portal.run(math::square { x: 3 })`. The call
    /// is made when it is awaited.
    pub fn run<C>(&self, call: C) -> Run<C::Output>
    where
        C: Call<Output: DeserializeOwned>,
    {
        Run::new(self.request(function_name(C::MODULE, C::FUNCTION), encode(&call)), decode)
    }

    /// Calls a function by its names, for a caller that does not have the module:
    /// `portal.run_from_ns("math", "square", kwargs! { x: 3 })`. It fails with `DecodeError` if the
    /// result is not a `T`.
    pub fn run_from_ns<T: DeserializeOwned>(&self, module: &str, function: &str, kwargs: Kwargs) -> Run<T> {
        Run::new(self.request_by_name(module, function, kwargs), decode)
    }

    /// As [`run_from_ns`](Self::run_from_ns), with the result as it came: one CBOR item, to be
    /// passed on unread.
    pub fn run_encoded(&self, module: &str, function: &str, kwargs: Kwargs) -> Run<Vec<u8>> {
        Run::new(self.request_by_name(module, function, kwargs), Ok)
    }

    /// Opens a context with a function marked `#[context]`: a task in the peer that is linked to
    /// this one. Await it for the context and its first value, or use it in a
    /// [`scope`](OpenContext::scope).
    pub fn open_context<C: ContextCall>(&self, call: C) -> OpenContext<C> {
        OpenContext::new(self.request(function_name(C::MODULE, C::FUNCTION), encode(&call)))
    }

    /// Opens a context by names, with its types as the function declares them: what it starts
    /// with, sends, receives, and returns.
    pub fn open_context_from_ns<First, Sends, Receives, Output>(
        &self,
        module: &str,
        function: &str,
        kwargs: Kwargs,
    ) -> OpenContext<ByName<First, Sends, Receives, Output>>
    where
        ByName<First, Sends, Receives, Output>: Contract,
    {
        OpenContext::new(self.request_by_name(module, function, kwargs))
    }

    /// The outcome of the main task of an actor started by `run_in_actor`: the same each time.
    ///
    /// # Errors
    /// What the task failed with; `NoResult` if the actor has no main task.
    ///
    /// # Cancel safety
    /// Dropping the wait leaves the task running.
    pub async fn wait_for_result<T: DeserializeOwned>(&self) -> Result<T, RemoteError> {
        decode(self.0.wait_for_result().await?)
    }

    /// Ends the peer: all its tasks, its children, its process, which is gone when this returns.
    ///
    /// # Errors
    /// `PermissionDenied` for anyone but an owner.
    pub async fn cancel_actor(&self) -> Result<(), RemoteError> {
        Ok(self.0.cancel_actor().await?)
    }

    /// Waits until the peer's process is gone, and gives how it ended. Of a supervised child it is
    /// the process that runs now.
    ///
    /// # Cancel safety
    /// Dropping the wait changes nothing.
    pub async fn closed(&self) -> Exit {
        self.0.closed().await.into()
    }

    fn request(&self, function: String, kwargs: Result<Vec<u8>, RemoteError>) -> Request {
        Request { portal: self.0.clone(), function, kwargs, timeout: None }
    }

    fn request_by_name(&self, module: &str, function: &str, kwargs: Kwargs) -> Request {
        let kwargs = kwargs.into_payload().map_err(|error| RemoteError::of(&error));
        self.request(function_name(module, function), kwargs)
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
#[must_use = "the call is made when this is awaited"]
pub struct Run<T> {
    lazy: Lazy<Vec<u8>>,
    decode: fn(Vec<u8>) -> Asked<T>,
}

impl<T> Run<T> {
    fn new(request: Request, decode: fn(Vec<u8>) -> Asked<T>) -> Self {
        Self { lazy: Lazy::new(request), decode }
    }

    /// How long the call may take. Past it the remote task is cancelled, and the outcome is
    /// `DeadlineExceeded`. The deadline of the calling task holds too.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.lazy.set_timeout(timeout);
        self
    }
}

impl<T> Future for Run<T> {
    type Output = Result<T, RemoteError>;

    fn poll(mut self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<Self::Output> {
        let decode = self.decode;
        self.lazy.poll(waker, make).map(|outcome| outcome.and_then(decode))
    }
}

impl<T> fmt::Debug for Run<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Run").field(&self.lazy).finish()
    }
}

fn make(request: Request) -> LocalFuture<'static, Asked<Vec<u8>>> {
    Box::pin(async move {
        let timeout = request.timeout();
        Ok(request.portal.run(request.function, request.kwargs?, timeout).await?)
    })
}

/// A portal to an actor with one main task, whose result is a `T`.
#[derive(Debug)]
pub struct ResultPortal<T> {
    portal: Portal,
    result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> ResultPortal<T> {
    pub(crate) fn new(portal: Portal) -> Self {
        Self { portal, result: PhantomData }
    }

    /// The outcome of the main task: the same each time.
    ///
    /// # Errors
    /// What the task failed with.
    ///
    /// # Cancel safety
    /// Dropping the wait leaves the task running.
    pub async fn wait_for_result(&self) -> Result<T, RemoteError> {
        self.portal.wait_for_result().await
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

fn decode<T: DeserializeOwned>(bytes: Vec<u8>) -> Result<T, RemoteError> {
    payload::decode(&bytes).map_err(|error| RemoteError::of(&error))
}
