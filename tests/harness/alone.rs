//! A process of its own for every test.
//!
//! Owns: starting it, what it may write to, and when it may run beside others. Must not know:
//! what a test does. Invariant: a test's process is the parent or the adopter of every process
//! that the test starts, so none escapes the sweep.
//!
//! The test function runs twice: first in the test program that cargo started, which executes
//! itself again for this one test, and then in there, where the body runs.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use rustix::process::set_child_subreaper;

use crate::artifact::{guest, program, target};
use crate::sweep::{Descriptors, sweep_machine, sweep_process};
use crate::wait::until_now;

/// Tells the inner process where it may write.
const INSIDE: &str = "GREENROOM_E2E_PLACE";

/// How long a test may take: far above the slowest, to end what hangs.
const PATIENCE: Duration = Duration::from_secs(150);

/// The guests that tests run.
const GUESTS: &[&str] = &[
    "broadcast",
    "cancel",
    "escape",
    "everything",
    "failing",
    "fanin",
    "faults",
    "hogs",
    "languages",
    "machine",
    "pingpong",
    "primes",
    "restart",
    "squares",
    "typed",
    "wordcount",
];

/// Held for reading by every test that runs, for writing by one that measures.
static QUIET: RwLock<()> = RwLock::new(());

/// Where a test takes place: its folder, its name for trees.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    tree: String,
    trees: Cell<u32>,
    adopts: Cell<bool>,
}

impl Place {
    /// A folder of the test's own.
    pub fn folder(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// A name for a tree that no other tree on this machine has.
    pub fn tree(&self) -> String {
        self.trees.set(self.trees.get() + 1);
        format!("{}{}", self.tree, self.trees.get())
    }

    /// Notes that a broker is killed: nobody but this process can then collect its actors.
    pub fn adopt(&self) {
        self.adopts.set(true);
    }
}

/// Runs a test in a process of its own, beside others.
pub fn alone<F: AsyncFnOnce(&Place)>(body: F) {
    match std::env::var_os(INSIDE) {
        Some(folder) => inside(folder.into(), body),
        None => {
            let _running = QUIET.read().unwrap_or_else(PoisonError::into_inner);
            outside(name::<F>(), PATIENCE);
        }
    }
}

/// As [`alone`], for a test that may take this long.
pub fn alone_for<F: AsyncFnOnce(&Place)>(patience: Duration, body: F) {
    match std::env::var_os(INSIDE) {
        Some(folder) => inside(folder.into(), body),
        None => {
            let _running = QUIET.read().unwrap_or_else(PoisonError::into_inner);
            outside(name::<F>(), patience);
        }
    }
}

/// Runs a test that measures, while no other test runs.
pub fn undisturbed<F: AsyncFnOnce(&Place)>(body: F) {
    match std::env::var_os(INSIDE) {
        Some(folder) => inside(folder.into(), body),
        None => {
            let _running = QUIET.write().unwrap_or_else(PoisonError::into_inner);
            outside(name::<F>(), PATIENCE);
        }
    }
}

/// What stands before what is shown also if the test succeeds.
const SAID: &str = "measured: ";

/// Tells a person what was measured; `cargo test -- --nocapture` shows it.
#[expect(clippy::print_stdout, reason = "it is said to whoever runs the tests")]
pub fn say(line: &str) {
    println!("{SAID}{line}");
}

/// The name under which the test program knows the function that a closure was written in.
fn name<F>() -> &'static str {
    let path = std::any::type_name::<F>();
    let path = path.split("::{{closure}}").next().unwrap_or(path);
    path.split_once("::").map_or(path, |(_, name)| name)
}

fn outside(test: &str, patience: Duration) {
    let cache = warm_cache();
    let place = tempfile::tempdir().expect("a folder for the test");
    let sub = |name: &str| {
        let folder = place.path().join(name);
        fs::create_dir(&folder).expect("a folder in it");
        folder
    };
    let (_files, run, tmp) = (sub("files"), sub("run"), sub("tmp"));
    let output = place.path().join("output");
    let file = File::create(&output).expect("a file for the output");
    let mut child = Command::new(std::env::current_exe().expect("a running test has a path"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, place.path())
        .env("XDG_CACHE_HOME", cache)
        .env("XDG_RUNTIME_DIR", &run)
        .env("TMPDIR", &tmp)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a second handle"))
        .stderr(file)
        .spawn()
        .expect("this program can be started again");
    let tree = tree(child.id());
    let end = std::time::Instant::now() + patience;
    let status = until_now("the test ends", patience * 2, || {
        if std::time::Instant::now() > end {
            // What it has started dies with it.
            let _ = child.kill();
        }
        child.try_wait().expect("it is this process's child")
    });
    let said = fs::read_to_string(&output).unwrap_or_default();
    assert!(status.success(), "{test}: {status}\n{said}");
    // A name that matches no test would pass for a success.
    assert!(said.contains("1 passed"), "{test} did not run:\n{said}");
    for (_, line) in said.lines().filter_map(|line| line.split_once(SAID)) {
        say(&format!("{test}: {line}"));
    }
    sweep_machine(&tree, &[&run, &tmp]);
}

fn inside<F: AsyncFnOnce(&Place)>(folder: PathBuf, body: F) {
    set_child_subreaper(Some(rustix::process::getpid())).expect("Linux lets a process adopt");
    let place =
        Place { folder, tree: tree(std::process::id()), trees: Cell::new(0), adopts: Cell::new(false) };
    // The first runtime of a process opens what stays open as long as the process.
    drop(runtime());
    let before = Descriptors::open();
    runtime().block_on(body(&place));
    sweep_process(&place.tree, &before, place.adopts.get());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What the names of a test's trees begin with.
fn tree(pid: u32) -> String {
    format!("e2e-{pid}-")
}

/// A cache with the guests of the suite in it, so that no test waits for the compiler.
fn warm_cache() -> &'static Path {
    static CACHE: OnceLock<PathBuf> = OnceLock::new();
    CACHE.get_or_init(|| {
        let cache = target().join("tmp/e2e-cache");
        fs::create_dir_all(&cache).expect("a folder for compiled code");
        for name in GUESTS {
            compile_to(&cache, &guest(name));
        }
        cache
    })
}

/// Sees to it that a component which not all tests need is in the cache, too. In the process of a
/// test it does nothing: it has been seen to.
///
/// # Panics
/// If it is no component.
pub fn compile(component: &Path) {
    static ONE: Mutex<()> = Mutex::new(());
    if std::env::var_os(INSIDE).is_none() {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        compile_to(warm_cache(), component);
    }
}

fn compile_to(cache: &Path, component: &Path) {
    let mut inspect = Command::new(program());
    let inspect = inspect.arg("inspect").arg(component).env("XDG_CACHE_HOME", cache);
    let done = inspect.output().expect("the program runs");
    assert!(done.status.success(), "{} is no component: {done:?}", component.display());
}
