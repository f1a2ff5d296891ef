//! The names of contexts on one connection.
//!
//! Owns: which side opens which ids, and the order they are handed out in. Must not know: what
//! happens in a context. Invariant: an id is never used twice on one connection.

use std::fmt;

/// Which side of the connection a session is. It decides who speaks first and the parity of ids;
/// afterwards both sides are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends `Hello`; opens odd contexts.
    Initiator,
    /// Answers `Welcome`; opens even contexts.
    Acceptor,
}

impl Role {
    /// The id of the first context that this side opens.
    pub(crate) fn first_id(self) -> ContextId {
        match self {
            Self::Initiator => ContextId(1),
            Self::Acceptor => ContextId(2),
        }
    }

    /// Whether this side opens the context.
    pub(crate) fn opens(self, context: ContextId) -> bool {
        context.0 % 2 == self.first_id().0 % 2
    }
}

/// One context of one connection: odd where the initiator opened it, even where the acceptor did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextId(u64);

impl ContextId {
    /// The context of that number; 0 stands for the connection itself and is none.
    pub const fn new(number: u64) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// Its number on the wire.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next one that the same side opens.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 2)
    }
}

impl fmt::Display for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
