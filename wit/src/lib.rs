//! The ABI that host and guest share: the normative WIT text, and the few Rust types whose
//! encoding both sides must agree on to the byte.
//!
//! Owns: [`RemoteError`] and the standard error values, the rules that every [`payload`]
//! keeps, [`Kwargs`], the [`contract`] of a context, the syntax of function names, the WIT text. Must
//! not know: sockets, clocks, wasmtime, or on which side of the component boundary it runs.

pub mod contract;
pub mod error;
pub mod kind;
pub mod kwargs;
pub mod name;
pub mod payload;

pub use error::{ActorId, RemoteError};
pub use kwargs::Kwargs;
pub use name::FunctionName;
pub use payload::Malformed;

/// The package `greenroom:portal`, one text per file, in the order of dependency.
pub const WIT: &[&str] = &[
    include_str!("../types.wit"),
    include_str!("../streams.wit"),
    include_str!("../context.wit"),
    include_str!("../portal.wit"),
    include_str!("../nursery.wit"),
    include_str!("../discovery.wit"),
    include_str!("../runtime.wit"),
    include_str!("../world.wit"),
];
