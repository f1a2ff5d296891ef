//! An application made ready to be started.
//!
//! Owns: building its crates, loading its components and opening its folders, and saying what is
//! wrong with each. Must not know: what is done with it. Invariant: all that is wrong with the files
//! that a manifest names is told at once, at the places that name them.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use greenroom::{
    Cache, Catalogue, ComponentInfo, DirGrant, Directory, Engine, ExecCompiler, Grant, ModuleOptions,
    Registry, Setup, SpawnSpec, Without,
};

use crate::app::{App, Module};
use crate::args::Level;
use crate::build::Builder;
use crate::error::CliError;
use crate::log;
use crate::manifest::From;
use crate::mistakes::{Mistake, Mistakes, Place};

/// What an application needs to be started.
#[derive(Debug)]
pub(crate) struct Ready {
    catalogue: Catalogue,
    grants: Vec<Grant>,
    /// What each module is, in the order of the application's.
    pub(crate) infos: Vec<ComponentInfo>,
}

impl App {
    /// Builds, loads and opens all it consists of.
    ///
    /// # Errors
    /// When something cannot be; several mistakes of a manifest are told together.
    pub(crate) fn prepare(&self, builder: &mut Builder) -> Result<Ready, CliError> {
        let engine = Engine::new().map_err(|error| CliError::ended(125, format!("no engine: {error}")))?;
        let cache = Cache::open_default(compiler(&self.without)?)?;
        let mut catalogue = Catalogue::default();
        let (mut infos, mut grants) = (Vec::new(), Vec::new());
        let mut mistakes = self.manifest.clone().map(Mistakes::none);
        for module in &self.modules {
            let options = ModuleOptions { isolation: module.isolation };
            let info = file(module, builder)
                .and_then(|path| Ok(catalogue.add(&cache, &engine, &module.name, &path, options)?.clone()));
            match info {
                Ok(info) => infos.push(info),
                Err(error) => note(&mut mistakes, module.place.as_ref(), error)?,
            }
        }
        for dir in &self.dirs {
            match Grant::open(&dir.arg.host, &dir.arg.guest, dir.arg.writable) {
                Ok(grant) => grants.push(grant),
                Err(error) => note(&mut mistakes, dir.place.as_ref(), error.into())?,
            }
        }
        mistakes.map_or(Ok(()), Mistakes::settle)?;
        Ok(Ready { catalogue, grants, infos })
    }

    /// How its root actor is to be started, with these modules enabled.
    pub(crate) fn spec(&self, ready: &Ready, modules: Vec<String>) -> SpawnSpec {
        let dir = |grant: &Grant| DirGrant {
            source: grant.guest_path(),
            target: grant.guest_path(),
            writable: grant.writable(),
        };
        SpawnSpec {
            name: self.name.clone(),
            modules,
            dirs: ready.grants.iter().map(dir).collect(),
            env: self.env.clone(),
            args: self.component_args.clone(),
            rights: self.rights.clone(),
            ..SpawnSpec::default()
        }
    }

    /// The host that it is to run in. Whoever starts it without all walls is warned.
    ///
    /// # Errors
    /// When this program's own file cannot be named.
    pub(crate) fn setup(&self, ready: Ready) -> Result<Setup, CliError> {
        if !self.without.is_empty() {
            let style = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Yellow.into()));
            let walls = self.without.names().join(", ");
            // Where this cannot be written, `ps` and `doctor` still tell.
            let _ = writeln!(
                anstream::stderr(),
                "{style}warning{style:#}: no wall around the actors of `{}`: {walls}; run only what you trust",
                self.name
            );
        }
        Ok(Setup {
            tree: self.name.clone(),
            catalogue: ready.catalogue,
            limits: self.limits.clone(),
            grants: ready.grants,
            without: self.without.clone(),
            stdin: None,
            registry: registry(),
            log: (self.log > Level::Info).then(|| log::filter(self.log)),
            program: program()?,
        })
    }
}

/// This program, for its actors to execute.
fn program() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(host_failed)
}

/// What compiles components: this program, in another process.
pub(crate) fn compiler(without: &Without) -> Result<ExecCompiler, CliError> {
    Ok(ExecCompiler { without: without.clone(), ..ExecCompiler::new(program()?) })
}

/// Where other programs find the tree; nowhere, if that is not safe: it runs all the same.
fn registry() -> Option<Arc<dyn Registry>> {
    match Directory::open() {
        Ok(directory) => Some(Arc::new(directory)),
        Err(error) => {
            tracing::warn!("other programs will not find this one: {error}");
            None
        }
    }
}

/// A failure of this machine.
pub(crate) fn host_failed(error: std::io::Error) -> CliError {
    CliError::ended(125, format!("the host failed: {error}"))
}

/// The component of a module, built if it is to be built.
fn file(module: &Module, builder: &mut Builder) -> Result<PathBuf, CliError> {
    match &module.from {
        From::Component(file) => Ok(file.clone()),
        From::Crate(folder) => builder.component(folder),
    }
}

/// Notes what is wrong at its place in the manifest; what has none there ends the matter, and so
/// does what is no mistake in what the user gave.
fn note(mistakes: &mut Option<Mistakes>, place: Option<&Place>, error: CliError) -> Result<(), CliError> {
    match (mistakes, place, error.as_input()) {
        (Some(mistakes), Some(place), Some((message, hint))) => {
            let mut mistake = Mistake::error(place.clone(), message);
            if let Some(hint) = hint {
                mistake = mistake.help(hint);
            }
            mistakes.add(mistake);
            Ok(())
        }
        _ => Err(error),
    }
}
