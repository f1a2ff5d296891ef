//! What an application consists of, as one value.
//!
//! Owns: putting a manifest and the command line together. Must not know: what is done with it;
//! whether the files it names can be used. Invariant: what the command line says counts for more
//! than what the manifest says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use greenroom::{Isolation, Limit, Limits, Rights, Without};

use crate::args::{AppFlags, Level};
use crate::error::CliError;
use crate::grants::{self, DirArg, Right, check_module_name};
use crate::limits;
use crate::manifest::{self, From, Manifest, same, suggest};
use crate::mistakes::{Mistake, Mistakes, Place, Source};

/// All that a run or a daemon is made of.
#[derive(Clone, Debug)]
pub(crate) struct App {
    /// What its tree and its root actor are called.
    pub(crate) name: String,
    /// The modules that its actors may be started with, each under another name; never empty.
    pub(crate) modules: Vec<Module>,
    /// The module whose `main` a run calls, if it is known which.
    pub(crate) main: Option<String>,
    /// Keyword arguments of that `main`, as on the command line.
    pub(crate) args: Vec<(String, String)>,
    /// The folders that its root actor sees.
    pub(crate) dirs: Vec<Dir>,
    /// The environment of its root actor.
    pub(crate) env: Vec<(String, String)>,
    /// The arguments of its root actor.
    pub(crate) component_args: Vec<String>,
    /// What it may do.
    pub(crate) rights: Rights,
    /// The bounds of its actors.
    pub(crate) limits: Limits,
    /// The walls that its actors do not raise. No manifest says so: it may be a stranger's.
    pub(crate) without: Without,
    /// The gravest-first level down to which log lines are shown.
    pub(crate) log: Level,
    /// How long a run may take.
    pub(crate) timeout: Option<Duration>,
    /// The manifest that it is from, if it is from one.
    pub(crate) manifest: Option<Arc<Source>>,
}

/// A module of an application.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) from: From,
    /// How long its instances live, if not as its functions have it by default.
    pub(crate) isolation: Option<Isolation>,
    /// Where the manifest names its file.
    pub(crate) place: Option<Place>,
}

/// A folder that is granted.
#[derive(Clone, Debug)]
pub(crate) struct Dir {
    pub(crate) arg: DirArg,
    /// Where the manifest grants it.
    pub(crate) place: Option<Place>,
}

/// A component as it is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileArg {
    /// Its name, if it is not the file's.
    pub(crate) name: Option<String>,
    pub(crate) file: PathBuf,
}

impl FileArg {
    /// Reads `FILE` or `NAME=FILE`; a file with a `=` in its name needs its folder before it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, file)) if !name.contains('/') => {
                check_module_name(name)?;
                Ok(Self { name: Some(name.to_owned()), file: file.into() })
            }
            _ => Ok(Self { name: None, file: text.into() }),
        }
    }

    /// The name that it goes by: its own, or else its file's.
    pub(crate) fn module_name(&self) -> Result<String, CliError> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let stem = self.file.file_stem().map(|stem| stem.to_string_lossy().replace([':', '/'], "-"));
        stem.ok_or_else(|| CliError::input(format!("`{}` is not a file", self.file.display())))
    }
}

impl App {
    /// The application of these components, or of the manifest if there are none.
    ///
    /// # Errors
    /// When there is no manifest, or something in it or on the command line is wrong.
    pub(crate) fn assemble(files: &[FileArg], flags: &AppFlags) -> Result<Self, CliError> {
        let mut app = if files.is_empty() {
            Self::of_manifest(&manifest_path(flags.manifest.as_deref())?)?
        } else if let Some(manifest) = &flags.manifest {
            let message = format!("a component and the manifest `{}`: give one of them", manifest.display());
            return Err(CliError::input(message).hint("add components to a manifest with --module"));
        } else {
            Self::of_files(files)?
        };
        app.apply(flags)?;
        Ok(app)
    }

    /// The application of these components; the first is the one whose `main` is called.
    fn of_files(files: &[FileArg]) -> Result<Self, CliError> {
        let mut modules: Vec<Module> = Vec::new();
        for arg in files {
            let name = arg.module_name()?;
            if modules.iter().any(|known| same(&known.name, &name)) {
                let message = format!("two modules of one name: `{name}` is given twice");
                return Err(CliError::input(message).hint("give one of them another: NAME=FILE"));
            }
            let from = From::Component(arg.file.clone());
            modules.push(Module { name, from, isolation: None, place: None });
        }
        let first = modules.first().map(|module| module.name.clone());
        Ok(Self {
            name: first.clone().unwrap_or_default(),
            modules,
            main: first,
            args: Vec::new(),
            dirs: Vec::new(),
            env: Vec::new(),
            component_args: Vec::new(),
            rights: Rights::default(),
            limits: Limits::default(),
            without: Without::default(),
            log: Level::Info,
            timeout: None,
            manifest: None,
        })
    }

    /// The application of a manifest.
    ///
    /// # Errors
    /// What is wrong in the manifest.
    pub(crate) fn of_manifest(path: &Path) -> Result<Self, CliError> {
        let manifest = Manifest::read(path)?;
        let modules: Vec<Module> = manifest
            .modules
            .into_iter()
            .map(|module| Module {
                name: module.name.value,
                from: module.from.value,
                isolation: module.isolation,
                place: Some(module.from.place),
            })
            .collect();
        let only = match &modules[..] {
            [only] => Some(only.name.clone()),
            _ => None,
        };
        let name = match manifest.name {
            Some(name) => name.value,
            None => folder_name(&manifest.folder).unwrap_or_else(|| "app".to_owned()),
        };
        Ok(Self {
            name,
            main: manifest.main.map(|main| main.value).or(only),
            modules,
            args: manifest.args,
            dirs: manifest.dirs.into_iter().map(|d| Dir { arg: d.value, place: Some(d.place) }).collect(),
            env: manifest.env,
            component_args: manifest.component_args,
            rights: manifest.rights,
            limits: manifest.limits,
            without: Without::default(),
            log: manifest.log.unwrap_or(Level::Info),
            timeout: manifest.timeout,
            manifest: Some(manifest.source),
        })
    }

    /// Lets the command line have its say.
    fn apply(&mut self, flags: &AppFlags) -> Result<(), CliError> {
        refuse_twice("--module", flags.modules.iter().map(|(name, _)| name.as_str()))?;
        for (name, file) in &flags.modules {
            check_module_name(name).map_err(|rule| CliError::input(format!("--module {name:?}: {rule}")))?;
            let from = From::Component(file.into());
            match self.modules.iter_mut().find(|known| same(&known.name, name)) {
                None => {
                    let module = Module { name: name.clone(), from, isolation: None, place: None };
                    self.modules.push(module);
                }
                // Of a manifest's module it is another file; of one on this line, a contradiction.
                Some(known) if known.place.is_some() => (known.from, known.place) = (from, None),
                Some(_) => return Err(CliError::input(format!("--module: `{name}` is given twice"))),
            }
        }
        for (name, isolation) in &flags.isolation {
            match name {
                None => self.modules.iter_mut().for_each(|module| module.isolation = Some(*isolation)),
                Some(name) => self.module_mut(name)?.isolation = Some(*isolation),
            }
        }
        refuse_twice("--dir", flags.dirs.iter().map(|dir| dir.guest.as_str()))?;
        for arg in &flags.dirs {
            self.dirs.retain(|known| known.arg.guest != arg.guest);
            self.dirs.push(Dir { arg: arg.clone(), place: None });
        }
        let key = |text: &'_ String| text.split_once('=').map_or(text.clone(), |(key, _)| key.to_owned());
        let keys: Vec<String> = flags.env.iter().map(key).collect();
        refuse_twice("--env", keys.iter().map(String::as_str))?;
        for text in &flags.env {
            let (key, value) = grants::variable(text).map_err(CliError::input)?;
            self.env.retain(|(known, _)| *known != key);
            self.env.push((key, value));
        }
        if !flags.allow.is_empty() {
            let network = std::mem::take(&mut self.rights.network);
            self.rights = Rights { network, ..Right::all(&flags.allow) };
        }
        self.rights.network.extend(flags.net.iter().cloned());
        if !flags.args.is_empty() {
            self.component_args.clone_from(&flags.args);
        }
        for (name, value) in &flags.limits {
            let limit = Limit::named(name).ok_or_else(|| {
                CliError::input(format!("--limit: there is no limit `{name}`"))
                    .hint(suggest(name, &limits::names()))
            })?;
            limits::set(&mut self.limits, limit, value)
                .map_err(|why| CliError::input(format!("--limit {name}={value}: {why}")))?;
        }
        self.without = flags.without.iter().copied().collect();
        self.log = flags.log.unwrap_or(self.log);
        Ok(())
    }

    fn module_mut(&mut self, name: &str) -> Result<&mut Module, CliError> {
        let names: Vec<String> = self.modules.iter().map(|module| module.name.clone()).collect();
        let found = self.modules.iter_mut().find(|module| same(&module.name, name));
        found.ok_or_else(|| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let error = CliError::input(format!("--isolation: there is no module `{name}`"));
            error.hint(suggest(name, &names))
        })
    }

    /// The arguments of `main`: those given here replace those of the manifest.
    pub(crate) fn arguments(&self, given: &[(String, String)]) -> Vec<(String, String)> {
        let replaced = |key: &str| given.iter().any(|(other, _)| same(other, key));
        let kept = self.args.iter().filter(|(key, _)| !replaced(key));
        kept.chain(given).cloned().collect()
    }

    /// The module whose `main` is to be called.
    ///
    /// # Errors
    /// When the manifest leaves open which.
    pub(crate) fn main(&self) -> Result<&Module, CliError> {
        let main = self.main.as_deref();
        let module = main.and_then(|main| self.modules.iter().find(|module| same(&module.name, main)));
        module.ok_or_else(|| {
            let names: Vec<String> = self.modules.iter().map(|m| format!("`{}`", m.name)).collect();
            let message = format!("there are several modules and no `app.main`: {}", names.join(", "));
            let help = "add to [app]: main = \"MODULE\"";
            match &self.manifest {
                None => CliError::input(message).hint(help),
                Some(source) => {
                    let place = source.text.find("[app]").map_or(0..0, |start| start..start + 5);
                    let mut mistakes = Mistakes::none(source.clone());
                    mistakes.add(Mistake::error(place, message).help(help));
                    match mistakes.settle() {
                        Err(error) => error,
                        Ok(()) => CliError::input("there are several modules and no `app.main`"),
                    }
                }
            }
        })
    }
}

/// The manifest to use: the one given, or the one in the folder given, or the nearest one upward.
pub(crate) fn manifest_path(given: Option<&Path>) -> Result<PathBuf, CliError> {
    let file = manifest::FILE;
    match given {
        Some(folder) if folder.is_dir() => Ok(folder.join(file)),
        Some(path) => Ok(path.to_owned()),
        None => Manifest::find().ok_or_else(|| {
            let error = CliError::input(format!("there is no {file} here or in a folder above"));
            error.hint("name a component, or make a project with `greenroom new NAME`")
        }),
    }
}

/// What the folder is called, as far as an actor may be called so.
fn folder_name(folder: &Path) -> Option<String> {
    let full = std::path::absolute(folder).ok()?;
    let name = full.file_name()?.to_string_lossy().into_owned();
    greenroom::check_name(&name).is_ok().then_some(name)
}

/// That no name is given twice: which of the two would count is anybody's guess.
fn refuse_twice<'a>(option: &str, names: impl Iterator<Item = &'a str>) -> Result<(), CliError> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(CliError::input(format!("{option}: `{name}` is given twice")));
        }
    }
    Ok(())
}
