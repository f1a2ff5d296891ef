//! Components that know nothing of Greenroom: in four languages, and somebody else's.
//!
//! Owns: that each is called as it is, with its own types, and what that costs. Must not know: how
//! they are made, which `cargo xtask languages` does. Invariant: nothing is left behind by any test.

mod contract;
mod cost;
mod published;

/// The languages that keep the contract of `modules/leaf/leaf.wit`.
const LANGUAGES: [&str; 4] = ["rust", "c", "python", "javascript"];
