//! The protocol between actors as pure state machines.
//!
//! Owns: what travels over one connection between two actors: frames, messages, the dialog of
//! each context, and the [`Session`] that multiplexes contexts over the connection. Must not
//! know: executors, sockets, clocks, processes, WebAssembly. Invariant: the same calls with the
//! same arguments in the same order give the same bytes and the same events, on every machine.
//!
//! A driver owns the socket and the clock. It gives a [`Session`] what arrived and what time it
//! is, and takes from it what to send, what happened and when to call again. `docs/protocol.md`
//! is the normative text.

mod assembly;
mod bucket;
mod cbor;
mod config;
pub mod control;
mod dialog;
mod event;
mod flow;
pub mod frame;
mod gate;
mod id;
mod limits;
mod message;
mod network;
mod outbox;
mod output;
mod payload;
mod preamble;
mod rights;
mod session;
mod timer;
mod violation;

pub use bucket::Bucket;
pub use cbor::HeaderError;
pub use config::{
    CHUNK, Config, MAX_HANDSHAKE_FRAME, MAX_PENDING_PONGS, MAX_REASON, MAX_TEXT, MIN_MAX_FRAME,
};
pub use event::{CloseReason, Event, Outcome, Refused};
pub use flow::{Balance, Credit, Overrun};
pub use gate::{Gate, Passage};
pub use id::{ContextId, Role};
pub use message::{Message, VERSION};
pub use network::{Pattern, PatternError};
pub use output::{Output, Parts};
pub use payload::{Lender, Lent, Loan, Payload};
pub use preamble::{MAX_PREAMBLE, Preamble};
pub use session::{Session, StartOptions};
pub use violation::{ApiMisuse, PeerMisbehaved, Violation};
