//! From an incoming call to a running task.
//!
//! Owns: which calls become tasks, and the answers to those that do not. Must not know: sockets, the
//! wire's framing. Invariant: whatever is dispatched is finished exactly once.

use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{ContextCancelled, DecodeError};
use greenroom_abi::{FunctionName, RemoteError};
use greenroom_wire::{ContextId, Outcome};

use crate::actor::Actor;
use crate::dialog::Dialog;
use crate::guest::FunctionId;
use crate::link::Link;
use crate::namespace;
use crate::task::{Called, Task};

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
            let dialog = Dialog::called(link.clone(), function, linked, context);
            let call = Called { function: entry, context, deadline };
            self.begin_task(dialog, call).map_err(|error| Err(Box::new(error)))
        });
        match begun {
            Err(outcome) => {
                link.finish(context, outcome.map_err(|error| Box::new(error.relayed_by(self.id()))));
                None
            }
            Ok(task) => {
                self.guest().invoke(task.called(), task.clone(), kwargs);
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
}

/// The error of a task that was cancelled.
pub(crate) fn cancelled(function: &str, by: &greenroom_abi::ActorId) -> RemoteError {
    RemoteError {
        canceller: Some(by.clone()),
        ..RemoteError::of(&ContextCancelled { function: function.to_owned() })
    }
}
