//! A child of a nursery in which one cancels all.
//!
//! Owns: its whole life, which is one run. Must not know: restarts. Invariant: its failure is
//! counted before anything else is done about it.

use greenroom_abi::RemoteError;
use greenroom_wire::Role;
use greenroom_wire::control::SpawnSpec;
use tokio::sync::{oneshot, watch};

use super::run::Ending;
use super::{Nursery, OneShot, Phase, Started};
use crate::context::CallOptions;
use crate::link::{Link, Owner};
use crate::portal::Portal;
use crate::slot::Slot;

/// What was asked for, and by whom.
pub(super) struct Order {
    pub(super) spec: SpawnSpec,
    pub(super) main: Option<OneShot>,
    pub(super) sender: oneshot::Sender<Started>,
    /// Fails if the portal was never taken.
    pub(super) accepted: oneshot::Receiver<()>,
}

impl Nursery {
    pub(super) async fn raise(&self, mut order: Order) {
        let one_shot = order.main.is_some();
        let give_up = if one_shot { Phase::Closed } else { Phase::Failing };
        let link = match self.first_link(order.spec.clone(), give_up, &mut order.sender).await {
            Ok(link) => link,
            Err(error) => {
                // A child that was to do a task and could not has failed, like one that did badly.
                if one_shot && self.phase() < Phase::Closed && !order.sender.is_closed() {
                    self.fail((*error).clone());
                }
                let _ = order.sender.send(Err(error));
                return;
            }
        };
        tracing::debug!(child = order.spec.name, "started");
        let (slot, actor) = (Slot::fixed(link.clone()), self.0.actor.clone());
        let accepted = order.accepted;
        let quit = async {
            tokio::select! {
                () = self.reached(Phase::Failing) => {}
                Err(_) = accepted => {}
            }
        };
        match order.main {
            None => {
                let _ = order.sender.send(Ok(Portal::new(actor, slot, None)));
                if let Ending::Failed(error) = self.watch_daemon(&link, quit).await {
                    self.fail(*error);
                }
            }
            Some(main) => {
                let (result, receiver) = watch::channel(None);
                let call = link.call(&main.function, main.kwargs, CallOptions::default());
                let _ = order.sender.send(Ok(Portal::new(actor, slot, Some(receiver))));
                let (outcome, ending) = self.watch_one_shot(&link, call, quit).await;
                if let Ending::Failed(error) = ending {
                    self.fail(*error);
                }
                result.send_replace(Some(outcome));
                self.end(&link).await;
            }
        }
        Self::part(&link);
    }

    /// Starts a child for the first time, unless the nursery ends first or nobody waits any more.
    pub(super) async fn first_link(
        &self,
        spec: SpawnSpec,
        late: Phase,
        sender: &mut oneshot::Sender<Started>,
    ) -> Result<Link, Box<RemoteError>> {
        let give_up = async {
            tokio::select! {
                () = self.reached(late) => {}
                () = sender.closed() => {}
            }
        };
        let arrival = self.bring_up(spec, give_up).await?;
        let (child, actor) = (arrival.child, &self.0.actor);
        match actor.link(child.clone(), arrival.pipe, arrival.exit, Role::Initiator, Owner::Us) {
            Ok(link) => Ok(link),
            Err(error) => Err(self.turn_away(&child, &error).await),
        }
    }
}
