//! The door to whatever runs the guests.
//!
//! Owns: the trait [`Guest`], and [`Idle`], the guest of an actor that has none. Must not
//! know: wasmtime. Invariant: the runtime asks for a function by number only after the guest
//! gave it that number.

use bytes::Bytes;
use greenroom_abi::FunctionName;
use greenroom_abi::kind::ModuleNotExposed;
use greenroom_abi::{ActorId, RemoteError};

use crate::task::Task;

/// A guest's own number for one of its functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FunctionId(pub usize);

/// Runs the functions of the modules an actor was started with.
pub trait Guest: Send + Sync {
    /// The allowlist, as `module:function` lines.
    fn exposed(&self) -> Vec<String>;

    /// Finds a function among what is exposed. `actor` is who is being asked, for the error.
    ///
    /// # Errors
    /// `ModuleNotExposed` or `FunctionNotFound`.
    fn resolve(&self, name: &FunctionName<'_>, actor: &ActorId) -> Result<FunctionId, RemoteError>;

    /// Runs a function, which is to end the task: with [`Task::end`], or by [`Task::run`]. The guest
    /// learns of a cancellation through the task. One that will not end when cancelled is ended
    /// without its guest.
    fn invoke(&self, function: FunctionId, task: Task, kwargs: Bytes);

    /// Gives up the instance that `function` runs in: its tasks end with `InstanceLost`, the next
    /// call gets a fresh one. Comes behind the end of the task that is to blame.
    fn discard(&self, function: FunctionId);
}

/// The guest of an actor that exposes nothing, such as the operator's own program.
#[derive(Clone, Copy, Debug)]
pub struct Idle;

impl Guest for Idle {
    fn exposed(&self) -> Vec<String> {
        Vec::new()
    }

    fn resolve(&self, name: &FunctionName<'_>, actor: &ActorId) -> Result<FunctionId, RemoteError> {
        Err(RemoteError::of(&ModuleNotExposed {
            module: name.module.to_owned(),
            actor: actor.clone(),
            exposed: Vec::new(),
        }))
    }

    fn invoke(&self, _: FunctionId, _: Task, _: Bytes) {
        unreachable!("an idle guest resolves nothing")
    }

    fn discard(&self, _: FunctionId) {}
}
