//! What one link of an actor may have at once.
//!
//! Owns: how large a payload may be, how much waits to be sent, how many streams are open. Must not
//! know: what is sent. Invariant: what was let in counts until it has left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use greenroom_abi::RemoteError;
use greenroom_abi::kind::LimitExceeded;
use greenroom_sabotage::Protection;
use greenroom_wire::Config;
use greenroom_wire::control::{Limit, Limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bounds of a link.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// How long a cancelled task may take to end before nobody waits for it any more.
    pub(crate) cancel: Duration,
    /// The largest payload that may be sent.
    pub(crate) payload: usize,
    queue: u64,
    streams: Streams,
}

impl Bounds {
    pub(crate) fn new(limits: &Limits, streams: &Streams) -> Self {
        let unless = |protection: Protection, limit| if protection.is_off() { u64::MAX } else { limit };
        let payload = unless(Protection::Payload, limits.payload);
        Self {
            // A task that will not end loses its instance after the grace; then the peer answers.
            cancel: limits.grace + limits.ask,
            payload: usize::try_from(payload).unwrap_or(usize::MAX).min(Config::default().max_sent),
            queue: unless(Protection::LinkQueue, limits.queue),
            streams: streams.clone(),
        }
    }

    /// Takes the place of one stream, for as long as what this gives is kept.
    ///
    /// # Errors
    /// `LimitExceeded` if all are taken.
    pub(crate) fn stream(&self) -> Result<OwnedSemaphorePermit, Box<RemoteError>> {
        let place = self.streams.free.clone().try_acquire_owned();
        place.map_err(|_| Box::new(exceeded(Limit::Streams, self.streams.most)))
    }
}

/// The places for the streams of an actor.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    free: Arc<Semaphore>,
    most: u64,
}

impl Streams {
    pub(crate) fn new(limits: &Limits) -> Self {
        let most = if Protection::Streams.is_off() { Semaphore::MAX_PERMITS } else { limits.streams };
        Self { free: Arc::new(Semaphore::new(most)), most: most as u64 }
    }
}

/// How much waits to be sent over a link: what its driver has been asked to send, and what the session
/// holds.
#[derive(Debug)]
pub(crate) struct Room {
    most: u64,
    asked: AtomicU64,
    held: AtomicU64,
}

impl Room {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        Self { most: bounds.queue, asked: AtomicU64::new(0), held: AtomicU64::new(0) }
    }

    /// Lets so much in.
    ///
    /// # Errors
    /// `LimitExceeded` if there is no room.
    pub(crate) fn enter(&self, bytes: usize) -> Result<(), RemoteError> {
        let (bytes, held) = (bytes as u64, self.held.load(Ordering::Relaxed));
        let asked = self.asked.fetch_add(bytes, Ordering::Relaxed);
        if asked.saturating_add(held).saturating_add(bytes) <= self.most {
            return Ok(());
        }
        self.asked.fetch_sub(bytes, Ordering::Relaxed);
        Err(exceeded(Limit::Queue, self.most))
    }

    /// The driver has given it to the session.
    pub(crate) fn hold(&self, bytes: usize) {
        self.asked.fetch_sub(bytes as u64, Ordering::Relaxed);
        self.held.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes what the session holds now, if it is time to look: `held` takes a while.
    pub(crate) fn look(&self, held: impl FnOnce() -> usize) {
        if self.held.load(Ordering::Relaxed) > self.most / 2 {
            self.held.store(held() as u64, Ordering::Relaxed);
        }
    }
}

fn exceeded(limit: Limit, value: u64) -> RemoteError {
    RemoteError::of(&LimitExceeded { limit: limit.name().to_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        let limits = Limits { queue: 100, streams: 1, ..Limits::default() };
        Bounds::new(&limits, &Streams::new(&limits))
    }

    #[test]
    fn what_was_let_in_counts_until_it_has_left() {
        let room = Room::new(&bounds());
        assert!(room.enter(60).is_ok() && room.enter(40).is_ok());
        let full = room.enter(1).expect_err("there is no room");
        assert_eq!(full.kind(), Some(LimitExceeded { limit: "queue".to_owned(), value: 100 }));
        room.hold(60);
        room.look(|| 60);
        assert!(room.enter(1).is_err());
        room.look(|| 10);
        assert!(room.enter(50).is_ok());
        assert!(room.enter(1).is_err());
    }

    #[test]
    fn a_stream_has_its_place_as_long_as_it_is_kept() {
        let bounds = bounds();
        let place = bounds.stream().expect("there is one");
        assert!(bounds.stream().is_err());
        drop(place);
        assert!(bounds.stream().is_ok());
    }
}
