//! CBOR items, as much of CBOR as values need.
//!
//! Owns: reading a checked item into a tree that borrows from it, and writing the heads of items.
//! Must not know: types. Invariant: nothing here is given bytes that were not checked for form,
//! size and depth.

use std::borrow::Cow;
use std::fmt;

/// How many characters of a text an error shows.
const SHOWN: usize = 40;

/// One data item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item<'a> {
    Integer(i128),
    Float(f64),
    Bool(bool),
    Null,
    Bytes(Cow<'a, [u8]>),
    Text(Cow<'a, str>),
    Array(Vec<Item<'a>>),
    Map(Vec<(Item<'a>, Item<'a>)>),
    /// An item with a tag, such as a number beyond 64 bits. No value is written so.
    Tagged(u64),
    /// `undefined`, or another of the simple values that no value is written as.
    Simple(u64),
}

impl<'a> Item<'a> {
    /// Reads an item that has been checked; none if it was not.
    pub(crate) fn read(checked: &'a [u8]) -> Option<Self> {
        Reader(checked).item()
    }
}

/// As an error says what was found.
impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Null => f.write_str("null"),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Text(text) if text.chars().count() <= SHOWN => write!(f, "{text:?}"),
            Self::Text(text) => write!(f, "{:?}…", text.chars().take(SHOWN).collect::<String>()),
            Self::Array(items) => write!(f, "an array of {}", items.len()),
            Self::Map(entries) => write!(f, "a map of {}", entries.len()),
            Self::Tagged(tag) => write!(f, "an item with tag {tag}"),
            Self::Simple(23) => f.write_str("undefined"),
            Self::Simple(value) => write!(f, "the simple value {value}"),
        }
    }
}

pub(crate) const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const TEXT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
pub(crate) const MAP: u8 = 5;
const TAG: u8 = 6;

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
pub(crate) const NULL: u8 = 0xf6;
const F32: u8 = 0xfa;
const F64: u8 = 0xfb;
const BREAK: u8 = 0xff;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn at_break(&mut self) -> bool {
        let found = self.0.first() == Some(&BREAK);
        self.0 = &self.0[usize::from(found)..];
        found
    }

    /// The initial byte's parts and the argument; no argument means an indefinite length.
    fn head(&mut self) -> Option<(u8, u8, Option<u64>)> {
        let initial = self.take(1)?[0];
        let (major, info) = (initial >> 5, initial & 0x1f);
        let argument = match info {
            0..=23 => Some(u64::from(info)),
            24..=27 => {
                let raw = self.take(1 << (info - 24))?;
                Some(raw.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
            }
            _ => None,
        };
        Some((major, info, argument))
    }

    fn item(&mut self) -> Option<Item<'a>> {
        let (major, info, argument) = self.head()?;
        Some(match (major, argument) {
            (UNSIGNED, Some(value)) => Item::Integer(value.into()),
            (NEGATIVE, Some(value)) => Item::Integer(-1 - i128::from(value)),
            (BYTES, length) => Item::Bytes(self.string(length)?),
            (TEXT, length) => Item::Text(match self.string(length)? {
                Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok()?.into(),
                Cow::Owned(bytes) => String::from_utf8(bytes).ok()?.into(),
            }),
            (ARRAY, length) => Item::Array(self.sequence(length, Self::item)?),
            (MAP, length) => {
                Item::Map(self.sequence(length, |reader| Some((reader.item()?, reader.item()?)))?)
            }
            (TAG, Some(tag)) => {
                self.item()?;
                Item::Tagged(tag)
            }
            (_, Some(bits)) => match info {
                20 | 21 => Item::Bool(info == 21),
                22 => Item::Null,
                25 => Item::Float(half(u16::try_from(bits).ok()?)),
                26 => Item::Float(f32::from_bits(u32::try_from(bits).ok()?).into()),
                27 => Item::Float(f64::from_bits(bits)),
                _ => Item::Simple(bits),
            },
            _ => return None,
        })
    }

    fn string(&mut self, length: Option<u64>) -> Option<Cow<'a, [u8]>> {
        if let Some(length) = length {
            return self.take(usize::try_from(length).ok()?).map(Cow::Borrowed);
        }
        let mut whole = Vec::new();
        while !self.at_break() {
            let (_, _, length) = self.head()?;
            whole.extend_from_slice(self.take(usize::try_from(length?).ok()?)?);
        }
        Some(Cow::Owned(whole))
    }

    fn sequence<T>(
        &mut self,
        length: Option<u64>,
        mut next: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut found = Vec::new();
        match length {
            Some(length) => {
                for _ in 0..length {
                    found.push(next(self)?);
                }
            }
            None => {
                while !self.at_break() {
                    found.push(next(self)?);
                }
            }
        }
        Some(found)
    }
}

/// A float of 16 bits.
fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * (-24f64).exp2(),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (fraction + 1024.0) * f64::from(exponent - 25).exp2(),
    }
}

/// Writes the head of an item: its kind, and its value or length.
pub(crate) fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..=23 => out.push(major | bytes[7]),
        24..=0xff => out.extend([major | 24, bytes[7]]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend(&bytes[6..]);
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend(bytes);
        }
    }
}

/// Writes an integer.
pub(crate) fn integer(out: &mut Vec<u8>, value: i64) {
    match u64::try_from(value) {
        Ok(value) => head(out, UNSIGNED, value),
        Err(_) => head(out, NEGATIVE, (-1 - value).unsigned_abs()),
    }
}

/// Writes a truth value.
pub(crate) fn boolean(out: &mut Vec<u8>, value: bool) {
    out.push(if value { TRUE } else { FALSE });
}

/// Writes a float of 32 bits.
pub(crate) fn float32(out: &mut Vec<u8>, value: f32) {
    out.push(F32);
    out.extend(value.to_bits().to_be_bytes());
}

/// Writes a float of 64 bits.
pub(crate) fn float64(out: &mut Vec<u8>, value: f64) {
    out.push(F64);
    out.extend(value.to_bits().to_be_bytes());
}

/// Writes a byte string.
pub(crate) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    head(out, BYTES, bytes.len() as u64);
    out.extend(bytes);
}

/// Writes a text.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    head(out, TEXT, text.len() as u64);
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_item_is_read() {
        let text = |text: &'static str| Item::Text(text.into());
        let cases: &[(&[u8], Item<'_>)] = &[
            (b"\x17", Item::Integer(23)),
            (b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff", Item::Integer(-(1 << 64))),
            (b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", Item::Integer((1 << 64) - 1)),
            (b"\xf9\x3c\x00", Item::Float(1.0)),
            (b"\xf9\x00\x01", Item::Float(5.960_464_477_539_063e-8)),
            (b"\xf9\xfc\x00", Item::Float(f64::NEG_INFINITY)),
            (b"\xfa\x3f\x80\x00\x00", Item::Float(1.0)),
            (b"\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00", Item::Float(1.0)),
            (b"\x43abc", Item::Bytes(b"abc"[..].into())),
            (b"\x5f\x42ab\x41c\xff", Item::Bytes(b"abc"[..].into())),
            (b"\x7f\x62ab\x61c\xff", text("abc")),
            (b"\x9f\x01\xf4\xff", Item::Array(vec![Item::Integer(1), Item::Bool(false)])),
            (b"\xbf\x61a\xf6\xff", Item::Map(vec![(text("a"), Item::Null)])),
            (b"\xc2\x41\x01", Item::Tagged(2)),
            (b"\xf7", Item::Simple(23)),
            (b"\xf8\x20", Item::Simple(32)),
        ];
        for (bytes, item) in cases {
            assert_eq!(Item::read(bytes).as_ref(), Some(item), "{bytes:02x?}");
        }
        assert!(matches!(Item::read(b"\xf9\x7e\x00"), Some(Item::Float(nan)) if nan.is_nan()));
    }

    #[test]
    fn what_is_written_is_read() {
        for value in [0, 23, 24, 255, 256, 65_535, 65_536, 1 << 32, i64::MAX, -1, -24, -25, i64::MIN] {
            let mut out = Vec::new();
            integer(&mut out, value);
            assert_eq!(greenroom_abi::payload::check(&out), Ok(()));
            assert_eq!(Item::read(&out), Some(Item::Integer(value.into())));
        }
    }
}
