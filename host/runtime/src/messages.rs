//! Messages of a stream, many at a time.
//!
//! Owns: messages that lie one behind the other, and where each of them ends. Must not know: where
//! they come from or go. Invariant: the ends never fall, and the last is where the bytes end.

use bytes::Bytes;
use greenroom_wire::{Loan, Payload};

/// Messages, one CBOR item each, one behind the other in the order they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    bytes: Bytes,
    /// The end of the last one, where it is the content of a byte string that is lent.
    tail: Option<Loan>,
    ends: Vec<u32>,
}

/// Ends that are not those of the messages that came with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "messages of {bytes} bytes do not end where they were said to: ends must not fall, and the last is {bytes}"
)]
pub struct WrongEnds {
    bytes: usize,
}

impl Messages {
    /// The messages that end at these places, in bytes from the beginning.
    ///
    /// # Errors
    /// [`WrongEnds`] if the ends fall, or the last is not that of the bytes.
    pub fn new(bytes: Bytes, ends: Vec<u32>) -> Result<Self, WrongEnds> {
        let _ = sizes(bytes.len(), &ends)?;
        Ok(Self { bytes, tail: None, ends })
    }

    /// As [`Messages::new`], where the last ends with the content of a byte string that is lent.
    ///
    /// # Errors
    /// As there; also if the bytes do not end with what such a byte string begins with.
    pub(crate) fn lent(bytes: Bytes, tail: Loan, ends: Vec<u32>) -> Result<Self, WrongEnds> {
        let all = bytes.len() + tail.size();
        let _ = sizes(all, &ends)?;
        let last = ends.len().checked_sub(2).map_or(0, |before| ends[before] as usize);
        if bytes.get(last..) != Some(&tail.head()) {
            return Err(WrongEnds { bytes: all });
        }
        Ok(Self { bytes, tail: Some(tail), ends })
    }

    /// A single message, as it lies; one of 4 GiB or more has no place in a stream.
    pub(crate) fn of(message: Payload) -> Self {
        let ends = vec![u32::try_from(message.size()).unwrap_or(u32::MAX)];
        let (bytes, tail) = match message {
            Payload::Here(bytes) => (bytes, None),
            Payload::Lent(loan) => (loan.head(), Some(loan)),
        };
        Self { bytes, tail, ends }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes they have together.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.tail.as_ref().map_or(0, Loan::size)
    }

    /// Each of them; they share their memory, but for what is lent: that is copied.
    pub fn iter(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.payloads().map(|payload| payload.to_bytes())
    }

    /// Each of them, as it lies.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = Payload> + '_ {
        let starts = std::iter::once(&0).chain(&self.ends);
        let lent = self.tail.iter().map(|loan| Payload::Lent(loan.clone()));
        let here = starts.zip(&self.ends).take(self.ends.len() - self.tail.iter().len());
        here.map(|(start, end)| self.bytes.slice(*start as usize..*end as usize).into()).chain(lent)
    }

    /// Their bytes, the content of a byte string that follows those if it is lent, and where each ends.
    pub fn into_parts(self) -> (Bytes, Option<Loan>, Vec<u32>) {
        (self.bytes, self.tail, self.ends)
    }
}

/// The length of each of the messages that lie in so many bytes and end at these places.
///
/// # Errors
/// [`WrongEnds`] if the ends fall, or the last is not that of the bytes.
pub(crate) fn sizes(bytes: usize, ends: &[u32]) -> Result<impl ExactSizeIterator<Item = usize>, WrongEnds> {
    let last = ends.last().map_or(0, |end| *end as usize);
    if !ends.is_sorted() || last != bytes {
        return Err(WrongEnds { bytes });
    }
    Ok((0..ends.len()).map(|at| (ends[at] - at.checked_sub(1).map_or(0, |before| ends[before])) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_checked() {
        let bytes = || Bytes::from_static(b"abc");
        for ends in [&[][..], &[2], &[4], &[2, 1, 3], &[3, 2]] {
            assert!(Messages::new(bytes(), ends.to_vec()).is_err(), "{ends:?}");
        }
        let messages = Messages::new(bytes(), vec![0, 2, 2, 3]).expect("they fit");
        assert_eq!(sizes(3, &[0, 2, 2, 3]).expect("they fit").collect::<Vec<_>>(), [0, 2, 0, 1]);
        assert_eq!(messages.iter().collect::<Vec<_>>(), [&b""[..], b"ab", b"", b"c"]);
        assert_eq!(Messages::new(Bytes::new(), Vec::new()), Ok(Messages::default()));
        assert_eq!(Messages::of(bytes().into()).iter().collect::<Vec<_>>(), [bytes()]);
    }
}
