//! What a caller holds of the tasks it has started in a peer.
//!
//! Owns: [`Call`], which waits for an outcome, and [`Context`], which may talk with its task.
//! Must not know: how either travels. Invariant: a handle that is dropped cancels its task.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::RemoteError;
use greenroom_abi::kind::ContextCancelled;
use greenroom_wire::Outcome;
use tokio::time::Instant;

use crate::dialog::Dialog;
use crate::stream::{MsgStream, StreamOptions};
use crate::task::Task;
use crate::waiters::Place;

/// What a call or a context is started with beyond its arguments.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallOptions<'a> {
    /// How long it may take; past it, it ends with `DeadlineExceeded` and its task is cancelled.
    pub timeout: Option<Duration>,
    /// The task that calls: its deadline is inherited, and its contexts end before its outcome
    /// leaves.
    pub within: Option<&'a Task>,
}

impl CallOptions<'_> {
    /// When it must have ended.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let own = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let inherited = self.within.and_then(Task::deadline);
        own.into_iter().chain(inherited).min()
    }
}

/// A call under way. Dropping it cancels the remote task.
#[derive(Debug)]
pub struct Call {
    dialog: Arc<Dialog>,
    /// Among those who wait for the outcome.
    place: Place,
}

impl Call {
    pub(crate) fn new(dialog: Arc<Dialog>) -> Self {
        Self { dialog, place: Place::default() }
    }

    /// Waits until the peer has acknowledged the task or ended it.
    pub(crate) async fn begun(&self) {
        self.dialog.begun().await;
    }
}

impl Future for Call {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Outcome> {
        let Self { dialog, place } = self.get_mut();
        dialog.poll_outcome(place, cx)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.dialog.leave(&mut self.place);
        self.dialog.cancel();
    }
}

/// The caller's end of a context: a linked task in a peer. Dropping it cancels that task.
#[derive(Debug)]
pub struct Context(Arc<Dialog>);

impl Context {
    /// Waits for the callee's first value; a wait that is dropped, polled or not, cancels the task.
    pub(crate) fn open(dialog: Arc<Dialog>) -> impl Future<Output = Result<(Self, Bytes), Box<RemoteError>>> {
        let context = Self(dialog);
        async move {
            let first = context.0.first().await?;
            Ok((context, first))
        }
    }

    /// Opens this side's end of the stream; once.
    ///
    /// # Errors
    /// `ContextProtocol` the second time.
    pub fn open_stream(&self, options: StreamOptions) -> Result<MsgStream, Box<RemoteError>> {
        MsgStream::open(self.0.clone(), options)
    }

    /// The outcome of the task, the same each time. Messages that nobody has received by then are
    /// dropped.
    ///
    /// # Errors
    /// The task's own, or what kept it from ending.
    pub async fn wait_for_result(&self) -> Outcome {
        self.0.discard();
        self.0.outcome().await
    }

    /// Waits until the task has failed, whoever waits for its result or receives; never resolves
    /// for one that returns.
    pub async fn failed(&self) -> Box<RemoteError> {
        match self.0.outcome().await {
            Err(error) => error,
            Ok(_) => std::future::pending().await,
        }
    }

    /// Asks the task to end, without waiting.
    pub fn abandon(&self) {
        self.0.cancel();
    }

    /// Cancels the task, and that alone; resolves once it has ended. The `ContextCancelled` that
    /// this brings about is absorbed.
    ///
    /// # Errors
    /// What else the task failed with; `DeadlineExceeded` if the peer does not answer in time.
    pub async fn cancel(&self) -> Result<(), Box<RemoteError>> {
        self.0.cancel();
        let bound = self.0.link().cancel_bound();
        match tokio::time::timeout(bound, self.0.outcome()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if self.absorbs(&error) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Box::new(self.0.too_late(bound))),
        }
    }

    /// Whether an error of the task is only what this side asked for through this context.
    pub fn absorbs(&self, error: &RemoteError) -> bool {
        let link = self.0.link();
        let direct = matches!(&*error.relay_path, [] | [_])
            && error.relay_path.first().is_none_or(|relay| relay == link.peer());
        self.0.was_cancelled()
            && direct
            && error.is::<ContextCancelled>()
            && error.canceller.as_ref() == Some(link.us())
    }
}

/// What tests count to see that nothing is left.
#[cfg(test)]
impl Context {
    pub(crate) fn waiters(&self) -> usize {
        self.0.waiters()
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
