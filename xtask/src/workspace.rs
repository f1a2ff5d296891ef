//! Where things are in this repository.
//!
//! Owns: the folders. Must not know: what is done with them. Invariant: the same whatever
//! folder a chore is started in.

use std::env;
use std::path::{Path, PathBuf};

/// The folders that hold guest crates, one folder each.
pub(crate) const GUESTS: [&str; 2] = ["modules", "tests/guests"];

/// The top folder.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// Where the host's programs are compiled to. Components are always in `target`, whatever
/// this is: tests and the README look for them there.
pub(crate) fn target() -> PathBuf {
    // Cargo is always started at the top, so that is what a relative folder is relative to.
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}
