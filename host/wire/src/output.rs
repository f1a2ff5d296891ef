//! Frames on their way out.
//!
//! Owns: where frames are written to, and the large payload that stands behind them. Must not know: what
//! frames hold, or where they go. Invariant: what was appended goes out in that order; a payload that is
//! not copied is the last.

use bytes::{Buf, Bytes, BytesMut};

/// From which size on a payload is not copied: as long as it takes to write once more.
pub(crate) const LARGE: usize = 16 * 1024;

/// What frames are appended to.
pub trait Output {
    /// How many bytes it holds.
    fn size(&self) -> usize;

    /// Whether nothing can follow what it holds.
    fn is_full(&self) -> bool;

    /// Where a frame, or its beginning, is written. Not to be asked for by one that is
    /// [full](Self::is_full).
    fn end(&mut self) -> &mut BytesMut;

    /// Appends a large payload, with which a frame ends.
    fn attach(&mut self, payload: &Bytes);
}

impl Output for BytesMut {
    fn size(&self) -> usize {
        self.len()
    }

    fn is_full(&self) -> bool {
        false
    }

    fn end(&mut self) -> &mut BytesMut {
        self
    }

    fn attach(&mut self, payload: &Bytes) {
        self.extend_from_slice(payload);
    }
}

/// Frames, the last of which may end with a payload that was not copied.
#[derive(Debug, Default)]
pub struct Parts {
    frames: BytesMut,
    payload: Bytes,
}

impl Parts {
    /// All that it holds, in order; the second may be empty.
    pub fn slices(&self) -> [&[u8]; 2] {
        [&self.frames, &self.payload]
    }

    /// Drops so many bytes from its front.
    ///
    /// # Panics
    /// When it holds fewer.
    pub fn advance(&mut self, count: usize) {
        let first = count.min(self.frames.len());
        self.frames.advance(first);
        self.payload.advance(count - first);
        if self.payload.is_empty() {
            // It belongs to whoever can use it again.
            self.payload = Bytes::new();
        }
    }
}

impl Output for Parts {
    fn size(&self) -> usize {
        self.frames.len() + self.payload.len()
    }

    fn is_full(&self) -> bool {
        !self.payload.is_empty()
    }

    fn end(&mut self) -> &mut BytesMut {
        &mut self.frames
    }

    fn attach(&mut self, payload: &Bytes) {
        self.payload = payload.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_everything_in_order_and_lets_go_of_it() {
        let payload = Bytes::from(vec![7; LARGE]);
        let mut parts = Parts::default();
        parts.end().extend_from_slice(b"head");
        assert!(!parts.is_full());
        parts.attach(&payload);
        assert!(parts.is_full());
        assert_eq!((parts.size(), parts.slices()), (4 + LARGE, [&b"head"[..], &payload]));
        parts.advance(3);
        assert_eq!(parts.slices(), [&b"d"[..], &payload]);
        parts.advance(2);
        assert_eq!(parts.slices(), [&b""[..], &payload[1..]]);
        parts.advance(LARGE - 1);
        assert_eq!((parts.size(), parts.is_full()), (0, false));
        assert!(payload.is_unique());
    }
}
