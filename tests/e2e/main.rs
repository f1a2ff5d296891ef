//! The end-to-end suite: real processes, real guests.
//!
//! Owns: the promises of `docs/semantics.md` as tests. Invariant: nothing is left behind by
//! any test.
