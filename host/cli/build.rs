//! Puts the guest SDK's sources into the program, for `greenroom new`.
//!
//! Owns: which files those are, and the workspace that they stand in at their new place. Must not
//! know: projects. Invariant: what a new project gets is what this program was built with.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The crates of the SDK, by their folders.
const CRATES: &[&str] = &["wit", "guest-sdk", "guest-sdk/macro"];

fn main() -> io::Result<()> {
    let variable = |name| env::var(name).map_err(io::Error::other);
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = here.ancestors().nth(2).unwrap_or(&here).to_owned();
    let mut table = String::from("&[\n");
    let mut used = BTreeSet::new();
    for folder in CRATES {
        let manifest = root.join(folder).join("Cargo.toml");
        used.extend(inherited(&fs::read_to_string(&manifest)?));
        let mut files = vec![manifest];
        list(&root.join(folder).join("src"), &mut files)?;
        for entry in fs::read_dir(root.join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "wit") {
                files.push(path);
            }
        }
        files.sort();
        for file in files {
            let name = file.strip_prefix(&root).unwrap_or(&file);
            let _ = writeln!(table, "    ({name:?}, include_str!({file:?})),");
        }
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
    }
    let manifest = root.join("Cargo.toml");
    println!("cargo::rerun-if-changed={}", manifest.display());
    let _ =
        writeln!(table, "    (\"Cargo.toml\", {:?}),\n]", workspace(&fs::read_to_string(manifest)?, &used));
    fs::write(Path::new(&variable("OUT_DIR")?).join("sdk.rs"), table)
}

/// All files in a folder and below it.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// The names of the dependencies that a manifest inherits from its workspace.
fn inherited(manifest: &str) -> Vec<String> {
    let names = manifest.lines().filter_map(|line| line.trim().strip_suffix(".workspace = true"));
    names.map(str::to_owned).collect()
}

/// The manifest of a workspace that holds the SDK alone: of this one's, what its crates inherit.
fn workspace(manifest: &str, used: &BTreeSet<String>) -> String {
    let members = CRATES.iter().map(|folder| format!("{folder:?}")).collect::<Vec<_>>().join(", ");
    let mut text = format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n");
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
            if kept(section) {
                let _ = write!(text, "\n{line}\n");
            }
            continue;
        }
        let name = line.split(['=', ' ']).next().unwrap_or_default();
        let wanted = section != "[workspace.dependencies]" || used.contains(name);
        if kept(section) && wanted && !line.is_empty() && !line.starts_with('#') {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

fn kept(section: &str) -> bool {
    matches!(section, "[workspace.package]" | "[workspace.dependencies]")
        || section.starts_with("[workspace.lints")
}
