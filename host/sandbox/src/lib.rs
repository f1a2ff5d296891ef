//! What the kernel keeps a process from, whatever runs in it.
//!
//! Owns: the walls, and the order in which they are raised. Must not know: actors, WebAssembly,
//! who grants what. Invariant: a wall that cannot be raised is an error, never a weaker wall.
//!
//! A process raises its own walls, once, while it has one thread and before anything that is not
//! trusted runs in it. None of them can be taken down again: they end with the process.

mod calls;
mod files;
mod filter;
mod kernel;
mod limits;
mod program;
mod support;
mod wall;
mod walls;

pub use kernel::close_inherited;
pub use support::Support;
pub use wall::{UnknownWall, Wall, WallError, Without};
pub use walls::{Network, Outer, Ports, Purpose, Walls};
