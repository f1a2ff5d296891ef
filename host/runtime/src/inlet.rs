//! What arrives on one side of a stream, and what the peer is allowed for it.
//!
//! Owns: the messages that nobody has received yet, how many there may be, which are dropped. Must
//! not know: contexts, links, whether the peer has failed. Invariant: of whatever arrived, the peer
//! is allowed as much again, once: when it has been taken out or was dropped.
//!
//! Small messages that arrive one behind the other lie so, in runs, and are taken out as they lie. So
//! none of them takes a block of memory of its own, nor keeps the block in which it arrived.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use greenroom_wire::{Credit, Overrun, Payload};

use crate::messages::Messages;
use crate::stream::{Batch, StreamOptions};
use crate::waiters::Waiters;

/// How many bytes of messages that nobody has received one side of a stream holds, beyond which
/// the sender waits. Four large messages fit, so that neither side waits for the other.
const WINDOW_BYTES: u64 = 4 << 20;

/// From which size on a message stands alone, in the memory in which it arrived.
const LARGE_BYTES: usize = 16 * 1024;

/// How many bytes of small messages lie in one run.
const RUN_BYTES: usize = 64 * 1024;

/// How much one side of a stream holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) capacity: u64,
    pub(crate) overrun: Overrun,
}

/// A credit, with what the sender is to do without one.
type Allowed = Option<(Credit, Overrun)>;

/// Messages that lie one behind the other.
#[derive(Debug)]
enum Run {
    Small { bytes: BytesMut, sizes: VecDeque<u32> },
    Large(Payload),
}

impl Run {
    /// Adds a message; gives it back if it has no place here.
    fn push(&mut self, message: Bytes) -> Option<Bytes> {
        match self {
            Self::Small { bytes, sizes } if bytes.len() + message.len() <= RUN_BYTES => {
                bytes.extend_from_slice(&message);
                sizes.push_back(message.len() as u32);
                None
            }
            Self::Small { .. } | Self::Large(_) => Some(message),
        }
    }

    fn first_bytes(&self) -> usize {
        match self {
            Self::Small { sizes, .. } => sizes.front().map_or(0, |size| *size as usize),
            Self::Large(message) => message.size(),
        }
    }

    /// Takes out the first messages, at most `max`; whether any are left.
    fn take(&mut self, max: usize) -> (Messages, bool) {
        match self {
            Self::Small { bytes, sizes } => {
                let taken = sizes.drain(..max.min(sizes.len()));
                let ends = taken.scan(0, |end, size| {
                    *end += size;
                    Some(*end)
                });
                let ends: Vec<u32> = ends.collect();
                let end = ends.last().map_or(0, |end| *end as usize);
                // What is little does not keep the memory of all.
                let bytes = if 2 * end < bytes.len() {
                    let taken = Bytes::copy_from_slice(&bytes[..end]);
                    bytes.advance(end);
                    taken
                } else {
                    bytes.split_to(end).freeze()
                };
                (Messages::new(bytes, ends).unwrap_or_default(), !sizes.is_empty())
            }
            Self::Large(message) => (Messages::of(message.clone()), false),
        }
    }

    /// Drops the first message; whether any are left.
    fn drop_first(&mut self) -> bool {
        match self {
            Self::Small { bytes, sizes } => {
                bytes.advance(sizes.pop_front().map_or(0, |size| size as usize));
                !sizes.is_empty()
            }
            Self::Large(_) => false,
        }
    }
}

/// What arrives.
#[derive(Debug, Default)]
pub(crate) struct Inlet {
    /// None of them is empty.
    runs: VecDeque<Run>,
    /// How many messages the runs hold.
    count: u64,
    /// How many bytes they hold.
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
    pub(crate) fn deliver(&mut self, message: Payload) -> Allowed {
        if self.stopped {
            return None;
        }
        let Window { capacity, overrun } = self.window?;
        let size = message.size() as u64;
        if self.deaf {
            return self.consume(1, size);
        }
        // The sender never waits for a receiver that drops.
        let drops = overrun == Overrun::DropOldest;
        if drops {
            self.drop_oldest(capacity, size);
        }
        self.push(message);
        self.waiters.wake();
        if drops { self.consume(1, size) } else { None }
    }

    /// Takes out at most `max` messages, or how many were dropped before those.
    pub(crate) fn take(&mut self, max: usize) -> (Batch, Allowed) {
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            return (Batch { lost, messages: Messages::default(), ended: false }, None);
        }
        let mut messages = Messages::default();
        if let Some(run) = self.runs.front_mut().filter(|_| max > 0) {
            let (taken, more) = run.take(max);
            messages = taken;
            if !more {
                self.runs.pop_front();
            }
        }
        let (count, bytes) = (messages.len() as u64, messages.bytes() as u64);
        self.count -= count;
        self.held -= bytes;
        let allowed = self.taken(count, bytes);
        let ended = self.runs.is_empty() && (self.stopped || self.deaf);
        (Batch { lost: 0, messages, ended }, allowed)
    }

    /// The size of the first message; 0 if there is none.
    pub(crate) fn next_bytes(&self) -> usize {
        self.runs.front().map_or(0, Run::first_bytes)
    }

    /// Whether there is something to take out, the end included.
    pub(crate) fn is_readable(&self) -> bool {
        !self.runs.is_empty() || self.stopped || self.deaf
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

    /// Nothing more will come, from a peer that may be gone: what it has lent is copied, unless nobody can receive
    /// it any more.
    pub(crate) fn end(&mut self, failed: bool) {
        if failed {
            (self.runs, self.count, self.held) = Default::default();
        }
        for run in &mut self.runs {
            if let Run::Large(message) = run {
                *message = message.to_bytes().into();
            }
        }
        self.stop();
    }

    /// Drops what has arrived, and what will.
    pub(crate) fn deafen(&mut self) -> Allowed {
        self.deaf = true;
        self.lost = 0;
        let (messages, bytes) = (std::mem::take(&mut self.count), std::mem::take(&mut self.held));
        self.runs = VecDeque::new();
        self.waiters.wake();
        let usual = Window { capacity: StreamOptions::default().capacity(), overrun: Overrun::Wait };
        self.open(usual).or_else(|| self.taken(messages, bytes))
    }

    fn push(&mut self, message: Payload) {
        self.count += 1;
        self.held += message.size() as u64;
        let message = match message {
            Payload::Here(message) if message.len() < LARGE_BYTES => message,
            large => return self.runs.push_back(Run::Large(large)),
        };
        let left = match self.runs.back_mut() {
            Some(run) => run.push(message),
            None => Some(message),
        };
        if let Some(message) = left {
            let sizes = VecDeque::from([message.len() as u32]);
            self.runs.push_back(Run::Small { bytes: BytesMut::from(&message[..]), sizes });
        }
    }

    /// Makes room for a message of so many bytes.
    fn drop_oldest(&mut self, capacity: u64, size: u64) {
        while self.count >= capacity || self.held + size > WINDOW_BYTES {
            let Some(run) = self.runs.front_mut() else { return };
            self.held -= run.first_bytes() as u64;
            self.count -= 1;
            self.lost += 1;
            if !run.drop_first() {
                self.runs.pop_front();
            }
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
    use std::sync::Arc;

    use greenroom_wire::{Lent, Loan};

    use super::*;

    fn inlet(capacity: u64, overrun: Overrun) -> Inlet {
        let mut inlet = Inlet::default();
        assert!(inlet.open(Window { capacity, overrun }).is_some());
        inlet
    }

    fn message(bytes: usize) -> Payload {
        Bytes::from(vec![0; bytes]).into()
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
        let sizes = [1 << 20; 10];
        let credit = sum(sizes.map(|size| inlet.deliver(message(size))));
        assert_eq!(credit, Credit { messages: 10, bytes: 10 << 20 }, "the sender never waits");
        assert_eq!(inlet.held, WINDOW_BYTES);
        assert_eq!(inlet.take(1).0.lost, 6);
        inlet.deliver(message(5 << 20));
        assert_eq!((inlet.count, inlet.lost), (1, 4), "one that is larger stands alone");
    }

    #[test]
    fn messages_of_all_sizes_keep_their_order_however_many_are_taken() {
        let sizes =
            [0, 1, LARGE_BYTES - 1, LARGE_BYTES, 3, RUN_BYTES, 0, 9000, 9000, 9000, 9000, 9000, 9000, 9000];
        for max in 1..sizes.len() {
            let mut inlet = inlet(100, Overrun::Wait);
            for (place, size) in sizes.into_iter().enumerate() {
                inlet.deliver(Bytes::from(vec![place as u8; size]).into());
            }
            let mut taken = Vec::new();
            while inlet.is_readable() {
                assert_eq!(inlet.next_bytes(), sizes[taken.len()]);
                let messages = inlet.take(max).0.messages;
                assert!((1..=max).contains(&messages.len()));
                taken.extend(messages.iter());
            }
            let expected = sizes.into_iter().enumerate().map(|(place, size)| vec![place as u8; size]);
            assert_eq!(taken, expected.collect::<Vec<_>>());
            assert_eq!((inlet.count, inlet.held), (0, 0));
        }
    }

    #[test]
    fn the_oldest_are_dropped_out_of_the_middle_of_a_run() {
        let mut inlet = inlet(3, Overrun::DropOldest);
        for number in 0..5 {
            inlet.deliver(Bytes::from(vec![number; 2]).into());
        }
        assert_eq!(inlet.take(9).0.lost, 2);
        let left: Vec<Bytes> = inlet.take(9).0.messages.iter().collect();
        assert_eq!(left, [&[2, 2][..], &[3, 3], &[4, 4]]);
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

    /// Content that is lent as long as somebody holds the token.
    #[derive(Debug)]
    struct Held(Vec<u8>, #[expect(dead_code, reason = "it is counted")] Arc<()>);

    impl Lent for Held {
        fn place(&self) -> u64 {
            0
        }

        fn bytes(&self) -> *const [u8] {
            &raw const *self.0
        }

        fn copy_to(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.0);
        }

        fn depart(&self) {}
    }

    #[test]
    fn what_is_lent_is_kept_only_until_the_end() {
        let (mut inlet, token) = (inlet(9, Overrun::Wait), Arc::new(()));
        for byte in 0..2 {
            inlet.deliver(Payload::Lent(Loan::new(Held(vec![byte; 300], token.clone()))));
        }
        let whole = |byte| [&b"\x59\x01\x2c"[..], &[byte; 300]].concat();
        let next = |inlet: &mut Inlet| inlet.take(1).0.messages.iter().next().expect("one");
        assert_eq!(next(&mut inlet), whole(0));
        assert_eq!(Arc::strong_count(&token), 2, "the other is lent");
        inlet.end(false);
        assert_eq!(Arc::strong_count(&token), 1, "whoever has lent it may be gone");
        inlet.deliver(Payload::Lent(Loan::new(Held(vec![2; 300], token.clone()))));
        assert_eq!(Arc::strong_count(&token), 1, "it comes too late");
        assert_eq!(next(&mut inlet), whole(1));
        assert!(inlet.take(1).0.ended);
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
