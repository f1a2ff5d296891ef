//! Whole trees of actors in one process, in virtual time.
//!
//! Owns: the guests made of closures, the broker in memory, the cables between actors, and the
//! short words that tests are written in. Must not know: what is being tested. Invariant: the
//! runtime under test is the real one; only processes, sockets and WebAssembly are played.

mod broker;
mod cable;
mod guest;
mod world;

pub(crate) use broker::Notice;
pub(crate) use cable::Cable;
pub(crate) use guest::{Library, Running};
pub(crate) use world::{
    Journal, World, arguments, died, failure, forever, id, identity, kwargs, one_shot, packet, spec, value,
};
