//! Timers that all run equally long, so that they expire in the order they were set.
//!
//! Owns: a queue of contexts with the time each is due. Must not know: the clock, or what is
//! due. Invariant: the queue is sorted, as long as `now` never goes back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::id::ContextId;

/// A queue of contexts to be looked at after a constant delay.
#[derive(Debug)]
pub(crate) struct Timers {
    delay: Duration,
    queue: VecDeque<(Instant, ContextId)>,
}

impl Timers {
    pub(crate) fn new(delay: Duration) -> Self {
        Self { delay, queue: VecDeque::new() }
    }

    /// Sets a timer; a delay that goes past the end of time is never due.
    pub(crate) fn set(&mut self, context: ContextId, now: Instant) {
        if let Some(due) = now.checked_add(self.delay) {
            self.queue.push_back((due, context));
        }
    }

    /// Takes the next context that is due.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<ContextId> {
        self.queue.pop_front_if(|(due, _)| *due <= now).map(|(_, context)| context)
    }

    /// Drops timers from the front as long as nobody needs them, to spare the driver a wake-up.
    pub(crate) fn prune(&mut self, needed: impl Fn(ContextId) -> bool) {
        while self.queue.pop_front_if(|(_, context)| !needed(*context)).is_some() {}
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.front().map(|(due, _)| *due)
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expires_in_order_and_not_early() {
        let start = Instant::now();
        let [one, two] = [1, 2].map(|n| ContextId::new(n).expect("not zero"));
        let mut timers = Timers::new(Duration::from_millis(5));
        timers.set(one, start);
        timers.set(two, start + Duration::from_millis(1));
        assert_eq!(timers.expire(start + Duration::from_millis(4)), None);
        assert_eq!(timers.expire(start + Duration::from_millis(6)), Some(one));
        assert_eq!(timers.expire(start + Duration::from_millis(6)), Some(two));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn an_endless_delay_is_never_due() {
        let mut timers = Timers::new(Duration::MAX);
        timers.set(ContextId::new(1).expect("not zero"), Instant::now());
        assert_eq!(timers.next(), None);
    }
}
