//! The ways to build a guest.
//!
//! Owns: their order and what each needs of cargo. Must not know: how the pieces are found.
//! Invariant: a better way sorts before a worse one.

use std::fmt;
use std::path::PathBuf;

use crate::version::Version;

/// The target that guests are built for: its linker makes a component, with no further step.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// The `--cfg` that tells a guest crate that its panics unwind.
pub(crate) const UNWIND_CFG: &str = "greenroom_unwind";

/// How the standard library of a guest comes about, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// The standard library is compiled from source, and panics unwind: a panic ends the
    /// task that it happens in, and no other.
    SourceUnwind,
    /// The standard library is the one rustup ships, and panics abort: a panic is a trap of
    /// the whole instance.
    Prebuilt,
    /// The standard library is compiled from source, and panics abort: taken only when the
    /// first way has the pieces but fails to compile.
    SourceAbort,
}

impl Way {
    /// Whether a panic unwinds.
    pub fn unwinds(self) -> bool {
        self == Self::SourceUnwind
    }

    /// Whether the standard library is compiled on this machine.
    pub fn compiles_std(self) -> bool {
        self != Self::Prebuilt
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SourceUnwind => "standard library from source, panics unwind",
            Self::Prebuilt => "standard library from rustup, panics abort",
            Self::SourceAbort => "standard library from source, panics abort",
        })
    }
}

/// A way with the pieces this machine has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) way: Way,
    pub(crate) rustc: PathBuf,
    pub(crate) cargo: PathBuf,
    pub(crate) version: Version,
    /// The folder of a C library for WASI, where the compiler does not bring its own.
    pub(crate) libc: Option<PathBuf>,
    /// Folders of `wasm-component-ld` and of the `wasm-ld` that it starts.
    pub(crate) linkers: Vec<PathBuf>,
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, version {})", self.way, self.rustc.display(), self.version)
    }
}
