//! Bidirectional streams of messages between the two tasks of a context.
//!
//! Owns: what one may do with a stream, and its local broadcast. Must not know: how messages
//! travel. Invariant: a stream that is dropped holds up nobody.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use greenroom_abi::kind::{EncodeError, Lagged};
use greenroom_abi::{RemoteError, payload};
use greenroom_wire::{Credit, Overrun, Payload};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use crate::dialog::Dialog;
use crate::messages::{Messages, WrongEnds, sizes};

/// How many messages one side of a stream holds, unless its options say otherwise.
const CAPACITY: u64 = 1024;

/// How many it holds at most, whatever they say: even a message without content takes its place.
const MAX_CAPACITY: u64 = 1 << 20;

/// How far behind a subscriber may be. So many places are there from the beginning.
const MAX_BEHIND: usize = 1 << 16;

/// How one side of a stream receives.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamOptions {
    /// How many messages this side holds at most; 0 for the default of 1,024, and never over
    /// 1,048,576. Nor does it hold more than 4 MiB of them, unless one alone is larger.
    pub capacity: u32,
    /// What becomes of messages beyond that.
    pub overrun: Overrun,
}

impl StreamOptions {
    pub(crate) fn capacity(&self) -> u64 {
        if self.capacity == 0 { CAPACITY } else { MAX_CAPACITY.min(self.capacity.into()) }
    }
}

/// What has arrived on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// How many messages were dropped; if any were, what follows them comes with the next batch.
    pub lost: u64,
    /// Those that have arrived, in the order they were sent.
    pub messages: Messages,
    /// Whether none will come behind these.
    pub ended: bool,
}

/// How much the receiver of a stream has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// So many messages.
    pub messages: u64,
    /// A message may be sent as long as there is room for one byte: the last may be larger.
    pub bytes: u64,
}

impl From<Credit> for Room {
    fn from(Credit { messages, bytes }: Credit) -> Self {
        Self { messages, bytes }
    }
}

/// One side of a stream. Dropping it closes this side's direction and drops what still arrives.
#[derive(Debug)]
pub struct MsgStream {
    dialog: Arc<Dialog>,
    /// Present once somebody subscribed.
    hub: Mutex<Option<Hub>>,
    _place: OwnedSemaphorePermit,
}

/// What all subscribers hear.
#[derive(Debug)]
struct Hub {
    passed: broadcast::Sender<Passed>,
    /// How many messages have been passed on, or were dropped on the way here.
    count: u64,
}

impl MsgStream {
    pub(crate) fn open(dialog: Arc<Dialog>, options: StreamOptions) -> Result<Self, Box<RemoteError>> {
        let place = dialog.link().bounds().stream()?;
        dialog.open_stream(options)?;
        Ok(Self { dialog, hub: Mutex::default(), _place: place })
    }

    /// Sends a message, one CBOR item; waits while the receiver is full.
    ///
    /// # Errors
    /// `StreamOverrun` if the receiver does not want the sender to wait; `StreamClosed`; the error
    /// of the peer's task, once that has failed.
    ///
    /// # Cancel safety
    /// A wait that is dropped has sent nothing.
    pub async fn send(&self, message: Bytes) -> Result<(), Box<RemoteError>> {
        while !self.try_send(message.clone())? {
            self.writable().await;
        }
        Ok(())
    }

    /// Sends a message if the receiver has room; false if it has none.
    ///
    /// # Errors
    /// As [`MsgStream::send`].
    pub fn try_send(&self, message: Bytes) -> Result<bool, Box<RemoteError>> {
        let room = self.dialog.admit([message.len()].into_iter())? == 1;
        if room {
            let lent = payload::split(&message).and_then(|at| {
                let (head, content) = message.split_at(at);
                self.dialog.link().lending().lend(head, content)
            });
            self.dialog.send(Messages::of(lent.map_or(Payload::Here(message), Payload::Lent)))?;
        }
        Ok(room)
    }

    /// Copies and sends the first of the messages that lie in these two places, one behind the other, and end
    /// so far from the beginning: as many as the receiver has room for. Gives how many those are; the others are not copied.
    ///
    /// Behind large ones to an actor on another core there is no room until those are on their way: whoever makes the next at
    /// once would keep them from it.
    ///
    /// # Errors
    /// As [`MsgStream::send`], where it is the first that cannot be sent; [`EncodeError`] if they do not
    /// end so.
    pub fn try_send_all(
        &self,
        [bytes, tail]: [&[u8]; 2],
        mut ends: Vec<u32>,
    ) -> Result<usize, Box<RemoteError>> {
        let wrong = |error: WrongEnds| RemoteError::of(&EncodeError { reason: error.to_string() });
        let count = self.dialog.admit(sizes(bytes.len() + tail.len(), &ends).map_err(wrong)?)?;
        ends.truncate(count);
        if let Some(end) = ends.last() {
            let end = *end as usize;
            let rest = end.saturating_sub(bytes.len());
            let (bytes, tail) = (&bytes[..end - rest], &tail[..rest]);
            let last = ends.len().checked_sub(2).map_or(0, |before| ends[before] as usize);
            let head = bytes.get(last..).unwrap_or_default();
            let messages = match self.dialog.link().lending().lend(head, tail) {
                Some(loan) => Messages::lent(Bytes::copy_from_slice(bytes), loan, ends),
                None => Messages::new([bytes, tail].concat().into(), ends),
            };
            self.dialog.send(messages.map_err(wrong)?)?;
            self.dialog.rest_behind(end);
        }
        Ok(count)
    }

    /// How much the receiver has room for. It is kept for whoever sends on this stream.
    pub fn room(&self) -> Room {
        self.dialog.room()
    }

    /// Waits until the receiver has room, or nothing can be sent any more.
    pub async fn writable(&self) {
        self.dialog.writable().await;
    }

    /// Receives a message; none once the peer has closed its direction or its task has returned.
    ///
    /// # Errors
    /// `Lagged`, once, where messages were dropped; the error of the peer's task.
    ///
    /// # Cancel safety
    /// A wait that is dropped has received nothing.
    pub async fn receive(&self) -> Result<Option<Bytes>, Box<RemoteError>> {
        loop {
            let batch = self.try_receive(1)?;
            if batch.lost > 0 {
                return Err(lagged(batch.lost));
            }
            if let Some(message) = batch.messages.iter().next() {
                return Ok(Some(message));
            }
            if batch.ended {
                return Ok(None);
            }
            self.readable().await;
        }
    }

    /// Takes at most `max` of the messages that have arrived.
    ///
    /// # Errors
    /// The error of the peer's task.
    pub fn try_receive(&self, max: usize) -> Result<Batch, Box<RemoteError>> {
        self.dialog.receive(max)
    }

    /// The size of the message that would be received next; 0 if there is none.
    pub fn next_bytes(&self) -> usize {
        self.dialog.next_bytes()
    }

    /// Waits until something has arrived, or nothing will any more.
    pub async fn readable(&self) {
        self.dialog.readable().await;
    }

    /// Ends this side's direction; the other goes on. A closed direction is not reopened.
    pub fn close(&self) {
        self.dialog.close();
    }

    /// A receiver of all messages from now on, beside others. Nobody waits for the slowest: one
    /// that falls more than `capacity` messages behind gets `Lagged`. The first subscription
    /// decides the capacity, at least 1 and at most 65,536.
    pub fn subscribe(self: &Arc<Self>, capacity: usize) -> Subscription {
        let mut hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        let hub = hub.get_or_insert_with(|| Hub {
            passed: broadcast::channel(capacity.clamp(1, MAX_BEHIND)).0,
            count: 0,
        });
        hub.subscribe(self)
    }

    /// Passes the next message on to all subscribers; true if none will come any more.
    fn broadcast(&self) -> Result<bool, Box<RemoteError>> {
        // Under the lock, so that messages keep their order whoever takes them out.
        let mut hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = self.try_receive(1)?;
        let ended = batch.ended && batch.messages.is_empty();
        if let Some(hub) = &mut *hub {
            hub.count += batch.lost;
            for message in batch.messages.iter() {
                // All who listened may have left.
                let _ = hub.passed.send(Passed { place: hub.count, message });
                hub.count += 1;
            }
        }
        Ok(ended)
    }
}

impl Hub {
    fn subscribe(&self, stream: &Arc<MsgStream>) -> Subscription {
        let messages = self.passed.subscribe();
        Subscription { stream: stream.clone(), messages, next: self.count, late: None }
    }
}

/// A message that subscribers are passed.
#[derive(Clone, Debug)]
struct Passed {
    /// How many there were before it.
    place: u64,
    message: Bytes,
}

fn lagged(lost: u64) -> Box<RemoteError> {
    Box::new(RemoteError::of(&Lagged { lost }))
}

impl Drop for MsgStream {
    fn drop(&mut self) {
        self.dialog.close();
        self.dialog.discard();
    }
}

/// A local receiver of a stream's messages, beside others. Whichever of them is ahead takes the
/// next message out of the stream.
#[derive(Debug)]
pub struct Subscription {
    stream: Arc<MsgStream>,
    messages: broadcast::Receiver<Passed>,
    /// The place of the message that is expected.
    next: u64,
    /// One that has come behind others that are lost, once that is told.
    late: Option<Bytes>,
}

impl Subscription {
    /// Receives a message; none once the peer has closed its direction or its task has returned.
    ///
    /// # Errors
    /// `Lagged`, once, where this receiver was too slow; the error of the peer's task.
    ///
    /// # Cancel safety
    /// A wait that is dropped has received nothing.
    pub async fn receive(&mut self) -> Result<Option<Bytes>, Box<RemoteError>> {
        loop {
            if let Some(passed) = self.next_passed() {
                return passed;
            }
            if self.stream.broadcast()? {
                // Another may have passed on the last message just before.
                return self.next_passed().unwrap_or(Ok(None));
            }
            if self.messages.is_empty() {
                tokio::select! {
                    biased;
                    passed = self.messages.recv() => match passed {
                        Ok(passed) => return self.read(passed),
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return Ok(None),
                    },
                    () = self.stream.readable() => {}
                }
            }
        }
    }

    fn next_passed(&mut self) -> Option<Result<Option<Bytes>, Box<RemoteError>>> {
        if let Some(message) = self.late.take() {
            return Some(Ok(Some(message)));
        }
        loop {
            match self.messages.try_recv() {
                Ok(passed) => return Some(self.read(passed)),
                // What comes next tells how many.
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Closed) => return Some(Ok(None)),
                Err(TryRecvError::Empty) => return None,
            }
        }
    }

    fn read(&mut self, Passed { place, message }: Passed) -> Result<Option<Bytes>, Box<RemoteError>> {
        let lost = place - self.next;
        self.next = place + 1;
        if lost == 0 {
            return Ok(Some(message));
        }
        self.late = Some(message);
        Err(lagged(lost))
    }
}

impl Clone for Subscription {
    /// Another receiver, of all messages from now on.
    fn clone(&self) -> Self {
        let hub = self.stream.hub.lock().unwrap_or_else(PoisonError::into_inner);
        hub.as_ref().expect("there is one as long as there are subscriptions").subscribe(&self.stream)
    }
}
