//! Frames: a 4-byte big-endian length, then that many bytes of one message.
//!
//! Owns: the length prefix. Must not know: what a frame holds. Invariant: a length is compared
//! with its limit as soon as its four bytes are there, before anything waits for the rest.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::violation::PeerMisbehaved;

/// The length of the length.
const PREFIX: usize = 4;

/// Takes the next complete frame from the front of the buffer, without copying it; none if more
/// has to arrive first.
pub(crate) fn take(buffer: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, PeerMisbehaved> {
    let Some(prefix) = buffer.first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > limit {
        return Err(PeerMisbehaved::FrameTooLarge { length, limit });
    }
    if buffer.len() - PREFIX < length {
        return Ok(None);
    }
    buffer.advance(PREFIX);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// How long the frame at the front of the buffer is, with its prefix; none if that is not there.
pub fn length(buffer: &[u8]) -> Option<usize> {
    buffer.first_chunk::<PREFIX>().map(|prefix| PREFIX + u32::from_be_bytes(*prefix) as usize)
}

/// Appends one frame with what `content` writes, which gives how many bytes will be put behind it.
pub(crate) fn put(out: &mut BytesMut, content: impl FnOnce(&mut BytesMut) -> usize) {
    let start = out.len();
    out.put_u32(0);
    let behind = content(out);
    // A session never writes a frame near this limit: its parts are a payload's and two texts.
    let length = u32::try_from(out.len() - start - PREFIX + behind).unwrap_or(u32::MAX);
    out[start..start + PREFIX].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_every_byte_of_a_frame() {
        let mut whole = BytesMut::new();
        put(&mut whole, |out| {
            out.put_slice(b"abc");
            0
        });
        assert_eq!(length(&whole), Some(7));
        assert_eq!(length(&whole[..3]), None);
        for cut in 0..whole.len() {
            let mut part = BytesMut::from(&whole[..cut]);
            assert_eq!(take(&mut part, 3), Ok(None));
            assert_eq!(part.len(), cut, "an incomplete frame stays in the buffer");
        }
        assert_eq!(take(&mut whole, 3), Ok(Some(Bytes::from_static(b"abc"))));
        assert!(whole.is_empty());
    }

    #[test]
    fn judges_the_length_before_the_content() {
        let mut buffer = BytesMut::from(&b"\0\0\0\x04"[..]);
        assert_eq!(take(&mut buffer, 3), Err(PeerMisbehaved::FrameTooLarge { length: 4, limit: 3 }));
        assert_eq!(take(&mut buffer, 4), Ok(None));
    }
}
