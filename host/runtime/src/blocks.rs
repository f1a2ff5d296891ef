//! Memory that large frames are read into.
//!
//! Owns: blocks of it that are free, and for how long. Must not know: what frames hold. Invariant: nobody
//! else holds any of a free block, and a link that nothing large comes through has none.
//!
//! The kernel takes as long to find and clear the pages of such a block as it takes to fill it.

use std::time::{Duration, Instant};

use bytes::BytesMut;

/// How many free ones are kept at most, and for how long after the last of them became free.
const MOST: usize = 2;
const KEPT: Duration = Duration::from_secs(1);

/// From which size on one is of use.
const USEFUL_BYTES: usize = 512 << 10;

/// Those of one link.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    free: Vec<BytesMut>,
    /// Until when; none if there are none.
    until: Option<Instant>,
}

impl Blocks {
    /// Takes one with room for so many bytes, which is empty.
    pub(crate) fn take(&mut self, size: usize) -> BytesMut {
        let mut block = self.free.pop().unwrap_or_default();
        block.reserve(size);
        block
    }

    /// Keeps what is left of one, if it is of use and nobody holds any of the rest.
    pub(crate) fn put(&mut self, mut rest: BytesMut, now: Instant) {
        rest.clear();
        if self.free.len() < MOST && rest.try_reclaim(USEFUL_BYTES) {
            self.free.push(rest);
            self.until = now.checked_add(KEPT);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    /// Gives back what nobody has had a use for.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 1 << 20;

    #[test]
    fn takes_what_was_put_and_nobody_holds() {
        let (mut blocks, now) = (Blocks::default(), Instant::now());
        let mut block = blocks.take(SIZE);
        let place = block.as_ptr();
        block.resize(SIZE, 7);
        let payload = block.split().split_off(10).freeze();
        blocks.put(block, now);
        assert_eq!(blocks.poll_timeout(), None, "a part of it is still held");
        blocks.put(payload.try_into_mut().expect("nobody else holds it"), now);
        let block = blocks.take(SIZE);
        assert_eq!((block.as_ptr(), block.len()), (place, 0));
        blocks.put(BytesMut::with_capacity(USEFUL_BYTES - 1), now);
        assert_eq!(blocks.poll_timeout(), Some(now + KEPT), "a small one is of no use");
        assert!(blocks.free.is_empty());
    }

    #[test]
    fn keeps_little_and_not_for_long() {
        let (mut blocks, now) = (Blocks::default(), Instant::now());
        (0..9).for_each(|_| blocks.put(BytesMut::with_capacity(SIZE), now));
        blocks.handle_timeout(now + KEPT - Duration::from_millis(1));
        assert_eq!((blocks.free.len(), blocks.poll_timeout()), (MOST, Some(now + KEPT)));
        blocks.handle_timeout(now + KEPT);
        assert_eq!((blocks.free.len(), blocks.poll_timeout()), (0, None));
    }
}
