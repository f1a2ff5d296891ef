//! Payloads that are one byte string.
//!
//! Owns: their head and their content, which may lie apart. Must not know: what a byte string holds.
//! Invariant: content that is taken whole is not copied.
//!
//! A large one would be copied for no more than the few bytes before it.

use std::cell::Cell;
use std::fmt::Display;
use std::mem;

use ciborium_ll::{Encoder, Header};
use serde::de::value::Error as Refused;
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserializer, Serialize, Serializer, de, ser};

use super::{BYTES, Scan};
use crate::kind::{DecodeError, EncodeError};

/// From which size on the content of a message that is one byte string is handed over apart from its
/// head, in bytes.
pub const APART_BYTES: usize = 16 * 1024;

/// Encodes a value behind what is there already, unless it is one byte string of [`APART_BYTES`] or more:
/// then `take` is given its head and its content. Says whether the value was encoded. After an error, a part of
/// it may be there.
///
/// # Errors
/// [`EncodeError`] with what the encoder said.
pub fn encode_or_offer<T: Serialize + ?Sized>(
    value: &T,
    bytes: &mut Vec<u8>,
    take: impl FnOnce(Vec<u8>, &[u8]),
) -> Result<bool, EncodeError> {
    let take = Cell::new(Some(take));
    let offer = |content: &[u8]| {
        let mut head = Vec::new();
        Encoder::from(&mut head).push(Header::Bytes(Some(content.len()))).expect("there is room in a vector");
        if let Some(take) = take.take() {
            take(head, content);
        }
    };
    let encoded = super::encode_into(&Diverted { value, offer: &offer }, bytes);
    if take.into_inner().is_none() {
        // Whatever the value says after that.
        return Ok(false);
    }
    encoded.map(|()| true)
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
        Err(de::Error::custom("asked for something else"))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.give(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.give(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_some(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A value whose content is offered if it is one large byte string.
struct Diverted<'a, T: ?Sized, F> {
    value: &'a T,
    offer: &'a F,
}

impl<T: Serialize + ?Sized, F: Fn(&[u8])> Serialize for Diverted<'_, T, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Diverting { serializer, offer: self.offer })
    }
}

/// A serializer that writes no large byte string; all else it leaves to another.
struct Diverting<'a, S, F> {
    serializer: S,
    offer: &'a F,
}

/// Leaves it to the other.
macro_rules! leave {
    ($($name:ident($($value:ident: $type:ty),*) -> $out:ident;)*) => {
        $(#[inline]
        fn $name(self, $($value: $type),*) -> Result<S::$out, S::Error> {
            self.serializer.$name($($value),*)
        })*
    };
}

impl<S: Serializer, F: Fn(&[u8])> Serializer for Diverting<'_, S, F> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = S::SerializeSeq;
    type SerializeTuple = S::SerializeTuple;
    type SerializeTupleStruct = S::SerializeTupleStruct;
    type SerializeTupleVariant = S::SerializeTupleVariant;
    type SerializeMap = S::SerializeMap;
    type SerializeStruct = S::SerializeStruct;
    type SerializeStructVariant = S::SerializeStructVariant;

    fn serialize_bytes(self, content: &[u8]) -> Result<S::Ok, S::Error> {
        if content.len() < APART_BYTES {
            return self.serializer.serialize_bytes(content);
        }
        (self.offer)(content);
        Err(ser::Error::custom("it lies apart"))
    }

    // A CBOR item is the same with these around it.
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.serializer.serialize_some(&Diverted { value, offer: self.offer })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.serializer.serialize_newtype_struct(name, &Diverted { value, offer: self.offer })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.serializer.serialize_newtype_variant(name, index, variant, value)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.serializer.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.serializer.is_human_readable()
    }

    leave! {
        serialize_bool(value: bool) -> Ok;
        serialize_i8(value: i8) -> Ok;
        serialize_i16(value: i16) -> Ok;
        serialize_i32(value: i32) -> Ok;
        serialize_i64(value: i64) -> Ok;
        serialize_i128(value: i128) -> Ok;
        serialize_u8(value: u8) -> Ok;
        serialize_u16(value: u16) -> Ok;
        serialize_u32(value: u32) -> Ok;
        serialize_u64(value: u64) -> Ok;
        serialize_u128(value: u128) -> Ok;
        serialize_f32(value: f32) -> Ok;
        serialize_f64(value: f64) -> Ok;
        serialize_char(value: char) -> Ok;
        serialize_str(value: &str) -> Ok;
        serialize_none() -> Ok;
        serialize_unit() -> Ok;
        serialize_unit_struct(name: &'static str) -> Ok;
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str) -> Ok;
        serialize_seq(length: Option<usize>) -> SerializeSeq;
        serialize_tuple(length: usize) -> SerializeTuple;
        serialize_tuple_struct(name: &'static str, length: usize) -> SerializeTupleStruct;
        serialize_tuple_variant(
            name: &'static str, index: u32, variant: &'static str, length: usize
        ) -> SerializeTupleVariant;
        serialize_map(length: Option<usize>) -> SerializeMap;
        serialize_struct(name: &'static str, length: usize) -> SerializeStruct;
        serialize_struct_variant(
            name: &'static str, index: u32, variant: &'static str, length: usize
        ) -> SerializeStructVariant;
    }
}

#[cfg(test)]
mod tests {
    use serde_bytes::{ByteBuf, Bytes};

    use super::*;
    use crate::payload::encode;

    const LARGE: [u8; APART_BYTES] = [7; APART_BYTES];

    /// What is offered of a value, put together, or how it was encoded behind the bytes that were there.
    fn offered<T: Serialize>(value: &T) -> Result<Vec<u8>, Vec<u8>> {
        let mut bytes = b"before".to_vec();
        let mut joined = Vec::new();
        let join = |head: Vec<u8>, content: &[u8]| joined = [&head[..], content].concat();
        if encode_or_offer(value, &mut bytes, join).expect("encodes") {
            return Err(bytes.split_off(b"before".len()));
        }
        assert_eq!(bytes, b"before");
        Ok(joined)
    }

    #[test]
    fn a_large_byte_string_is_offered_as_its_head_and_its_content() {
        for length in [APART_BYTES, 0xffff, 0x1_0000] {
            let value = ByteBuf::from(vec![7; length]);
            let encoded = encode(&value).expect("encodes");
            assert_eq!(offered(&value).as_ref(), Ok(&encoded));
            assert_eq!(offered(&Some(Bytes::new(&value))).as_ref(), Ok(&encoded));
            assert_eq!(split(&encoded), Some(encoded.len() - length));
        }
    }

    #[test]
    fn whatever_else_is_encoded() {
        fn is_encoded<T: Serialize>(value: &T) {
            assert_eq!(offered(value), Err(encode(value).expect("encodes")));
        }
        is_encoded(&Bytes::new(&LARGE[1..]));
        is_encoded(&vec![7; APART_BYTES]);
        is_encoded(&(Bytes::new(&LARGE),));
        is_encoded(&Ok::<_, ()>(Bytes::new(&LARGE)));
        is_encoded(&(1_u8, -5_i64, "text", [1.5], Some(true), 'x', ()));
        is_encoded(&None::<ByteBuf>);
        is_encoded(&std::collections::BTreeMap::from([(1, "a"), (2, "b")]));
        let mut encoded = encode(&Bytes::new(&LARGE)).expect("encodes");
        encoded.push(0);
        assert_eq!(split(&encoded), None, "something follows it");
        assert_eq!(split(&encode(&vec![7; APART_BYTES]).expect("encodes")), None);
    }

    #[test]
    fn a_value_is_asked_once_and_what_was_taken_stays_taken() {
        struct Once(Cell<Option<&'static str>>);
        impl Serialize for Once {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.take().expect("it is there once").serialize(serializer)
            }
        }
        struct Fails;
        impl Serialize for Fails {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let _ = serializer.serialize_bytes(&LARGE);
                Err(ser::Error::custom("never"))
            }
        }
        assert_eq!(offered(&Once(Cell::new(Some("text")))), Err(encode("text").expect("encodes")));
        assert_eq!(offered(&Fails), Ok(encode(&Bytes::new(&LARGE)).expect("encodes")));
    }

    #[test]
    fn content_that_lies_apart_is_not_copied() {
        let encoded = encode(&Bytes::new(&LARGE)).expect("encodes");
        let at = split(&encoded).expect("it is large");
        let content = LARGE.to_vec();
        let place = content.as_ptr();
        let decoded: ByteBuf = decode_joined(&encoded[..at], content).expect("decodes");
        assert_eq!((decoded.as_ptr(), &decoded[..]), (place, &LARGE[..]));
        let decoded: Option<ByteBuf> = decode_joined(&encoded[..at], decoded.into_vec()).expect("decodes");
        assert_eq!(decoded.map(|content| content.as_ptr()), Some(place));
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
