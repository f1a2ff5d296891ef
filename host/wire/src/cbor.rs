//! The subset of CBOR (RFC 8949) that frame headers are written in.
//!
//! Owns: writing and reading unsigned numbers, texts, byte strings, tag 24, null and arrays, all
//! of definite length and in their shortest form. Must not know: messages. Invariant: reading
//! borrows from the frame and never allocates, whatever the frame claims.

use bytes::{BufMut, BytesMut};

use crate::config::MAX_TEXT;

const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

/// The simple value `null`.
const NULL: u8 = 0xf6;

/// The tag of a byte string that holds encoded CBOR.
const ENCODED: u64 = 24;

/// How deep fields that this version does not know may nest. Known ones need 2 levels; a reader
/// that recurses needs some bound.
const MAX_SKIP_DEPTH: usize = 8;

/// Why a header cannot be read, with the offset in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The frame ends inside an item.
    #[error("ends in the middle of an item")]
    Truncated,
    /// Bytes follow the array.
    #[error("bytes follow the message at offset {0}")]
    Trailing(usize),
    /// An item of another type than the message has there.
    #[error("an item of the wrong type at offset {0}")]
    WrongType(usize),
    /// A reserved encoding, or an indefinite length.
    #[error("a forbidden encoding at offset {0}")]
    Forbidden(usize),
    /// A number or length that is not in its shortest form.
    #[error("a number not in its shortest form at offset {0}")]
    NotShortest(usize),
    /// Text that is not UTF-8.
    #[error("text at offset {0} is not UTF-8")]
    NotUtf8(usize),
    /// Text longer than [`MAX_TEXT`].
    #[error("text of over {MAX_TEXT} bytes at offset {0}")]
    TextTooLong(usize),
    /// Unknown fields nested too deep.
    #[error("nested too deep at offset {0}")]
    TooDeep(usize),
    /// Fewer fields than the message needs.
    #[error("too few fields")]
    TooFewFields,
}

/// Writes items to the end of a buffer.
pub(crate) struct Writer<'a> {
    out: &'a mut BytesMut,
    /// How many bytes of byte strings have been left out, where they are.
    omitted: Option<usize>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut BytesMut) -> Self {
        Self { out, omitted: None }
    }

    /// Writes of byte strings only how long they are.
    pub(crate) fn of_heads(out: &'a mut BytesMut) -> Self {
        Self { out, omitted: Some(0) }
    }

    /// How many bytes it has left out.
    pub(crate) fn omitted(&self) -> usize {
        self.omitted.unwrap_or_default()
    }

    pub(crate) fn array(&mut self, fields: usize) {
        self.head(ARRAY, fields as u64);
    }

    pub(crate) fn uint(&mut self, value: u64) {
        self.head(UINT, value);
    }

    pub(crate) fn null(&mut self) {
        self.out.put_u8(NULL);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.out.put_slice(text.as_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.byte_string(bytes.len());
        match &mut self.omitted {
            None => self.out.put_slice(bytes),
            Some(omitted) => *omitted += bytes.len(),
        }
    }

    /// What a byte string of so many bytes begins with.
    pub(crate) fn byte_string(&mut self, length: usize) {
        self.head(BYTES, length as u64);
    }

    /// A byte string tagged as encoded CBOR.
    pub(crate) fn payload(&mut self, payload: &[u8]) {
        self.head(TAG, ENCODED);
        self.bytes(payload);
    }

    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        match value {
            0..=23 => self.out.put_u8(major | value as u8),
            24..=0xff => self.out.put_slice(&[major | 24, value as u8]),
            0x100..=0xffff => {
                self.out.put_u8(major | 25);
                self.out.put_u16(value as u16);
            }
            0x1_0000..=0xffff_ffff => {
                self.out.put_u8(major | 26);
                self.out.put_u32(value as u32);
            }
            _ => {
                self.out.put_u8(major | 27);
                self.out.put_u64(value);
            }
        }
    }
}

/// Reads items from the start of a frame.
pub(crate) struct Reader<'a> {
    frame: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(frame: &'a [u8]) -> Self {
        Self { frame, at: 0 }
    }

    /// The number of fields of an array, which is not yet known to be there.
    pub(crate) fn array(&mut self) -> Result<u64, HeaderError> {
        self.expect(ARRAY)
    }

    pub(crate) fn uint(&mut self) -> Result<u64, HeaderError> {
        self.expect(UINT)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, HeaderError> {
        let start = self.at;
        let length = self.expect(TEXT)?;
        if length > MAX_TEXT as u64 {
            return Err(HeaderError::TextTooLong(start));
        }
        std::str::from_utf8(self.take(length)?).map_err(|_| HeaderError::NotUtf8(start))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], HeaderError> {
        let length = self.expect(BYTES)?;
        self.take(length)
    }

    /// A byte string tagged as encoded CBOR.
    pub(crate) fn payload(&mut self) -> Result<&'a [u8], HeaderError> {
        let start = self.at;
        if self.expect(TAG)? != ENCODED {
            return Err(HeaderError::WrongType(start));
        }
        self.bytes()
    }

    /// Whether the next item is null; passes over it if so.
    pub(crate) fn null(&mut self) -> bool {
        let found = self.frame.get(self.at) == Some(&NULL);
        self.at += usize::from(found);
        found
    }

    /// Passes over one item of any type.
    pub(crate) fn skip(&mut self) -> Result<(), HeaderError> {
        self.skip_at(0)
    }

    /// Passes over one item of any type; true if it was this number.
    pub(crate) fn skip_number(&mut self, number: u64) -> Result<bool, HeaderError> {
        let start = self.at;
        self.skip()?;
        let found = Self { frame: self.frame, at: start }.head();
        Ok(found == Ok((UINT, number)))
    }

    /// Checks that the frame ends here.
    pub(crate) fn finish(&self) -> Result<(), HeaderError> {
        if self.at == self.frame.len() { Ok(()) } else { Err(HeaderError::Trailing(self.at)) }
    }

    fn skip_at(&mut self, depth: usize) -> Result<(), HeaderError> {
        let start = self.at;
        if depth > MAX_SKIP_DEPTH {
            return Err(HeaderError::TooDeep(start));
        }
        let (major, value) = self.head()?;
        match major {
            UINT | NEGATIVE | SIMPLE => Ok(()),
            BYTES => self.take(value).map(drop),
            TEXT => {
                let text = self.take(value)?;
                std::str::from_utf8(text).map(drop).map_err(|_| HeaderError::NotUtf8(start))
            }
            TAG => self.skip_at(depth + 1),
            // A lying count ends with the frame: every item takes at least one byte of it.
            ARRAY => (0..value).try_for_each(|_| self.skip_at(depth + 1)),
            MAP => (0..value).try_for_each(|_| {
                self.skip_at(depth + 1)?;
                self.skip_at(depth + 1)
            }),
            _ => Err(HeaderError::Forbidden(start)),
        }
    }

    fn expect(&mut self, major: u8) -> Result<u64, HeaderError> {
        let start = self.at;
        match self.head()? {
            (found, value) if found == major => Ok(value),
            _ => Err(HeaderError::WrongType(start)),
        }
    }

    /// An item's major type and argument.
    fn head(&mut self) -> Result<(u8, u64), HeaderError> {
        let start = self.at;
        let initial = self.take(1)?[0];
        let (major, info) = (initial >> 5, initial & 0x1f);
        let (value, shortest) = match info {
            0..=23 => (u64::from(info), 0),
            24..=27 => {
                let width = 1 << (info - 24);
                let raw = self.take(width)?;
                let value = raw.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
                // What fits in half the width, or in the initial byte, must be written there.
                (value, if info == 24 { 24 } else { 1 << (width * 4) })
            }
            _ => return Err(HeaderError::Forbidden(start)),
        };
        // A simple value's argument is a value or a float's bits, and not a number to shorten.
        if major == SIMPLE {
            let reserved = info == 24 && value < 32;
            return if reserved { Err(HeaderError::Forbidden(start)) } else { Ok((major, value)) };
        }
        if value < shortest { Err(HeaderError::NotShortest(start)) } else { Ok((major, value)) }
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], HeaderError> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count));
        let end = end.ok_or(HeaderError::Truncated)?;
        let taken = self.frame.get(self.at..end).ok_or(HeaderError::Truncated)?;
        self.at = end;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_numbers_at_every_width() {
        for shift in 0..64 {
            for value in [(1u64 << shift) - 1, 1 << shift, (1 << shift) + 1] {
                let mut out = BytesMut::new();
                Writer::new(&mut out).uint(value);
                let mut reader = Reader::new(&out);
                assert_eq!(reader.uint(), Ok(value));
                assert_eq!(reader.finish(), Ok(()));
            }
        }
    }

    #[test]
    fn names_each_violation() {
        use HeaderError::*;
        let uint = |bytes: &[u8]| Reader::new(bytes).uint();
        assert_eq!(uint(b""), Err(Truncated));
        assert_eq!(uint(b"\x18"), Err(Truncated));
        assert_eq!(uint(b"\x60"), Err(WrongType(0)));
        assert_eq!(uint(b"\x1c"), Err(Forbidden(0)));
        assert_eq!(uint(b"\x1f"), Err(Forbidden(0)));
        for bytes in [&b"\x18\x17"[..], b"\x19\x00\xff", b"\x1a\0\0\xff\xff", b"\x1b\0\0\0\0\xff\xff\xff\xff"]
        {
            assert_eq!(uint(bytes), Err(NotShortest(0)), "{bytes:02x?}");
        }
        assert_eq!(Reader::new(b"\x9f\xff").array(), Err(Forbidden(0)));
        assert_eq!(Reader::new(b"\x61\xff").text(), Err(NotUtf8(0)));
        assert_eq!(Reader::new(b"\x79\x10\x01").text(), Err(TextTooLong(0)));
        assert_eq!(Reader::new(b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff").bytes(), Err(Truncated));
        assert_eq!(Reader::new(b"\xd8\x19\x40").payload(), Err(WrongType(0)));
        assert_eq!(Reader::new(b"\xf8\x10").skip(), Err(Forbidden(0)));
        assert_eq!(Reader::new(&[0x81; 20]).skip(), Err(TooDeep(9)));
        assert_eq!(Reader::new(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff").skip(), Err(Truncated));
        assert_eq!(Reader::new(b"\x00").finish(), Err(Trailing(0)));
    }

    #[test]
    fn skips_whatever_is_well_formed() {
        let items: [&[u8]; 8] = [
            b"\x00",
            b"\x20",
            b"\x42ab",
            b"\x62ab",
            b"\x82\x01\x02",
            b"\xa1\x01\x02",
            b"\xd8\x18\x40",
            b"\xf9\x3c\x00",
        ];
        for item in items {
            let mut reader = Reader::new(item);
            assert_eq!(reader.skip().and_then(|()| reader.finish()), Ok(()), "{item:02x?}");
        }
    }
}
