//! Large payloads that have been sent or received.
//!
//! Owns: giving their memory back, or to who can use it again. Must not know: what they were.
//! Invariant: an actor's links are not held up by it: the kernel takes tens of milliseconds for a quarter
//! of a gigabyte, in which no thread of the process can get memory or give it back.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// From which size on the memory of a payload is given back beside the actor's thread.
const LARGE_BYTES: usize = 8 << 20;

/// From which size on the memory of what was received is of use for more.
const USEFUL_BYTES: usize = 512 << 10;

/// How much is given back at once: a fraction of a millisecond's work.
const PIECE_BYTES: usize = 1 << 20;

/// How long the others have between two pieces.
const PAUSE: Duration = Duration::from_micros(100);

/// Payloads that are to be let go as soon as nobody else holds them.
#[derive(Debug, Default)]
pub(crate) struct Spent(Vec<Bytes>);

impl Spent {
    /// A payload is on its way, or has come for a task.
    pub(crate) fn watch(&mut self, payload: &Bytes) {
        if payload.len() >= LARGE_BYTES {
            self.0.push(payload.clone());
        }
    }

    /// A payload has come, whose memory may be of use.
    pub(crate) fn watch_received(&mut self, payload: &Bytes) {
        if (USEFUL_BYTES..LARGE_BYTES).contains(&payload.len()) {
            self.0.push(payload.clone());
        }
    }

    /// Lets go of what nobody needs any more; has the memory of what is not large used again.
    pub(crate) fn sweep(&mut self, mut reuse: impl FnMut(BytesMut)) {
        for spent in self.0.extract_if(.., |payload| payload.is_unique()) {
            if spent.len() >= LARGE_BYTES {
                tokio::task::spawn_blocking(move || give_back(spent));
            } else if let Ok(room) = spent.try_into_mut() {
                reuse(room);
            }
        }
    }
}

/// Gives the memory back from its end, a piece at a time.
fn give_back(spent: Bytes) {
    let Ok(whole) = spent.try_into_mut() else { return };
    let mut left = Vec::from(whole);
    while left.len() > PIECE_BYTES {
        left.truncate(left.len() - PIECE_BYTES);
        left.shrink_to_fit();
        // Whoever else wants memory gets a turn.
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_received_is_used_again_once_nobody_holds_it() {
        let (mut spent, mut rooms) = (Spent::default(), Vec::new());
        let payload = Bytes::from(vec![7; USEFUL_BYTES]);
        let (place, small) = (payload.as_ptr(), payload.slice(1..));
        spent.watch_received(&payload);
        spent.watch_received(&Bytes::from_static(b"small"));
        spent.sweep(|room| rooms.push(room));
        drop(payload);
        spent.sweep(|room| rooms.push(room));
        assert!(rooms.is_empty(), "a part of it is still held");
        drop(small);
        spent.sweep(|room| rooms.push(room));
        let places: Vec<_> = rooms.iter().map(|room| (room.as_ptr(), room.capacity())).collect();
        assert_eq!(places, [(place, USEFUL_BYTES)]);
    }
}
