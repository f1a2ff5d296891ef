//! One task: a function's run, from the call to its one outcome.
//!
//! Owns: racing the function against its cancellation, and containing its panics. Must not
//! know: the function's types. Invariant: when a task gives its outcome, everything the function
//! held has been dropped; when it waits, or ends, everything that it has sent is handed over.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use greenroom_abi::RemoteError;
use greenroom_abi::kind::ContextCancelled;

use crate::bindings::greenroom::portal::{context, types};
use crate::context::TaskContext;
use crate::endpoint::{self, Endpoint};
use crate::{logging, panic, stream};

/// Serves one call at the component boundary.
///
/// # Errors
/// Whatever ended the task without a value.
pub async fn serve<E: Endpoint>(
    context: context::Context,
    kwargs: Vec<u8>,
) -> Result<Vec<u8>, types::RemoteError> {
    panic::install_hook();
    logging::install();
    let context = TaskContext::new(context);
    let called = context.clone();
    let task = Task::new(context.clone(), endpoint::call::<E>(move || called.function(), kwargs));
    race(task, &context).await.map_err(Into::into)
}

/// The task's outcome, unless somebody cancels it first. If both happen at once the outcome
/// counts: the work is done.
async fn race<F>(mut task: Task<F>, context: &TaskContext) -> Result<Vec<u8>, RemoteError>
where
    F: Future<Output = Result<Vec<u8>, RemoteError>>,
{
    let mut cancelled = pin!(context.cancelled());
    poll_fn(|waker| {
        if let Poll::Ready(outcome) = Pin::new(&mut task).poll(waker) {
            return Poll::Ready(outcome);
        }
        let Poll::Ready(canceller) = cancelled.as_mut().poll(waker) else { return Poll::Pending };
        let ended = task.end();
        let cancelled = ContextCancelled { function: context.function() };
        let cancelled = RemoteError { canceller: Some(canceller), ..RemoteError::of(&cancelled) };
        Poll::Ready(Err(ended.err().unwrap_or(cancelled)))
    })
    .await
}

/// The function's future; none once it has ended.
struct Task<F> {
    context: TaskContext,
    future: Option<Pin<Box<F>>>,
}

impl<F> Task<F> {
    fn new(context: TaskContext, future: F) -> Self {
        Self { context, future: Some(Box::pin(future)) }
    }

    /// Drops whatever the function still holds.
    fn end(&mut self) -> Result<(), RemoteError> {
        let future = self.future.take();
        let ended = self.context.enter(|| panic::catch(|| drop(future)));
        stream::flush_all();
        ended
    }
}

impl<F: Future<Output = Result<Vec<u8>, RemoteError>>> Future for Task<F> {
    type Output = Result<Vec<u8>, RemoteError>;

    fn poll(mut self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<Self::Output> {
        let task = &mut *self;
        let future = task.future.as_mut().expect("a task that has ended is not polled");
        let polled = task.context.enter(|| panic::catch(|| future.as_mut().poll(waker)));
        let outcome = match polled {
            Ok(Poll::Pending) => {
                stream::flush_all();
                return Poll::Pending;
            }
            Ok(Poll::Ready(outcome)) => outcome,
            Err(panicked) => Err(panicked),
        };
        let ended = task.end();
        Poll::Ready(outcome.and_then(|value| ended.map(|()| value)))
    }
}

impl<F> Drop for Task<F> {
    fn drop(&mut self) {
        // The host gave up the task as a whole: nobody is left to hear of a panic.
        let _unheard = self.end();
    }
}
