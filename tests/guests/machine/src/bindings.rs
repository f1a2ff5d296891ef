//! The bindings of the world `machine`, as anybody's are made.
//!
//! Owns: the calls of the generator. Must not know: what the functions do.

#![allow(missing_docs, unreachable_pub, unsafe_code, reason = "generated code")]
#![allow(clippy::all, clippy::allow_attributes_without_reason, reason = "generated code")]

use crate::Machine;

wit_bindgen::generate!({
    path: "wit",
    world: "test:machine/machine",
    generate_all,
});

export!(Machine);
