//! Timers: many that all run equally long, and those that each context sets for itself.
//!
//! Owns: contexts with the time each is due. Must not know: the clock, or what is due. Invariant:
//! what is due first is found first, as long as `now` never goes back.

use std::collections::{BTreeSet, VecDeque};
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

/// The deadlines of contexts, each with a time of its own.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(BTreeSet<(Instant, ContextId)>);

impl Deadlines {
    pub(crate) fn set(&mut self, due: Instant, context: ContextId) {
        self.0.insert((due, context));
    }

    /// The context has ended.
    pub(crate) fn remove(&mut self, due: Instant, context: ContextId) {
        self.0.remove(&(due, context));
    }

    /// Takes the next context that is due.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<ContextId> {
        self.next().filter(|due| *due <= now)?;
        self.0.pop_first().map(|(_, context)| context)
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(due, _)| *due)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
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

    #[test]
    fn deadlines_pass_in_their_own_order() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let [one, two, three] = [1, 2, 3].map(|n| ContextId::new(n).expect("not zero"));
        let mut deadlines = Deadlines::default();
        deadlines.set(at(9), one);
        deadlines.set(at(5), two);
        deadlines.set(at(5), three);
        deadlines.remove(at(5), three);
        assert_eq!(deadlines.expire(at(4)), None);
        assert_eq!(deadlines.next(), Some(at(5)));
        assert_eq!([(); 3].map(|()| deadlines.expire(at(9))), [Some(two), Some(one), None]);
    }
}
