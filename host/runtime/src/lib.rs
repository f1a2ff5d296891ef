//! Actors over pipes: links, portals, nurseries, tasks, and the actor's event loop.
//!
//! Owns: what happens inside one actor, whichever guest it runs. Must not know: wasmtime,
//! processes, the command line. Invariant: every call ends once, every task's nurseries are reaped
//! before its outcome leaves the actor.

mod actor;
mod blocks;
mod cancel;
mod clock;
mod context;
mod dialog;
mod dispatch;
mod driver;
mod guest;
mod inlet;
mod introduce;
mod join;
mod lending;
mod link;
mod messages;
mod namespace;
mod nursery;
mod patience;
mod port;
mod portal;
mod portion;
mod room;
mod slot;
mod spent;
mod stream;
mod supervision;
mod task;
#[cfg(test)]
mod tests;
mod voice;
mod waiters;

pub use actor::{Actor, End, Identity, Outbox};
pub use context::{Call, CallOptions, Context};
pub use guest::{FunctionId, Guest, Idle};
pub use join::{join, joined};
pub use messages::{Messages, WrongEnds};
pub use nursery::{Nursery, OneShot};
pub use port::broker_gone;
pub use portal::Portal;
pub use stream::{Batch, MsgStream, Room, StreamOptions, Subscription};
pub use supervision::{Restart, Strategy, Supervision};
pub use task::Task;
pub use voice::{Speech, Voice};

/// What a call or a task ends with: a payload, or the error that took its place.
pub use greenroom_wire::{Outcome, Overrun};

/// The content of a large message, as it has come.
pub use greenroom_wire::Loan;
