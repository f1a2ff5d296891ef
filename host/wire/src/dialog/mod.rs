//! The dialog of one context, seen from each of its two sides.
//!
//! Owns: which message may follow which in one context. Must not know: other contexts, time, or
//! the connection. Invariant: a dialog ends once, and says so to its owner.
//!
//! ```text
//!   caller                                  callee
//!     │  More* Start                          │
//!     ├──────────────────────────────────────►│
//!     │                 StartAck, if it takes │
//!     │◄──────────────────────────────────────┤
//!     │                 More* Started         │ ┐
//!     │◄──────────────────────────────────────┤ │
//!     │  (More* Yield)* Stop?   and meanwhile │ │ only in a dialog
//!     ├──────────────────────────────────────►│ │
//!     │                 (More* Yield)* Stop?  │ │
//!     │◄──────────────────────────────────────┤ │
//!     │  Credit, at any time    and meanwhile │ │
//!     │◄─────────────────────────────────────►│ ┘
//!     │  Cancel, at any time                  │
//!     ├──────────────────────────────────────►│
//!     │               More* (Return or Error) │
//!     │◄──────────────────────────────────────┤
//! ```

mod callee;
mod caller;
mod direction;
mod incoming;
mod outgoing;

pub(crate) use callee::Callee;
pub(crate) use caller::{Caller, Head, Step};
pub(crate) use incoming::Incoming;
pub(crate) use outgoing::Kind;

use crate::outbox::Place;
use outgoing::Outgoing;

/// What goes either way in one context, on either side.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Where it stands in the session's outbox.
    pub(crate) place: Place,
    /// What is to be sent.
    pub(crate) outgoing: Outgoing,
    /// What arrives.
    pub(crate) incoming: Incoming,
}
