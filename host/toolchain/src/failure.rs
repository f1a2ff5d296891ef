//! Tells a failure of the standard library from one of the crate.
//!
//! Owns: reading cargo's messages to a person, line by line. Must not know: how cargo is run.
//! Invariant: an error in somebody's crate is never blamed on the standard library, even
//! where the compiler points into its source.

/// The packages of the standard library that are compiled along with a guest.
const STD: [&str; 10] = [
    "alloc",
    "compiler_builtins",
    "core",
    "panic_abort",
    "panic_unwind",
    "proc_macro",
    "rustc-std-workspace-core",
    "std",
    "std_detect",
    "unwind",
];

/// What cargo's lines have said so far.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    failing: bool,
    blames_std: bool,
}

impl Watch {
    pub(crate) fn handle_line(&mut self, line: &[u8]) {
        let line = plain(&String::from_utf8_lossy(line));
        self.failing |= line.starts_with("error");
        if !self.failing {
            return;
        }
        let compiled = line.split("could not compile `").nth(1).and_then(|rest| rest.split('`').next());
        // Its own dependencies are named as those of a package in the source folder.
        let resolved = line.contains("package `") && line.contains("rustlib/src/rust/");
        self.blames_std |= compiled.is_some_and(|name| STD.contains(&name)) || resolved;
    }

    pub(crate) fn blames_std(&self) -> bool {
        self.blames_std
    }
}

/// The text without the terminal's colours.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut parts = line.split('\u{1b}');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        // `[`, parameters, one letter.
        let text = part.find(|c: char| c.is_ascii_alphabetic()).map_or("", |end| &part[end + 1..]);
        plain.push_str(text);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blames_std(lines: &[&str]) -> bool {
        let mut watch = Watch::default();
        lines.iter().for_each(|line| watch.handle_line(line.as_bytes()));
        watch.blames_std()
    }

    #[test]
    fn a_failing_std_is_told() {
        assert!(blames_std(&[
            "error[E0080]: no",
            "error: could not compile `core` (lib) due to 1 previous error"
        ]));
        assert!(blames_std(&["\u{1b}[1m\u{1b}[91merror\u{1b}[0m: could not compile `std` (lib)\n"]));
        assert!(blames_std(&[
            "error: failed to get `hashbrown` as a dependency of package `std v0.0.0 (/usr/lib/rustlib/src/rust/library/std)`",
        ]));
    }

    #[test]
    fn a_failing_crate_is_not_blamed_on_std() {
        assert!(!blames_std(&["   Compiling std v0.0.0 (/usr/lib/rustlib/src/rust/library/std)"]));
        assert!(!blames_std(&[
            "error[E0599]: no method named `x`",
            "  --> /usr/lib/rustlib/src/rust/library/core/src/option.rs:571:1",
            "   Compiling alloc v0.0.0 (/usr/lib/rustlib/src/rust/library/alloc)",
            "error: could not compile `hello` (lib) due to 1 previous error",
        ]));
    }
}
