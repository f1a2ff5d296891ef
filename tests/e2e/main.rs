//! The end-to-end suite: real processes, real guests.
//!
//! Owns: the promises of `docs/semantics.md` as tests. Invariant: nothing is left behind by
//! any test.

mod attacks;
mod calls;
mod contexts;
mod contract;
mod deadlines;
mod discovery;
mod examples;
mod failures;
mod grants;
mod kills;
mod ladder;
mod library;
mod limits;
mod metronome;
mod nurseries;
mod outside;
mod plain;
mod programs;
mod rights;
#[cfg(not(feature = "sabotage"))]
mod sabotage;
mod searches;
mod shell;
mod shutdown;
mod spawns;
mod streams;
mod supervision;
mod talk;
mod tour;
mod volume;
mod walls;
mod zygotes;
