//! Messages on their way to the host.
//!
//! Owns: what was sent and not yet handed over, and when that is done. Must not know: the types of
//! messages, who sends. Invariant: nothing is kept that the peer has no room for, and nothing while a
//! task waits: whatever is gathered when a task has been polled is handed over.
//!
//! A crossing to the host costs more than a small message. So messages that come fast are gathered,
//! as many as the host allows. It allows none to who sends little or slowly.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use serde::Serialize;

use super::Channel;
use crate::bindings::greenroom::portal::streams::{Messages, Sent};
use crate::boundary::{Asked, StreamPort};
use crate::contract::encode_or_offer;

/// How much memory is kept for the next messages.
const KEPT_BYTES: usize = 128 * 1024;

thread_local! {
    /// The streams of which messages are gathered.
    static GATHERING: RefCell<Vec<Rc<Channel>>> = const { RefCell::new(Vec::new()) };
}

/// Hands over whatever is gathered.
pub(crate) fn flush_all() {
    if GATHERING.with_borrow(Vec::is_empty) {
        return;
    }
    for channel in GATHERING.take() {
        // Who sends next is told, and who waits for the context's end.
        let _ = channel.flush();
    }
}

/// Sees to it that what a stream has gathered is handed over.
pub(super) fn register(channel: &Rc<Channel>) {
    GATHERING.with_borrow_mut(|all| {
        // It is registered already if it has handed over since.
        if !all.last().is_some_and(|last| Rc::ptr_eq(last, channel)) {
            all.push(channel.clone());
        }
    });
}

/// What one stream has gathered.
#[derive(Debug)]
pub(super) struct Gathering {
    messages: Messages,
    /// How many messages may be gathered, and how many bytes.
    room: (usize, usize),
}

impl Default for Gathering {
    fn default() -> Self {
        Self { messages: Messages { bytes: Vec::new(), ends: Vec::new() }, room: (0, 0) }
    }
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It is the first that is gathered.
    First,
    /// It is gathered, as others are, or handed over.
    Taken,
    /// There is no room for it: it comes back, encoded, unless it lies apart from its head.
    Refused(Option<Vec<u8>>),
}

impl Gathering {
    pub(super) fn add<T: Serialize>(&mut self, message: &T, port: &dyn StreamPort) -> Asked<Added> {
        loop {
            let before = self.end();
            // What was left by a value whose encoding has panicked.
            self.messages.bytes.truncate(before);
            let Self { messages, room } = self;
            let mut sent = None;
            let encoded = encode_or_offer(message, &mut messages.bytes, |head, tail| {
                if before == 0 {
                    let end = u32::try_from(head.len() + tail.len()).unwrap_or(u32::MAX);
                    sent = Some(cross(&Messages { bytes: head, ends: vec![end] }, tail, room, port));
                }
            })?;
            if encoded {
                return self.added(before, port);
            }
            match sent {
                Some(sent) => return Ok(if sent? == 0 { Added::Refused(None) } else { Added::Taken }),
                // It goes alone.
                None => self.hand_over(port)?,
            }
            if !self.messages.ends.is_empty() {
                return Ok(Added::Refused(None));
            }
        }
    }

    pub(super) fn add_encoded(&mut self, message: Vec<u8>, port: &dyn StreamPort) -> Asked<Added> {
        let before = self.end();
        self.messages.bytes.truncate(before);
        if before == 0 && message.len() > KEPT_BYTES {
            self.messages.bytes = message;
        } else {
            self.messages.bytes.extend_from_slice(&message);
        }
        self.added(before, port)
    }

    /// Where the last message ends.
    fn end(&self) -> usize {
        self.messages.ends.last().map_or(0, |end| *end as usize)
    }

    /// The bytes have grown by one message, which begins there.
    fn added(&mut self, before: usize, port: &dyn StreamPort) -> Asked<Added> {
        if before > 0 && self.messages.bytes.len() > self.room.1 {
            // It does not go with those before it: what is too large is to fail by itself.
            let message = self.messages.bytes.split_off(before);
            self.hand_over(port)?;
            self.messages.bytes.truncate(self.end());
            self.messages.bytes.extend_from_slice(&message);
        }
        let Messages { bytes, ends } = &mut self.messages;
        ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        if ends.len() < self.room.0 && bytes.len() < self.room.1 {
            return Ok(if ends.len() == 1 { Added::First } else { Added::Taken });
        }
        self.hand_over(port)?;
        // What was not taken is the last, as there was room for all that was gathered before.
        let Messages { bytes, ends } = &mut self.messages;
        if ends.pop().is_none() {
            return Ok(Added::Taken);
        }
        Ok(Added::Refused(Some(match ends.last() {
            Some(start) => bytes.split_off(*start as usize),
            None => mem::take(bytes),
        })))
    }

    /// Hands over what is there. What fails is lost: the context has ended, or it is a message that
    /// cannot be sent at all.
    pub(super) fn hand_over(&mut self, port: &dyn StreamPort) -> Asked<()> {
        self.messages.bytes.truncate(self.end());
        while !self.messages.ends.is_empty() {
            let sent = cross(&self.messages, &[], &mut self.room, port);
            let Messages { bytes, ends } = &mut self.messages;
            let count = *sent.as_ref().unwrap_or(&ends.len());
            let end = ends[..count].last().map_or(0, |end| *end as usize);
            ends.drain(..count);
            ends.iter_mut().for_each(|rest| *rest -= end as u32);
            bytes.drain(..end);
            if bytes.is_empty() && bytes.capacity() > KEPT_BYTES {
                *bytes = Vec::new();
            }
            if sent? == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// Takes messages to the host, the end of the last of which may lie apart. Gives how many it took, and
/// has in `room` how many, and how many bytes, may be gathered behind them.
fn cross(messages: &Messages, tail: &[u8], room: &mut (usize, usize), port: &dyn StreamPort) -> Asked<usize> {
    // After an error the next is handed over at once, so that whoever sends it is told.
    *room = (0, 0);
    let Sent { count, gather, gather_bytes } = port.send(messages, tail)?;
    *room = (gather as usize, gather_bytes as usize);
    Ok((count as usize).min(messages.ends.len()))
}
