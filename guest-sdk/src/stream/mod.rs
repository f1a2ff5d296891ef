//! Streams: messages both ways between the two tasks of a context.
//!
//! Owns: [`MsgStream`], its options, and what its two halves share. Must not know: which side of a
//! context it belongs to. Invariant: once the contract is broken, neither half goes on.

mod gathering;
mod hub;
mod receiver;
mod sender;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use greenroom_abi::RemoteError;
use greenroom_abi::kind::DecodeError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::greenroom::portal::streams;
use crate::boundary::{Asked, StreamPort};
use crate::contract::{Dialog, Part};
use gathering::Gathering;

pub(crate) use gathering::flush_all;
pub use hub::Subscription;
pub use receiver::Receiver;
pub use sender::Sender;

/// How many messages are taken from the host at once, where that does no harm.
const MOST_TAKEN: u32 = 256;

/// What becomes of messages for which the receiver has no room. The receiver chooses it, for what
/// it receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overrun {
    /// The sender waits. Nothing is lost.
    #[default]
    Wait,
    /// The sender gets `StreamOverrun`.
    Error,
    /// The oldest messages that nobody has received are dropped; the receiver gets `Lagged`, with
    /// how many.
    DropOldest,
}

/// How a side receives.
///
/// ```
/// # use greenroom_guest::{Overrun, StreamOptions};
/// let options = StreamOptions::new().capacity(16).overrun(Overrun::DropOldest);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    capacity: u32,
    overrun: Overrun,
}

impl StreamOptions {
    /// The host's capacity, and senders that wait.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many messages may wait to be received; 0 stands for the default.
    #[must_use]
    pub fn capacity(self, messages: u32) -> Self {
        Self { capacity: messages, ..self }
    }

    /// What becomes of those for which there is no room.
    #[must_use]
    pub fn overrun(self, overrun: Overrun) -> Self {
        Self { overrun, ..self }
    }

    /// How many messages to take from the host at once. What was taken has left the host's hold,
    /// so it stays a small part of the capacity, and is nothing where old messages may be dropped.
    fn batch(self) -> u32 {
        match (self.overrun, self.capacity) {
            (Overrun::DropOldest | Overrun::Error, _) => 1,
            (Overrun::Wait, 0) => MOST_TAKEN,
            (Overrun::Wait, capacity) => (capacity / 4).clamp(1, MOST_TAKEN),
        }
    }
}

impl From<StreamOptions> for streams::StreamOptions {
    fn from(options: StreamOptions) -> Self {
        let overrun = match options.overrun {
            Overrun::Wait => streams::Overrun::Wait,
            Overrun::Error => streams::Overrun::Error,
            Overrun::DropOldest => streams::Overrun::DropOldest,
        };
        Self { capacity: options.capacity, overrun }
    }
}

/// One side of the stream of a context: it sends `S` and receives `R`, each direction on its own.
///
/// It can be iterated: as a `Stream` of `Result<R, RemoteActorError>` it ends when the peer has
/// closed its direction, or behind the first error other than `Lagged`. Dropping it closes this
/// side's direction and drops what still arrives; the peer does not wait for it.
#[derive(Debug)]
pub struct MsgStream<S, R> {
    sender: Sender<S>,
    receiver: Receiver<R>,
}

impl<S, R> MsgStream<S, R> {
    pub(crate) fn new(channel: Channel, options: StreamOptions) -> Self {
        let channel = Rc::new(channel);
        Self { sender: Sender::new(channel.clone()), receiver: Receiver::new(channel, options.batch()) }
    }

    /// Its two halves, to send and to receive at the same time.
    pub fn split(self) -> (Sender<S>, Receiver<R>) {
        (self.sender, self.receiver)
    }

    /// Ends this side's direction: the peer's iteration ends behind what was sent. What the peer
    /// sends still comes.
    pub fn close(&self) {
        self.sender.close();
    }

    /// As [`Sender::flush`].
    ///
    /// # Errors
    /// As there.
    pub fn flush(&self) -> Result<(), RemoteError> {
        self.sender.flush()
    }

    /// As [`Receiver::subscribe`].
    pub fn subscribe(&mut self) -> Subscription<R>
    where
        R: Clone,
    {
        self.receiver.subscribe()
    }

    /// As [`Receiver::subscribe_with`].
    pub fn subscribe_with(&mut self, capacity: usize) -> Subscription<R>
    where
        R: Clone,
    {
        self.receiver.subscribe_with(capacity)
    }
}

impl<S: Serialize, R> MsgStream<S, R> {
    /// As [`Sender::send`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn send(&self, message: S) -> Result<(), RemoteError> {
        self.sender.send(message).await
    }

    /// As [`Sender::send_encoded`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    pub async fn send_encoded(&self, message: Vec<u8>) -> Result<(), RemoteError>
    where
        S: DeserializeOwned,
    {
        self.sender.send_encoded(message).await
    }

    /// As [`Sender::send_all`].
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send_all(&self, messages: impl IntoIterator<Item = S>) -> Result<(), RemoteError> {
        self.sender.send_all(messages).await
    }

    /// As [`Sender::send_from`].
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send_from(&self, messages: impl Stream<Item = S>) -> Result<(), RemoteError> {
        self.sender.send_from(messages).await
    }
}

impl<S, R: DeserializeOwned> MsgStream<S, R> {
    /// As [`Receiver::receive`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn receive(&mut self) -> Result<Option<R>, RemoteError> {
        self.receiver.receive().await
    }
}

impl<S, R: DeserializeOwned> Stream for MsgStream<S, R> {
    type Item = Result<R, RemoteError>;

    fn poll_next(mut self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(waker)
    }
}

/// What the halves of a stream share.
#[derive(Debug)]
pub(crate) struct Channel {
    port: RefCell<Option<Rc<dyn StreamPort>>>,
    /// What was sent and is still to be handed over.
    gathering: RefCell<Gathering>,
    dialog: Rc<Dialog>,
    sends: Part,
    receives: Part,
    /// Who waits to receive, to be woken by a breach that the sender finds.
    receiving: RefCell<Option<Waker>>,
}

impl Channel {
    /// The callee's side.
    pub(crate) fn of_callee(port: Rc<dyn StreamPort>, dialog: Rc<Dialog>) -> Self {
        Self::new(port, dialog, Part::ToCaller, Part::ToCallee)
    }

    /// The caller's side.
    pub(crate) fn of_caller(port: Rc<dyn StreamPort>, dialog: Rc<Dialog>) -> Self {
        Self::new(port, dialog, Part::ToCallee, Part::ToCaller)
    }

    fn new(port: Rc<dyn StreamPort>, dialog: Rc<Dialog>, sends: Part, receives: Part) -> Self {
        Self {
            port: RefCell::new(Some(port)),
            gathering: RefCell::default(),
            dialog,
            sends,
            receives,
            receiving: RefCell::default(),
        }
    }

    /// The way to the host, as long as the contract is kept.
    pub(crate) fn port(&self) -> Asked<Rc<dyn StreamPort>> {
        if let Err(breach) = self.dialog.intact() {
            self.hang_up();
            return Err(breach);
        }
        Ok(self.port.borrow().clone().expect("only a breach takes it away"))
    }

    /// What came of decoding what was received, or is to be sent.
    fn judge<T>(&self, part: Part, decoded: Result<T, DecodeError>) -> Asked<T> {
        self.dialog.judge(part, decoded).inspect_err(|_| self.hang_up())
    }

    /// Hands over what was gathered.
    fn flush(&self) -> Asked<()> {
        match &*self.port.borrow() {
            Some(port) => self.gathering.borrow_mut().hand_over(&**port),
            None => Ok(()),
        }
    }

    /// Ends this side's direction, behind what was gathered.
    fn close(&self) {
        // Who has gathered is told by what is sent next, or by the end of the context.
        let _ = self.flush();
        if let Some(port) = &*self.port.borrow() {
            port.close();
        }
    }

    /// Ends both directions: the peer sees this one closed, and is not waited for.
    fn hang_up(&self) {
        self.close();
        drop(self.port.take());
        if let Some(waker) = self.receiving.take() {
            waker.wake();
        }
    }
}
