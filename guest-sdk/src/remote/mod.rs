//! Contexts, seen from the caller.
//!
//! Owns: [`RemoteContext`], opening one, and the scope in which one is used. Must not know: the
//! callee's side. Invariant: a scope ends only when the peer's task has ended.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use greenroom_abi::RemoteError;
use serde::de::DeserializeOwned;

use crate::boundary::{Asked, CallerPort, LocalFuture};
use crate::contract::{Contract, Dialog, Part};
use crate::request::{Lazy, Request};
use crate::stream::{Channel, MsgStream, StreamOptions};

/// The caller's end of a context, whose types are those of `C`: a call such as `math::squares`, or
/// [`ByName`](crate::ByName). Dropping it cancels the peer's task.
#[derive(Debug)]
pub struct RemoteContext<C> {
    port: Rc<dyn CallerPort>,
    dialog: Rc<Dialog>,
    /// Whether `cancel` was called on it.
    cancelled: Cell<bool>,
    contract: PhantomData<fn() -> C>,
}

impl<C: Contract> RemoteContext<C> {
    fn new(port: Rc<dyn CallerPort>, dialog: Rc<Dialog>) -> Self {
        Self { port, dialog, cancelled: Cell::new(false), contract: PhantomData }
    }

    /// Takes the first value of a context that has started.
    async fn accept(port: Rc<dyn CallerPort>, dialog: Rc<Dialog>, first: &[u8]) -> Asked<(Self, C::First)>
    where
        C::First: DeserializeOwned,
    {
        let context = Self::new(port, dialog);
        match context.dialog.decode(Part::First, first) {
            Ok(first) => Ok((context, first)),
            Err(breach) => Err(context.end_with(breach).await),
        }
    }

    /// The function that was called: `module:function`.
    #[must_use]
    pub fn function(&self) -> &str {
        self.dialog.function()
    }

    /// Opens this side's end of the stream, once.
    ///
    /// # Errors
    /// `ContextProtocol` the second time.
    pub fn open_stream(&self) -> Result<MsgStream<C::Receives, C::Sends>, RemoteError> {
        self.open_stream_with(StreamOptions::new())
    }

    /// As [`open_stream`](Self::open_stream), with how to receive.
    ///
    /// # Errors
    /// As there.
    pub fn open_stream_with(
        &self,
        options: StreamOptions,
    ) -> Result<MsgStream<C::Receives, C::Sends>, RemoteError> {
        self.dialog.intact()?;
        let port = self.port.open_stream(options.into())?;
        Ok(MsgStream::new(Channel::of_caller(port, self.dialog.clone()), options))
    }

    /// The outcome of the peer's task: the same each time. From now on messages that have not been
    /// received are dropped, so that the task need not wait for anybody to receive them; a stream
    /// that was not opened by now counts as closed.
    ///
    /// # Errors
    /// What the task failed with; `MsgTypeError` if this side has found the contract broken, which
    /// cancels the task.
    ///
    /// # Cancel safety
    /// Dropping the wait leaves the task running.
    pub async fn wait_for_result(&self) -> Result<C::Output, RemoteError>
    where
        C::Output: DeserializeOwned,
    {
        if let Err(breach) = self.dialog.intact() {
            return Err(self.end_with(breach).await);
        }
        // Opened and dropped, so that the peer sees it closed. One that was opened stays as it is.
        drop(self.port.open_stream(StreamOptions::new().into()));
        let result = self.port.clone().wait_for_result().await;
        self.dialog.intact()?;
        self.dialog.decode(Part::Output, &result?)
    }

    /// Cancels the peer's task, and that alone; it has ended when this returns. That it was
    /// cancelled is then no error: whoever asked for it knows. Any other failure is.
    ///
    /// # Errors
    /// What the task failed with, but for this cancellation.
    pub async fn cancel(&self) -> Result<(), RemoteError> {
        self.cancelled.set(true);
        self.port.clone().cancel().await
    }

    /// Cancels the peer's task for a reason that stands whatever comes of it.
    async fn end_with(&self, reason: RemoteError) -> RemoteError {
        let _told_already = self.port.clone().cancel().await;
        reason
    }

    /// The body of a scope, and the end of the peer's task.
    async fn enclose<B, E>(
        self,
        first: C::First,
        body: impl AsyncFnOnce(&Self, C::First) -> Result<B, E>,
    ) -> Result<(B, Option<C::Output>), E>
    where
        C::Output: DeserializeOwned,
        E: From<RemoteError>,
    {
        match self.run_beside(body(&self, first)).await? {
            Ok(value) if self.cancelled.get() => {
                self.cancel().await?;
                Ok((value, None))
            }
            Ok(value) => Ok((value, Some(self.wait_for_result().await?))),
            Err(error) => {
                let _told_already = self.port.clone().cancel().await;
                Err(error)
            }
        }
    }

    /// Runs a body to its end, or until the peer's task fails, unless the body has cancelled that.
    ///
    /// # Errors
    /// The failure of the peer's task. The body has been dropped.
    async fn run_beside<T>(&self, body: impl Future<Output = T>) -> Result<T, RemoteError> {
        let mut body = pin!(body);
        let mut failed = Some(self.port.clone().failed());
        poll_fn(|waker| {
            if let Poll::Ready(value) = body.as_mut().poll(waker) {
                return Poll::Ready(Ok(value));
            }
            let Some(failure) = &mut failed else { return Poll::Pending };
            let Poll::Ready(failure) = failure.as_mut().poll(waker) else { return Poll::Pending };
            failed = None;
            // The body that cancels the task itself is told what came of it.
            if self.cancelled.get() { Poll::Pending } else { Poll::Ready(Err(failure)) }
        })
        .await
    }
}

/// A context about to be opened: await it for the context and its first value, or use it in a
/// [`scope`](Self::scope).
///
/// # Errors
/// What the function failed with before it started; `ContextProtocol` if it returned without
/// `started`; `MsgTypeError` if its first value is not of the declared type.
///
/// # Cancel safety
/// Dropping it cancels the peer's task.
#[derive(Debug)]
#[must_use = "the context is opened when this is awaited"]
pub struct OpenContext<C: Contract> {
    lazy: Lazy<(RemoteContext<C>, C::First)>,
}

impl<C: Contract> OpenContext<C> {
    pub(crate) fn new(request: Request) -> Self {
        Self { lazy: Lazy::new(request) }
    }

    /// How long the whole context may take. Past it the peer's task is cancelled, and its outcome
    /// is `DeadlineExceeded`. The deadline of the calling task holds too.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.lazy.set_timeout(timeout);
        self
    }
}

impl<C> OpenContext<C>
where
    C: Contract<First: DeserializeOwned, Output: DeserializeOwned>,
{
    /// Runs `body` with the context and its first value, and gives what the body gives together
    /// with the result of the peer's task. However it ends, that task has ended too:
    ///
    /// - If the body succeeds, the peer's result is waited for. It is none if the body has
    ///   cancelled the context itself.
    /// - If the body fails, the peer's task is cancelled, and the error raised again.
    /// - If the peer's task fails, the body is dropped at its next `.await`, and the failure raised.
    ///
    /// # Errors
    /// The body's, or the peer's; what kept the context from starting.
    ///
    /// # Cancel safety
    /// Dropping it drops the body and cancels the peer's task.
    pub async fn scope<B, E>(
        self,
        body: impl AsyncFnOnce(&RemoteContext<C>, C::First) -> Result<B, E>,
    ) -> Result<(B, Option<C::Output>), E>
    where
        E: From<RemoteError>,
    {
        let (context, first) = self.await?;
        context.enclose(first, body).await
    }
}

impl<C: Contract<First: DeserializeOwned>> Future for OpenContext<C> {
    type Output = Result<(RemoteContext<C>, C::First), RemoteError>;

    fn poll(mut self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<Self::Output> {
        self.lazy.poll(waker, open)
    }
}

fn open<C>(request: Request) -> LocalFuture<'static, Asked<(RemoteContext<C>, C::First)>>
where
    C: Contract<First: DeserializeOwned>,
{
    Box::pin(async move {
        let timeout = request.timeout();
        let dialog = Rc::new(Dialog::new(request.function.clone(), C::types()));
        let opened = request.portal.open_context(request.function, request.kwargs?, timeout);
        let (context, first) = opened.await?;
        RemoteContext::accept(Rc::new(context), dialog, &first).await
    })
}
