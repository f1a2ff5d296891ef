//! Which children are started again when one ends.
//!
//! Owns: strategies, restart rules, the pauses between restarts and how many are too many. Must
//! not know: actors, clocks, how a decision is carried out. Invariant: a child that is left alone
//! is forgotten; past the intensity everybody is.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use greenroom_abi::RemoteError;

/// Which children are started again when one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// That one.
    OneForOne,
    /// That one, and those started after it, which are ended first.
    RestForOne,
    /// All, which are ended first.
    OneForAll,
}

/// Whether a supervised child is started again when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// When it failed.
    Transient,
    /// Never. Its failure concerns nobody else.
    Temporary,
}

/// How a nursery restarts its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervision {
    /// Which children are started again when one is.
    pub strategy: Strategy,
    /// How many restarts are allowed `within` a time; past it the nursery fails.
    pub intensity: u32,
    /// The time in which restarts are counted.
    pub within: Duration,
    /// The pause before a restart; it doubles with every further one `within` that time.
    pub backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            strategy: Strategy::OneForOne,
            intensity: 3,
            within: Duration::from_secs(5),
            backoff: Duration::from_millis(10),
            max_backoff: Duration::from_secs(1),
        }
    }
}

/// A child's place in the order in which children were first started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChildId(pub(crate) u64);

/// What a child's end was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Normal,
    Failure,
}

/// What becomes of a child's end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    /// It is not started again.
    Leave,
    Restart(Plan),
    /// There were too many restarts; these are their reasons, oldest first.
    GiveUp(Vec<RemoteError>),
}

/// A restart: first these are ended, in this order, then there is a pause, then these are started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) stop: Vec<ChildId>,
    pub(crate) after: Duration,
    pub(crate) start: Vec<ChildId>,
}

/// The memory behind the decisions for one nursery.
#[derive(Debug)]
pub(crate) struct Supervisor {
    rules: Supervision,
    children: BTreeMap<ChildId, Restart>,
    /// When and why there were restarts, oldest first; those too old to count are dropped.
    restarts: VecDeque<(Instant, RemoteError)>,
}

impl Supervisor {
    pub(crate) fn new(rules: Supervision) -> Self {
        Self { rules, children: BTreeMap::new(), restarts: VecDeque::new() }
    }

    pub(crate) fn rules(&self) -> &Supervision {
        &self.rules
    }

    /// Takes a child in, once it has been started for the first time.
    pub(crate) fn admit(&mut self, child: ChildId, restart: Restart) {
        self.children.insert(child, restart);
    }

    /// Takes a child out that has ended for good.
    pub(crate) fn forget(&mut self, child: ChildId) {
        self.children.remove(&child);
    }

    /// Whether a child's failure is of any concern to the others.
    pub(crate) fn is_concerned(&self, child: ChildId) -> bool {
        self.children.get(&child).is_some_and(|restart| *restart != Restart::Temporary)
    }

    /// Whether a child would be started again after such an end.
    pub(crate) fn renews(&self, child: ChildId, manner: Manner) -> bool {
        match (self.children.get(&child), manner) {
            (Some(Restart::Permanent), _) | (Some(Restart::Transient), Manner::Failure) => true,
            (Some(Restart::Transient | Restart::Temporary) | None, _) => false,
        }
    }

    /// Decides about a child that has ended, or could not be started again, and why it did.
    pub(crate) fn ended(
        &mut self,
        child: ChildId,
        manner: Manner,
        why: RemoteError,
        now: Instant,
    ) -> Decision {
        if !self.renews(child, manner) {
            self.forget(child);
            return Decision::Leave;
        }
        self.restarts.retain(|(at, _)| now.duration_since(*at) <= self.rules.within);
        self.restarts.push_back((now, why));
        if self.restarts.len() > self.rules.intensity as usize {
            self.children.clear();
            return Decision::GiveUp(self.restarts.drain(..).map(|(_, why)| why).collect());
        }
        let group: Vec<_> = match self.rules.strategy {
            Strategy::OneForOne => vec![child],
            Strategy::RestForOne => self.children.range(child..).map(|(id, _)| *id).collect(),
            Strategy::OneForAll => self.children.keys().copied().collect(),
        };
        let again = |id: &ChildId| self.children[id] != Restart::Temporary;
        Decision::Restart(Plan {
            stop: group.iter().rev().copied().filter(|id| *id != child).collect(),
            after: self.pause(),
            start: group.iter().copied().filter(again).collect(),
        })
    }

    /// The pause before the latest restart.
    fn pause(&self) -> Duration {
        let doublings = u32::try_from(self.restarts.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 2u32.checked_pow(doublings).unwrap_or(u32::MAX);
        self.rules.backoff.saturating_mul(factor).min(self.rules.max_backoff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervisor(strategy: Strategy, children: &[Restart]) -> Supervisor {
        let mut supervisor = Supervisor::new(Supervision { strategy, ..Supervision::default() });
        for (number, restart) in children.iter().enumerate() {
            supervisor.admit(ChildId(number as u64), *restart);
        }
        supervisor
    }

    fn oops(number: u32) -> RemoteError {
        RemoteError::new("Oops", number.to_string())
    }

    fn plan(decision: Decision) -> (Vec<u64>, Vec<u64>) {
        let Decision::Restart(Plan { stop, start, .. }) = decision else { panic!("{decision:?}") };
        let numbers = |ids: Vec<ChildId>| ids.into_iter().map(|id| id.0).collect();
        (numbers(stop), numbers(start))
    }

    #[test]
    fn each_strategy_has_its_group() {
        use Restart::{Permanent, Temporary, Transient};
        let table: [(Strategy, &[u64], &[u64]); 3] = [
            (Strategy::OneForOne, &[], &[1]),
            (Strategy::RestForOne, &[3, 2], &[1, 3]),
            (Strategy::OneForAll, &[3, 2, 0], &[0, 1, 3]),
        ];
        for (strategy, stop, start) in table {
            let mut supervisor = supervisor(strategy, &[Permanent, Transient, Temporary, Transient]);
            let decision = supervisor.ended(ChildId(1), Manner::Failure, oops(0), Instant::now());
            assert_eq!(plan(decision), (stop.to_vec(), start.to_vec()), "{strategy:?}");
        }
    }

    #[test]
    fn a_child_that_is_left_alone_is_in_no_later_group() {
        let mut supervisor = supervisor(Strategy::OneForAll, &[Restart::Permanent, Restart::Transient]);
        let now = Instant::now();
        assert_eq!(supervisor.ended(ChildId(1), Manner::Normal, oops(0), now), Decision::Leave);
        assert_eq!(plan(supervisor.ended(ChildId(0), Manner::Normal, oops(0), now)), (vec![], vec![0]));
    }

    #[test]
    fn only_restarts_within_the_window_count() {
        let mut supervisor = supervisor(Strategy::OneForOne, &[Restart::Permanent]);
        let begun = Instant::now();
        // The fourth comes just inside the window of the first, the fifth of the second.
        for (number, ms, pause) in [(0, 0, 10), (1, 2000, 20), (2, 4000, 40), (3, 5001, 40), (4, 7001, 40)] {
            let now = begun + Duration::from_millis(ms);
            let Decision::Restart(plan) = supervisor.ended(ChildId(0), Manner::Failure, oops(number), now)
            else {
                panic!("given up at {ms} ms");
            };
            assert_eq!(plan.after, Duration::from_millis(pause), "at {ms} ms");
        }
        let now = begun + Duration::from_millis(9000);
        let given_up = supervisor.ended(ChildId(0), Manner::Failure, oops(5), now);
        assert_eq!(given_up, Decision::GiveUp([2, 3, 4, 5].map(oops).to_vec()), "2 was 5 s ago to the ms");
        assert_eq!(supervisor.ended(ChildId(0), Manner::Failure, oops(6), now), Decision::Leave);
    }

    #[test]
    fn pauses_have_an_upper_bound_whatever_the_numbers() {
        let rules = Supervision { intensity: u32::MAX, within: Duration::MAX, ..Supervision::default() };
        let mut supervisor = Supervisor::new(rules);
        supervisor.admit(ChildId(0), Restart::Permanent);
        let now = Instant::now();
        for number in 0..100 {
            let Decision::Restart(plan) = supervisor.ended(ChildId(0), Manner::Failure, oops(number), now)
            else {
                panic!("given up");
            };
            let wanted = [10, 20, 40, 80, 160, 320, 640].get(number as usize).copied().unwrap_or(1000);
            assert_eq!(plan.after, Duration::from_millis(wanted));
        }
    }

    #[test]
    fn without_intensity_the_first_failure_is_the_last() {
        let mut supervisor = Supervisor::new(Supervision { intensity: 0, ..Supervision::default() });
        supervisor.admit(ChildId(0), Restart::Transient);
        let decision = supervisor.ended(ChildId(0), Manner::Failure, oops(0), Instant::now());
        assert_eq!(decision, Decision::GiveUp(vec![oops(0)]));
    }
}
