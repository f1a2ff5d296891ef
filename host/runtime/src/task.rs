//! One running invocation of an exported function.
//!
//! Owns: the task's identity, its cancellation and the nurseries it opened. Must not know: how
//! the guest runs it. Invariant: the nurseries of a task are gone before its outcome leaves.

use std::sync::{Arc, Mutex, PoisonError};

use greenroom_abi::kind::NurseryError;
use greenroom_abi::{ActorId, RemoteError};
use greenroom_wire::Outcome;

use crate::actor::Actor;
use crate::cancel::Cancellation;
use crate::nursery::Nursery;
use crate::supervision::Supervision;

/// A handle to a running task; clones are the same task.
#[derive(Clone, Debug)]
pub struct Task(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: u64,
    function: String,
    caller: ActorId,
    actor: Actor,
    cancellation: Cancellation,
    /// None once the task has concluded.
    nurseries: Mutex<Option<Vec<Nursery>>>,
}

impl Task {
    pub(crate) fn new(id: u64, function: String, caller: ActorId, actor: Actor) -> Self {
        let (cancellation, nurseries) = (Cancellation::default(), Mutex::new(Some(Vec::new())));
        Self(Arc::new(Inner { id, function, caller, actor, cancellation, nurseries }))
    }

    /// Its number, unique in its actor.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The function as it was called.
    pub fn function(&self) -> &str {
        &self.0.function
    }

    /// Who called it.
    pub fn caller(&self) -> &ActorId {
        &self.0.caller
    }

    /// The actor it runs in.
    pub fn actor(&self) -> &Actor {
        &self.0.actor
    }

    /// Asks for the task's end. Only the first asker counts.
    pub fn cancel(&self, by: &ActorId) {
        self.0.cancellation.ask(by);
    }

    /// Who asked for the task's end, if anybody did.
    pub fn canceller(&self) -> Option<&ActorId> {
        self.0.cancellation.by()
    }

    /// Waits until somebody asks for the task's end, and says who.
    pub async fn cancelled(&self) -> ActorId {
        self.0.cancellation.wait().await.clone()
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
        let mut nurseries = self.0.nurseries.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *nurseries {
            Some(nurseries) => {
                nurseries.retain(|nursery| !nursery.is_spent());
                nurseries.push(nursery.clone());
            }
            None => nursery.abandon(),
        }
        nursery
    }

    /// Ends the task's nurseries and gives what it comes to: its own outcome, joined with the
    /// failures of children that nobody was told of.
    pub(crate) async fn conclude(&self, outcome: Outcome) -> Outcome {
        let nurseries = self.0.nurseries.lock().unwrap_or_else(PoisonError::into_inner).take();
        let nurseries = nurseries.unwrap_or_default();
        if nurseries.is_empty() {
            return outcome;
        }
        futures_util::future::join_all(nurseries.iter().map(Nursery::close)).await;
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

/// One failure stands alone; several make one `NurseryError`.
pub(crate) fn gather(mut errors: Vec<RemoteError>) -> RemoteError {
    if errors.len() == 1 { errors.remove(0) } else { RemoteError::of(&NurseryError { errors }) }
}
