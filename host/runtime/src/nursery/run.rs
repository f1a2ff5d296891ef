//! One run of a child, from the request to the broker to the end of its process.
//!
//! Owns: starting, watching and ending it, and what its end was. Must not know: what the nursery
//! makes of that. Invariant: a child that has come up is ended before its run is over.

use greenroom_abi::kind::{ActorDied, ContextCancelled, Exit, SpawnFailed};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_sabotage::Protection;
use greenroom_transport::Attachment;
use greenroom_wire::Outcome;
use greenroom_wire::control::SpawnSpec;

use super::{Nursery, Phase};
use crate::context::Call;
use crate::link::{ExitNotice, Link};

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// By itself, as it may.
    Normal,
    Failed(Box<RemoteError>),
    /// Because this side ended it.
    Stopped,
}

/// A child that is up, and nobody has spoken to yet.
pub(super) struct Arrival {
    pub(super) child: ActorId,
    pub(super) pipe: Attachment,
    pub(super) exit: ExitNotice,
}

impl Nursery {
    /// Has the broker start a child, until `give_up`.
    pub(super) async fn bring_up(
        &self,
        spec: SpawnSpec,
        give_up: impl Future<Output = ()>,
    ) -> Result<Arrival, Box<RemoteError>> {
        let actor = &self.0.actor;
        let (request, mut answer) = actor.port().spawn(spec);
        let spawned = tokio::select! {
            spawned = &mut answer => spawned,
            () = give_up => {
                actor.port().abandon(request);
                answer.await
            }
        };
        let (child, pipe, exit) = spawned.unwrap_or_else(|_| Err(Box::new(crate::port::broker_gone())))?;
        Ok(Arrival { child, pipe, exit })
    }

    /// Ends a child whose pipe cannot be used: nobody could ever call it.
    pub(super) async fn turn_away(&self, child: &ActorId, error: &std::io::Error) -> Box<RemoteError> {
        let _ = self.0.actor.cancel_peer(child).await;
        let reason = format!("cannot use the pipe to it: {error}");
        let failed = SpawnFailed { name: child.name.clone(), reason, exit: None, stderr: Vec::new() };
        Box::new(RemoteError::of(&failed))
    }

    /// Waits for a daemon's end, which is a failure unless it was asked for; ends it upon `quit`.
    pub(super) async fn watch_daemon(&self, link: &Link, quit: impl Future<Output = ()>) -> Ending {
        // Whoever lies is ended for it; whoever is supervised is of use only while it can be called.
        let lost = async {
            link.closed().await;
            if link.violation().is_some() && !Protection::Liars.is_off() {
                return;
            }
            if self.0.coordinator.is_none() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(self.0.actor.limits().obituary).await;
        };
        tokio::select! {
            biased;
            exit = link.exited() => {
                if exit == Exit::Code(0) || link.end_expected() {
                    return Ending::Normal;
                }
                Ending::Failed(Box::new(RemoteError::of(&ActorDied { actor: link.peer().clone(), exit })))
            }
            () = quit => {
                self.end(link).await;
                Ending::Stopped
            }
            () = lost => {
                let lost = link.violation().cloned().unwrap_or_else(|| link.obituary());
                self.end(link).await;
                Ending::Failed(Box::new(lost))
            }
        }
    }

    /// Waits for a one-shot's outcome; ends it upon `quit`. Its actor is still to be ended.
    pub(super) async fn watch_one_shot(
        &self,
        link: &Link,
        mut call: Call,
        quit: impl Future<Output = ()>,
    ) -> (Outcome, Ending) {
        let settled = tokio::select! {
            biased;
            outcome = &mut call => Some(outcome),
            () = quit => None,
        };
        let (outcome, well) = match settled {
            Some(outcome) => (outcome, Ending::Normal),
            None => {
                if self.phase() == Phase::Failing {
                    tokio::select! {
                        () = call.begun() => {}
                        () = self.reached(Phase::Closed) => {}
                    }
                }
                let (outcome, ()) = tokio::join!(call, self.end(link));
                (outcome, Ending::Stopped)
            }
        };
        let ending = match &outcome {
            Err(error) if !self.absorbs(error, link) => Ending::Failed(error.clone()),
            Ok(_) | Err(_) => well,
        };
        (outcome, ending)
    }

    /// Whether an error is only what a child ends with because this actor ended it.
    fn absorbs(&self, error: &RemoteError, link: &Link) -> bool {
        let ours = error.canceller.as_ref() == Some(self.0.actor.id());
        (error.is::<ContextCancelled>() && ours) || (error.is::<ActorDied>() && link.end_expected())
    }

    pub(super) async fn end(&self, link: &Link) {
        link.expect_end();
        if !link.has_exited()
            && let Err(error) = self.0.actor.cancel_peer(link.peer()).await
        {
            tracing::debug!(%error, child = %link.peer(), "cannot be cancelled");
        }
    }

    /// Parts with a child that has ended.
    pub(super) fn part(link: &Link) {
        // A dead child's pipe ends by itself, behind what the child still had to say.
        if !link.has_exited() {
            link.close();
        }
    }
}
