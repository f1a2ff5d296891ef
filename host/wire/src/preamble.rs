//! What a program outside the tree is told before anything else comes through its pipe.
//!
//! Owns: the bytes of that introduction. Must not know: who writes or reads them. Invariant: they
//! are a frame, 4 bytes of length and that many of one CBOR item, and stand before the first
//! frame of the protocol.

use bytes::{BufMut, BytesMut};
use greenroom_abi::kind::{DecodeError, EncodeError, LimitExceeded};
use greenroom_abi::{ActorId, payload};
use serde::{Deserialize, Serialize};

use crate::frame;

/// The longest item of a preamble, which is two names and two uuids.
pub const MAX_PREAMBLE: usize = 4096;

/// Who the two ends of a pipe are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preamble {
    /// Who the reader is in the tree.
    pub you: ActorId,
    /// The actor at the other end.
    pub peer: ActorId,
}

impl Preamble {
    /// The length of the length.
    pub const PREFIX: usize = 4;

    /// Its bytes, with their length before them.
    ///
    /// # Errors
    /// Never in practice: every field can be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let item = payload::encode(self)?;
        let mut out = BytesMut::new();
        frame::put(&mut out, |out| {
            out.put_slice(&item);
            0
        });
        Ok(out.to_vec())
    }

    /// How long an item is to be, judged by its length alone.
    ///
    /// # Errors
    /// `LimitExceeded` past [`MAX_PREAMBLE`].
    pub fn length(prefix: [u8; Self::PREFIX]) -> Result<usize, LimitExceeded> {
        let length = u32::from_be_bytes(prefix) as usize;
        let exceeded = || LimitExceeded { limit: "preamble".to_owned(), value: MAX_PREAMBLE as u64 };
        if length > MAX_PREAMBLE { Err(exceeded()) } else { Ok(length) }
    }

    /// Reads the item behind the length.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not one.
    pub fn decode(item: &[u8]) -> Result<Self, DecodeError> {
        payload::decode(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preamble() -> Preamble {
        let id = |name: &str| ActorId { name: name.to_owned(), uuid: format!("{name}-uuid") };
        Preamble { you: id("client"), peer: id("daemon") }
    }

    #[test]
    fn is_one_map_behind_its_length() {
        let bytes = preamble().encode().expect("encodes");
        let (prefix, item) = bytes.split_first_chunk().expect("a length");
        assert_eq!(Preamble::length(*prefix), Ok(item.len()));
        // {"you": {"name": …
        assert!(item.starts_with(b"\xa2\x63you\xa2\x64name\x66client\x64uuid"), "{item:x?}");
        assert_eq!(Preamble::decode(item), Ok(preamble()));
    }

    #[test]
    fn what_is_too_long_or_no_preamble_is_refused() {
        let length = |length: usize| Preamble::length(u32::try_from(length).expect("fits").to_be_bytes());
        assert_eq!(length(MAX_PREAMBLE), Ok(MAX_PREAMBLE));
        assert_eq!(length(MAX_PREAMBLE + 1).expect_err("too long").value, MAX_PREAMBLE as u64);
        let bytes = preamble().encode().expect("encodes");
        let item = &bytes[Preamble::PREFIX..];
        for wrong in [&item[..item.len() - 1], b"", b"\xa0", b"\x01", &[item, b"\x00"].concat()] {
            Preamble::decode(wrong).expect_err("no preamble");
        }
    }
}
