//! The exception tag that panics unwind with.
//!
//! Owns: its definition, of which a component needs exactly one. The build tool sets
//! `greenroom_unwind` when it compiles the standard library for unwinding; a component built
//! with the prebuilt one aborts on panic and needs no tag.

#![cfg_attr(
    greenroom_unwind,
    allow(unsafe_code, reason = "defining a symbol takes assembly; it runs nothing")
)]

#[cfg(all(greenroom_unwind, target_family = "wasm"))]
core::arch::global_asm!(".tagtype __cpp_exception i32", ".globl __cpp_exception", "__cpp_exception:",);
