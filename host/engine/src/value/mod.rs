//! Values of plain functions, between CBOR and the component model.
//!
//! Owns: the types of plain functions. Must not know: who calls them. Invariant: a type holds
//! everything that is needed to check and convert a value of it.

mod types;

pub use types::{FunctionType, ValueType};
