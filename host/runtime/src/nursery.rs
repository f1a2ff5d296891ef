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
        let closed = || Err(Box::new(RemoteError::of(&NurseryClosed {})));
        let Some(id) = self.admit(main.is_some()) else { return closed() };
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
        let started = started.await.unwrap_or_else(|_| closed());
        // A portal that was sent but never taken from the channel has no holder either.
        let _ = accept.send(());
        started
    }

    /// Starts `count` daemons at once, named after their number: `name.worker_0` and so on.
    ///
    /// # Errors
    /// That of the first that cannot be started. The others are then ended.
    pub async fn open_actor_cluster(
        &self,
        name: &str,
        spec: SpawnSpec,
        count: usize,
    ) -> Result<Vec<Portal>, Box<RemoteError>> {
        let mut starts: FuturesUnordered<_> = (0..count)
            .map(|number| {
                let spec = SpawnSpec { name: format!("{name}.worker_{number}"), ..spec.clone() };
                async move { (number, self.start(spec, None).await) }
            })
            .collect();
        let mut workers = Vec::with_capacity(count);
        while let Some((number, started)) = starts.next().await {
            match started {
                Ok(portal) => workers.push((number, portal)),
                Err(error) => {
                    drop(starts);
                    join_all(workers.iter().map(|(_, portal)| portal.cancel_actor())).await;
                    return Err(error);
                }
            }
        }
        workers.sort_by_key(|(number, _)| *number);
        Ok(workers.into_iter().map(|(_, portal)| portal).collect())
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
            admitted
        });
        number
    }

    fn one_less(&self) {
        self.0.status.send_modify(|status| status.alive -= 1);
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
