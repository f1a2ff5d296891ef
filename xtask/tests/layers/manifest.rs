//! What the workspace's manifests say about dependencies.
//!
//! Owns: reading `Cargo.toml` as far as the rules need it. Must not know: the rules. Invariant:
//! every member of the workspace is read, or the test fails.

use std::collections::BTreeSet;
use std::fs;

use crate::source::root;

/// A crate of the workspace.
pub(crate) struct Manifest {
    /// Of the manifest, from the top of the repository.
    pub(crate) path: String,
    pub(crate) name: String,
    /// The names of all dependencies, of whatever kind and for whatever target.
    pub(crate) dependencies: BTreeSet<String>,
}

/// The manifests of all members.
pub(crate) fn all() -> Vec<Manifest> {
    let workspace = read("Cargo.toml");
    let (_, members) = workspace.split_once("members = [").expect("a workspace has members");
    let (members, _) = members.split_once(']').expect("the members end");
    let members = members.split(',').map(|member| member.trim().trim_matches('"'));
    members.filter(|member| !member.is_empty()).map(|member| parse(format!("{member}/Cargo.toml"))).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

fn parse(path: String) -> Manifest {
    let text = read(&path);
    let (mut name, mut dependencies, mut section) = (None, BTreeSet::new(), "");
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = header;
            // `[dependencies.name]`, also behind a target.
            if let Some((before, name)) = header.rsplit_once('.')
                && before.ends_with("dependencies")
            {
                dependencies.insert(name.to_owned());
            }
        } else if let Some((key, value)) = line.split_once('=') {
            let key = key.trim().trim_end_matches(".workspace");
            if section == "package" && key == "name" {
                name = Some(value.trim().trim_matches('"').to_owned());
            } else if section.ends_with("dependencies") {
                dependencies.insert(key.to_owned());
            }
        }
    }
    let name = name.unwrap_or_else(|| panic!("{path} has no name"));
    Manifest { path, name, dependencies }
}

#[test]
fn finds_dependencies_of_every_kind() {
    let runtime = all().into_iter().find(|manifest| manifest.name == "greenroom-runtime").expect("is there");
    assert_eq!(runtime.path, "host/runtime/Cargo.toml");
    for name in ["greenroom-wire", "tokio", "proptest"] {
        assert!(runtime.dependencies.contains(name), "{name} in {:?}", runtime.dependencies);
    }
}
