//! A native program as the root of a tree.
//!
//! Owns: what a root is opened with, and that a process has one at a time. Must not know: how a
//! broker is started, which is [`Host`]'s. Invariant: when a [`Root`] is gone, so is its tree.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use greenroom_abi::RemoteError;
use greenroom_abi::kind::NurseryError;
use greenroom_broker::{
    Catalogue, Directory, ExecCompiler, Grant, ModuleOptions, Registry, Wall, Without, check_name,
};
use greenroom_engine::{Cache, Engine};
use greenroom_runtime::{Nursery, Portal, Supervision};
use greenroom_wire::control::{ActorEntry, Limits};

use crate::host::{Host, HostError, Setup};
use crate::init::is_ready;
use crate::reports::{Reports, Teller};

/// This program, in whatever file it is by now.
const OURSELVES: &str = "/proc/self/exe";

/// What a root is opened with.
///
/// ```
/// use greenroom::RootOptions;
///
/// let options = RootOptions::new("app")
///     .module("squares", "target/guests/squares.wasm")
///     .dir("docs", "/docs")
///     .dir_writable("out", "/out");
/// ```
#[derive(Clone, Debug)]
#[must_use = "a root is opened by `open_root`"]
pub struct RootOptions {
    name: String,
    modules: Vec<(String, PathBuf, ModuleOptions)>,
    dirs: Vec<(PathBuf, String, bool)>,
    limits: Limits,
    log: Option<String>,
    without: Without,
    discoverable: bool,
    program: Option<PathBuf>,
}

impl RootOptions {
    /// A tree of this name, which the system's process list shows. It has no modules and grants
    /// nothing.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            modules: Vec::new(),
            dirs: Vec::new(),
            limits: Limits::default(),
            log: None,
            without: Without::default(),
            discoverable: false,
            program: None,
        }
    }

    /// Adds a component, by whose name actors are started with it, or with an interface of it:
    /// `name/interface`. It is compiled unless it was before.
    pub fn module(self, name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        self.module_with(name, file, ModuleOptions::default())
    }

    /// As [`RootOptions::module`], and says how the component's modules are run.
    pub fn module_with(
        mut self,
        name: impl Into<String>,
        file: impl Into<PathBuf>,
        options: ModuleOptions,
    ) -> Self {
        self.modules.push((name.into(), file.into(), options));
        self
    }

    /// A folder of the machine that actors may be granted, to read in it, under the path `guest`.
    pub fn dir(mut self, host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        self.dirs.push((host.into(), guest.into(), false));
        self
    }

    /// As [`RootOptions::dir`], to read and to write.
    pub fn dir_writable(mut self, host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        self.dirs.push((host.into(), guest.into(), true));
        self
    }

    /// The bounds of every actor.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// What the host's own part of actor processes writes to their standard error, as a filter in
    /// `tracing`'s syntax. Nothing by default.
    pub fn log(self, filter: impl Into<String>) -> Self {
        Self { log: Some(filter.into()), ..self }
    }

    /// Actors do not raise these walls around themselves. For machines that lack one, and for what is
    /// trusted: whoever looks at the tree is told.
    pub fn without(self, walls: impl IntoIterator<Item = Wall>) -> Self {
        Self { without: walls.into_iter().collect(), ..self }
    }

    /// Takes part in the registry of the machine. Other programs of the user find the actors that
    /// this program starts, and those below that are started with `publish`; and
    /// [`Root::find_actor`] and its like find those of other programs.
    pub fn discoverable(self) -> Self {
        Self { discoverable: true, ..self }
    }

    /// What actors execute: `greenroom`, or another program that calls [`init`](crate::init()) first
    /// thing. By default it is this program itself.
    pub fn program(self, program: impl Into<PathBuf>) -> Self {
        Self { program: Some(program.into()), ..self }
    }

    /// The names of its components.
    pub(crate) fn module_names(&self) -> Vec<String> {
        self.modules.iter().map(|(name, ..)| name.clone()).collect()
    }

    /// Reads, compiles and opens what the options name.
    fn prepare(self) -> Result<Setup, HostError> {
        check_name(&self.name).map_err(|rule| HostError::Name { name: self.name.clone(), rule })?;
        let program = match self.program {
            Some(program) => program,
            None if is_ready() => OURSELVES.into(),
            None => return Err(HostError::NotInitialised),
        };
        let mut catalogue = Catalogue::default();
        if !self.modules.is_empty() {
            let compiler = ExecCompiler { without: self.without.clone(), ..ExecCompiler::new(&program) };
            let cache = Cache::open_default(compiler)?;
            let engine = Engine::new().map_err(|error| HostError::Engine(error.to_string()))?;
            for (place, (name, file, options)) in self.modules.iter().enumerate() {
                if self.modules[..place].iter().any(|(known, ..)| known == name) {
                    return Err(HostError::ModuleTwice(name.clone()));
                }
                catalogue.add(&cache, &engine, name, file, *options)?;
            }
        }
        let grant = |(host, guest, writable): &(PathBuf, String, bool)| Grant::open(host, guest, *writable);
        let grants = self.dirs.iter().map(grant).collect::<Result<_, _>>()?;
        let registry = match self.discoverable {
            true => Some(Arc::new(Directory::open()?) as Arc<dyn Registry>),
            false => None,
        };
        let Self { name: tree, limits, log, without, .. } = self;
        Ok(Setup { tree, catalogue, limits, grants, without, stdin: None, registry, log, program })
    }
}

/// Opens the root of a tree in this process: a broker, and this program as the owner of the actors
/// that it starts. Nothing of it is left once it is closed or dropped.
///
/// [`init`](crate::init()) must have been called first thing in `main`, unless the options name a
/// [`program`](RootOptions::program).
///
/// # Errors
/// `AlreadyOpen` while this process has another; `NotInitialised`; what is wrong with a component or
/// a folder; what the system refuses.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn open_root(options: RootOptions) -> Result<Root, HostError> {
    let seat = Seat::take().ok_or(HostError::AlreadyOpen)?;
    let prepared = tokio::task::spawn_blocking(|| options.prepare()).await;
    let setup = prepared.map_err(|error| HostError::Engine(error.to_string()))??;
    let name = setup.tree.clone();
    let (host, reports) = Host::start(setup)?;
    Ok(Root { name, host, supervised: Mutex::default(), teller: Teller::start(reports), _seat: seat })
}

/// A tree whose owner is this program.
///
/// [`Root::close`] ends it gracefully; dropping it kills what is left.
#[derive(Debug)]
pub struct Root {
    name: String,
    host: Host,
    supervised: Mutex<Vec<Nursery>>,
    teller: Teller,
    // The last to be dropped: another root may be opened once nothing of this one is left.
    _seat: Seat,
}

impl Root {
    /// The name of the tree.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The scope that owns the actors of this program.
    pub fn nursery(&self) -> &Nursery {
        self.host.nursery()
    }

    /// Opens another such scope, which starts its actors again when they end. It is closed with the
    /// root, if not before.
    pub fn open_supervised(&self, supervision: Supervision) -> Nursery {
        let nursery = self.host.open_supervised(supervision);
        self.supervised.lock().unwrap_or_else(PoisonError::into_inner).push(nursery.clone());
        nursery
    }

    /// A portal to the actor of that name: of several, to one of this tree before one of another
    /// program, and of those to the one that could be called first. None if there is none, or it is
    /// being ended. Other programs' are found only by a root that is
    /// [`discoverable`](RootOptions::discoverable).
    ///
    /// # Errors
    /// When no pipe to it can be made, or the broker is gone.
    pub async fn find_actor(&self, name: &str) -> Result<Option<Portal>, Box<RemoteError>> {
        self.host.find_actor(name).await
    }

    /// As [`Root::find_actor`], but waits until there is one; none only past `timeout`.
    ///
    /// # Errors
    /// As [`Root::find_actor`].
    ///
    /// # Cancel safety
    /// Dropping the wait ends it.
    pub async fn wait_for_actor(
        &self,
        name: &str,
        timeout: Option<Duration>,
    ) -> Result<Option<Portal>, Box<RemoteError>> {
        self.host.wait_for_actor(name, timeout).await
    }

    /// Whom [`Root::find_actor`] would give a portal to, without connecting to it.
    ///
    /// # Errors
    /// When the broker cannot tell, or is gone.
    pub async fn query_actor(&self, name: &str) -> Result<Option<ActorEntry>, Box<RemoteError>> {
        self.host.query_actor(name).await
    }

    /// All actors that can be found: first those of this tree, then those of other programs; each
    /// in the order in which they could be called.
    ///
    /// # Errors
    /// When the broker cannot tell, or is gone.
    pub async fn list_actors(&self) -> Result<Vec<ActorEntry>, Box<RemoteError>> {
        self.host.list_actors().await
    }

    /// What the host and its actors have to say from now on: output, log lines, progress. As long as
    /// somebody takes them, actors wait rather than that anything is lost. What nobody takes is
    /// passed on to `tracing`, under the target `greenroom`.
    pub fn reports(&self) -> Reports {
        self.teller.listen()
    }

    /// The host behind it, with what a root seldom needs.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Cancels every actor and waits until all are gone.
    ///
    /// # Errors
    /// The failures in its nurseries: one alone, several as one `NurseryError`.
    pub async fn close(self) -> Result<(), HostError> {
        let Self { host, supervised, teller, _seat, .. } = self;
        let mut errors = Vec::new();
        let supervised = supervised.into_inner().unwrap_or_else(PoisonError::into_inner);
        for nursery in [host.nursery()].into_iter().chain(&supervised) {
            errors.extend(nursery.cancel().await.err());
        }
        drop(host);
        teller.finish().await;
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0).into()),
            _ => {
                let errors = errors.into_iter().map(|error| *error).collect();
                Err(Box::new(RemoteError::of(&NurseryError { errors })).into())
            }
        }
    }
}

/// The place of the one root that a process has.
#[derive(Debug)]
struct Seat(());

static TAKEN: AtomicBool = AtomicBool::new(false);

impl Seat {
    fn take() -> Option<Self> {
        (!TAKEN.swap(true, Ordering::AcqRel)).then_some(Self(()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Release);
    }
}
