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
//!     │  Cancel, at any time                  │
//!     ├──────────────────────────────────────►│
//!     │               More* (Return or Error) │
//!     │◄──────────────────────────────────────┤
//! ```

mod callee;
mod caller;

pub(crate) use callee::Callee;
pub(crate) use caller::{Caller, Step};
