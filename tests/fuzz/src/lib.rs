//! Fuzz targets of the protocol between actors.
//!
//! Owns: what is done with arbitrary bytes, and what must hold whatever they are. Must not know:
//! which fuzzer makes them. Invariant: a target panics only if the crate under test is wrong.
//!
//! The same functions serve the ordinary tests, which replay `corpus/` and mutations of it, and
//! libFuzzer, which needs the cfg `fuzzing` and clang:
//!
//! ```text
//! RUSTFLAGS='--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
//!   -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Clinker=clang
//!   -Clink-arg=-fsanitize=fuzzer' cargo build -p greenroom-fuzz --bin acceptor --target …
//! ```
//!
//! Without the cfg, each binary runs its target on the files it is given.

mod entry;
mod targets;

pub use entry::replay;
pub use targets::{TARGETS, Target, acceptor, initiator, message};
