//! What one side of a context has to send.
//!
//! Owns: the queue of its payloads, and the cutting of large ones. Must not know: turns, what
//! arrives, credit. Invariant: payloads leave in the order they were queued; nothing is queued
//! that the peer would call a violation.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;

use super::direction::Direction;
use crate::config::CHUNK;
use crate::id::ContextId;
use crate::message::Message;
use crate::output::{LARGE, Output};
use crate::payload::Payload;

/// Up to which size messages of a stream share a turn.
const SMALL_BYTES: usize = 1024;

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The arguments.
    Start,
    /// The callee's first value.
    Started,
    /// A message of the stream.
    Yield,
    /// The end of the stream, whose payload is empty.
    Stop,
    /// The callee's value.
    Return,
    /// The callee's error.
    Error,
}

/// A payload, or what is left of it.
#[derive(Debug)]
struct Item {
    kind: Kind,
    payload: Payload,
}

/// The next frame of a queue.
#[derive(Debug)]
pub(crate) enum Frame {
    /// A part of a payload; others follow.
    More(Bytes),
    /// The last or only part.
    Last(Kind, Payload),
}

impl Frame {
    /// Writes it as this message, which was made of it.
    pub(crate) fn transmit(&self, message: &Message<'_>, out: &mut impl Output) {
        match self {
            Self::More(payload) | Self::Last(_, Payload::Here(payload))
                if payload.len() >= LARGE && message.ends_with_payload() =>
            {
                message.encode_head(out.end());
                out.attach(payload);
            }
            Self::Last(_, Payload::Lent(loan)) => {
                message.encode(out.end());
                loan.depart();
            }
            Self::More(_) | Self::Last(..) => message.encode(out.end()),
        }
    }

    /// As a message; a `Start` still lacks what only the caller knows.
    pub(crate) fn message(&self, context: ContextId) -> Message<'_> {
        let (kind, payload) = match self {
            Self::More(chunk) => return Message::More { context, chunk },
            Self::Last(_, Payload::Lent(loan)) => {
                return Message::Lend { context, place: loan.place(), size: loan.size() as u64 };
            }
            Self::Last(kind, Payload::Here(payload)) => (kind, payload),
        };
        match kind {
            Kind::Start => {
                Message::Start { context, function: "", kwargs: payload, deadline_us: None, dialog: false }
            }
            Kind::Started => Message::Started { context, payload },
            Kind::Yield => Message::Yield { context, payload },
            Kind::Stop => Message::Stop { context },
            Kind::Return => Message::Return { context, payload },
            Kind::Error => Message::Error { context, payload },
        }
    }
}

/// The queue of one side. A plain call only ever uses `current`, and allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    direction: Direction,
    current: Option<Item>,
    /// Parts of `current` have left.
    begun: bool,
    queue: VecDeque<Item>,
    /// How much waits, each item with what it takes beside its payload.
    waiting: usize,
}

impl Outgoing {
    pub(crate) fn new(direction: Direction) -> Self {
        Self { direction, ..Self::default() }
    }

    /// About how many bytes it holds that are yet to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(crate) fn has_data(&self) -> bool {
        self.current.is_some()
    }

    /// Whether what comes next is a small message of the stream.
    pub(crate) fn has_small_message(&self) -> bool {
        let small = |item: &Item| item.kind == Kind::Yield && item.payload.size() < SMALL_BYTES;
        !self.begun && self.current.as_ref().is_some_and(small)
    }

    /// Queues a payload or the end of the stream; false if it has no place there.
    pub(crate) fn offer(&mut self, context: ContextId, kind: Kind, payload: impl Into<Payload>) -> bool {
        let payload = payload.into();
        let allowed = match kind {
            Kind::Started => self.direction.started(context),
            Kind::Yield => self.direction.message(context),
            Kind::Stop => self.direction.stop(context),
            Kind::Start => Ok(()),
            Kind::Return | Kind::Error => {
                self.direction.close();
                Ok(())
            }
        };
        if allowed.is_err() {
            return false;
        }
        self.waiting += size_of::<Item>() + payload.size();
        let item = Item { kind, payload };
        match self.current {
            None => self.current = Some(item),
            Some(_) => self.queue.push_back(item),
        }
        true
    }

    /// Drops the queue and takes no more.
    pub(crate) fn close(&mut self) {
        self.direction.close();
        self.current = None;
        self.begun = false;
        self.queue = VecDeque::new();
        self.waiting = 0;
    }

    /// Drops the queue for an error that does not wait. Gives what has to go directly before it: a
    /// `Stop`, because parts of a payload have left that will never be whole; or the first value, where
    /// that is one frame, so that who waits for it does not hear of the error alone.
    pub(crate) fn fail(&mut self, context: ContextId, error: Bytes) -> Option<Frame> {
        let before = match self.current.take() {
            _ if self.begun => Some(Frame::Last(Kind::Stop, Bytes::new().into())),
            Some(Item { kind: Kind::Started, payload }) if payload.size() <= CHUNK => {
                Some(Frame::Last(Kind::Started, payload))
            }
            _ => None,
        };
        self.close();
        self.offer(context, Kind::Error, error);
        before
    }

    /// Takes the next frame, with at most so much of a payload.
    pub(crate) fn next(&mut self, most: usize) -> Option<Frame> {
        let item = self.current.as_mut()?;
        if let Payload::Here(left) = &mut item.payload
            && left.len() > most
        {
            self.begun = true;
            self.waiting -= most;
            return Some(Frame::More(left.split_to(most)));
        }
        self.begun = false;
        self.waiting -= size_of::<Item>() + item.payload.size();
        let next = self.queue.pop_front();
        mem::replace(&mut self.current, next).map(|item| Frame::Last(item.kind, item.payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_waits() {
        let context = ContextId::new(1).expect("not zero");
        let mut outgoing = Outgoing::new(Direction::Open);
        for size in [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            assert!(outgoing.offer(context, Kind::Yield, Bytes::from(vec![0; size])));
        }
        let mut before = outgoing.waiting();
        assert_eq!(before, 5 * (CHUNK + size_of::<Item>()) + 2);
        while outgoing.next(CHUNK).is_some() {
            assert!(outgoing.waiting() < before, "an empty message counts");
            before = outgoing.waiting();
        }
        assert_eq!(before, 0);
        outgoing.offer(context, Kind::Yield, Bytes::from_static(b"x"));
        outgoing.close();
        assert_eq!(outgoing.waiting(), 0);
    }
}
