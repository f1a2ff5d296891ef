//! Contexts whose values are Rust values.
//!
//! Owns: opening one, the scope in which one is used, its stream. Must not know: the callee's side.
//! Invariant: a scope ends only when the peer's task has ended; the first value that is not of its
//! declared type ends the context, and is its outcome here.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use greenroom_abi::contract::{Part, Types};
use greenroom_abi::{RemoteError, payload};
use greenroom_runtime::{self as runtime, StreamOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::request::{self, Asked, Lazy, Request};

/// Types that are only spoken of.
type Stated<First, Sends, Receives, Output> = PhantomData<fn(Receives) -> (First, Sends, Output)>;

/// What the handles of one context share.
#[derive(Debug)]
struct Dialog {
    context: runtime::Context,
    function: String,
    types: Types,
    /// The first value that was not of its type.
    breach: OnceLock<RemoteError>,
    /// Whether the caller has cancelled it itself.
    cancelled: AtomicBool,
}

impl Dialog {
    /// Passes as long as nobody broke the contract.
    fn intact(&self) -> Asked<()> {
        self.breach.get().map_or(Ok(()), |breach| Err(Box::new(breach.clone())))
    }

    /// Decodes a value that must be of the declared type; one that is not ends the context.
    fn decode<T: DeserializeOwned>(&self, part: Part, value: &[u8]) -> Asked<T> {
        part.decode(&self.function, &self.types, value).map_err(|breach| {
            self.context.abandon();
            Box::new(self.breach.get_or_init(|| RemoteError::of(&breach)).clone())
        })
    }
}

/// The caller's end of a context with a task that starts with `First`, sends `Sends`, receives
/// `Receives` and returns `Output`. Dropping it cancels the task.
pub struct RemoteContext<First, Sends, Receives, Output> {
    dialog: Arc<Dialog>,
    contract: Stated<First, Sends, Receives, Output>,
}

impl<First, Sends, Receives, Output> RemoteContext<First, Sends, Receives, Output> {
    /// Opens this side's end of the stream, once.
    ///
    /// # Errors
    /// `ContextProtocol` the second time.
    pub fn open_stream(&self) -> Result<MsgStream<Receives, Sends>, Box<RemoteError>> {
        self.open_stream_with(StreamOptions::default())
    }

    /// As [`open_stream`](Self::open_stream), with how to receive.
    ///
    /// # Errors
    /// As there.
    pub fn open_stream_with(
        &self,
        options: StreamOptions,
    ) -> Result<MsgStream<Receives, Sends>, Box<RemoteError>> {
        self.dialog.intact()?;
        let stream = self.dialog.context.open_stream(options)?;
        Ok(MsgStream { stream, dialog: self.dialog.clone(), types: PhantomData })
    }

    /// The outcome of the peer's task: the same each time. From now on messages that have not been
    /// received are dropped; a stream that was not opened by now counts as closed.
    ///
    /// # Errors
    /// What the task failed with; `MsgTypeError` if this side has found the contract broken, which
    /// cancels the task.
    ///
    /// # Cancel safety
    /// Dropping the wait leaves the task running.
    pub async fn wait_for_result(&self) -> Result<Output, Box<RemoteError>>
    where
        Output: DeserializeOwned,
    {
        // Opened and dropped, so that the peer sees it closed. One that was opened stays as it is.
        drop(self.dialog.context.open_stream(StreamOptions::default()));
        let result = self.dialog.context.wait_for_result().await;
        self.dialog.intact()?;
        self.dialog.decode(Part::Output, &result?)
    }

    /// Cancels the peer's task, and that alone; it has ended when this returns. That it was
    /// cancelled is then no error: whoever asked for it knows. Any other failure is.
    ///
    /// # Errors
    /// What the task failed with, but for this cancellation.
    pub async fn cancel(&self) -> Result<(), Box<RemoteError>> {
        self.dialog.cancelled.store(true, Ordering::Release);
        self.dialog.context.cancel().await
    }

    fn was_cancelled(&self) -> bool {
        self.dialog.cancelled.load(Ordering::Acquire)
    }

    /// The failure of the peer's task, unless the caller has cancelled it.
    async fn failed(&self) -> Box<RemoteError> {
        let failure = self.dialog.context.failed().await;
        match self.was_cancelled() {
            true => std::future::pending().await,
            false => self.dialog.intact().err().unwrap_or(failure),
        }
    }
}

impl<First, Sends, Receives, Output> fmt::Debug for RemoteContext<First, Sends, Receives, Output> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteContext").field(&self.dialog.function).finish()
    }
}

impl<First, Sends, Receives, Output> Drop for RemoteContext<First, Sends, Receives, Output> {
    fn drop(&mut self) {
        // Its stream may be in other hands yet.
        self.dialog.context.abandon();
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
#[must_use = "the context is opened when this is awaited"]
pub struct OpenContext<First, Sends, Receives, Output> {
    lazy: Lazy<(RemoteContext<First, Sends, Receives, Output>, First)>,
}

impl<First, Sends, Receives, Output> OpenContext<First, Sends, Receives, Output> {
    pub(super) fn new(request: Request) -> Self {
        Self { lazy: Lazy::new(request) }
    }

    /// How long the whole context may take. Past it the peer's task is cancelled, and its outcome
    /// is `DeadlineExceeded`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.lazy.set_timeout(timeout);
        self
    }
}

impl<First, Sends, Receives, Output> OpenContext<First, Sends, Receives, Output>
where
    First: DeserializeOwned + 'static,
    Sends: 'static,
    Receives: 'static,
    Output: DeserializeOwned + 'static,
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
        body: impl AsyncFnOnce(&RemoteContext<First, Sends, Receives, Output>, First) -> Result<B, E>,
    ) -> Result<(B, Option<Output>), E>
    where
        E: From<Box<RemoteError>>,
    {
        let (context, first) = self.await?;
        let ended = tokio::select! {
            biased;
            ended = body(&context, first) => ended,
            failure = context.failed() => return Err(failure.into()),
        };
        match ended {
            Ok(value) if context.was_cancelled() => {
                context.cancel().await?;
                Ok((value, None))
            }
            Ok(value) => Ok((value, Some(context.wait_for_result().await?))),
            Err(error) => {
                let _told_already = context.dialog.context.cancel().await;
                Err(error)
            }
        }
    }
}

impl<First, Sends, Receives, Output> Future for OpenContext<First, Sends, Receives, Output>
where
    First: DeserializeOwned + 'static,
    Sends: 'static,
    Receives: 'static,
    Output: 'static,
{
    type Output = Result<(RemoteContext<First, Sends, Receives, Output>, First), Box<RemoteError>>;

    fn poll(mut self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<Self::Output> {
        self.lazy.poll(waker, |request| {
            Box::pin(async move {
                let (options, types) = (request.options(), Types::of::<First, Sends, Receives, Output>());
                let Request { portal, function, kwargs, .. } = request;
                let opened = portal.open_context(&function, request::payload(kwargs)?, options);
                let (context, first) = opened.await?;
                let (breach, cancelled) = (OnceLock::new(), AtomicBool::new(false));
                let dialog = Arc::new(Dialog { context, function, types, breach, cancelled });
                let breach = match dialog.decode(Part::First, &first) {
                    Ok(first) => return Ok((RemoteContext { dialog, contract: PhantomData }, first)),
                    Err(breach) => breach,
                };
                let _told_already = dialog.context.cancel().await;
                Err(breach)
            })
        })
    }
}

impl<First, Sends, Receives, Output> fmt::Debug for OpenContext<First, Sends, Receives, Output> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenContext").field(&self.lazy).finish()
    }
}

/// This program's side of the stream of a context: it sends `S` and receives `R`, each direction on
/// its own, also at the same time.
///
/// Dropping it closes this side's direction and drops what still arrives; the peer does not wait
/// for it.
#[derive(Debug)]
pub struct MsgStream<S, R> {
    stream: runtime::MsgStream,
    dialog: Arc<Dialog>,
    types: PhantomData<fn(S) -> R>,
}

impl<S, R> MsgStream<S, R> {
    /// Ends this side's direction: the peer's iteration ends behind what was sent. What the peer
    /// sends still comes.
    pub fn close(&self) {
        self.stream.close();
    }
}

impl<S: Serialize, R> MsgStream<S, R> {
    /// Sends a message; waits while the receiver is full.
    ///
    /// # Errors
    /// `EncodeError`, which concerns this message alone; `StreamOverrun` if the receiver does not
    /// want the sender to wait; `StreamClosed`; the error of the peer's task, once that has failed.
    ///
    /// # Cancel safety
    /// A wait that is dropped has sent nothing.
    pub async fn send(&self, message: S) -> Result<(), Box<RemoteError>> {
        self.dialog.intact()?;
        let message = payload::encode(&message).map_err(|error| Box::new(RemoteError::of(&error)))?;
        self.stream.send(message.into()).await
    }
}

impl<S, R: DeserializeOwned> MsgStream<S, R> {
    /// Receives a message; none once the peer has closed its direction or its task has returned.
    ///
    /// # Errors
    /// `Lagged`, once, where messages were dropped; `MsgTypeError` if the message is no `R`, which
    /// ends the context; the error of the peer's task.
    ///
    /// # Cancel safety
    /// A wait that is dropped has received nothing.
    pub async fn receive(&self) -> Result<Option<R>, Box<RemoteError>> {
        self.dialog.intact()?;
        match self.stream.receive().await? {
            Some(message) => self.dialog.decode(Part::ToCaller, &message).map(Some),
            None => Ok(None),
        }
    }
}
