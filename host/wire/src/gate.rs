//! A bound on how much is told in a second, where what is too much is dropped and counted.
//!
//! Owns: the count. Must not know: the clock, or what is told. Invariant: whatever is dropped is
//! counted, and its number given once.

use std::time::{Duration, Instant};

/// Over what time it is counted.
const SPAN: Duration = Duration::from_secs(1);

/// Lets so many through in each second.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    most: usize,
    /// When the second that runs now is over.
    until: Option<Instant>,
    passed: usize,
    dropped: u64,
}

/// What becomes of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It goes through; before it so many were dropped that nobody was told of.
    Through {
        /// How many.
        dropped: u64,
    },
    /// It is dropped. The first of its second tells when that is over.
    Dropped {
        /// From when on the next goes through.
        until: Option<Instant>,
    },
}

impl Gate {
    /// One that lets so many through in a second.
    pub fn new(most: usize) -> Self {
        Self { most, until: None, passed: 0, dropped: 0 }
    }

    /// Whether one goes through.
    pub fn pass(&mut self, now: Instant) -> Passage {
        if self.until.is_none_or(|until| until <= now) {
            (self.until, self.passed) = (now.checked_add(SPAN), 0);
        }
        if self.passed < self.most {
            self.passed += 1;
            return Passage::Through { dropped: self.dropped() };
        }
        self.dropped += 1;
        Passage::Dropped { until: self.until.filter(|_| self.dropped == 1) }
    }

    /// How many were dropped that nobody was told of.
    pub fn dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted_and_told_once() {
        let start = Instant::now();
        let mut gate = Gate::new(2);
        let mut pass = |ms| gate.pass(start + Duration::from_millis(ms));
        assert_eq!([pass(0), pass(1)], [Passage::Through { dropped: 0 }; 2]);
        assert_eq!(pass(2), Passage::Dropped { until: Some(start + SPAN) });
        assert_eq!(pass(999), Passage::Dropped { until: None });
        assert_eq!(pass(1000), Passage::Through { dropped: 2 });
        assert_eq!(pass(1001), Passage::Through { dropped: 0 });
        assert_eq!(pass(1002), Passage::Dropped { until: Some(start + 2 * SPAN) });
        assert_eq!(gate.dropped(), 1);
        assert_eq!(gate.dropped(), 0);
    }
}
