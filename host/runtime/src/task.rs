//! One running invocation of an exported function.
//!
//! Owns: the task's identity, its cancellation, its deadline, the nurseries and contexts it opened,
//! and its end. Must not know: how the guest runs it. Invariant: a task ends once, whoever ends it,
//! and what it opened is gone before its outcome leaves.
//!
//! ```text
//!  running ──outcome, or cancelled and a grace later──► ended ──what it opened is gone──► answered
//! ```

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use greenroom_abi::kind::{ContextCancelled, LimitExceeded, NurseryError, PANIC};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_sabotage::Protection;
use greenroom_wire::control::Limit;
use greenroom_wire::{ContextId, Outcome};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::actor::Actor;
use crate::cancel::Cancellation;
use crate::dialog::Dialog;
use crate::dispatch::cancelled;
use crate::guest::FunctionId;
use crate::nursery::Nursery;
use crate::portal::Portal;
use crate::stream::{MsgStream, StreamOptions};
use crate::supervision::Supervision;

/// A handle to a running task; clones are the same task.
#[derive(Clone, Debug)]
pub struct Task(Arc<Inner>);

/// What was called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Called {
    /// The guest's number for the function.
    pub(crate) function: FunctionId,
    /// What the answer is for.
    pub(crate) context: ContextId,
    /// How much time the caller had left.
    pub(crate) deadline: Option<Duration>,
}

#[derive(Debug)]
struct Inner {
    id: u64,
    actor: Actor,
    dialog: Arc<Dialog>,
    called: Called,
    deadline: Option<Deadline>,
    /// When it must have ended whatever its caller said.
    wall: Option<Deadline>,
    cancellation: Cancellation,
    /// None once the task has ended.
    owned: Mutex<Option<Owned>>,
}

/// What ends with the task.
#[derive(Debug, Default)]
struct Owned {
    /// Made by the first who waits for the task's end; dropped with the rest, which tells them.
    over: Option<watch::Sender<()>>,
    nurseries: Vec<Nursery>,
    /// The contexts it opened. Whoever holds one decides how long it lives beside the task.
    contexts: Vec<Weak<Dialog>>,
}

#[derive(Clone, Copy, Debug)]
struct Deadline {
    given: Duration,
    until: Instant,
}

impl Task {
    pub(crate) fn new(id: u64, actor: Actor, dialog: Arc<Dialog>, called: Called) -> Self {
        let until = |given| Instant::now().checked_add(given).map(|until| Deadline { given, until });
        let (cancellation, owned) = (Cancellation::default(), Mutex::new(Some(Owned::default())));
        let wall = actor.limits().wall_bound().filter(|_| !Protection::Wall.is_off()).and_then(until);
        let deadline = called.deadline.and_then(until);
        let task = Self(Arc::new(Inner { id, actor, dialog, called, deadline, wall, cancellation, owned }));
        if let Some(bound) = deadline.into_iter().chain(wall).map(|bound| bound.until).min() {
            task.while_running(|task| async move {
                tokio::time::sleep_until(bound).await;
                // Past its deadline it cancels itself, for its caller.
                task.cancel(task.caller());
            });
        }
        task
    }

    /// Does something beside the task, which ends with it.
    fn while_running<F: Future<Output = ()> + Send + 'static>(&self, action: impl FnOnce(Self) -> F) {
        let (task, action) = (self.clone(), action(self.clone()));
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = task.over() => {}
                () = action => {}
            }
        });
    }

    /// Its number, unique in its actor.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The function as it was called.
    pub fn function(&self) -> &str {
        self.0.dialog.function()
    }

    /// Who called it.
    pub fn caller(&self) -> &ActorId {
        self.0.dialog.link().peer()
    }

    /// When it must have ended, if its caller said so.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline.map(|deadline| deadline.until)
    }

    /// How long that is from now.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline().map(|until| until.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn dialog(&self) -> &Dialog {
        &self.0.dialog
    }

    /// Gives the caller its first value; once, and only in a context.
    ///
    /// # Errors
    /// `ContextProtocol` otherwise; `LimitExceeded` if it is too large.
    pub fn started(&self, value: Bytes) -> Result<(), Box<RemoteError>> {
        self.0.dialog.started(value)
    }

    /// Opens this side's end of the stream; once, after `started`.
    ///
    /// # Errors
    /// `ContextProtocol` otherwise.
    pub fn open_stream(&self, options: StreamOptions) -> Result<MsgStream, Box<RemoteError>> {
        MsgStream::open(self.0.dialog.clone(), options)
    }

    /// The actor it runs in.
    pub fn actor(&self) -> &Actor {
        &self.0.actor
    }

    /// Asks for the task's end. Only the first asker counts. A task that has not ended a grace later is
    /// ended, and its instance given up.
    pub fn cancel(&self, by: &ActorId) {
        if self.0.cancellation.ask(by) {
            let by = by.clone();
            self.while_running(|task| async move {
                tokio::time::sleep(task.actor().limits().grace).await;
                task.give_up(&by);
            });
        }
    }

    fn give_up(&self, by: &ActorId) {
        let Some(owned) = self.take_owned() else { return };
        tracing::warn!(task = self.function(), "would not end when cancelled; its instance is discarded");
        self.actor().guest().discard(self.called());
        self.conclude(owned, Err(Box::new(cancelled(self.function(), by))));
    }

    /// The guest's number for the function that was called.
    pub(crate) fn called(&self) -> FunctionId {
        self.0.called.function
    }

    /// Ends the task with this outcome, unless it has ended: only the first end counts. The outcome
    /// leaves once everything is gone that the task opened.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn end(&self, outcome: Outcome) {
        if let Some(owned) = self.take_owned() {
            self.conclude(owned, outcome);
        }
    }

    /// Runs a function of this program to the task's end; a panic is the task's failure. It is dropped
    /// if the task is ended otherwise.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn run(self, function: impl Future<Output = Outcome> + Send + 'static) {
        self.while_running(|task| async move {
            let outcome = AssertUnwindSafe(function).catch_unwind().await;
            task.end(
                outcome
                    .unwrap_or_else(|panic| Err(Box::new(RemoteError::new(PANIC, panic_message(&*panic))))),
            );
        });
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.owned().is_none()
    }

    /// Who asked for the task's end, if anybody did.
    pub fn canceller(&self) -> Option<&ActorId> {
        self.0.cancellation.by()
    }

    /// Waits until somebody asks for the task's end, and says who.
    pub async fn cancelled(&self) -> ActorId {
        self.0.cancellation.wait().await.clone()
    }

    /// A cancellation past the deadline is the deadline's, and one past the bound on every call that
    /// bound's.
    fn judge_late(&self, error: Box<RemoteError>) -> Box<RemoteError> {
        if !error.is::<ContextCancelled>() {
            return error;
        }
        let now = Instant::now();
        let passed = |bound: Option<Deadline>| bound.filter(|bound| bound.until <= now);
        match (passed(self.0.deadline), passed(self.0.wall)) {
            (Some(deadline), wall) if wall.is_none_or(|wall| deadline.until <= wall.until) => {
                Box::new(self.0.dialog.too_late(deadline.given))
            }
            (_, Some(_)) => {
                let value = self.actor().limits().get(Limit::Wall);
                Box::new(RemoteError::of(&LimitExceeded { limit: Limit::Wall.name().to_owned(), value }))
            }
            _ => error,
        }
    }

    /// Opens a nursery that lives at most as long as the task; after its end, a closed one.
    pub fn open_nursery(&self) -> Nursery {
        self.adopt(Nursery::open(self.actor()))
    }

    /// As [`Task::open_nursery`], for a nursery that starts its children again.
    pub fn open_supervised_nursery(&self, supervision: Supervision) -> Nursery {
        self.adopt(Nursery::open_supervised(self.actor(), supervision))
    }

    fn adopt(&self, nursery: Nursery) -> Nursery {
        match &mut *self.owned() {
            Some(owned) => {
                owned.nurseries.retain(|nursery| !nursery.is_spent());
                owned.nurseries.push(nursery.clone());
            }
            None => nursery.abandon(),
        }
        nursery
    }

    /// Ties a context to the task: it ends before the task's outcome leaves.
    pub(crate) fn link(&self, dialog: &Arc<Dialog>) {
        match &mut *self.owned() {
            Some(owned) => {
                owned.contexts.retain(|context| context.strong_count() > 0);
                owned.contexts.push(Arc::downgrade(dialog));
            }
            None => dialog.cancel(),
        }
    }

    /// As [`Actor::wait_for_actor`], and no longer than the task runs.
    ///
    /// # Errors
    /// As there; `DeadlineExceeded` past the task's deadline.
    pub async fn wait_for_actor(
        &self,
        name: &str,
        timeout: Option<Duration>,
    ) -> Result<Option<Portal>, Box<RemoteError>> {
        let late = async {
            match self.0.deadline {
                Some(Deadline { given, until }) => {
                    tokio::time::sleep_until(until).await;
                    Box::new(self.0.dialog.too_late(given))
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            found = self.actor().wait_for_actor(name, timeout) => found,
            error = late => Err(error),
            () = self.over() => Ok(None),
        }
    }

    /// Waits until the task has ended.
    pub async fn over(&self) {
        let over = self.owned().as_mut().map(|owned| owned.over.get_or_insert_default().subscribe());
        if let Some(mut over) = over {
            // Nothing is ever sent: what comes is the end.
            let _ = over.changed().await;
        }
    }

    fn owned(&self) -> MutexGuard<'_, Option<Owned>> {
        self.0.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the task has opened; none if it has ended already. Nothing is opened any more.
    fn take_owned(&self) -> Option<Owned> {
        self.owned().take()
    }

    /// Has the outcome leave once everything is gone that the task opened.
    fn conclude(&self, owned: Owned, outcome: Outcome) {
        let Owned { over, nurseries, contexts } = owned;
        drop(over);
        self.dialog().end(None);
        let outcome = outcome.map_err(|error| self.judge_late(error));
        if nurseries.is_empty() && contexts.is_empty() {
            return self.answer(outcome);
        }
        let task = self.clone();
        tokio::spawn(async move {
            let outcome = task.join(nurseries, contexts, outcome).await;
            task.answer(outcome);
        });
    }

    /// Gives the caller its answer.
    fn answer(&self, outcome: Outcome) {
        let outcome = outcome.map_err(|error| Box::new(error.relayed_by(self.actor().id())));
        self.actor().end_task(self, || self.0.dialog.link().finish(self.0.called.context, outcome));
    }

    /// Ends contexts and nurseries and gives what it comes to: the task's own outcome, joined with
    /// the failures of children that nobody was told of.
    async fn join(&self, nurseries: Vec<Nursery>, contexts: Vec<Weak<Dialog>>, outcome: Outcome) -> Outcome {
        let contexts: Vec<_> = contexts.iter().filter_map(Weak::upgrade).collect();
        contexts.iter().for_each(Dialog::cancel);
        let ended = join_all(contexts.iter().map(|dialog| dialog.outcome()));
        // A peer that does not answer is not waited for longer than its task's grace.
        let ended = tokio::time::timeout(self.actor().limits().grace, ended);
        let _ = tokio::join!(ended, join_all(nurseries.iter().map(Nursery::close)));
        let mut errors: Vec<RemoteError> = nurseries.iter().flat_map(Nursery::take_unraised).collect();
        match outcome {
            Ok(value) if errors.is_empty() => Ok(value),
            Ok(_) => Err(Box::new(gather(errors))),
            Err(own) => {
                errors.retain(|error| !error.same_origin(&own));
                errors.insert(0, *own);
                Err(Box::new(gather(errors)))
            }
        }
    }
}

/// What a native guest said when it panicked.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// One failure stands alone; several make one `NurseryError`.
pub(crate) fn gather(mut errors: Vec<RemoteError>) -> RemoteError {
    if errors.len() == 1 { errors.remove(0) } else { RemoteError::of(&NurseryError { errors }) }
}
