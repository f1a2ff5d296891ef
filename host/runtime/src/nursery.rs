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

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use greenroom_abi::RemoteError;
use greenroom_abi::kind::{ActorDied, ContextCancelled, Exit, NurseryClosed, SpawnFailed};
use greenroom_wire::control::SpawnSpec;
use greenroom_wire::{Outcome, Role};
use tokio::sync::{oneshot, watch};

use crate::actor::Actor;
use crate::context::CallOptions;
use crate::link::{Link, Owner};
use crate::portal::Portal;
use crate::task::gather;

/// A handle to a nursery; clones are the same nursery.
#[derive(Clone, Debug)]
pub struct Nursery(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    actor: Actor,
    state: Mutex<State>,
    status: watch::Sender<Status>,
}

/// In one place, so that nothing is started in the moment in which the nursery closes.
#[derive(Clone, Copy, Debug)]
struct Status {
    phase: Phase,
    /// How many children are not yet gone.
    alive: usize,
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
        Self(Arc::new(Inner {
            actor: actor.clone(),
            state: Mutex::default(),
            status: watch::Sender::new(Status { phase: Phase::Open, alive: 0 }),
        }))
    }

    /// Starts an actor: a daemon, or a one-shot if it is given a main task. Resolves once it
    /// can be called. Dropping the future cancels the child.
    ///
    /// # Errors
    /// `SpawnFailed`, `PermissionDenied`, `LimitExceeded`, or `NurseryClosed`.
    pub async fn start(&self, spec: SpawnSpec, main: Option<OneShot>) -> Started {
        let closed = || Err(Box::new(RemoteError::of(&NurseryClosed {})));
        let admitted = self.0.status.send_if_modified(|status| {
            let admitted = status.phase == Phase::Open || (status.phase == Phase::Failing && main.is_some());
            status.alive += usize::from(admitted);
            admitted
        });
        if !admitted {
            return closed();
        }
        let (sender, started) = oneshot::channel();
        let (accept, accepted) = oneshot::channel();
        let nursery = self.clone();
        tokio::spawn(async move {
            nursery.raise(spec, main, sender, accepted).await;
            nursery.0.status.send_modify(|status| status.alive -= 1);
        });
        let started = started.await.unwrap_or_else(|_| closed());
        // A portal that was sent but never taken from the channel has no holder either.
        let _ = accept.send(());
        started
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

    /// The whole life of one child.
    async fn raise(
        &self,
        spec: SpawnSpec,
        main: Option<OneShot>,
        sender: oneshot::Sender<Started>,
        accepted: oneshot::Receiver<()>,
    ) {
        let name = spec.name.clone();
        let link = match self.bring_up(spec, main.is_some()).await {
            Ok(link) => link,
            Err(error) => {
                // A child that was to do a task and could not has failed, like one that did badly.
                if main.is_some() && self.phase() < Phase::Closed {
                    self.fail((*error).clone());
                }
                let _ = sender.send(Err(error));
                return;
            }
        };
        tracing::debug!(child = name, "started");
        match main {
            None => {
                let portal = Portal::new(self.0.actor.clone(), link.clone(), None);
                let _ = sender.send(Ok(portal));
                self.watch_daemon(&link, accepted).await;
            }
            Some(main) => {
                let (result, receiver) = watch::channel(None);
                let portal = Portal::new(self.0.actor.clone(), link.clone(), Some(receiver));
                let call = link.call(&main.function, main.kwargs, CallOptions::default());
                let _ = sender.send(Ok(portal));
                self.watch_one_shot(&link, call, result, accepted).await;
            }
        }
        // A dead child's pipe ends by itself, behind what the child still had to say.
        if !link.has_exited() {
            link.close();
        }
    }

    /// Has the broker start the child, unless the nursery ends first.
    async fn bring_up(&self, spec: SpawnSpec, one_shot: bool) -> Result<Link, Box<RemoteError>> {
        let name = spec.name.clone();
        let actor = &self.0.actor;
        let (request, mut answer) = actor.port().spawn(spec);
        let give_up = self.reached(if one_shot { Phase::Closed } else { Phase::Failing });
        let spawned = tokio::select! {
            spawned = &mut answer => spawned,
            () = give_up => {
                actor.port().abandon(request);
                answer.await
            }
        };
        let (child, pipe, exit) = spawned.unwrap_or_else(|_| Err(Box::new(crate::port::broker_gone())))?;
        match actor.link(child.clone(), pipe, exit, Role::Initiator, Owner::Us) {
            Ok(link) => Ok(link),
            Err(error) => {
                // Nobody could ever call it.
                let _ = actor.cancel_peer(&child).await;
                let reason = format!("cannot use the pipe to it: {error}");
                let failed = SpawnFailed { name, reason, exit: None, stderr: Vec::new() };
                Err(Box::new(RemoteError::of(&failed)))
            }
        }
    }

    /// Waits for a daemon's end, which is a failure unless it was asked for.
    async fn watch_daemon(&self, link: &Link, accepted: oneshot::Receiver<()>) {
        tokio::select! {
            biased;
            exit = link.exited() => {
                if exit != Exit::Code(0) && !link.end_expected() {
                    self.fail(RemoteError::of(&ActorDied { actor: link.peer().clone(), exit }));
                }
            }
            () = self.reached(Phase::Failing) => self.end(link).await,
            Err(_) = accepted => self.end(link).await,
        }
    }

    /// Waits for a one-shot's outcome, then ends its actor.
    async fn watch_one_shot(
        &self,
        link: &Link,
        mut call: crate::context::Call,
        result: watch::Sender<Option<Outcome>>,
        accepted: oneshot::Receiver<()>,
    ) {
        let settled = tokio::select! {
            biased;
            outcome = &mut call => Some(outcome),
            () = self.reached(Phase::Failing) => None,
            Err(_) = accepted => None,
        };
        let outcome = match settled {
            Some(outcome) => outcome,
            None => {
                if self.phase() == Phase::Failing {
                    tokio::select! {
                        () = call.begun() => {}
                        () = self.reached(Phase::Closed) => {}
                    }
                }
                let (outcome, ()) = tokio::join!(call, self.end(link));
                outcome
            }
        };
        if let Err(error) = &outcome
            && !self.absorbs(error, link)
        {
            self.fail((**error).clone());
        }
        result.send_replace(Some(outcome));
        self.end(link).await;
    }

    /// Whether an error is only what a child ends with because this actor ended it.
    fn absorbs(&self, error: &RemoteError, link: &Link) -> bool {
        let ours = error.canceller.as_ref() == Some(self.0.actor.id());
        (error.is::<ContextCancelled>() && ours) || (error.is::<ActorDied>() && link.end_expected())
    }

    async fn end(&self, link: &Link) {
        link.expect_end();
        if !link.has_exited()
            && let Err(error) = self.0.actor.cancel_peer(link.peer()).await
        {
            tracing::debug!(%error, child = %link.peer(), "cannot be cancelled");
        }
    }
}
