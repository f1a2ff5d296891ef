//! Finds a way to build guest crates on this machine, and builds them.
//!
//! Owns: what a guest build needs, which of the [ways](Way) this machine offers, and the
//! environment that cargo gets. Must not know: the engine, the broker, or who calls it
//! (`cargo xtask` and `greenroom build` both do). Invariant: a guest build never depends on
//! the build settings in the environment of whoever started it.
//!
//! ```no_run
//! use greenroom_toolchain::{Build, detect};
//!
//! let toolchain = detect()?;
//! let mut log = std::io::stderr();
//! for guest in toolchain.build(&Build::new("modules/hello"), &mut log)? {
//!     assert!(guest.wasm.is_file());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod build;
mod choice;
mod deliver;
mod environment;
mod failure;
mod metadata;
mod missing;
mod places;
mod run;
mod setup;
mod survey;
mod tag;
mod version;
mod way;

pub use build::{Build, BuildError, Built};
pub use choice::{NoToolchain, Toolchain, detect};
pub use metadata::GuestCrate;
pub use missing::{Home, Missing, Refusal};
pub use setup::{SetupError, setup};
pub use version::Version;
pub use way::Way;
