//! Calls, contexts and actors in terms of Rust types: the SDK's words for native programs.
//!
//! Owns: encoding what goes out and decoding what comes back. Must not know: how either travels.
//! Invariant: whatever is here can be done with [`Portal`](crate::Portal) and
//! [`Nursery`](crate::Nursery) as well, whose payloads are bytes.

mod call;
mod context;
mod nursery;
mod request;

pub use call::{PortalExt, ResultPortal, Run};
pub use context::{MsgStream, OpenContext, RemoteContext};
pub use nursery::{NurseryExt, RunInActor, StartActor};
