//! The version of a compiler.
//!
//! Owns: reading `rustc --version`, and the oldest version that guests build with. Must not
//! know: where compilers are. Invariant: a nightly counts as the release that it leads to.

use std::fmt;

/// A release of Rust: `1.96.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// The oldest version that builds the guest SDK: cargo refuses older ones, because the
    /// SDK's crates name it as their `rust-version`.
    pub fn oldest() -> Self {
        Self::parse(env!("CARGO_PKG_RUST_VERSION")).unwrap_or(Self { major: 1, minor: 95, patch: 0 })
    }

    /// Reads `rustc 1.96.0 (ac68faa20 2026-05-25)`, `1.97.0-nightly`, `1.95` and the like.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let word = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        let mut numbers = word.split(['-', '+']).next()?.split('.').map(str::parse);
        let major = numbers.next()?.ok()?;
        let minor = numbers.next()?.ok()?;
        let patch = numbers.next().transpose().ok()?.unwrap_or(0);
        Some(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_compilers_print() {
        for (text, version) in [
            ("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)", "1.96.0"),
            ("rustc 1.97.0-nightly (e50aa6fba 2026-05-19)", "1.97.0"),
            ("rustc-1.96.1", "none"),
            ("1.95", "1.95.0"),
            ("1.x", "none"),
            ("", "none"),
        ] {
            let read = Version::parse(text).map_or("none".to_owned(), |version| version.to_string());
            assert_eq!(read, version, "{text:?}");
        }
        assert!(Version::parse("1.100.0") > Version::parse("1.96.9"));
    }
}
