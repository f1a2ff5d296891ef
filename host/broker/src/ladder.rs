//! The cancel ladder: ask, order, kill.
//!
//! Owns: which rung an actor stands on and when the next is due. Must not know: processes, how
//! a rung is carried out. Invariant: from the first rung to the last it takes less than 2 s.
//!
//! ```text
//!   Asked ──not gone in `ask`──► Ordered ──not gone in `order`──► Killed
//!     └─ waits longer while descendants that are themselves being ended hold it up,
//!        but not beyond `ladder`
//! ```

use std::time::{Duration, Instant};

use greenroom_sabotage::Protection;
use greenroom_wire::control::Limits;

/// How long an actor has to leave once the last descendant that held it up is gone, and how
/// often it is looked at until then.
const AFTER_DESCENDANTS: Duration = Duration::from_millis(100);

/// What has been done to make an actor end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rung {
    Asked,
    Ordered,
    Killed,
}

/// An actor's way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ladder {
    rung: Rung,
    began: Instant,
    due: Option<Instant>,
}

impl Ladder {
    /// The first rung.
    pub(crate) fn ask(now: Instant, limits: &Limits) -> Self {
        Self { rung: Rung::Asked, began: now, due: Some(now + limits.ask) }
    }

    /// The last rung at once.
    pub(crate) fn kill(now: Instant) -> Self {
        Self { rung: Rung::Killed, began: now, due: None }
    }

    /// Where it stands.
    pub(crate) fn rung(&self) -> Rung {
        self.rung
    }

    /// When to look again.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// How long it has taken so far.
    pub(crate) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// The next rung, if it is due. `held_up`: descendants that are themselves being ended are
    /// still there.
    pub(crate) fn climb(&mut self, now: Instant, held_up: bool, limits: &Limits) -> Option<Rung> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        match self.rung {
            Rung::Asked if held_up && self.elapsed(now) < limits.ladder => {
                self.due = Some((now + AFTER_DESCENDANTS).min(self.began + limits.ladder));
                return None;
            }
            Rung::Asked if self.elapsed(now) < limits.ladder => {
                self.rung = Rung::Ordered;
                self.due = Some(now + limits.order);
            }
            Rung::Asked | Rung::Ordered if Protection::Kill.is_off() => return None,
            Rung::Asked | Rung::Ordered => {
                self.rung = Rung::Killed;
                self.due = None;
            }
            Rung::Killed => return None,
        }
        Some(self.rung)
    }

    /// A descendant that held it up is gone.
    pub(crate) fn descendant_gone(&mut self, now: Instant) {
        if let (Rung::Asked, Some(due)) = (self.rung, &mut self.due) {
            *due = (*due).max(now + AFTER_DESCENDANTS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn climb_all(held_up_for: Duration) -> Vec<(Rung, Duration)> {
        let (limits, start) = (Limits::default(), Instant::now());
        let mut ladder = Ladder::ask(start, &limits);
        let mut rungs = Vec::new();
        for ms in 0..3000 {
            let now = start + Duration::from_millis(ms);
            if let Some(rung) = ladder.climb(now, now < start + held_up_for, &limits) {
                rungs.push((rung, ladder.elapsed(now)));
            }
        }
        rungs
    }

    #[test]
    fn a_wedged_actor_is_killed_in_time() {
        let limits = Limits::default();
        assert_eq!(
            climb_all(Duration::ZERO),
            [(Rung::Ordered, limits.ask), (Rung::Killed, limits.ask + limits.order)]
        );
    }

    #[test]
    fn descendants_hold_it_up_but_not_for_ever() {
        let limits = Limits::default();
        assert_eq!(climb_all(Duration::from_secs(60)), [(Rung::Killed, limits.ladder)]);
        assert!(limits.ladder < Duration::from_secs(2));
        let (rung, at) = climb_all(Duration::from_millis(900))[0];
        assert_eq!(rung, Rung::Ordered);
        assert!(at >= Duration::from_millis(900) && at < limits.ladder);
    }
}
