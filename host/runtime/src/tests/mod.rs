//! Actors over memory, with guests made of closures, in virtual time.
//!
//! Owns: one file for each part of the contract in `docs/semantics.md`. Must not know:
//! wasmtime, processes, real time. Invariant: every test names the behaviour that breaks it.

mod calls;
mod contexts;
mod daemons;
mod deadlines;
mod ends;
mod failures;
mod faults;
mod introductions;
mod joins;
mod kit;
mod lending;
mod matrix;
mod monitors;
mod owners;
mod races;
mod schedules;
mod scopes;
mod searches;
mod starts;
mod streams;
mod supervision;
mod threads;
