//! What time it is, and how much of it this thread had a core.
//!
//! Owns: telling whether others needed the core. Must not know: what is done with that.

use std::time::{Duration, Instant};

/// Whoever was without a core for longer than that has lost it to another thread.
const AWAY: Duration = Duration::from_micros(2);

/// What time it is, and for how long this thread has run.
pub(crate) trait Clock {
    fn now(&self) -> Instant;

    /// Costs a call of the system.
    fn ran(&self) -> Duration;

    fn moment(&self) -> Moment {
        Moment { at: self.now(), ran: self.ran() }
    }
}

/// The system's clock.
pub(crate) struct System;

impl Clock for System {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn ran(&self) -> Duration {
        greenroom_transport::ran()
    }
}

/// A time, and how long the thread had run by then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    ran: Duration,
}

impl Moment {
    /// Whether another thread had the core since then.
    pub(crate) fn was_away(self, since: Self) -> bool {
        (self.at - since.at).saturating_sub(self.ran.saturating_sub(since.ran)) > AWAY
    }
}

/// A clock that is set by hand.
#[cfg(test)]
pub(crate) struct Hand {
    now: Instant,
    ran: Duration,
}

#[cfg(test)]
impl Hand {
    pub(crate) fn new() -> Self {
        Self { now: Instant::now(), ran: Duration::ZERO }
    }

    /// This thread runs for so long.
    pub(crate) fn run(&mut self, time: Duration) {
        self.now += time;
        self.ran += time;
    }

    /// Others do.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}

#[cfg(test)]
impl Clock for Hand {
    fn now(&self) -> Instant {
        self.now
    }

    fn ran(&self) -> Duration {
        self.ran
    }
}
