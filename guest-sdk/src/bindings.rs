//! The bindings of the world `greenroom:portal/sdk`, generated once for all modules.
//!
//! Owns: the call of the generator. Must not know: what the bindings are used for.

#![allow(missing_docs, unreachable_pub, unsafe_code, reason = "generated code")]
#![allow(clippy::all, clippy::allow_attributes_without_reason, reason = "generated code")]

wit_bindgen::generate!({
    path: "../wit",
    world: "greenroom:portal/sdk",
    runtime_path: "::wit_bindgen::rt",
    generate_all,
});
