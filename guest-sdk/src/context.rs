//! The running task, seen from inside.
//!
//! Owns: [`TaskContext`] and which task is being polled. Must not know: how a task is run.
//! Invariant: the current task is set exactly while its code runs, destructors included.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use greenroom_abi::ActorId;

use crate::bindings::greenroom::portal::context::Context;

thread_local! {
    static CURRENT: RefCell<Option<TaskContext>> = const { RefCell::new(None) };
}

/// One running task: which function was called, by whom, and whether it should end.
#[derive(Clone, Debug)]
pub struct TaskContext(Rc<Context>);

impl TaskContext {
    pub(crate) fn new(context: Context) -> Self {
        Self(Rc::new(context))
    }

    /// The function as it was called: `module:function`.
    #[must_use]
    pub fn function(&self) -> String {
        self.0.function()
    }

    /// Who called. The broker vouches for it.
    #[must_use]
    pub fn caller(&self) -> ActorId {
        self.0.caller().into()
    }

    /// This task's number, unique in its actor.
    #[must_use]
    pub fn task_id(&self) -> u64 {
        self.0.task_id()
    }

    /// How long this task may still run, if it has a deadline. Calls made in the task inherit it;
    /// past it the task is cancelled.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.0.remaining().map(Duration::from_nanos)
    }

    /// Resolves once somebody asked for this task's cancellation, with who it was.
    ///
    /// There is no need to wait for it: a cancelled task is dropped at its next `.await`, and
    /// its destructors run.
    pub async fn cancelled(&self) -> ActorId {
        self.0.cancelled().await.into()
    }

    pub(crate) fn handle(&self) -> &Context {
        &self.0
    }

    /// Makes this the current task for as long as `action` runs.
    pub(crate) fn enter<T>(&self, action: impl FnOnce() -> T) -> T {
        struct Restore(Option<TaskContext>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        action()
    }
}

/// The task that is running this code.
///
/// # Panics
/// Outside a task, as in a unit test.
#[must_use]
pub fn current_context() -> TaskContext {
    CURRENT.with_borrow(Clone::clone).expect("`current_context` was called outside a task")
}
