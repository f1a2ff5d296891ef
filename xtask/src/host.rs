//! Runs cargo on the host's crates.
//!
//! Owns: the profile and the arguments. Must not know: what the crates are. Invariant: one
//! profile, release, and one selection of packages, all, so that the engine, six minutes'
//! work, is compiled once for all chores. (What cargo selects decides which features the
//! packages share: with another selection some differ, and with them all that depends on them.)
//! Only what is shipped, and measured, is compiled for itself.

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::guests::{self, say};
use crate::languages;
use crate::workspace::root;

/// `cargo test` of everything, after building the guests.
pub(crate) fn test(arguments: &[String]) -> anyhow::Result<ExitCode> {
    guests::build()?;
    // Not every machine can get what other languages need. The tests of those guests fail then, and
    // no others.
    if let Err(error) = languages::build() {
        say(&format!("error: {error:#}\nthe tests of guests in other languages will fail for it"));
    }
    let mut cargo = vec!["test", "--release"];
    if !names_packages(arguments) {
        cargo.push("--workspace");
    }
    cargo.extend(arguments.iter().map(String::as_str));
    run_cargo(&cargo)
}

/// The profile and the selection of what is shipped: optimized as a whole, and without what only tests
/// need, which is that tokio's clock, for the runtime's, can be stopped.
const SHIPPED: [&str; 5] = ["--profile", "dist", "--workspace", "--exclude", "greenroom-runtime"];

/// Builds the `greenroom` program as it is shipped: `target/dist/greenroom`.
pub(crate) fn dist() -> anyhow::Result<ExitCode> {
    run_cargo(&[&["build"], &SHIPPED[..], &["--bin", "greenroom"]].concat())
}

/// `cargo bench` of the benchmarks, after building the guests and the program they measure.
pub(crate) fn bench(arguments: &[String]) -> anyhow::Result<ExitCode> {
    guests::build_measured()?;
    let built = dist()?;
    if built != ExitCode::SUCCESS {
        return Ok(built);
    }
    let mut cargo = [&["bench"], &SHIPPED[..], &["--bench", "actors", "--"]].concat();
    // What stands behind `--` elsewhere may stand there here, too.
    cargo.extend(arguments.iter().map(String::as_str).filter(|argument| *argument != "--"));
    run_cargo(&cargo)
}

/// Builds the `greenroom` program.
pub(crate) fn build() -> anyhow::Result<ExitCode> {
    run_cargo(&["build", "--release", "--workspace", "--bin", "greenroom"])
}

/// Runs a command at the top of the repository, saying so, and passes on how it ended.
pub(crate) fn run(command: &mut Command, shown: &str) -> anyhow::Result<ExitCode> {
    run_in_place(command.current_dir(root()), shown)
}

/// As [`run`], in the folder that the command says.
pub(crate) fn run_in_place(command: &mut Command, shown: &str) -> anyhow::Result<ExitCode> {
    say(&format!("$ {shown}"));
    let status = command.status().with_context(|| format!("cannot run {shown}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn run_cargo(arguments: &[&str]) -> anyhow::Result<ExitCode> {
    let shown: Vec<_> = arguments.iter().map(|word| quoted(word)).collect();
    run(Command::new(cargo()).args(arguments), &format!("cargo {}", shown.join(" ")))
}

/// The cargo that runs us, so that both agree on the toolchain.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}

/// A word as a shell needs it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn names_packages(arguments: &[String]) -> bool {
    let own = arguments.iter().take_while(|argument| *argument != "--");
    let mut own = own.map(String::as_str);
    own.any(|argument| {
        matches!(argument, "-p" | "--package" | "--workspace" | "--manifest-path")
            || argument.starts_with("--package=")
            || (argument.starts_with("-p") && !argument.starts_with("--"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_them() {
        for (word, shown) in [("a/b.wasm", "a/b.wasm"), ("*", "'*'"), ("it's", r"'it'\''s'")] {
            assert_eq!(quoted(word), shown);
        }
    }

    #[test]
    fn a_named_package_replaces_the_workspace() {
        let named = |line: &str| {
            let arguments: Vec<_> = line.split(' ').map(str::to_owned).collect();
            names_packages(&arguments)
        };
        for line in ["-p greenroom-wire", "-pgreenroom-wire", "--package=x --lib", "--workspace"] {
            assert!(named(line), "{line}");
        }
        for line in ["", "--profile dev", "some_test -- -p", "-- --package"] {
            assert!(!named(line), "{line}");
        }
    }
}
