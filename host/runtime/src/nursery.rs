//! Scopes that own child actors.
//!
//! Owns: which children a scope has, what happens to the rest when one fails, and what the
//! scope comes to. Must not know: processes; the broker starts and ends them. Invariant:
//! closing a nursery returns only when every child of it is gone.
//!
//! ```text
//!   Open ──a child fails──► Failing ──joined, cancelled, task ended──► Closed
//!     └───────joined, cancelled, task ended───────────────────────────►┘
//! ```
//!
//! A failing nursery cancels its children; a one-shot that is still being started, or is asked
//! for now, runs to its first suspension before its cancellation reaches it, so that a failure
//! of its own is counted and not lost. A closed one starts nothing.
//!
//! A supervised nursery fails only when its children fail too often, and then takes no more of
//! any kind; until then its coordinator starts them again.

mod child;
mod coordinator;
mod run;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use greenroom_abi::RemoteError;
use greenroom_abi::kind::NurseryClosed;
use greenroom_wire::control::SpawnSpec;
use tokio::sync::{mpsc, oneshot, watch};

use crate::actor::Actor;
use crate::portal::Portal;
use crate::supervision::{ChildId, Restart, Supervision};
use crate::task::gather;
use coordinator::Report;

/// A handle to a nursery; clones are the same nursery.
#[derive(Clone, Debug)]
pub struct Nursery(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    actor: Actor,
    state: Mutex<State>,
    status: watch::Sender<Status>,
    /// Where a supervised nursery's coordinator hears of its children.
    coordinator: Option<mpsc::UnboundedSender<Report>>,
}

/// In one place, so that nothing is started in the moment in which the nursery closes.
#[derive(Clone, Copy, Debug)]
struct Status {
    phase: Phase,
    /// How many children are not yet gone for good.
    alive: usize,
    /// How many there have been.
    admitted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    Failing,
    Closed,
}

#[derive(Debug, Default)]
struct State {
    errors: Vec<RemoteError>,
    raised: bool,
}

/// The main task of an actor that lives only for it.
#[derive(Clone, Debug)]
pub struct OneShot {
    /// The function, as `module:function`.
    pub function: String,
    /// Its keyword arguments, one CBOR map.
    pub kwargs: Bytes,
}

type Started = Result<Portal, Box<RemoteError>>;

/// A child that is being started. Dropping it cancels the child.
struct Starting {
    started: oneshot::Receiver<Started>,
    /// Told once the portal is in the hands of whoever asked for the child.
    accept: oneshot::Sender<()>,
}

fn closed() -> Box<RemoteError> {
    Box::new(RemoteError::of(&NurseryClosed {}))
}

impl Nursery {
    /// Opens a nursery in an actor. It is closed by [`Nursery::close`], not by being dropped.
    pub fn open(actor: &Actor) -> Self {
        Self::new(actor, None)
    }

    /// As [`Nursery::open`], for one that starts its children again when they end. It must be
    /// called where tasks can be spawned.
    pub fn open_supervised(actor: &Actor, supervision: Supervision) -> Self {
        Self::new(actor, Some(coordinator::begin(supervision)))
    }

    fn new(actor: &Actor, coordinator: Option<mpsc::UnboundedSender<Report>>) -> Self {
        let status = watch::Sender::new(Status { phase: Phase::Open, alive: 0, admitted: 0 });
        Self(Arc::new(Inner { actor: actor.clone(), state: Mutex::default(), status, coordinator }))
    }

    /// Starts an actor: a daemon, or a one-shot if it is given a main task. Resolves once it
    /// can be called. Dropping the future cancels the child.
    ///
    /// # Errors
    /// `SpawnFailed`, `PermissionDenied`, `LimitExceeded`, or `NurseryClosed`.
    pub async fn start(&self, spec: SpawnSpec, main: Option<OneShot>) -> Started {
        self.start_with(spec, main, None).await
    }

    /// As [`Nursery::start`], and says whether a supervised nursery starts it again when it ends;
    /// if nothing is said, a daemon is permanent and a one-shot transient.
    ///
    /// # Errors
    /// As [`Nursery::start`].
    pub async fn start_with(
        &self,
        spec: SpawnSpec,
        main: Option<OneShot>,
        restart: Option<Restart>,
    ) -> Started {
        let Starting { started, accept } = self.begin(spec, main, restart).ok_or_else(closed)?;
        let started = started.await.unwrap_or_else(|_| Err(closed()));
        // A portal that was sent but never taken from the channel has no holder either.
        let _ = accept.send(());
        started
    }

    /// Starts `count` daemons at once, named after their number: `name.worker_0` and so on. Resolves
    /// once all can be called. Dropping the future cancels them.
    ///
    /// # Errors
    /// That of the first that cannot be started. The others are then cancelled, and those that were
    /// up are gone.
    pub async fn open_actor_cluster(
        &self,
        name: &str,
        spec: SpawnSpec,
        count: usize,
    ) -> Result<Vec<Portal>, Box<RemoteError>> {
        let (mut starts, mut accepts) = (FuturesUnordered::new(), Vec::new());
        for number in 0..count {
            let spec = SpawnSpec { name: format!("{name}.worker_{number}"), ..spec.clone() };
            let Starting { started, accept } = self.begin(spec, None, None).ok_or_else(closed)?;
            starts.push(async move { (number, started.await.unwrap_or_else(|_| Err(closed()))) });
            accepts.push(accept);
        }
        let mut workers = BTreeMap::new();
        while let Some((number, started)) = starts.next().await {
            match started {
                Ok(portal) => _ = workers.insert(number, portal),
                Err(error) => {
                    // Whoever is not accepted is ended.
                    drop((starts, accepts));
                    join_all(workers.values().map(Portal::closed)).await;
                    return Err(error);
                }
            }
        }
        for accept in accepts {
            let _ = accept.send(());
        }
        Ok(workers.into_values().collect())
    }

    /// Waits until every child has ended.
    ///
    /// # Errors
    /// One failure alone, several as one `NurseryError`.
    pub async fn join(&self) -> Result<(), Box<RemoteError>> {
        while !self.close_if_empty() {
            self.all_gone().await;
        }
        self.verdict()
    }

    /// Cancels every child and waits until all are gone.
    ///
    /// # Errors
    /// As [`Nursery::join`], for failures that are not this cancellation itself.
    pub async fn cancel(&self) -> Result<(), Box<RemoteError>> {
        self.close().await;
        self.verdict()
    }

    /// As [`Nursery::cancel`], but leaves the failures for the task that opened the nursery to raise.
    pub async fn close(&self) {
        self.enter(Phase::Closed);
        self.all_gone().await;
    }

    /// Begins to cancel every child, without waiting.
    pub fn abandon(&self) {
        self.enter(Phase::Closed);
    }

    /// The failures that no `join` or `cancel` has given to anybody.
    pub(crate) fn take_unraised(&self) -> Vec<RemoteError> {
        let mut state = self.state();
        if state.raised { Vec::new() } else { std::mem::take(&mut state.errors) }
    }

    /// Whether the nursery is closed, empty, and has nothing left to say.
    pub(crate) fn is_spent(&self) -> bool {
        let (state, status) = (self.state(), *self.0.status.borrow());
        status.phase == Phase::Closed && status.alive == 0 && (state.raised || state.errors.is_empty())
    }

    /// Begins to start a child, unless it is too late for that.
    fn begin(&self, spec: SpawnSpec, main: Option<OneShot>, restart: Option<Restart>) -> Option<Starting> {
        let id = self.admit(main.is_some())?;
        let (sender, started) = oneshot::channel();
        let (accept, accepted) = oneshot::channel();
        let order = child::Order { spec, main, sender, accepted };
        let nursery = self.clone();
        tokio::spawn(async move {
            match &nursery.0.coordinator {
                None => {
                    nursery.raise(order).await;
                    nursery.one_less();
                }
                Some(reports) => nursery.raise_supervised(id, order, restart, reports).await,
            }
        });
        Some(Starting { started, accept })
    }

    /// Takes one more child, unless it is too late for that.
    fn admit(&self, one_shot: bool) -> Option<ChildId> {
        let mut number = None;
        self.0.status.send_if_modified(|status| {
            let late = one_shot && self.0.coordinator.is_none() && status.phase == Phase::Failing;
            let admitted = status.phase == Phase::Open || late;
            if admitted {
                number = Some(ChildId(status.admitted));
                status.admitted += 1;
                status.alive += 1;
            }
            // Nobody waits for more children, and there may be many who would be woken.
            false
        });
        number
    }

    fn one_less(&self) {
        self.0.status.send_if_modified(|status| {
            status.alive -= 1;
            // Nobody waits for fewer, but for none.
            status.alive == 0
        });
    }

    fn verdict(&self) -> Result<(), Box<RemoteError>> {
        let mut state = self.state();
        state.raised = true;
        if state.errors.is_empty() { Ok(()) } else { Err(Box::new(gather(state.errors.clone()))) }
    }

    async fn all_gone(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.0.status.subscribe().wait_for(|status| status.alive == 0).await;
    }

    fn close_if_empty(&self) -> bool {
        self.0.status.send_if_modified(|status| {
            let empty = status.alive == 0;
            if empty {
                status.phase = Phase::Closed;
            }
            empty
        })
    }

    fn enter(&self, next: Phase) {
        self.0.status.send_if_modified(|status| {
            let later = next > status.phase;
            status.phase = status.phase.max(next);
            later
        });
    }

    fn phase(&self) -> Phase {
        self.0.status.borrow().phase
    }

    async fn reached(&self, phase: Phase) {
        let _ = self.0.status.subscribe().wait_for(|status| status.phase >= phase).await;
    }

    fn fail(&self, error: RemoteError) {
        self.state().errors.push(error);
        self.enter(Phase::Failing);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
