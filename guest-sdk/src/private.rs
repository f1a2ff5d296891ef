//! What generated code names. Not for people: it may change with any version.
//!
//! Owns: the list. Must not know: how the macros use it.

pub use serde;
pub use wit_bindgen;

pub use crate::arguments::Arguments;
pub use crate::call::module;
pub use crate::callee::in_context;
pub use crate::contract::Types;
pub use crate::endpoint::{Endpoint, Outcome, WriteTheReturnTypeAsResult, call};
pub use crate::task::serve;

/// The component boundary's types, onto which every module's bindings are mapped.
pub mod bindings {
    pub use crate::bindings::greenroom::portal::{context, streams, types};
}
