//! Values of plain functions, between CBOR and the component model.
//!
//! Owns: the types of plain functions, and the two ways of their values. Must not know: who calls
//! them, instances. Invariant: a type holds all that is needed to check and convert a value of it,
//! and a value that goes in and comes out again is the same.

mod component;
pub(crate) mod item;
mod lift;
mod lower;
mod names;
#[cfg(test)]
mod tests;
mod text;
mod types;

pub(crate) use component::function_type;
pub(crate) use lift::lift_some;
pub(crate) use lower::{Mistakes, Place, lower};
pub(crate) use names::Text;
pub(crate) use text::text;
pub use types::{FunctionType, ValueType};
