//! Builds this repository's guests.
//!
//! Owns: which crates are guests here. Must not know: how a guest is built. Invariant: all
//! guests of one workspace are built in one run of cargo.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::Context;
use greenroom_toolchain::{Build, Toolchain, setup};

use crate::workspace::{GUESTS, root};

/// What the benchmarks call.
const MEASURED: &str = "bench";

/// The profile for it.
const MEASURED_AS: &str = "guest";

/// Installs what building guests needs, and says which way they are built.
pub(crate) fn set_up() -> anyhow::Result<Toolchain> {
    let mut log = io::stderr();
    let toolchain = setup(&mut log)?;
    say(&format!("guests are built with: {toolchain}"));
    Ok(toolchain)
}

/// Builds every crate in the folders of guests to `target/guests`.
pub(crate) fn build() -> anyhow::Result<()> {
    let toolchain = set_up()?;
    let root = root();
    let dirs = crates()?;
    let mut packages: Vec<String> = Vec::new();
    let mut others = dirs.clone();
    for guest in toolchain.guests(&root)? {
        if dirs.contains(&guest.dir) {
            packages.push(guest.package);
        }
        others.retain(|dir| *dir != guest.dir);
    }
    if !packages.is_empty() {
        build_in(&toolchain, root, packages, "release")?;
    }
    // A guest can be a workspace of its own, when what it does is too odd for this one.
    for dir in others {
        let guests = toolchain.guests(&dir)?;
        if let Some(guest) = guests.into_iter().find(|guest| guest.dir == dir) {
            build_in(&toolchain, dir, vec![guest.package], "release")?;
        }
    }
    Ok(())
}

/// Builds the guest of the benchmarks, as what is shipped is built: optimized across crates.
pub(crate) fn build_measured() -> anyhow::Result<()> {
    build_in(&set_up()?, root(), vec![MEASURED.to_owned()], MEASURED_AS)
}

/// The folders below those of [`GUESTS`] that hold a crate.
fn crates() -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in GUESTS {
        // A folder that is not there has no guests.
        let Ok(entries) = fs::read_dir(root().join(folder)) else { continue };
        for entry in entries {
            let dir = entry.with_context(|| format!("cannot list {folder}"))?.path();
            if dir.join("Cargo.toml").is_file() {
                found.push(fs::canonicalize(&dir)?);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn build_in(toolchain: &Toolchain, dir: PathBuf, packages: Vec<String>, profile: &str) -> anyhow::Result<()> {
    let target = root().join("target");
    let mut log = io::stderr();
    let build = Build {
        packages,
        profile: profile.to_owned(),
        target_dir: Some(target.join("guest")),
        out_dir: Some(target.join("guests")),
        colour: log.is_terminal(),
        ..Build::new(dir)
    };
    for built in toolchain.build(&build, &mut log)? {
        let file = built.wasm.strip_prefix(root()).unwrap_or(&built.wasm).display().to_string();
        say(&format!("{file}{}", if built.changed { "" } else { " is up to date" }));
    }
    Ok(())
}

/// Tells the person at the terminal.
#[expect(clippy::print_stderr, reason = "a chore reports to the terminal; standard output is the programs'")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}
