//! What one message of a stream holds, wherever it lies.
//!
//! Owns: payloads that are here, and such that lie in memory which both sides see. Must not know: what that
//! memory is, or who sees to it. Invariant: what is lent is taken back once, by whoever has it last.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::cbor::Writer;

/// One CBOR item, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Its bytes.
    Here(Bytes),
    /// A byte string whose content one side lends the other.
    Lent(Loan),
}

impl Payload {
    /// How many bytes it has.
    pub fn size(&self) -> usize {
        match self {
            Self::Here(bytes) => bytes.len(),
            Self::Lent(loan) => loan.head().len() + loan.size(),
        }
    }

    /// Its bytes; what is lent is copied.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Here(bytes) => bytes.clone(),
            Self::Lent(loan) => {
                let mut bytes = Vec::with_capacity(self.size());
                bytes.extend_from_slice(&loan.head());
                loan.0.copy_to(&mut bytes);
                bytes.into()
            }
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Here(bytes)
    }
}

/// Memory that both sides see, in which the peer lends.
pub trait Lender: fmt::Debug + Send {
    /// So many bytes there, which the peer says that it lends; none if it cannot.
    fn borrow(&self, place: u64, size: u64) -> Option<Loan>;
}

/// Bytes in memory that both sides see. Dropped, they go back to whose they are, unless they have
/// [departed](Self::depart).
pub trait Lent: fmt::Debug + Send + Sync {
    /// Where they begin, as the other side is told.
    fn place(&self) -> u64;

    /// Where they are, and how many. The other side may write there at any time: they may be copied, and what is
    /// made of them is to be made of the copy.
    fn bytes(&self) -> *const [u8];

    /// Appends what is there now.
    fn copy_to(&self, out: &mut Vec<u8>);

    /// They are the other side's now, which gives them back.
    fn depart(&self);
}

/// The content of a byte string, in memory that both sides see; clones are the same.
#[derive(Clone, Debug)]
pub struct Loan(Arc<dyn Lent>);

impl Loan {
    /// What is to be lent, or has been.
    pub fn new(lent: impl Lent + 'static) -> Self {
        Self(Arc::new(lent))
    }

    /// How many bytes the content has.
    pub fn size(&self) -> usize {
        self.bytes().len()
    }

    /// The bytes of the item before the content.
    pub fn head(&self) -> Bytes {
        Self::head_of(self.size())
    }

    /// What a byte string begins with whose content has so many bytes.
    pub fn head_of(size: usize) -> Bytes {
        let mut head = BytesMut::new();
        Writer::new(&mut head).byte_string(size);
        head.freeze()
    }

    /// As [`Lent::bytes`].
    pub fn bytes(&self) -> *const [u8] {
        self.0.bytes()
    }

    pub(crate) fn place(&self) -> u64 {
        self.0.place()
    }

    pub(crate) fn depart(&self) {
        self.0.depart();
    }
}

impl PartialEq for Loan {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Loan {}
