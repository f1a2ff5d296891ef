//! From an incoming call to a running task, and from its end back to the caller.
//!
//! Owns: the way of one task through the actor. Must not know: sockets, the wire's framing.
//! Invariant: whatever is dispatched is finished exactly once, after its nurseries are gone.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use greenroom_abi::kind::{ContextCancelled, DecodeError, PANIC};
use greenroom_abi::{FunctionName, RemoteError};
use greenroom_wire::{ContextId, Outcome};

use crate::actor::Actor;
use crate::dialog::Dialog;
use crate::guest::FunctionId;
use crate::link::Link;
use crate::namespace;
use crate::task::Task;

/// A call as it arrives.
pub(crate) struct Incoming {
    pub(crate) context: ContextId,
    pub(crate) function: String,
    pub(crate) kwargs: Bytes,
    /// How much time its caller had left.
    pub(crate) deadline: Option<Duration>,
    /// Whether its caller opened a context.
    pub(crate) linked: bool,
}

impl Actor {
    /// Starts the task of an incoming call; it reports to `link` when it ends. A call that
    /// cannot become a task is answered at once.
    pub(crate) fn dispatch(&self, link: &Link, call: Incoming) -> Option<Task> {
        let Incoming { context, function, kwargs, deadline, linked } = call;
        let entry = self.admit(link, &function, &kwargs);
        let begun = entry.and_then(|entry| {
            let dialog = Dialog::called(link.clone(), &function, linked, context);
            let task = self.begin_task(dialog, deadline);
            task.map(|task| (entry, task)).map_err(|error| Err(Box::new(error)))
        });
        match begun {
            Err(outcome) => {
                link.finish(context, outcome.map_err(|error| Box::new(error.relayed_by(self.id()))));
                None
            }
            Ok((entry, task)) => {
                let (actor, link, running) = (self.clone(), link.clone(), task.clone());
                tokio::spawn(async move {
                    let outcome = actor.run_task(entry, &running, kwargs).await;
                    actor.end_task(&running, || link.finish(context, outcome));
                });
                Some(task)
            }
        }
    }

    /// Decides whether a call becomes a task; otherwise gives its outcome.
    fn admit(&self, link: &Link, function: &str, kwargs: &[u8]) -> Result<FunctionId, Outcome> {
        let refuse = |error: RemoteError| Err(Err(Box::new(error)));
        let name = match FunctionName::parse(function) {
            Ok(name) => name,
            Err(error) => return refuse(RemoteError::of(&DecodeError { reason: error.to_string() })),
        };
        if let Some(by) = self.canceller() {
            return refuse(cancelled(function, by));
        }
        if name.module == namespace::SELF {
            return Err(namespace::run(self, name.function, kwargs, link.peer(), link.owns_us()));
        }
        self.guest().resolve(&name, self.id()).or_else(refuse)
    }

    async fn run_task(&self, function: FunctionId, task: &Task, kwargs: Bytes) -> Outcome {
        let stubborn = async {
            let by = task.cancelled_or_late().await;
            tokio::time::sleep(self.limits().grace).await;
            by
        };
        let invoked = async { self.guest().invoke(function, task.clone(), kwargs).await };
        let outcome = tokio::select! {
            biased;
            outcome = AssertUnwindSafe(invoked).catch_unwind() => outcome.unwrap_or_else(|panic| {
                Err(Box::new(RemoteError::new(PANIC, panic_message(&*panic))))
            }),
            by = stubborn => {
                tracing::warn!(task = task.function(), "would not end when cancelled; its instance is discarded");
                self.guest().discard(function);
                Err(Box::new(cancelled(task.function(), &by)))
            }
        };
        task.dialog().end(None);
        let outcome = outcome.map_err(|error| task.judge_late(error));
        task.conclude(outcome).await.map_err(|error| Box::new(error.relayed_by(self.id())))
    }
}

/// What a native guest said when it panicked.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// The error of a task that was cancelled.
pub(crate) fn cancelled(function: &str, by: &greenroom_abi::ActorId) -> RemoteError {
    RemoteError {
        canceller: Some(by.clone()),
        ..RemoteError::of(&ContextCancelled { function: function.to_owned() })
    }
}
