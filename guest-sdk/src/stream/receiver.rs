//! The receiving half of a stream.
//!
//! Owns: taking messages from the host, and whether they go to one receiver or to subscriptions.
//! Must not know: the other half. Invariant: what was taken is given to somebody, whichever futures
//! are dropped meanwhile.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use greenroom_abi::kind::Lagged;
use greenroom_abi::{RemoteError, payload};
use serde::de::DeserializeOwned;

use super::Channel;
use super::hub::{self, SharedHub, Subscription};
use crate::bindings::greenroom::portal::streams::Messages;
use crate::boundary::LocalFuture;

/// How many messages a subscription may fall behind, unless it says otherwise.
const BEHIND: usize = 64;

/// What a stream has for a receiver.
#[derive(Debug)]
pub(super) enum Item<R> {
    Message(R),
    /// So many messages were lost before the next.
    Lost(u64),
    /// Nothing comes any more; said again each time.
    End(Result<(), Box<RemoteError>>),
}

impl<R> Item<R> {
    /// As `receive` gives it.
    pub(super) fn received(self) -> Result<Option<R>, RemoteError> {
        match self {
            Self::Message(message) => Ok(Some(message)),
            Self::Lost(lost) => Err(RemoteError::of(&Lagged { lost })),
            Self::End(Ok(())) => Ok(None),
            Self::End(Err(error)) => Err(*error),
        }
    }
}

/// Messages that were taken from the host.
#[derive(Debug, Default)]
struct Taken {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    /// The end of the last of them, behind the bytes.
    tail: Vec<u8>,
    /// How many of them have been given on, and how many bytes those have.
    given: (usize, usize),
}

impl Taken {
    fn new(Messages { bytes, ends }: Messages, tail: Vec<u8>) -> Self {
        Self { bytes, ends, tail, given: (0, 0) }
    }

    fn is_empty(&self) -> bool {
        self.given.0 == self.ends.len()
    }

    /// The next, and its end that lies apart.
    fn next(&mut self) -> Option<(&[u8], Vec<u8>)> {
        let (count, start) = self.given;
        let end = *self.ends.get(count)? as usize;
        self.given = (count + 1, end);
        let tail = if self.is_empty() { mem::take(&mut self.tail) } else { Vec::new() };
        Some((&self.bytes[start..end - tail.len()], tail))
    }
}

/// The stream, as it comes from the host.
pub(super) struct Source<R> {
    channel: Rc<Channel>,
    /// How many messages to take at once.
    batch: u32,
    taken: Taken,
    end: Option<Result<(), Box<RemoteError>>>,
    waiting: Option<LocalFuture<'static, ()>>,
    messages: PhantomData<fn() -> R>,
}

impl<R> Source<R> {
    fn new(channel: Rc<Channel>, batch: u32) -> Self {
        Self { channel, batch, taken: Taken::default(), end: None, waiting: None, messages: PhantomData }
    }

    /// Moves everything to a new owner.
    fn hand_on(&mut self) -> Self {
        let emptied = Self::new(self.channel.clone(), self.batch);
        mem::replace(self, emptied)
    }
}

impl<R: DeserializeOwned> Source<R> {
    pub(super) fn poll(&mut self, waker: &mut Context<'_>) -> Poll<Item<R>> {
        loop {
            let port = match self.channel.port() {
                Ok(port) => port,
                Err(breach) => return self.fail(breach),
            };
            if let Some((message, tail)) = self.taken.next() {
                let decoded = payload::decode_joined(message, tail);
                return match self.channel.judge(self.channel.receives, decoded) {
                    Ok(message) => Poll::Ready(Item::Message(message)),
                    Err(breach) => self.fail(breach),
                };
            }
            if let Some(end) = &self.end {
                return Poll::Ready(Item::End(end.clone()));
            }
            if let Some(waiting) = &mut self.waiting {
                self.channel.receiving.replace(Some(waker.waker().clone()));
                ready!(waiting.as_mut().poll(waker));
                self.waiting = None;
            }
            match port.receive(self.batch) {
                Ok(batch) => {
                    self.end = batch.ended.then_some(Ok(()));
                    self.taken = Taken::new(batch.messages, batch.tail);
                    if batch.lost > 0 {
                        return Poll::Ready(Item::Lost(batch.lost));
                    }
                    if self.taken.is_empty() && !batch.ended {
                        self.waiting = Some(port.readable());
                    }
                }
                Err(error) => return self.fail(error),
            }
        }
    }

    fn fail(&mut self, error: RemoteError) -> Poll<Item<R>> {
        self.waiting = None;
        let end = Err(Box::new(error));
        self.end = Some(end.clone());
        Poll::Ready(Item::End(end))
    }
}

impl<R> std::fmt::Debug for Source<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { channel, taken, end, .. } = self;
        f.debug_struct("Source")
            .field("channel", channel)
            .field("taken", taken)
            .field("end", end)
            .finish_non_exhaustive()
    }
}

/// Where the messages of a stream go.
#[derive(Debug)]
enum Route<R> {
    /// To the stream's own receiver.
    Direct(Source<R>),
    /// To subscriptions. The stream's own receiver is one of them once it is used.
    Shared { hub: SharedHub<R>, own: Option<Subscription<R>> },
}

/// The half of a stream that receives, and, as a `Stream`, iterates.
///
/// Dropping it alone leaves what arrives where it is, and a sender that waits for room waiting,
/// until the sending half is dropped too.
#[derive(Debug)]
pub struct Receiver<R> {
    route: Route<R>,
    iteration: Iteration,
}

impl<R> Receiver<R> {
    pub(super) fn new(channel: Rc<Channel>, batch: u32) -> Self {
        Self { route: Route::Direct(Source::new(channel, batch)), iteration: Iteration::default() }
    }

    /// A subscription: it receives every message from now on, beside others that do the same. More
    /// come from subscribing again, or from cloning one. It may fall 64 messages behind.
    ///
    /// From now on the stream's own receiver is a subscription too, which begins when it is next
    /// used. Whoever receives, on any of them, keeps all of them supplied.
    pub fn subscribe(&mut self) -> Subscription<R>
    where
        R: Clone,
    {
        self.subscribe_with(BEHIND)
    }

    /// As [`subscribe`](Self::subscribe), with how many messages it may fall behind. Past that it
    /// gets `Lagged` once, with how many it lost, and goes on with the oldest that is left.
    pub fn subscribe_with(&mut self, capacity: usize) -> Subscription<R>
    where
        R: Clone,
    {
        let hub = match &mut self.route {
            Route::Shared { hub, .. } => hub.clone(),
            Route::Direct(source) => hub::share(source.hand_on()),
        };
        if let Route::Direct(_) = self.route {
            self.route = Route::Shared { hub: hub.clone(), own: None };
        }
        Subscription::begin(hub, capacity)
    }
}

impl<R: DeserializeOwned> Receiver<R> {
    /// The next message; none once the peer has closed its direction, or its task has ended well.
    ///
    /// # Errors
    /// `Lagged` if messages were lost before the next one, which comes behind it; `MsgTypeError` if
    /// the message is not an `R`, which ends the context; what the peer's task failed with. All but
    /// the first are given again each time.
    ///
    /// # Cancel safety
    /// A receive that is dropped loses nothing.
    pub async fn receive(&mut self) -> Result<Option<R>, RemoteError> {
        poll_fn(|waker| self.poll(waker)).await.received()
    }

    fn poll(&mut self, waker: &mut Context<'_>) -> Poll<Item<R>> {
        match &mut self.route {
            Route::Direct(source) => source.poll(waker),
            Route::Shared { hub, own } => {
                own.get_or_insert_with(|| Subscription::begin(hub.clone(), BEHIND)).poll(waker)
            }
        }
    }
}

impl<R: DeserializeOwned> Stream for Receiver<R> {
    type Item = Result<R, RemoteError>;

    fn poll_next(mut self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut iteration = self.iteration;
        let next = iteration.next(|| self.poll(waker));
        self.iteration = iteration;
        next
    }
}

/// Iterating: it ends behind the end, and behind the first error that would come again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Iteration {
    #[default]
    On,
    Over,
}

impl Iteration {
    pub(super) fn next<R>(
        &mut self,
        poll: impl FnOnce() -> Poll<Item<R>>,
    ) -> Poll<Option<Result<R, RemoteError>>> {
        if *self == Self::Over {
            return Poll::Ready(None);
        }
        let item = ready!(poll());
        if matches!(item, Item::End(_)) {
            *self = Self::Over;
        }
        Poll::Ready(item.received().transpose())
    }
}
