//! How many calls a driver lets begin or end before it sends what has come of those.
//!
//! Owns: that number, learnt from whether the other side runs meanwhile. Must not know: what calls are.
//! Invariant: it stays between [`LEAST`] and [`MOST`], and comes back to the least.
//!
//! In small portions, both sides work at the same time: one has the next results to look at while the
//! other goes on. Where both share a core, each portion costs two switches of it instead, and then
//! portions grow until all there is goes at once.

use greenroom_transport::Place;

use crate::clock::{Clock, Moment};

/// Large enough for what a write costs to be small beside what the calls cost.
const LEAST: usize = 16;

const MOST: usize = 1024;

/// What is known of one peer.
#[derive(Debug)]
pub(crate) struct Portion {
    size: usize,
    /// When the last was cut short, until the next begins.
    cut: Option<Moment>,
}

impl Default for Portion {
    fn default() -> Self {
        Self { size: LEAST, cut: None }
    }
}

impl Portion {
    /// How large the next is, of what has come from that place.
    pub(crate) fn begin(&mut self, clock: &impl Clock, place: Place) -> usize {
        self.size = match (place, self.cut.take()) {
            (Place::Here, _) => MOST,
            (Place::Elsewhere, _) => LEAST,
            (Place::Unknown, Some(since)) if clock.moment().was_away(since) => MOST.min(2 * self.size),
            (Place::Unknown, _) => LEAST.max(self.size - 1),
        };
        self.size
    }

    /// It was too small for all there was; the rest is for the next.
    pub(crate) fn cut(&mut self, clock: &impl Clock, place: Place) {
        self.cut = (place == Place::Unknown).then(|| clock.moment());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Hand;

    /// Portions of what never ends.
    fn repeat(times: usize, away: Duration) -> Portion {
        let (mut portion, mut clock) = (Portion::default(), Hand::new());
        for _ in 0..times {
            portion.begin(&clock, Place::Unknown);
            portion.cut(&clock, Place::Unknown);
            clock.run(Duration::from_micros(50));
            clock.pass(away);
        }
        portion.begin(&clock, Place::Unknown);
        portion
    }

    #[test]
    fn stays_small_where_both_run_at_the_same_time() {
        assert_eq!(repeat(100, Duration::ZERO).size, LEAST);
    }

    #[test]
    fn is_all_there_is_for_who_shares_the_core() {
        let mut portion = Portion::default();
        assert_eq!(portion.begin(&Hand::new(), Place::Here), MOST);
        assert_eq!(portion.begin(&Hand::new(), Place::Elsewhere), LEAST);
    }

    #[test]
    fn grows_where_the_core_is_lost_and_shrinks_again() {
        let mut portion = repeat(100, Duration::from_micros(20));
        assert_eq!(portion.size, MOST);
        let clock = Hand::new();
        assert_eq!((0..MOST).map(|_| portion.begin(&clock, Place::Unknown)).last(), Some(LEAST));
    }
}
