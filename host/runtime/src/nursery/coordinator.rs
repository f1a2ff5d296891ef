//! The one who starts the children of a supervised nursery again.
//!
//! Owns: the children that are up or about to be again, and carrying out what is decided about
//! them, one end at a time; those being started for the first time are nobody's group yet. Must
//! not know: how it is decided. Invariant: between two reports every child runs; whoever does not
//! any more has ended for good.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use greenroom_abi::RemoteError;
use greenroom_abi::kind::RestartIntensityExceeded;
use greenroom_wire::Outcome;
use greenroom_wire::control::SpawnSpec;
use tokio::sync::{mpsc, oneshot, watch};

use super::child::Order;
use super::run::{Arrival, Ending};
use super::{Nursery, OneShot, Phase};
use crate::context::{Call, CallOptions};
use crate::link::Link;
use crate::portal::Portal;
use crate::slot::Slot;
use crate::supervision::{ChildId, Decision, Manner, Plan, Restart, Supervision, Supervisor};

/// What a coordinator hears, and of which nursery: one that has something to report stays.
pub(super) type Report = (Nursery, Event);

#[derive(Debug)]
pub(super) enum Event {
    /// A child is up for the first time.
    Up(Box<Child>),
    /// A run is over; if it is not the child's latest any more, that is no news.
    Over { child: ChildId, run: u64 },
}

#[derive(Debug)]
pub(super) struct Child {
    id: ChildId,
    restart: Restart,
    spec: SpawnSpec,
    main: Option<OneShot>,
    slot: Slot,
    /// Who waits for a one-shot's result.
    result: watch::Sender<Option<Outcome>>,
    /// What the latest run that is over came to.
    last: Option<Outcome>,
    /// None while it does not run.
    run: Option<Run>,
    runs: u64,
}

#[derive(Debug)]
struct Run {
    number: u64,
    /// Dropped to stop it.
    stop: oneshot::Sender<()>,
    over: oneshot::Receiver<Over>,
}

/// What a run came to. Its process is gone.
#[derive(Debug)]
struct Over {
    ending: Ending,
    outcome: Option<Outcome>,
    /// The death, for the history.
    death: RemoteError,
}

/// Begins to coordinate, until the nursery is dropped.
pub(super) fn begin(supervision: Supervision) -> mpsc::UnboundedSender<Report> {
    let (sender, mut reports) = mpsc::unbounded_channel::<Report>();
    let mut coordinator = Coordinator { supervisor: Supervisor::new(supervision), children: BTreeMap::new() };
    tokio::spawn(async move {
        while let Some((nursery, event)) = reports.recv().await {
            match event {
                Event::Up(child) => coordinator.admit(*child),
                Event::Over { child, run } => coordinator.over(&nursery, child, run).await,
            }
        }
    });
    sender
}

impl Nursery {
    /// The first start of a child, and its first run.
    pub(super) async fn raise_supervised(
        &self,
        id: ChildId,
        mut order: Order,
        restart: Option<Restart>,
        reports: &mpsc::UnboundedSender<Report>,
    ) {
        let link = match self.first_link(order.spec.clone(), Phase::Failing, &mut order.sender).await {
            Ok(link) => link,
            Err(error) => {
                let _ = order.sender.send(Err(error));
                return self.one_less();
            }
        };
        tracing::debug!(child = order.spec.name, "started");
        let usual = if order.main.is_some() { Restart::Transient } else { Restart::Permanent };
        let restart = restart.unwrap_or(usual);
        let slot = match restart {
            Restart::Temporary => Slot::fixed(link.clone()),
            Restart::Permanent | Restart::Transient => Slot::following(link.clone()),
        };
        let (result, receiver) = watch::channel(None);
        let receiver = order.main.is_some().then_some(receiver);
        let portal = Portal::new(self.0.actor.clone(), slot.clone(), receiver);
        let Order { spec, main, sender, accepted } = order;
        let (run, runs, last) = (None, 0, None);
        let mut child = Child { id, restart, spec, main, slot: slot.clone(), result, last, run, runs };
        let run = child.launch(self, link);
        // In this order: the end of a run is no news of a child that nobody has heard of.
        let _ = reports.send((self.clone(), Event::Up(Box::new(child))));
        tokio::spawn(run);
        let _ = sender.send(Ok(portal));
        if accepted.await.is_err() {
            slot.dismiss(self.0.actor.id());
        }
    }

    /// One run of a supervised child, to the end of its process.
    async fn supervise(&self, link: Link, main: Option<Call>, quit: impl Future<Output = ()>) -> Over {
        let (ending, outcome) = match main {
            None => (self.watch_daemon(&link, quit).await, None),
            Some(call) => {
                let (outcome, ending) = self.watch_one_shot(&link, call, quit).await;
                self.end(&link).await;
                (ending, Some(outcome))
            }
        };
        Self::part(&link);
        Over { ending, outcome, death: link.obituary() }
    }
}

impl Child {
    /// Begins a run over a link to the child's process; gives what is to be done for it.
    fn launch(&mut self, nursery: &Nursery, link: Link) -> impl Future<Output = ()> + Send + use<> {
        self.runs += 1;
        let (id, number) = (self.id, self.runs);
        let ((stop, mut stopped), (sender, over)) = (oneshot::channel(), oneshot::channel());
        self.run = Some(Run { number, stop, over });
        let main = self
            .main
            .as_ref()
            .map(|main| link.call(&main.function, main.kwargs.clone(), CallOptions::default()));
        let (nursery, slot) = (nursery.clone(), self.slot.clone());
        async move {
            let quit = async {
                tokio::select! {
                    () = nursery.reached(Phase::Failing) => {}
                    () = slot.dismissed() => {}
                    _ = &mut stopped => {}
                }
            };
            let over = nursery.supervise(link, main, quit).await;
            let _ = sender.send(over);
            if let Some(reports) = &nursery.0.coordinator {
                let _ = reports.send((nursery.clone(), Event::Over { child: id, run: number }));
            }
        }
    }

    /// Starts the child once more, unless it is not to be any more: then it stays without a run.
    async fn start_again(&mut self, nursery: &Nursery) -> Result<(), Box<RemoteError>> {
        let slot = self.slot.clone();
        let unwanted = || nursery.phase() > Phase::Open || slot.is_dismissed();
        if unwanted() {
            return Ok(());
        }
        let give_up = async {
            tokio::select! {
                () = nursery.reached(Phase::Failing) => {}
                () = slot.dismissed() => {}
            }
        };
        let arrived = match nursery.bring_up(self.spec.clone(), give_up).await {
            Ok(Arrival { child, pipe, exit }) => {
                let actor = &nursery.0.actor;
                let led = slot.fill(|queue| actor.lead(queue, child.clone(), pipe, exit));
                match led {
                    Ok(link) => Ok(link),
                    Err(error) => Err(nursery.turn_away(&child, &error).await),
                }
            }
            Err(error) => Err(error),
        };
        match arrived {
            Ok(link) => {
                tracing::debug!(child = self.spec.name, "started again");
                tokio::spawn(self.launch(nursery, link));
                Ok(())
            }
            Err(_) if unwanted() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Stops a run, if it is not over yet, and waits until it is.
async fn stopped(Run { stop, over, .. }: Run) -> Option<Over> {
    drop(stop);
    over.await.ok()
}

/// All children that are not gone for good, but for those that are being started for the first time.
#[derive(Debug)]
struct Coordinator {
    supervisor: Supervisor,
    children: BTreeMap<ChildId, Child>,
}

impl Coordinator {
    fn admit(&mut self, child: Child) {
        self.supervisor.admit(child.id, child.restart);
        self.children.insert(child.id, child);
    }

    /// Handles the end of a run, with all that follows from it.
    async fn over(&mut self, nursery: &Nursery, mut id: ChildId, number: u64) {
        let Some(child) = self.children.get_mut(&id) else { return };
        let Some(run) = child.run.take_if(|run| run.number == number) else { return };
        let Some(over) = stopped(run).await else { return };
        let mut decision = self.judge(nursery, id, over);
        loop {
            match decision {
                Decision::Leave => break,
                Decision::GiveUp(history) => {
                    nursery.fail(self.exceeded(id, history));
                    break;
                }
                Decision::Restart(plan) => match self.carry_out(nursery, plan).await {
                    Ok(()) => break,
                    Err((failed, error)) => {
                        tracing::warn!(%error, "cannot be started again");
                        id = failed;
                        decision = self.supervisor.ended(id, Manner::Failure, *error, now());
                    }
                },
            }
        }
        let idle = self.children.values().filter(|child| child.run.is_none());
        for id in idle.map(|child| child.id).collect::<Vec<_>>() {
            self.bury(nursery, id);
        }
    }

    /// Decides about a run that is over and was not stopped by this coordinator.
    fn judge(&mut self, nursery: &Nursery, id: ChildId, over: Over) -> Decision {
        let Some(child) = self.children.get_mut(&id) else { return Decision::Leave };
        child.last = over.outcome.or(child.last.take());
        let (manner, why) = match over.ending {
            Ending::Stopped => return Decision::Leave,
            Ending::Normal => (Manner::Normal, over.death),
            Ending::Failed(error) => (Manner::Failure, *error),
        };
        if manner == Manner::Failure {
            tracing::warn!(child = child.spec.name, error = %why, "failed");
        }
        if child.slot.is_dismissed() {
            return Decision::Leave;
        }
        if nursery.phase() > Phase::Open {
            if manner == Manner::Failure && self.supervisor.is_concerned(id) {
                nursery.fail(why);
            }
            return Decision::Leave;
        }
        self.supervisor.ended(id, manner, why, now())
    }

    /// The failure of a nursery whose children failed too often, this one last.
    fn exceeded(&self, child: ChildId, history: Vec<RemoteError>) -> RemoteError {
        let rules = self.supervisor.rules();
        RemoteError::of(&RestartIntensityExceeded {
            child: self.children.get(&child).map_or_else(String::new, |child| child.spec.name.clone()),
            restarts: rules.intensity.into(),
            within_ms: u64::try_from(rules.within.as_millis()).unwrap_or(u64::MAX),
            history,
        })
    }

    /// Ends whom it has to, and starts again whom it can, until one cannot be.
    async fn carry_out(&mut self, nursery: &Nursery, plan: Plan) -> Result<(), (ChildId, Box<RemoteError>)> {
        for id in &plan.start {
            self.children.get(id).inspect(|child| child.slot.vacate());
        }
        for id in plan.stop {
            let Some(child) = self.children.get_mut(&id) else { continue };
            let Some(run) = child.run.take() else { continue };
            let Some(over) = stopped(run).await else { continue };
            child.last = over.outcome.or(child.last.take());
            // It may have come to its end by itself, just before.
            let done = matches!(over.ending, Ending::Normal) && !self.supervisor.renews(id, Manner::Normal);
            if done || !plan.start.contains(&id) {
                self.bury(nursery, id);
            } else if let Ending::Failed(error) = over.ending {
                tracing::warn!(child = child.spec.name, %error, "failed while it was ended with others");
            }
        }
        self.pause(nursery, &plan.start, plan.after).await;
        for id in plan.start {
            let Some(child) = self.children.get_mut(&id) else { continue };
            child.start_again(nursery).await.map_err(|error| (id, error))?;
            if child.run.is_none() {
                self.bury(nursery, id);
            }
        }
        Ok(())
    }

    /// Waits, while there is anybody to wait for.
    async fn pause(&mut self, nursery: &Nursery, whom: &[ChildId], time: Duration) {
        let slots = whom.iter().filter_map(|id| Some((*id, self.children.get(id)?.slot.clone())));
        let mut dismissals: FuturesUnordered<_> = slots
            .map(|(id, slot)| async move {
                slot.dismissed().await;
                id
            })
            .collect();
        let mut passed = pin!(tokio::time::sleep(time));
        while !dismissals.is_empty() {
            tokio::select! {
                biased;
                () = nursery.reached(Phase::Failing) => return,
                Some(id) = dismissals.next() => self.bury(nursery, id),
                () = &mut passed => return,
            }
        }
    }

    /// Lets go of a child that has ended for good.
    fn bury(&mut self, nursery: &Nursery, id: ChildId) {
        self.supervisor.forget(id);
        let Some(child) = self.children.remove(&id) else { return };
        child.slot.settle();
        child.result.send_replace(child.last);
        nursery.one_less();
    }
}

/// The runtime's clock, which tests may stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
