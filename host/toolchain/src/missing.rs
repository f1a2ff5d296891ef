//! The pieces that a way can lack, and the command that brings each.
//!
//! Owns: the words for a person. Must not know: how pieces are looked for. Invariant: what
//! is missing always comes with where it was looked for and with something to do about it.

use std::fmt;
use std::path::PathBuf;

use crate::version::Version;
use crate::way::{TARGET, Way};

/// The packages of Debian that make up [`Way::SourceUnwind`].
pub(crate) const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "wasi-libc"];

/// Whose compiler it is: this decides how to bring a missing piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// The system's package manager's.
    System,
    /// The toolchain of this name in rustup.
    Rustup(String),
    /// Somebody's, in this folder.
    Folder(PathBuf),
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system packages"),
            Self::Rustup(name) => write!(f, "rustup toolchain {name}"),
            Self::Folder(path) => write!(f, "toolchain in {}", path.display()),
        }
    }
}

/// A piece that a way lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// There is no compiler, or it does not run.
    #[error("no working compiler at {0}")]
    Rustc(PathBuf),
    /// The compiler is too old for the guest SDK.
    #[error("rustc {found} is older than {oldest}")]
    TooOld {
        /// The version it says it is.
        found: Version,
        /// The oldest that would do.
        oldest: Version,
    },
    /// There is no cargo beside the compiler.
    #[error("no cargo at {0}")]
    Cargo(PathBuf),
    /// The source of the standard library is not installed.
    #[error("no source of the standard library at {0}")]
    Source(PathBuf),
    /// The source is another version's, which this compiler cannot build.
    #[error("the source of the standard library is of {source_version}, the compiler is {rustc}")]
    OtherSource {
        /// The compiler's version.
        rustc: Version,
        /// The source's version.
        source_version: Version,
    },
    /// There is no C library for WASI.
    #[error("no C library for WASI at {0}")]
    Libc(PathBuf),
    /// There is no linker that makes components.
    #[error("no wasm-component-ld with its wasm-ld")]
    Linker,
    /// The prebuilt standard library for the guest target is not installed.
    #[error("target {TARGET} is not installed")]
    Target,
    /// There is no toolchain at all.
    #[error("no rustup toolchain")]
    Toolchain,
}

impl Missing {
    /// What to do about it.
    pub fn fix(&self, home: &Home) -> String {
        match (self, home) {
            (Self::Toolchain, _) => format!("install rustup, then rustup target add {TARGET}"),
            (Self::Linker, _) => "install any toolchain with rustup: each carries both".to_owned(),
            (_, Home::System) | (Self::Libc(_), Home::Folder(_)) => install_packages(),
            (Self::Source(_), Home::Rustup(name)) => {
                format!("rustup component add rust-src --toolchain {name}")
            }
            (Self::Libc(_) | Self::Target, Home::Rustup(name)) => {
                format!("rustup target add {TARGET} --toolchain {name}")
            }
            (Self::TooOld { .. }, Home::Rustup(name)) => format!("rustup update {name}"),
            (_, Home::Rustup(name)) => format!("rustup toolchain install {name} --force"),
            (_, Home::Folder(_)) => format!("install rustup, then rustup target add {TARGET}"),
        }
    }
}

/// The command that brings everything the first way needs of the system.
pub(crate) fn install_packages() -> String {
    format!("apt-get install --no-install-recommends {}", PACKAGES.join(" "))
}

/// Why a way was not taken with one compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The way.
    pub way: Way,
    /// Whose compiler was considered.
    pub home: Home,
    /// What it lacks; never empty.
    pub missing: Vec<Missing>,
}

impl fmt::Display for Refusal {
    /// `way: home: what is missing (fix: a command)`, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.way, self.home)?;
        let mut fixes = Vec::new();
        for (index, missing) in self.missing.iter().enumerate() {
            write!(f, "{}{missing}", if index == 0 { "" } else { "; " })?;
            let fix = missing.fix(&self.home);
            if !fixes.contains(&fix) {
                fixes.push(fix);
            }
        }
        write!(f, " (fix: {})", fixes.join(" && "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_each_fix_once() {
        let refusal = Refusal {
            way: Way::SourceUnwind,
            home: Home::System,
            missing: vec![Missing::Source("/usr/src".into()), Missing::Libc("/usr/lib/wasm32-wasi".into())],
        };
        assert_eq!(
            refusal.to_string(),
            "standard library from source, panics unwind: system packages: no source of the standard \
             library at /usr/src; no C library for WASI at /usr/lib/wasm32-wasi (fix: apt-get install \
             --no-install-recommends rustc-web cargo-web rust-web-src wasi-libc)"
        );
    }

    #[test]
    fn fixes_fit_whose_compiler_it_is() {
        let nightly = Home::Rustup("nightly".into());
        let old = Missing::TooOld { found: Version::oldest(), oldest: Version::oldest() };
        for (missing, fix) in [
            (Missing::Source("x".into()), "rustup component add rust-src --toolchain nightly"),
            (Missing::Libc("x".into()), "rustup target add wasm32-wasip2 --toolchain nightly"),
            (Missing::Target, "rustup target add wasm32-wasip2 --toolchain nightly"),
            (old, "rustup update nightly"),
            (Missing::Rustc("x".into()), "rustup toolchain install nightly --force"),
        ] {
            assert_eq!(missing.fix(&nightly), fix);
        }
        assert!(Missing::Linker.fix(&Home::System).contains("rustup"));
    }
}
