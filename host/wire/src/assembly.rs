//! Putting chunked payloads together again.
//!
//! Owns: the parts of a payload that has not arrived completely, and the count of all such bytes
//! of a session. Must not know: what the payload belongs to beyond its context's id. Invariant:
//! a payload that arrives in one frame is never copied; no byte is stored before both limits
//! were asked.

use bytes::{Bytes, BytesMut};

use crate::config::CHUNK;
use crate::id::ContextId;
use crate::violation::PeerMisbehaved;

/// Up to which size a payload that still grows is given room for three times as much again: what
/// grows is copied, and that holds up everybody. A larger one is given as much again: a block of that
/// size is made larger in place, and room counts against the memory that a process may have.
const GROWING: usize = 1 << 20;

/// What a first part that is as large as can be is given room for, as long as the session holds little of
/// others: most payloads grow no further.
const FIRST: usize = GROWING + CHUNK;

/// Up to how many bytes that is.
const LITTLE: usize = 4 << 20;

/// How much the unfinished payloads of one session may hold, and do.
#[derive(Debug)]
pub(crate) struct Allowance {
    max_payload: usize,
    max_buffered: usize,
    buffered: usize,
}

impl Allowance {
    pub(crate) fn new(max_payload: usize, max_buffered: usize) -> Self {
        Self { max_payload, max_buffered, buffered: 0 }
    }

    #[cfg(test)]
    pub(crate) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Forgets everything that was counted, because it was all dropped.
    pub(crate) fn reset(&mut self) {
        self.buffered = 0;
    }
}

/// Checks a part by itself: one without content would cost its sender nothing.
pub(crate) fn check_part(context: ContextId, chunk: &[u8]) -> Result<(), PeerMisbehaved> {
    if chunk.is_empty() { Err(PeerMisbehaved::EmptyChunk(context)) } else { Ok(()) }
}

/// The parts of one payload so far; empty until the first chunk.
#[derive(Debug, Default)]
pub(crate) struct Assembly(BytesMut);

impl Assembly {
    /// Whether no part has arrived.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a part that is not the last.
    pub(crate) fn push(
        &mut self,
        context: ContextId,
        chunk: &[u8],
        allowance: &mut Allowance,
    ) -> Result<(), PeerMisbehaved> {
        check_part(context, chunk)?;
        self.check(context, chunk.len(), allowance)?;
        if chunk.len() > allowance.max_buffered - allowance.buffered {
            return Err(PeerMisbehaved::TooMuchBuffered(allowance.max_buffered));
        }
        allowance.buffered += chunk.len();
        if chunk.len() > self.0.capacity() - self.0.len() {
            self.0.reserve(match self.0.len() {
                0 if chunk.len() >= CHUNK && allowance.buffered <= LITTLE => {
                    FIRST.min(allowance.max_payload).max(chunk.len())
                }
                small @ ..GROWING => (3 * small).max(2 * chunk.len()),
                large => large,
            });
        }
        self.0.extend_from_slice(chunk);
        Ok(())
    }

    /// The whole payload, given its last part.
    pub(crate) fn complete(
        mut self,
        context: ContextId,
        last: Bytes,
        allowance: &mut Allowance,
    ) -> Result<Bytes, PeerMisbehaved> {
        self.check(context, last.len(), allowance)?;
        if self.0.is_empty() {
            return Ok(last);
        }
        allowance.buffered -= self.0.len();
        self.0.extend_from_slice(&last);
        if self.0.capacity() <= 2 * self.0.len() {
            return Ok(self.0.freeze());
        }
        // It may be kept for long, and room counts against the memory that a process may have.
        let mut whole = Vec::from(self.0);
        whole.shrink_to_fit();
        Ok(whole.into())
    }

    /// Drops the parts.
    pub(crate) fn discard(self, allowance: &mut Allowance) {
        allowance.buffered -= self.0.len();
    }

    /// Checks that the payload may have so many bytes more.
    pub(crate) fn check(
        &self,
        context: ContextId,
        added: usize,
        allowance: &Allowance,
    ) -> Result<(), PeerMisbehaved> {
        // Never underflows: what is held has passed this check.
        if added > allowance.max_payload - self.0.len() {
            return Err(PeerMisbehaved::PayloadTooLarge { context, limit: allowance.max_payload });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> ContextId {
        ContextId::new(1).expect("not zero")
    }

    #[test]
    fn passes_a_whole_payload_through_without_a_copy() {
        let whole = Bytes::from(vec![7; 100]);
        let mut allowance = Allowance::new(100, 0);
        let passed = Assembly::default().complete(context(), whole.clone(), &mut allowance).expect("fits");
        assert_eq!(passed.as_ptr(), whole.as_ptr());
    }

    #[test]
    fn room_is_for_what_fills_it() {
        let mut allowance = Allowance::new(64 << 20, 64 << 20);
        for (parts, part, most) in
            [(1, 1, 16), (1, CHUNK - 1, 2 * CHUNK), (1, CHUNK, FIRST), (30, CHUNK, 4 << 20)]
        {
            let mut assembly = Assembly::default();
            for _ in 0..parts {
                assembly.push(context(), &vec![7; part], &mut allowance).expect("fits");
            }
            assert!(assembly.0.capacity() <= most, "{} for {parts} of {part}", assembly.0.capacity());
            let whole = assembly.complete(context(), Bytes::from_static(b"7"), &mut allowance).expect("fits");
            let (length, room) = (whole.len(), whole.try_into_mut().expect("its only owner").capacity());
            assert!(room <= 2 * length, "{room} for {length}");
        }
        // With much of others already, and where no payload may be as large.
        for (max_payload, others) in [(64 << 20, LITTLE + 1), (100_000, 0)] {
            let mut allowance = Allowance { max_payload, max_buffered: 64 << 20, buffered: others };
            let mut assembly = Assembly::default();
            assembly.push(context(), &[7; CHUNK], &mut allowance).expect("fits");
            assert!(assembly.0.capacity() <= 2 * CHUNK, "{}", assembly.0.capacity());
        }
    }

    #[test]
    fn counts_what_it_holds() {
        let mut allowance = Allowance::new(10, 12);
        let mut one = Assembly::default();
        let mut two = Assembly::default();
        one.push(context(), b"12345678", &mut allowance).expect("fits");
        assert_eq!(
            one.push(context(), b"90x", &mut allowance),
            Err(PeerMisbehaved::PayloadTooLarge { context: context(), limit: 10 })
        );
        two.push(context(), b"1234", &mut allowance).expect("fits");
        assert_eq!(two.push(context(), b"5", &mut allowance), Err(PeerMisbehaved::TooMuchBuffered(12)));
        two.discard(&mut allowance);
        assert_eq!(allowance.buffered(), 8);
        let whole = one.complete(context(), Bytes::from_static(b"90"), &mut allowance).expect("fits");
        assert_eq!(&whole[..], b"1234567890");
        assert_eq!(allowance.buffered(), 0);
    }
}
