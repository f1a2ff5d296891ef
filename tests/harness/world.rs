//! A broker in the test's own process, and a tree below it.
//!
//! Owns: the root actor, calls along a path of actors, what actors report. Must not know: what
//! is tested. Invariant: the misbehaving guest is in every actor; the operator is the test.
//!
//! Every actor runs the module `stage` of the guest `faults`, which starts children and passes
//! calls on; so a test puts up any tree, and calls any actor in it from the root.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use greenroom::{
    ActorId, Cache, Call, Catalogue, DirGrant, Engine, ExecCompiler, Grant, Host, Isolation, Limits,
    ModuleOptions, Portal, Registry, RemoteError, Report, Rights, Setup, SpawnSpec, Without, payload,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::task::JoinHandle;

use crate::alone::Place;
use crate::artifact::{guest, program};
use crate::process::actors;

/// The name of the root actor.
const ROOT: &str = "root";

/// What the root actor serves.
const MODULES: [&str; 8] = [
    "faults/faults",
    "faults/stage",
    "faults/talk",
    "faults/seek",
    "faults/flood",
    "faults/quick",
    "faults/branches",
    "faults/greed",
];

/// What a world is made of, where it is not as usual.
#[derive(Debug)]
pub struct Options {
    /// The bounds of every actor.
    pub limits: Limits,
    /// Folders for the root actor: host path, guest path, whether it may write.
    pub dirs: Vec<(PathBuf, String, bool)>,
    /// Environment variables for the root actor.
    pub env: Vec<(String, String)>,
    /// More components, by name.
    pub components: Vec<(String, PathBuf)>,
    /// Still more, whose instances do not live as long as is usual.
    pub isolated: Vec<(String, PathBuf, Isolation)>,
    /// What actor processes execute, instead of `greenroom`.
    pub program: Option<PathBuf>,
    /// What the root actor may do: by default all that is no matter of other programs. Nor are its
    /// children denied any of it, unless a test does so.
    pub rights: Rights,
    /// The walls that its actors do not raise.
    pub without: Without,
    /// Where it is made known to other programs; nowhere otherwise.
    pub registry: Option<Arc<dyn Registry>>,
    /// Whether what actors report is forgotten at once, as it may be much.
    pub forgetful: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            dirs: Vec::new(),
            env: Vec::new(),
            components: Vec::new(),
            isolated: Vec::new(),
            program: None,
            without: Without::default(),
            forgetful: false,
            rights: Rights { discover: false, publish: false, ..Rights::all() },
            registry: None,
        }
    }
}

/// A running tree.
#[derive(Debug)]
pub struct World {
    tree: String,
    host: Host,
    root: Option<Portal>,
    reports: Arc<Mutex<Vec<Report>>>,
    listener: JoinHandle<()>,
}

#[derive(Serialize)]
struct Pass<'a> {
    path: &'a [&'a str],
    function: &'a str,
    kwargs: ByteBuf,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

/// What a child is to be, for `stage:keep`.
#[derive(Serialize)]
struct Keep<'a> {
    name: &'a str,
    modules: &'a [&'a str],
    dirs: &'a [(&'a str, bool)],
    env: &'a [(&'a str, &'a str)],
}

impl World {
    /// A tree of which only the root is there.
    pub async fn new(place: &Place) -> Self {
        Self::with(place, Options::default()).await
    }

    /// As [`World::new`], made to measure.
    ///
    /// # Panics
    /// If there is no root.
    pub async fn with(place: &Place, options: Options) -> Self {
        let (dirs, env, rights) = (options.dirs.clone(), options.env.clone(), options.rights.clone());
        let mut world = Self::empty(place, options);
        let dirs = dirs.into_iter().map(|(_, guest, writable)| DirGrant {
            source: guest.clone(),
            target: guest,
            writable,
        });
        let spec = SpawnSpec {
            name: ROOT.to_owned(),
            modules: MODULES.map(str::to_owned).to_vec(),
            dirs: dirs.collect(),
            env,
            rights,
            ..SpawnSpec::default()
        };
        world.root = Some(world.host.nursery().start(spec, None).await.expect("the root starts"));
        world
    }

    /// A broker without any actor.
    ///
    /// # Panics
    /// If a guest cannot be loaded or a folder not be opened.
    pub fn empty(place: &Place, options: Options) -> Self {
        let engine = Engine::new().expect("an engine");
        let cache = Cache::open_default(ExecCompiler::new(program())).expect("the test's own cache");
        let mut catalogue = Catalogue::default();
        let all = [("faults".to_owned(), guest("faults"))].into_iter().chain(options.components);
        let all = all.map(|(name, file)| (name, file, None));
        let isolated =
            options.isolated.into_iter().map(|(name, file, isolation)| (name, file, Some(isolation)));
        for (name, file, isolation) in all.chain(isolated) {
            let module = ModuleOptions { isolation };
            catalogue.add(&cache, &engine, &name, &file, module).expect("a component");
        }
        let grants = options.dirs.iter();
        let grants =
            grants.map(|(host, guest, writable)| Grant::open(host, guest, *writable).expect("a folder"));
        let tree = place.tree();
        let setup = Setup {
            tree: tree.clone(),
            catalogue,
            limits: options.limits,
            grants: grants.collect(),
            without: options.without,
            stdin: None,
            registry: options.registry,
            log: None,
            program: options.program.unwrap_or_else(program),
        };
        let (host, mut arriving) = Host::start(setup).expect("a broker");
        let reports = Arc::new(Mutex::new(Vec::new()));
        let (kept, forgetful) = (reports.clone(), options.forgetful);
        let listener = tokio::spawn(async move {
            while let Some(report) = arriving.recv().await {
                if forgetful {
                    continue;
                }
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(report);
            }
        });
        Self { tree, host, root: None, reports, listener }
    }

    /// The broker and its operator's nursery.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The portal to the root actor.
    ///
    /// # Panics
    /// In an empty world.
    pub fn root(&self) -> &Portal {
        self.root.as_ref().expect("this world has a root")
    }

    /// Calls `module:function` in the actor at the end of a path of children; the empty path is the
    /// root. The call is under way before it is awaited; dropping it cancels it.
    pub fn call<T>(&self, path: &[&str], function: &str, kwargs: &impl Serialize) -> Begun<T> {
        let kwargs = payload::encode(kwargs).expect("arguments that can be encoded");
        let call = if path.is_empty() {
            self.root().call(&format!("faults/{function}"), kwargs.into())
        } else {
            let pass = Pass { path, function, kwargs: ByteBuf::from(kwargs) };
            let pass = payload::encode(&pass).expect("it can be encoded");
            self.root().call("faults/stage:pass", pass.into())
        };
        Begun { call, passed: !path.is_empty(), result: PhantomData }
    }

    /// Starts a child of the actor at the end of a path, with the modules of the suite. What it
    /// gives owns the child: dropping it ends the child, and its end is the child's.
    ///
    /// # Panics
    /// If the child does not start.
    pub async fn keep(&self, path: &[&str], name: &str) -> Begun<()> {
        self.keep_with(path, name, &["faults", "stage"], &[], &[]).await.expect("the child starts")
    }

    /// As [`World::keep`], made to measure.
    ///
    /// # Errors
    /// Why the child did not start.
    pub async fn keep_with(
        &self,
        path: &[&str],
        name: &str,
        modules: &[&str],
        dirs: &[(&str, bool)],
        env: &[(&str, &str)],
    ) -> Result<Begun<()>, Box<RemoteError>> {
        let mut keeper = self.call(path, "stage:keep", &Keep { name, modules, dirs, env });
        let ready = self.call::<ActorId>(path, "stage:ready", &Name { name });
        tokio::select! {
            ended = &mut keeper => Err(ended.expect_err("it keeps the child until it is dropped")),
            ready = ready => ready.map(|_| keeper),
        }
    }

    /// The processes of the tree's actors that are there now, by their path (`root`, `root/middle`).
    pub fn processes(&self) -> BTreeMap<String, i32> {
        let tree = format!("{}/", self.tree);
        let all = actors(&tree).into_iter();
        all.filter_map(|(place, pid)| Some((place.strip_prefix(&tree)?.to_owned(), pid))).collect()
    }

    /// The process of one actor.
    ///
    /// # Panics
    /// If there is none.
    pub fn pid(&self, path: &str) -> i32 {
        let all = self.processes();
        *all.get(path).unwrap_or_else(|| panic!("there is no `{path}` in {all:?}"))
    }

    /// What actors have reported so far.
    pub fn reports(&self) -> Vec<Report> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The messages that actors have logged so far.
    pub fn logged(&self) -> Vec<String> {
        let messages = self.reports().into_iter().filter_map(|report| match report {
            Report::Log { line, .. } => Some(line.message),
            _ => None,
        });
        messages.collect()
    }

    /// Ends the tree gracefully, and gives how long that took.
    ///
    /// # Panics
    /// If a process is left.
    pub async fn end(self) -> Duration {
        let began = Instant::now();
        // A root that was killed by its test is a failure of the nursery, and no surprise.
        let _ = self.host.nursery().cancel().await;
        let took = began.elapsed();
        let left = self.processes();
        assert!(left.is_empty(), "gone means gone, but there are {left:?}");
        took
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// A call under way.
#[derive(Debug)]
#[must_use = "dropping a call cancels it"]
pub struct Begun<T> {
    call: Call,
    passed: bool,
    result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Future for Begun<T> {
    type Output = Result<T, Box<RemoteError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = ready!(Pin::new(&mut self.call).poll(cx));
        Poll::Ready(ended.and_then(|bytes| {
            let decoded = match self.passed {
                // What was passed on comes as the encoding of its encoding.
                true => payload::decode::<Passed>(&bytes).and_then(|Passed(inner)| payload::decode(&inner)),
                false => payload::decode(&bytes),
            };
            decoded.map_err(|error| Box::new(RemoteError::of(&error)))
        }))
    }
}

/// The result of `stage:pass`.
#[derive(Deserialize)]
struct Passed(ByteBuf);
