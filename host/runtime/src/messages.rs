//! Messages of a stream, many at a time.
//!
//! Owns: messages that lie one behind the other, and where each of them ends. Must not know: where
//! they come from or go. Invariant: the ends never fall, and the last is where the bytes end.

use bytes::Bytes;

/// Messages, one CBOR item each, one behind the other in the order they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    bytes: Bytes,
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
        Ok(Self { bytes, ends })
    }

    /// A single message; one of 4 GiB or more has no place in a stream.
    pub fn one(message: Bytes) -> Self {
        Self { ends: vec![u32::try_from(message.len()).unwrap_or(u32::MAX)], bytes: message }
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
        self.bytes.len()
    }

    /// Each of them; they share their memory.
    pub fn iter(&self) -> impl Iterator<Item = Bytes> + '_ {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| self.bytes.slice(*start as usize..*end as usize))
    }

    /// Their bytes, and where each ends.
    pub fn into_parts(self) -> (Bytes, Vec<u32>) {
        (self.bytes, self.ends)
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
        assert_eq!(Messages::one(bytes()).iter().collect::<Vec<_>>(), [bytes()]);
    }
}
