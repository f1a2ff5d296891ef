//! Payloads: exactly one CBOR data item each, within bounds.
//!
//! Owns: the bounds, the check that a byte string keeps them, encoding and decoding, and walking
//! a map of keyword arguments without building a tree. Must not know: what a payload means.
//! Invariant: nothing is decoded that was not checked first, and the check allocates at most
//! one slice per map key.

mod byte_string;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use byte_string::{APART_BYTES, decode_joined, encode_or_offer, split};

use crate::kind::{DecodeError, EncodeError};

/// How deep items may nest. ciborium recurses per level; 32 is beyond any honest value and far
/// from the end of a guest's stack.
pub const MAX_DEPTH: usize = 32;

/// How many items one payload may hold. A 1 MiB frame of one-byte items would grow a hundredfold
/// in a tree of values; a byte string counts as one item whatever its length.
pub const MAX_ITEMS: usize = 65_536;

/// Why a byte string is not a payload, with the offset of the offending item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends inside an item.
    #[error("ends in the middle of an item")]
    Truncated,
    /// Bytes follow the item.
    #[error("bytes follow the item at offset {0}")]
    Trailing(usize),
    /// A reserved or forbidden encoding.
    #[error("invalid encoding at offset {0}")]
    Invalid(usize),
    /// A text string that is not UTF-8.
    #[error("text at offset {0} is not UTF-8")]
    NotUtf8(usize),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels at offset {0}")]
    TooDeep(usize),
    /// More than [`MAX_ITEMS`].
    #[error("more than {MAX_ITEMS} items at offset {0}")]
    TooMany(usize),
    /// A map with the same key twice.
    #[error("duplicate map key at offset {0}")]
    DuplicateKey(usize),
    /// Arguments that are not a map from text.
    #[error("not a map from names to values")]
    NotArguments,
}

/// Checks that `bytes` are one well-formed CBOR item within the bounds, indefinite lengths
/// included.
///
/// # Errors
/// The first violation, in reading order.
pub fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let mut scan = Scan { bytes, at: 0, items: 0 };
    scan.item(0)?;
    if scan.at == bytes.len() { Ok(()) } else { Err(Malformed::Trailing(scan.at)) }
}

/// Up to which size an item is decoded with a small buffer.
const SMALL_BYTES: usize = 128;

/// Encodes a value as a payload.
///
/// # Errors
/// [`EncodeError`] with what the encoder said.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes).map(|()| bytes)
}

/// As [`encode`], behind what is there already. After an error, a part of the value may be.
///
/// # Errors
/// As there.
fn encode_into<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
    match ciborium::into_writer(value, bytes) {
        Ok(()) => Ok(()),
        Err(ciborium::ser::Error::Io(never)) => Err(EncodeError { reason: never.to_string() }),
        Err(ciborium::ser::Error::Value(reason)) => Err(EncodeError { reason }),
    }
}

/// Checks a payload and decodes it.
///
/// # Errors
/// [`DecodeError`] if it breaks a bound or does not have the type.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    check(bytes).map_err(|e| DecodeError { reason: e.to_string() })?;
    decode_checked(bytes)
}

/// Decodes a payload, or an item of one, that [`check`] or [`arguments`] has passed.
///
/// # Errors
/// [`DecodeError`] if it does not have the type.
pub fn decode_checked<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    // The decoder grows a buffer as it reads: many copies of a large byte string. What cannot be
    // made of one as a whole, it decodes.
    if let Some(value) = byte_string::decode(bytes) {
        return Ok(value);
    }
    // The decoder's buffer is for texts that it looks at whole, and is cleared each time. None is
    // longer than the item that it is a part of.
    let decoded = match bytes.len() {
        ..=SMALL_BYTES => ciborium::de::from_reader_with_buffer(bytes, &mut [0; SMALL_BYTES]),
        _ => ciborium::from_reader(bytes),
    };
    decoded.map_err(|error| {
        let reason = match error {
            ciborium::de::Error::Semantic(_, reason) => reason,
            other => other.to_string(),
        };
        DecodeError { reason }
    })
}

/// Splits keyword arguments into names and encoded values, after checking the whole payload.
/// The empty payload stands for no arguments.
///
/// # Errors
/// [`Malformed`] if the payload breaks a bound or is not a map from text.
pub fn arguments(bytes: &[u8]) -> Result<Vec<(&str, &[u8])>, Malformed> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    check(bytes)?;
    let mut scan = Scan { bytes, at: 0, items: 0 };
    let head = scan.head()?;
    if head.major != MAP {
        return Err(Malformed::NotArguments);
    }
    let mut found = Vec::new();
    let mut left = head.length;
    loop {
        match &mut left {
            Some(0) => break,
            Some(n) => *n -= 1,
            None if scan.at_break() => break,
            None => {}
        }
        let key = scan.slice()?;
        let value = scan.slice()?;
        found.push((text(key).ok_or(Malformed::NotArguments)?, value));
    }
    Ok(found)
}

/// The content of a definite-length text item.
fn text(item: &[u8]) -> Option<&str> {
    let mut scan = Scan { bytes: item, at: 0, items: 0 };
    let head = scan.head().ok()?;
    head.length.filter(|_| head.major == TEXT)?;
    std::str::from_utf8(&item[scan.at..]).ok()
}

const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;
const BREAK: u8 = 0xff;

/// An item's initial byte and its argument; no length means indefinite.
struct Head {
    major: u8,
    length: Option<u64>,
}

/// A reader that skips over items, counting.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    items: usize,
}

impl<'a> Scan<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count).ok_or(Malformed::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, Malformed> {
        let start = self.at;
        let initial = self.take(1)?[0];
        let (major, info) = (initial >> 5, initial & 0x1f);
        let length = match info {
            0..=23 => Some(u64::from(info)),
            24..=27 => {
                let raw = self.take(1 << (info - 24))?;
                Some(raw.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
            }
            31 if matches!(major, BYTES | TEXT | ARRAY | MAP) => None,
            _ => return Err(Malformed::Invalid(start)),
        };
        if major == SIMPLE && info == 24 && length < Some(32) {
            return Err(Malformed::Invalid(start));
        }
        Ok(Head { major, length })
    }

    fn at_break(&mut self) -> bool {
        let found = self.bytes.get(self.at) == Some(&BREAK);
        self.at += usize::from(found);
        found
    }

    /// Skips one item that is already known to be within bounds, and gives its bytes.
    fn slice(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.at;
        self.item(0)?;
        Ok(&self.bytes[start..self.at])
    }

    fn item(&mut self, depth: usize) -> Result<(), Malformed> {
        let start = self.at;
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(Malformed::TooMany(start));
        }
        if depth > MAX_DEPTH {
            return Err(Malformed::TooDeep(start));
        }
        let head = self.head()?;
        match (head.major, head.length) {
            (BYTES | TEXT, Some(length)) => {
                let length = usize::try_from(length).map_err(|_| Malformed::Truncated)?;
                let content = self.take(length)?;
                if head.major == TEXT && std::str::from_utf8(content).is_err() {
                    return Err(Malformed::NotUtf8(start));
                }
                Ok(())
            }
            (BYTES | TEXT, None) => self.segments(head.major, depth),
            (ARRAY, length) => self.sequence(length, depth),
            (MAP, length) => self.map(length, depth),
            (TAG, _) => self.item(depth + 1),
            _ => Ok(()),
        }
    }

    /// The definite-length pieces of an indefinite-length string.
    fn segments(&mut self, major: u8, depth: usize) -> Result<(), Malformed> {
        while !self.at_break() {
            let start = self.at;
            let initial = *self.bytes.get(start).ok_or(Malformed::Truncated)?;
            if initial >> 5 != major || initial & 0x1f == 31 {
                return Err(Malformed::Invalid(start));
            }
            self.item(depth + 1)?;
        }
        Ok(())
    }

    fn sequence(&mut self, length: Option<u64>, depth: usize) -> Result<(), Malformed> {
        match length {
            Some(length) => (0..length).try_for_each(|_| self.item(depth + 1)),
            None => {
                while !self.at_break() {
                    self.item(depth + 1)?;
                }
                Ok(())
            }
        }
    }

    fn map(&mut self, length: Option<u64>, depth: usize) -> Result<(), Malformed> {
        let mut keys: Vec<(&[u8], usize)> = Vec::new();
        let mut left = length;
        loop {
            match &mut left {
                Some(0) => break,
                Some(n) => *n -= 1,
                None if self.at_break() => break,
                None => {}
            }
            let start = self.at;
            self.item(depth + 1)?;
            keys.push((&self.bytes[start..self.at], start));
            self.item(depth + 1)?;
        }
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(Malformed::DuplicateKey(pair[1].1)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_what_the_encoder_writes() {
        let value = (1u8, -5i64, "text", [1.5f64], Some(true), vec![(1, "a"), (2, "b")]);
        assert_eq!(check(&encode(&value).expect("encodes")), Ok(()));
    }

    #[test]
    fn names_each_violation() {
        let deep = [vec![0x81; MAX_DEPTH + 1], vec![0x00]].concat();
        let many = [vec![0x9f], vec![0x00; MAX_ITEMS], vec![0xff]].concat();
        let cases: &[(&[u8], Malformed)] = &[
            (b"", Malformed::Truncated),
            (b"\x18", Malformed::Truncated),
            (b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff", Malformed::Truncated),
            (b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", Malformed::Truncated),
            (b"\x00\x00", Malformed::Trailing(1)),
            (b"\x1c", Malformed::Invalid(0)),
            (b"\xff", Malformed::Invalid(0)),
            (b"\x5f\x61a\xff", Malformed::Invalid(1)),
            (b"\xf8\x10", Malformed::Invalid(0)),
            (b"\x61\xff", Malformed::NotUtf8(0)),
            (&deep, Malformed::TooDeep(MAX_DEPTH + 1)),
            (&many, Malformed::TooMany(MAX_ITEMS)),
            (b"\xa2\x61a\x00\x61a\x01", Malformed::DuplicateKey(4)),
            (b"\xbf\x61a\x00\x61a\x01\xff", Malformed::DuplicateKey(4)),
        ];
        for (bytes, violation) in cases {
            assert_eq!(check(bytes).as_ref(), Err(violation), "{bytes:02x?}");
        }
    }

    #[test]
    fn splits_arguments() {
        assert_eq!(arguments(b""), Ok(vec![]));
        assert_eq!(
            arguments(b"\xa2\x61x\x03\x61y\x82\x01\x02"),
            Ok(vec![("x", &b"\x03"[..]), ("y", &b"\x82\x01\x02"[..])])
        );
        assert_eq!(arguments(b"\xbf\x61x\x03\xff"), Ok(vec![("x", &b"\x03"[..])]));
        assert_eq!(arguments(b"\xa1\x01\x02"), Err(Malformed::NotArguments));
        assert_eq!(arguments(b"\x03"), Err(Malformed::NotArguments));
    }
}
