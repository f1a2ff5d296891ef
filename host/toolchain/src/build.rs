//! Builds guest crates into components.
//!
//! Owns: the steps of a build, its defaults and its errors. Must not know: how a way was
//! chosen. Invariant: a component is delivered only from a build that succeeded as a whole.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::{env, fs};

use crate::choice::Toolchain;
use crate::environment::{arguments, environment};
use crate::metadata::{GuestCrate, Metadata, Package};
use crate::run::{Artifact, run};
use crate::way::{Recipe, TARGET, Way};
use crate::{deliver, tag};

/// What to build, and where to put it.
#[derive(Clone, Debug)]
pub struct Build {
    /// The folder of a crate's, or of a workspace's, `Cargo.toml`.
    pub manifest_dir: PathBuf,
    /// The packages to build; if empty, the crate in `manifest_dir`, or all guest crates of
    /// the workspace if there is no crate.
    pub packages: Vec<String>,
    /// The profile of cargo.
    pub profile: String,
    /// Where cargo keeps what it compiles, by default `guest` in the workspace's target
    /// folder. One folder for many builds saves compiling the standard library again.
    pub target_dir: Option<PathBuf>,
    /// Where the components go, as `<package>.wasm`; by default `guests` in the workspace's
    /// target folder.
    pub out_dir: Option<PathBuf>,
    /// Whether cargo shall colour its lines.
    pub colour: bool,
}

impl Build {
    /// A release build of the crate or workspace in a folder, to the default places.
    pub fn new(manifest_dir: impl Into<PathBuf>) -> Self {
        Self {
            manifest_dir: manifest_dir.into(),
            packages: Vec::new(),
            profile: "release".to_owned(),
            target_dir: None,
            out_dir: None,
            colour: false,
        }
    }
}

/// A component that is ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The package it was made from.
    pub package: String,
    /// The file.
    pub wasm: PathBuf,
    /// Whether the file is another one than before.
    pub changed: bool,
    /// The way it was made.
    pub way: Way,
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The folder holds no crate.
    #[error("there is no Cargo.toml in {}; name the folder of a guest crate", .0.display())]
    NoManifest(PathBuf),
    /// The crate is of another kind.
    #[error("package {package} does not make a component: add to {}\n\n    [lib]\n    crate-type = [\"cdylib\"]\n", .manifest.display())]
    NotAGuest {
        /// Its name.
        package: String,
        /// Its manifest.
        manifest: PathBuf,
    },
    /// No crate of the workspace is a guest.
    #[error("no package of the workspace of {} makes a component (has a [lib] with crate-type = [\"cdylib\"])", .manifest.display())]
    NoGuest {
        /// The manifest of the workspace.
        manifest: PathBuf,
    },
    /// There is no such package.
    #[error("no package {package} in the workspace of {}; its guest crates are: {}", .dir.display(), .guests.join(", "))]
    UnknownPackage {
        /// The name asked for.
        package: String,
        /// The folder given.
        dir: PathBuf,
        /// The names there are.
        guests: Vec<String>,
    },
    /// Cargo cannot make sense of the manifest.
    #[error("cargo cannot read {}:\n{message}", .manifest.display())]
    Manifest {
        /// The manifest.
        manifest: PathBuf,
        /// What cargo said.
        message: String,
    },
    /// The build failed; cargo has said why.
    #[error("cargo failed to build {} with {way} ({status}); its messages are above", .packages.join(", "))]
    Cargo {
        /// The packages that were to be built.
        packages: Vec<String>,
        /// The way that was taken.
        way: Way,
        /// Cargo's end.
        status: ExitStatus,
    },
    /// The build succeeded, but without a file that could be a component.
    #[error("cargo built package {package} for {TARGET} but named no .wasm file of it")]
    NoArtifact {
        /// The package.
        package: String,
    },
    /// A program or a file could not be used.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BuildError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

impl Toolchain {
    /// Every guest crate of the workspace that `dir` belongs to.
    ///
    /// # Errors
    ///
    /// If there is no manifest in `dir`, or cargo cannot read it.
    pub fn guests(&self, dir: &Path) -> Result<Vec<GuestCrate>, BuildError> {
        let metadata = metadata(self.recipe(), &folder(dir)?)?;
        let guest = |package: &Package| GuestCrate {
            package: package.name.clone(),
            dir: package.manifest_path.parent().map(Path::to_owned).unwrap_or_default(),
        };
        Ok(metadata.guests().map(guest).collect())
    }

    /// Builds, in one run of cargo, and delivers each component. Cargo's lines for a person
    /// go to `log` as they come. If the standard library itself does not compile the best
    /// way, the next one is tried, and `log` says so.
    ///
    /// The first build by a way that [compiles the standard library](Way::compiles_std)
    /// takes half a minute longer, and downloads what that library depends on.
    ///
    /// # Errors
    ///
    /// If there is nothing to build, if cargo fails, or if a file cannot be written; what was
    /// delivered before is left as it was.
    pub fn build(&self, build: &Build, log: &mut dyn Write) -> Result<Vec<Built>, BuildError> {
        let dir = folder(&build.manifest_dir)?;
        let metadata = metadata(self.recipe(), &dir)?;
        let packages = metadata.pick(&dir, &build.packages)?;
        let target = &metadata.target_directory;
        let target_dir = build.target_dir.clone().unwrap_or_else(|| target.join("guest"));
        let out_dir = build.out_dir.clone().unwrap_or_else(|| target.join("guests"));
        let tag = tag::write(&target_dir).map_err(BuildError::io("write to", &target_dir))?;
        // The flags hold this path: spelt in two ways it would be two standard libraries.
        let tag = fs::canonicalize(&tag).map_err(BuildError::io("find", &tag))?;

        let mut recipes = self.recipes.iter().peekable();
        while let Some(recipe) = recipes.next() {
            let command = cargo(recipe, build, &dir, &packages, &target_dir, &tag);
            let outcome = run(command, log).map_err(BuildError::io("run", &recipe.cargo))?;
            if outcome.status.success() {
                let deliver = |package: &&Package| deliver(package, &outcome.artifacts, &out_dir, recipe.way);
                return packages.iter().map(deliver).collect();
            }
            match recipes.peek() {
                Some(next) if outcome.std_failed => {
                    let (failed, next) = (recipe.way, next.way);
                    writeln!(log, "warning: failed to compile: {failed}; trying instead: {next}")
                        .map_err(BuildError::io("write messages of", &recipe.cargo))?;
                }
                _ => {
                    let packages = packages.iter().map(|package| package.name.clone()).collect();
                    return Err(BuildError::Cargo { packages, way: recipe.way, status: outcome.status });
                }
            }
        }
        // A toolchain has at least one recipe, and the last one leaves the loop above.
        Ok(Vec::new())
    }
}

fn folder(dir: &Path) -> Result<PathBuf, BuildError> {
    let found = fs::canonicalize(dir).ok().filter(|found| found.join("Cargo.toml").is_file());
    found.ok_or_else(|| BuildError::NoManifest(dir.to_owned()))
}

fn metadata(recipe: &Recipe, dir: &Path) -> Result<Metadata, BuildError> {
    let manifest = dir.join("Cargo.toml");
    let mut command = Command::new(&recipe.cargo);
    command.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(&manifest);
    command.env_clear().envs(environment(recipe, env::vars_os())).current_dir(dir);
    let output = command.output().map_err(BuildError::io("run", &recipe.cargo))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        return Err(BuildError::Manifest { manifest, message });
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| BuildError::Manifest { manifest, message: error.to_string() })
}

fn cargo(
    recipe: &Recipe,
    build: &Build,
    dir: &Path,
    packages: &[&Package],
    target_dir: &Path,
    tag: &Path,
) -> Command {
    let mut command = Command::new(&recipe.cargo);
    command.env_clear().envs(environment(recipe, env::vars_os())).current_dir(dir);
    command.args(["build", "--message-format=json-render-diagnostics", "--profile", &build.profile]);
    command.args(["--color", if build.colour { "always" } else { "never" }]);
    command.args(arguments(recipe, tag)).arg("--target-dir").arg(target_dir);
    command.args(packages.iter().flat_map(|package| ["--package", &package.id])).arg("--lib");
    command
}

fn deliver(package: &Package, artifacts: &[Artifact], out_dir: &Path, way: Way) -> Result<Built, BuildError> {
    let files = artifacts.iter().filter(|artifact| artifact.package_id == package.id);
    let mut files = files.flat_map(|artifact| &artifact.filenames);
    let built = files.find(|file| file.extension().is_some_and(|extension| extension == "wasm"));
    let built = built.ok_or_else(|| BuildError::NoArtifact { package: package.name.clone() })?;
    let wasm = out_dir.join(&package.name).with_extension("wasm");
    let changed = deliver::deliver(built, &wasm).map_err(BuildError::io("write", &wasm))?;
    Ok(Built { package: package.name.clone(), wasm, changed, way })
}

#[cfg(test)]
mod tests;
