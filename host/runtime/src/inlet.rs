//! What arrives on one side of a stream, and what the peer is allowed for it.
//!
//! Owns: the messages that nobody has received yet, how many there may be, which are dropped. Must
//! not know: contexts, links, whether the peer has failed. Invariant: of whatever arrived, the peer
//! is allowed as much again, once: when it has been taken out or was dropped.

use std::collections::VecDeque;

use bytes::Bytes;
use greenroom_wire::{Credit, Overrun};

use crate::stream::{Batch, StreamOptions};
use crate::waiters::Waiters;

/// How many bytes of messages that nobody has received one side of a stream holds, beyond which
/// the sender waits. Two large messages fit, so that one is on the way while one is taken.
const WINDOW_BYTES: u64 = 2 << 20;

/// How many bytes of messages are taken out at once, unless the first is larger.
const BATCH_BYTES: u64 = 1 << 20;

/// How much one side of a stream holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) capacity: u64,
    pub(crate) overrun: Overrun,
}

/// A credit, with what the sender is to do without one.
type Allowed = Option<(Credit, Overrun)>;

/// What arrives.
#[derive(Debug, Default)]
pub(crate) struct Inlet {
    queue: VecDeque<Bytes>,
    /// How many bytes the queue holds.
    held: u64,
    /// How much the peer may hold out, once this side's stream is open.
    window: Option<Window>,
    /// What was taken out and not yet allowed again.
    owed: Credit,
    /// How many messages were dropped before the first in the queue.
    lost: u64,
    /// Nobody receives any more: what comes is dropped.
    deaf: bool,
    /// Nothing more will come.
    stopped: bool,
    waiters: Waiters,
}

impl Inlet {
    /// Opens the stream; gives what the peer may send, unless it has been told before.
    pub(crate) fn open(&mut self, window: Window) -> Allowed {
        if self.window.is_some() {
            return None;
        }
        self.window = Some(window);
        Some((Credit { messages: window.capacity, bytes: WINDOW_BYTES }, window.overrun))
    }

    /// A message has come. One for which the stream was never opened has none to go to.
    pub(crate) fn deliver(&mut self, message: Bytes) -> Allowed {
        let Window { capacity, overrun } = self.window?;
        let size = message.len() as u64;
        if self.deaf {
            return self.consume(1, size);
        }
        // The sender never waits for a receiver that drops.
        let drops = overrun == Overrun::DropOldest;
        if drops {
            self.drop_oldest(capacity, size);
        }
        self.held += size;
        self.queue.push_back(message);
        self.waiters.wake();
        if drops { self.consume(1, size) } else { None }
    }

    /// Takes out at most `max` messages, or how many were dropped before those.
    pub(crate) fn take(&mut self, max: usize) -> (Batch, Allowed) {
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            return (Batch { lost, messages: Vec::new(), ended: false }, None);
        }
        let (mut messages, held) = (Vec::new(), self.held);
        while let Some(message) = self.queue.front().filter(|_| messages.len() < max) {
            let size = held - self.held + message.len() as u64;
            if size > BATCH_BYTES && !messages.is_empty() {
                break;
            }
            messages.extend(self.pop());
        }
        let allowed = self.taken(messages.len() as u64, held - self.held);
        let ended = self.queue.is_empty() && (self.stopped || self.deaf);
        (Batch { lost: 0, messages, ended }, allowed)
    }

    /// The size of the first message; 0 if there is none.
    pub(crate) fn next_bytes(&self) -> usize {
        self.queue.front().map_or(0, Bytes::len)
    }

    /// Whether there is something to take out, the end included.
    pub(crate) fn is_readable(&self) -> bool {
        !self.queue.is_empty() || self.stopped || self.deaf
    }

    /// Who waits for that.
    pub(crate) fn waiters(&mut self) -> &mut Waiters {
        &mut self.waiters
    }

    /// Nothing more will come.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.waiters.wake();
    }

    /// Drops what has arrived, and what will.
    pub(crate) fn deafen(&mut self) -> Allowed {
        self.deaf = true;
        self.lost = 0;
        let (messages, bytes) = (self.queue.len() as u64, std::mem::take(&mut self.held));
        self.queue = VecDeque::new();
        self.waiters.wake();
        let usual = Window { capacity: StreamOptions::default().capacity(), overrun: Overrun::Wait };
        self.open(usual).or_else(|| self.taken(messages, bytes))
    }

    fn pop(&mut self) -> Option<Bytes> {
        let message = self.queue.pop_front()?;
        self.held -= message.len() as u64;
        Some(message)
    }

    /// Makes room for a message of so many bytes.
    fn drop_oldest(&mut self, capacity: u64, size: u64) {
        while (self.queue.len() as u64 >= capacity || self.held + size > WINDOW_BYTES) && self.pop().is_some()
        {
            self.lost += 1;
        }
    }

    /// What the peer is allowed for what was in the queue. One that drops the oldest has allowed it
    /// when it came.
    fn taken(&mut self, messages: u64, bytes: u64) -> Allowed {
        let drops = matches!(self.window, Some(Window { overrun: Overrun::DropOldest, .. }));
        if drops { None } else { self.consume(messages, bytes) }
    }

    /// Counts what is to be allowed, and gives what is due. Allowing half a window at a time costs
    /// few messages; a sender that does not wait is told of every place.
    fn consume(&mut self, messages: u64, bytes: u64) -> Allowed {
        let Window { capacity, overrun } = self.window?;
        self.owed.messages += messages;
        self.owed.bytes += bytes;
        let due = overrun == Overrun::Error
            || self.owed.messages >= capacity.div_ceil(2)
            || self.owed.bytes >= WINDOW_BYTES / 2;
        (due && !self.stopped && self.owed != Credit::default())
            .then(|| (std::mem::take(&mut self.owed), overrun))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inlet(capacity: u64, overrun: Overrun) -> Inlet {
        let mut inlet = Inlet::default();
        assert!(inlet.open(Window { capacity, overrun }).is_some());
        inlet
    }

    fn message(bytes: usize) -> Bytes {
        Bytes::from(vec![0; bytes])
    }

    /// All that was allowed.
    fn sum(allowed: impl IntoIterator<Item = Allowed>) -> Credit {
        allowed.into_iter().flatten().fold(Credit::default(), |sum, (credit, _)| Credit {
            messages: sum.messages + credit.messages,
            bytes: sum.bytes + credit.bytes,
        })
    }

    #[test]
    fn who_drops_the_oldest_holds_no_more_bytes_than_who_does_not() {
        let mut inlet = inlet(1000, Overrun::DropOldest);
        let sizes = [1 << 19; 10];
        let credit = sum(sizes.map(|size| inlet.deliver(message(size))));
        assert_eq!(credit, Credit { messages: 10, bytes: 10 << 19 }, "the sender never waits");
        assert_eq!(inlet.held, WINDOW_BYTES);
        assert_eq!(inlet.take(1).0.lost, 6);
        inlet.deliver(message(3 << 20));
        assert_eq!((inlet.queue.len(), inlet.lost), (1, 4), "one that is larger stands alone");
    }

    #[test]
    fn what_is_dropped_is_allowed_once() {
        for overrun in [Overrun::Wait, Overrun::Error, Overrun::DropOldest] {
            let mut inlet = inlet(4, overrun);
            let came = sum([(); 4].map(|()| inlet.deliver(message(10))));
            let dropped = sum([inlet.deafen()]);
            let after = sum([(); 4].map(|()| inlet.deliver(message(10))));
            let all = came.messages + dropped.messages + after.messages;
            assert_eq!((all, inlet.owed.messages), (8, 0), "{overrun:?}");
        }
    }

    #[test]
    fn nothing_is_allowed_behind_the_end() {
        let mut inlet = inlet(2, Overrun::Wait);
        inlet.deliver(message(1));
        inlet.stop();
        let (batch, allowed) = inlet.take(usize::MAX);
        assert_eq!((batch.messages.len(), batch.ended, allowed), (1, true, None));
    }
}
