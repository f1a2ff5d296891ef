//! How long a driver looks again and again before it sleeps.
//!
//! Owns: whether looking pays, learnt from how soon input came. Must not know: what is looked at.
//! Invariant: whoever has nothing to do looks for no longer than [`LOOK`] and then sleeps; where
//! looking is of no use, it is tried ever more rarely.
//!
//! To wake a thread that sleeps on another core takes longer than most calls do. So who has just been
//! answered at once waits awake for a moment. That is of use only where the other side runs meanwhile: on
//! one core, or on a busy machine, it never does, and after some attempts nobody looks any more.

use std::time::{Duration, Instant};

use greenroom_transport::Place;

use crate::clock::{Clock, Moment};

/// For how long one looks: what it takes to wake the other side, and what that takes meanwhile. So it is
/// worth it to look for one who sleeps, who then has reason to look, too.
const LOOK: Duration = Duration::from_micros(100);

/// What came within this time, to one that slept, might have come to one that looked.
const SOON: Duration = Duration::from_micros(200);

/// How much a look in vain costs, in looks that were worth it.
const VAIN: u32 = 8;

/// How much the first attempt may lose before it is given up, and how much can be won at most.
const STAKE: u32 = 3 * VAIN;
const MAX_WON: u32 = 8 * VAIN;

/// How many waits are slept through after an attempt; as many after the next that fails, doubled.
const REST: u32 = 64;
const MAX_REST: u32 = 1 << 13;

/// What is known of one place at which input arrives.
#[derive(Debug)]
pub(crate) struct Patience {
    state: State,
    /// Whether the last input came soon.
    soon: bool,
    /// What is left to be lost.
    stake: u32,
    /// How many waits are still to be slept through, and how many the next time.
    rest: u32,
    next_rest: u32,
}

#[derive(Debug)]
enum State {
    /// There is something to do.
    Busy,
    /// Looks for the first time. What is found then was there already, and costs no look at the clock.
    Glancing,
    /// Looks.
    Looking(Look),
    /// Sleeps, since then.
    Sleeping(Instant),
    /// Sleeps, as it will the next time: for how long is of no matter.
    Resting,
}

/// Since when one looks.
#[derive(Clone, Copy, Debug)]
enum Look {
    /// For what comes from another core.
    Apart(Instant),
    /// For what may come because another has been given the core of the one who looks.
    Alone(Moment),
}

impl Default for Patience {
    fn default() -> Self {
        Self { state: State::Busy, soon: false, stake: STAKE, rest: 0, next_rest: REST }
    }
}

impl Patience {
    /// There is nothing to do: whether to look again at once, for what comes from that place.
    pub(crate) fn looks(&mut self, clock: &impl Clock, place: Place) -> bool {
        match self.state {
            State::Sleeping(_) | State::Resting => false,
            _ if place == Place::Here => {
                self.state = State::Resting;
                false
            }
            State::Busy if self.rest > 1 => {
                self.rest -= 1;
                self.state = State::Resting;
                false
            }
            State::Busy => {
                let looks = self.soon && self.rest == 0;
                self.rest = 0;
                self.state = if looks { State::Glancing } else { State::Sleeping(clock.now()) };
                looks
            }
            State::Glancing => {
                self.state = State::Looking(match place {
                    Place::Elsewhere => Look::Apart(clock.now()),
                    Place::Unknown | Place::Here => Look::Alone(clock.moment()),
                });
                true
            }
            State::Looking(Look::Apart(since) | Look::Alone(Moment { at: since, .. })) => {
                let now = clock.now();
                let looks = now - since < LOOK;
                if !looks {
                    self.lose();
                    self.state = State::Sleeping(now);
                }
                looks
            }
        }
    }

    /// There was something to do that has not come as input: the next wait is another.
    pub(crate) fn worked(&mut self) {
        self.state = State::Busy;
    }

    /// Input has come.
    pub(crate) fn came(&mut self, clock: &impl Clock) {
        match std::mem::replace(&mut self.state, State::Busy) {
            State::Busy | State::Glancing | State::Resting => {}
            State::Looking(look) => {
                let meanwhile = match look {
                    Look::Apart(since) => clock.now() - since < LOOK,
                    Look::Alone(since) => {
                        let now = clock.moment();
                        // Or else it came because its sender was given the core, which needs it more.
                        now.at - since.at < LOOK && !now.was_away(since)
                    }
                };
                if meanwhile { self.win() } else { self.lose() }
            }
            State::Sleeping(since) => self.soon = clock.now() - since < SOON,
        }
    }

    fn win(&mut self) {
        self.stake = MAX_WON.min(self.stake + 1);
        if self.stake == MAX_WON {
            self.next_rest = REST;
        }
    }

    fn lose(&mut self) {
        self.stake = self.stake.saturating_sub(VAIN);
        if self.stake == 0 {
            // Who has given up tries again with a single look.
            self.stake = VAIN;
            self.rest = self.next_rest;
            self.next_rest = MAX_REST.min(2 * self.next_rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Hand;

    /// One wait after the other.
    struct Waits {
        patience: Patience,
        clock: Hand,
        place: Place,
    }

    impl Waits {
        fn new() -> Self {
            Self { patience: Patience::default(), clock: Hand::new(), place: Place::Unknown }
        }

        /// Waits for what comes after so long; whether it looked, and whether it looked at the end.
        fn wait(&mut self, takes: Duration) -> (bool, bool) {
            self.wait_away(takes, Duration::ZERO)
        }

        /// The same, where somebody else has the core for a part of it.
        fn wait_away(&mut self, takes: Duration, away: Duration) -> (bool, bool) {
            let end = self.clock.now() + takes;
            let looked =
                self.patience.looks(&self.clock, self.place) && self.patience.looks(&self.clock, self.place);
            self.clock.pass(away);
            while self.clock.now() < end && self.patience.looks(&self.clock, self.place) {
                self.clock.run(Duration::from_micros(1));
            }
            self.clock.pass(end - self.clock.now());
            let looks = matches!(self.patience.state, State::Looking(_));
            self.patience.came(&self.clock);
            (looked, looks)
        }
    }

    #[test]
    fn looks_where_answers_come_at_once() {
        let mut waits = Waits::new();
        assert_eq!(waits.wait(Duration::from_micros(50)), (false, false), "nothing is known yet");
        for _ in 0..100 {
            assert_eq!(waits.wait(Duration::from_micros(10)), (true, true));
        }
    }

    #[test]
    fn sleeps_where_nothing_comes_soon() {
        let mut waits = Waits::new();
        for _ in 0..100 {
            assert_eq!(waits.wait(Duration::from_millis(1)), (false, false));
        }
        waits.wait(Duration::ZERO);
        assert_eq!(waits.wait(Duration::from_secs(1)), (true, false), "no longer than that");
        assert_eq!(waits.wait(Duration::from_micros(10)), (false, false));
    }

    #[test]
    fn a_glance_that_is_enough_says_nothing() {
        let mut waits = Waits::new();
        waits.wait(Duration::from_micros(1));
        for _ in 0..1000 {
            assert!(waits.patience.looks(&waits.clock, waits.place));
            // The other side had the core, because the last output has woken it.
            waits.clock.pass(Duration::from_micros(10));
            waits.patience.came(&waits.clock);
        }
        assert_eq!((waits.patience.stake, waits.patience.next_rest), (STAKE, REST));
    }

    #[test]
    fn what_is_done_meanwhile_is_no_wait() {
        let mut waits = Waits::new();
        waits.wait(Duration::from_micros(1));
        for _ in 0..1000 {
            assert!(
                waits.patience.looks(&waits.clock, waits.place)
                    && waits.patience.looks(&waits.clock, waits.place)
            );
            waits.clock.run(Duration::from_micros(500));
            waits.patience.worked();
            waits.patience.came(&waits.clock);
        }
        assert_eq!((waits.patience.stake, waits.patience.next_rest), (STAKE, REST));
    }

    #[test]
    fn gives_up_where_input_comes_for_want_of_the_core() {
        let mut waits = Waits::new();
        let (long, away) = (Duration::from_micros(20), Duration::from_micros(10));
        let looked = (0..100_000).filter(|_| waits.wait_away(long, away).0).count();
        assert!((1..100).contains(&looked), "{looked} times");
    }

    #[test]
    fn does_not_look_for_who_shares_the_core() {
        let mut waits = Waits::new();
        waits.wait(Duration::from_micros(1));
        waits.place = Place::Here;
        for _ in 0..1000 {
            assert_eq!(waits.wait(Duration::from_micros(1)), (false, false));
        }
        waits.place = Place::Elsewhere;
        assert_eq!(waits.wait(Duration::from_micros(10)), (true, true), "nothing was lost by it");
    }

    #[test]
    fn who_is_elsewhere_needs_no_core_of_ours() {
        let mut waits = Waits::new();
        waits.place = Place::Elsewhere;
        waits.wait(Duration::from_micros(1));
        let (long, away) = (Duration::from_micros(20), Duration::from_micros(10));
        assert!((0..1000).all(|_| waits.wait_away(long, away) == (true, true)));
    }

    #[test]
    fn tries_again_with_a_single_look() {
        let mut waits = Waits::new();
        let looked: Vec<bool> = (0..300).map(|_| waits.wait(Duration::from_micros(150)).0).collect();
        let looks: Vec<usize> = (0..300).filter(|at| looked[*at]).collect();
        let rest = REST as usize;
        assert_eq!(looks, [1, 2, 3, 4 + rest, 5 + 3 * rest]);
    }

    #[test]
    fn gives_up_where_looking_keeps_the_other_from_running() {
        let mut waits = Waits::new();
        let looked = (0..100_000).filter(|_| waits.wait(Duration::from_micros(150)).0).count();
        assert!((1..100).contains(&looked), "{looked} times");
        // And comes back once it pays again.
        let paid = (0..20_000).filter(|_| waits.wait(Duration::from_micros(10)).1).count();
        assert!(paid > 10_000, "{paid} times");
    }
}
