//! Which crates there are to build, as cargo tells it.
//!
//! Owns: reading `cargo metadata` and picking guest crates from it. Must not know: how crates
//! are built. Invariant: a crate that is picked makes a dynamic library; nothing else can
//! become a component.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::build::BuildError;

/// A crate that makes a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestCrate {
    /// The name of its package.
    pub package: String,
    /// The folder of its manifest.
    pub dir: PathBuf,
}

/// The part of `cargo metadata --no-deps --format-version 1` that matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) kind: Vec<String>,
}

impl Target {
    pub(crate) fn is_dynamic_library(&self) -> bool {
        self.kind.iter().any(|kind| kind == "cdylib")
    }
}

impl Package {
    fn is_guest(&self) -> bool {
        self.targets.iter().any(Target::is_dynamic_library)
    }

    fn checked(&self) -> Result<&Self, BuildError> {
        if self.is_guest() {
            return Ok(self);
        }
        let manifest = self.manifest_path.clone();
        Err(BuildError::NotAGuest { package: self.name.clone(), manifest })
    }
}

impl Metadata {
    /// Every guest crate of the workspace.
    pub(crate) fn guests(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_guest())
    }

    /// The packages to build in `dir`: those named; else the one whose manifest is there;
    /// else, in a workspace's root that is no package itself, all that make a component.
    pub(crate) fn pick(&self, dir: &Path, names: &[String]) -> Result<Vec<&Package>, BuildError> {
        if !names.is_empty() {
            return names.iter().map(|name| self.named(dir, name)?.checked()).collect();
        }
        let manifest = dir.join("Cargo.toml");
        if let Some(package) = self.packages.iter().find(|package| package.manifest_path == manifest) {
            return Ok(vec![package.checked()?]);
        }
        let guests: Vec<_> = self.guests().collect();
        if guests.is_empty() { Err(BuildError::NoGuest { manifest }) } else { Ok(guests) }
    }

    fn named(&self, dir: &Path, name: &str) -> Result<&Package, BuildError> {
        let found = self.packages.iter().find(|package| package.name == name);
        found.ok_or_else(|| BuildError::UnknownPackage {
            package: name.to_owned(),
            dir: dir.to_owned(),
            guests: self.guests().map(|package| package.name.clone()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
        "packages": [
            {"name": "hello", "id": "path+file:///w/hello#0.1.0", "manifest_path": "/w/hello/Cargo.toml",
             "targets": [{"kind": ["cdylib", "rlib"], "name": "hello"}]},
            {"name": "tool", "id": "path+file:///w/tool#0.1.0", "manifest_path": "/w/tool/Cargo.toml",
             "targets": [{"kind": ["lib"], "name": "tool"}, {"kind": ["bin"], "name": "tool"}]}
        ],
        "workspace_root": "/w", "target_directory": "/w/target", "version": 1
    }"#;

    fn pick(dir: &str, names: &[&str]) -> Result<Vec<String>, String> {
        let metadata: Metadata = serde_json::from_str(TEXT).expect("metadata");
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let picked = metadata.pick(Path::new(dir), &names).map_err(|error| error.to_string())?;
        Ok(picked.iter().map(|package| package.name.clone()).collect())
    }

    #[test]
    fn picks_by_name_by_folder_or_all() {
        assert_eq!(pick("/w", &[]), Ok(vec!["hello".to_owned()]));
        assert_eq!(pick("/w/hello", &[]), Ok(vec!["hello".to_owned()]));
        assert_eq!(pick("/w/tool", &["hello"]), Ok(vec!["hello".to_owned()]));
    }

    #[test]
    fn says_what_is_wrong_with_the_crate() {
        assert_eq!(
            pick("/w/tool", &[]),
            Err("package tool does not make a component: add to /w/tool/Cargo.toml\n\n    [lib]\n    \
                 crate-type = [\"cdylib\"]\n"
                .to_owned())
        );
        assert_eq!(
            pick("/w", &["goodbye"]),
            Err("no package goodbye in the workspace of /w; its guest crates are: hello".to_owned())
        );
    }
}
