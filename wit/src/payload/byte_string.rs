//! Payloads that are one byte string.
//!
//! Owns: their head and their content, which may lie apart. Must not know: what a byte string holds.
//! Invariant: content that is taken whole is not copied.
//!
//! A large one would be copied for no more than the few bytes before it.

use std::fmt::Display;
use std::mem;

use ciborium_ll::{Encoder, Header};
use serde::de::value::Error as Refused;
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::ser::Impossible;
use serde::{Deserializer, Serialize, Serializer};

use super::{BYTES, Scan};
use crate::kind::DecodeError;

/// From which size on the content of a message that is one byte string is handed over apart from its
/// head, in bytes.
pub const APART_BYTES: usize = 16 * 1024;

/// Gives `take` the head and the content of a value that is one byte string of [`APART_BYTES`] or more;
/// none if it is anything else.
pub fn offer<T: Serialize + ?Sized, R>(value: &T, take: impl FnOnce(Vec<u8>, &[u8]) -> R) -> Option<R> {
    value.serialize(Taker(take)).ok()
}

/// Where the content of an item begins that is one byte string of [`APART_BYTES`] or more.
pub fn split(item: &[u8]) -> Option<usize> {
    let content = content(item).filter(|content| content.len() >= APART_BYTES)?;
    Some(item.len() - content.len())
}

/// As [`decode`](super::decode), of an item whose end lies apart. If that is the content of a byte string,
/// whoever asks for one gets it as it is.
///
/// # Errors
/// As there.
pub fn decode_joined<T: DeserializeOwned>(item: &[u8], mut end: Vec<u8>) -> Result<T, DecodeError> {
    if end.is_empty() {
        return super::decode(item);
    }
    if length(item) == Some((item.len(), end.len() as u64)) {
        let decoded = T::deserialize(Content::Taken(&mut end));
        if decoded.is_ok() || end.is_empty() {
            return decoded.map_err(|error| DecodeError { reason: error.to_string() });
        }
    }
    end.splice(..0, item.iter().copied());
    super::decode(&end)
}

/// Decodes an item that is one byte string, for who asks for one.
pub(super) fn decode<T: DeserializeOwned>(item: &[u8]) -> Option<T> {
    T::deserialize(Content::Copied(content(item)?)).ok()
}

fn content(item: &[u8]) -> Option<&[u8]> {
    let (head, length) = length(item)?;
    item.get(head..).filter(|content| content.len() as u64 == length)
}

/// The length of the head of a byte string of definite length, and that of its content.
fn length(item: &[u8]) -> Option<(usize, u64)> {
    let mut scan = Scan { bytes: item, at: 0, items: 0 };
    let head = scan.head().ok().filter(|head| head.major == BYTES)?;
    Some((scan.at, head.length?))
}

/// A byte string for whoever asks for one, and for nobody else.
enum Content<'a> {
    Copied(&'a [u8]),
    Taken(&'a mut Vec<u8>),
}

impl Content<'_> {
    fn give<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self {
            Self::Copied(content) => visitor.visit_bytes(content),
            Self::Taken(content) => visitor.visit_byte_buf(mem::take(content)),
        }
    }
}

impl<'de> Deserializer<'de> for Content<'_> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused::custom("asked for something else"))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.give(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.give(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string option unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What is no large byte string.
#[derive(Debug, thiserror::Error)]
#[error("no large byte string")]
struct Other;

impl serde::ser::Error for Other {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

/// Takes the content of a large byte string, and nothing else.
struct Taker<F>(F);

/// Refuses what is no byte string.
macro_rules! refuse {
    ($($name:ident($($argument:ty),*) -> $out:ty;)*) => {
        $(fn $name(self, $(_: $argument),*) -> Result<$out, Other> {
            Err(Other)
        })*
    };
}

impl<R, F: FnOnce(Vec<u8>, &[u8]) -> R> Serializer for Taker<F> {
    type Ok = R;
    type Error = Other;
    type SerializeSeq = Impossible<R, Other>;
    type SerializeTuple = Impossible<R, Other>;
    type SerializeTupleStruct = Impossible<R, Other>;
    type SerializeTupleVariant = Impossible<R, Other>;
    type SerializeMap = Impossible<R, Other>;
    type SerializeStruct = Impossible<R, Other>;
    type SerializeStructVariant = Impossible<R, Other>;

    fn serialize_bytes(self, content: &[u8]) -> Result<R, Other> {
        if content.len() < APART_BYTES {
            return Err(Other);
        }
        let mut head = Vec::new();
        let item = Header::Bytes(Some(content.len()));
        Encoder::from(&mut head).push(item).map_err(|_| Other)?;
        Ok(self.0(head, content))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<R, Other> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<R, Other> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<R, Other> {
        Err(Other)
    }

    refuse! {
        serialize_bool(bool) -> R;
        serialize_i8(i8) -> R;
        serialize_i16(i16) -> R;
        serialize_i32(i32) -> R;
        serialize_i64(i64) -> R;
        serialize_i128(i128) -> R;
        serialize_u8(u8) -> R;
        serialize_u16(u16) -> R;
        serialize_u32(u32) -> R;
        serialize_u64(u64) -> R;
        serialize_u128(u128) -> R;
        serialize_f32(f32) -> R;
        serialize_f64(f64) -> R;
        serialize_char(char) -> R;
        serialize_str(&str) -> R;
        serialize_none() -> R;
        serialize_unit() -> R;
        serialize_unit_struct(&'static str) -> R;
        serialize_unit_variant(&'static str, u32, &'static str) -> R;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }

    fn collect_str<T: Display + ?Sized>(self, _: &T) -> Result<R, Other> {
        Err(Other)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_bytes::{ByteBuf, Bytes};

    use super::*;
    use crate::payload::encode;

    const LARGE: [u8; APART_BYTES] = [7; APART_BYTES];

    #[test]
    fn a_large_byte_string_is_offered_as_its_head_and_its_content() {
        let joined = |head: Vec<u8>, content: &[u8]| [&head[..], content].concat();
        for length in [APART_BYTES, 0xffff, 0x1_0000] {
            let value = ByteBuf::from(vec![7; length]);
            let encoded = encode(&value).expect("encodes");
            assert_eq!(offer(&value, joined).as_ref(), Some(&encoded));
            assert_eq!(offer(&Some(Bytes::new(&value)), joined).as_ref(), Some(&encoded));
            assert_eq!(split(&encoded), Some(encoded.len() - length));
        }
    }

    #[test]
    fn whatever_else_is_not() {
        let joined = |head: Vec<u8>, content: &[u8]| [&head[..], content].concat();
        assert_eq!(offer(&Bytes::new(&LARGE[1..]), joined), None, "it is small");
        assert_eq!(offer(&vec![7; APART_BYTES], joined), None);
        assert_eq!(offer(&(Bytes::new(&LARGE),), joined), None);
        assert_eq!(offer(&"text", joined), None);
        let mut encoded = encode(&Bytes::new(&LARGE)).expect("encodes");
        encoded.push(0);
        assert_eq!(split(&encoded), None, "something follows it");
        assert_eq!(split(&encode(&vec![7; APART_BYTES]).expect("encodes")), None);
    }

    #[test]
    fn content_that_lies_apart_is_not_copied() {
        let encoded = encode(&Bytes::new(&LARGE)).expect("encodes");
        let at = split(&encoded).expect("it is large");
        let content = LARGE.to_vec();
        let place = content.as_ptr();
        let decoded: ByteBuf = decode_joined(&encoded[..at], content).expect("decodes");
        assert_eq!((decoded.as_ptr(), &decoded[..]), (place, &LARGE[..]));
    }

    #[test]
    fn an_item_is_decoded_wherever_it_is_parted() {
        let value = ("text", Bytes::new(b"bytes"), 5);
        let encoded = encode(&value).expect("encodes");
        for at in 0..=encoded.len() {
            let decoded = decode_joined(&encoded[..at], encoded[at..].to_vec());
            assert_eq!(decoded, Ok(("text".to_owned(), ByteBuf::from(*b"bytes"), 5)), "{at}");
        }
        let error = decode_joined::<ByteBuf>(b"\x42", vec![7]).expect_err("one byte is missing");
        assert!(error.reason.contains("ends in the middle"), "{error:?}");
    }

    #[test]
    fn who_asks_for_something_else_is_told_what_is_there() {
        let (head, content) = (b"\x59\x40\x00", LARGE.to_vec());
        assert_eq!(
            decode_joined::<i64>(head, content.clone()).expect_err("no number"),
            super::super::decode::<i64>(&[&head[..], &content].concat()).expect_err("no number")
        );
    }
}
