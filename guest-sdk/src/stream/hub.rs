//! One stream, received by several.
//!
//! Owns: [`Subscription`], and the messages that some subscriptions have received and others not.
//! Must not know: where messages come from. Invariant: a subscription that falls behind loses its
//! oldest messages and is told how many; it never holds up the others, nor grows.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::Stream;
use greenroom_abi::RemoteError;
use serde::de::DeserializeOwned;

use super::receiver::{Item, Iteration, Source};

/// What the subscriptions of one stream share.
pub(super) struct Hub<R> {
    source: Source<R>,
    copy: fn(&R) -> R,
    /// What at least one subscription has still to receive.
    kept: VecDeque<Kept<R>>,
    /// How many were let go of before those.
    gone: u64,
    cursors: BTreeMap<u64, Cursor>,
    last: u64,
    waiting: Arc<Waiting>,
    /// Whether the slow have been given a turn before the next message.
    turn_given: bool,
}

/// Something to receive; `End` is not kept, as the source says it again.
enum Kept<R> {
    Message(R),
    Lost(u64),
}

impl<R> Kept<R> {
    /// How many messages it stands for.
    fn weight(&self) -> u64 {
        match self {
            Self::Message(_) => 1,
            Self::Lost(lost) => *lost,
        }
    }
}

/// Where one subscription is.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    next: u64,
    capacity: u64,
    /// How many messages it lost before the next.
    lost: u64,
}

pub(super) type SharedHub<R> = Rc<RefCell<Hub<R>>>;

/// Makes a stream one that can be subscribed to.
pub(super) fn share<R: Clone>(source: Source<R>) -> SharedHub<R> {
    Rc::new(RefCell::new(Hub {
        source,
        copy: R::clone,
        kept: VecDeque::new(),
        gone: 0,
        cursors: BTreeMap::new(),
        last: 0,
        waiting: Arc::default(),
        turn_given: false,
    }))
}

impl<R> Hub<R> {
    fn end(&self) -> u64 {
        self.gone + self.kept.len() as u64
    }

    fn add(&mut self, cursor: Cursor) -> u64 {
        self.last += 1;
        self.cursors.insert(self.last, cursor);
        self.last
    }

    /// What a subscription has still to receive of what is kept.
    fn take(&mut self, id: u64) -> Option<Item<R>> {
        let end = self.end();
        let cursor = self.cursors.get_mut(&id).expect("a subscription has its cursor while it lives");
        if cursor.lost > 0 {
            return Some(Item::Lost(std::mem::take(&mut cursor.lost)));
        }
        if cursor.next == end {
            return None;
        }
        let item = match &self.kept[place(cursor.next, self.gone)] {
            Kept::Message(message) => Item::Message((self.copy)(message)),
            Kept::Lost(lost) => Item::Lost(*lost),
        };
        cursor.next += 1;
        self.let_go();
        Some(item)
    }

    /// Keeps something for all subscriptions; those that are too far behind lose their oldest.
    fn publish(&mut self, kept: Kept<R>) {
        self.kept.push_back(kept);
        self.turn_given = false;
        let end = self.end();
        for cursor in self.cursors.values_mut().filter(|cursor| end - cursor.next > cursor.capacity) {
            cursor.lost += self.kept[place(cursor.next, self.gone)].weight();
            cursor.next += 1;
        }
        self.let_go();
        self.waiting.wake_all();
    }

    /// Drops what everybody has received.
    fn let_go(&mut self) {
        let oldest = self.cursors.values().map(|cursor| cursor.next).min().unwrap_or(self.end());
        while self.gone < oldest {
            self.kept.pop_front();
            self.gone += 1;
        }
    }

    /// Whether the next message would make somebody lose one.
    fn is_full(&self) -> bool {
        let end = self.end();
        self.cursors.values().any(|cursor| end - cursor.next == cursor.capacity)
    }
}

impl<R: DeserializeOwned> Hub<R> {
    fn poll(&mut self, id: u64, waker: &mut Context<'_>) -> Poll<Item<R>> {
        loop {
            if let Some(item) = self.take(id) {
                return Poll::Ready(item);
            }
            if self.is_full() && !self.turn_given {
                self.turn_given = true;
                waker.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.waiting.add(waker.waker());
            let all = Waker::from(self.waiting.clone());
            match self.source.poll(&mut Context::from_waker(&all)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Item::Message(message)) => self.publish(Kept::Message(message)),
                Poll::Ready(Item::Lost(lost)) => self.publish(Kept::Lost(lost)),
                Poll::Ready(Item::End(end)) => {
                    self.waiting.wake_all();
                    return Poll::Ready(Item::End(end));
                }
            }
        }
    }
}

impl<R> fmt::Debug for Hub<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("cursors", &self.cursors).finish_non_exhaustive()
    }
}

/// Where an entry is kept.
fn place(entry: u64, gone: u64) -> usize {
    usize::try_from(entry - gone).expect("what is kept is in memory")
}

/// Those who wait. The source wakes all of them, as any of them may be gone by then.
#[derive(Debug, Default)]
struct Waiting(Mutex<Vec<Waker>>);

impl Waiting {
    fn add(&self, waker: &Waker) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|other| other.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    fn wake_all(&self) {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

/// One of several receivers of a stream; each receives every message. As a `Stream`, it iterates as
/// the stream itself does.
///
/// Whichever of them is polled supplies all of them. One that falls further behind than it may gets
/// `Lagged` once, and goes on with the oldest message that is left. A clone begins where its
/// original is.
#[derive(Debug)]
pub struct Subscription<R> {
    hub: SharedHub<R>,
    id: u64,
    iteration: Iteration,
}

impl<R> Subscription<R> {
    pub(super) fn begin(hub: SharedHub<R>, capacity: usize) -> Self {
        let id = {
            let mut hub = hub.borrow_mut();
            let next = hub.end();
            hub.add(Cursor { next, capacity: capacity.max(1) as u64, lost: 0 })
        };
        Self { hub, id, iteration: Iteration::default() }
    }
}

impl<R: DeserializeOwned> Subscription<R> {
    /// The next message; none once the stream has ended.
    ///
    /// # Errors
    /// As [`Receiver::receive`](super::Receiver::receive); `Lagged` also if this subscription fell
    /// too far behind.
    ///
    /// # Cancel safety
    /// A receive that is dropped loses nothing.
    pub async fn receive(&mut self) -> Result<Option<R>, RemoteError> {
        poll_fn(|waker| self.poll(waker)).await.received()
    }

    pub(super) fn poll(&mut self, waker: &mut Context<'_>) -> Poll<Item<R>> {
        self.hub.borrow_mut().poll(self.id, waker)
    }
}

impl<R> Clone for Subscription<R> {
    fn clone(&self) -> Self {
        let id = {
            let mut hub = self.hub.borrow_mut();
            let cursor = hub.cursors[&self.id];
            hub.add(cursor)
        };
        Self { hub: self.hub.clone(), id, iteration: self.iteration }
    }
}

impl<R> Drop for Subscription<R> {
    fn drop(&mut self) {
        let mut hub = self.hub.borrow_mut();
        hub.cursors.remove(&self.id);
        hub.let_go();
    }
}

impl<R: DeserializeOwned> Stream for Subscription<R> {
    type Item = Result<R, RemoteError>;

    fn poll_next(mut self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut iteration = self.iteration;
        let next = iteration.next(|| self.poll(waker));
        self.iteration = iteration;
        next
    }
}
