//! The end-to-end suite as a user who is not root.
//!
//! Owns: a place that such a user can reach, with what the tests need, and running them there.
//! Must not know: what is tested. Invariant: nothing that root owns is open to the tests for
//! writing, and nothing of root's environment reaches them but where programs are.
//!
//! Root may do what no user may: read any file, raise any bound, become anybody. A sandbox that was
//! only ever tried by root has not been tried.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

use crate::guests::say;
use crate::host;
use crate::products::{self, Product};
use crate::workspace::{root, target};

/// Where the tests look for the repository.
const REPOSITORY: &str = "GREENROOM_REPOSITORY";

/// What the tests read of the repository.
const SOURCES: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "docs",
    "guest-sdk",
    "host",
    "modules",
    "target/guests",
    "tests",
    "wit",
];

/// What builds a guest: where it is by its variable, else by its name below the home; what of it is
/// needed; and whether cargo writes into its folders.
const TOOLS: &[(&str, &str, &[&str], bool)] = &[
    ("RUSTUP_HOME", ".rustup", &["settings.toml", "toolchains"], false),
    ("CARGO_HOME", ".cargo", &["bin", "config.toml", "registry/cache", "registry/index"], true),
];

/// Folders that nobody here reads: what cargo has built, and the documentation of Rust.
const UNREAD: &[&str] = &["target", "share"];

/// Variables that are the machine's rather than root's.
const KEPT: &[&str] = &["LANG", "TERM", "RUST_BACKTRACE", "RUST_TEST_THREADS"];

/// From here on for a user that nobody is.
const FIRST_ID: u32 = 50_000;

/// Runs the suite, or what of it fits the arguments for the test program, as somebody else.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        say("not root: the tests above were an ordinary user's already");
        return Ok(ExitCode::SUCCESS);
    }
    // What `cargo xtask test` has built; there is nothing left to do if it has.
    let products = products::build(&["test", "--no-run", "--release", "--workspace"], &[])?;
    let place = Place::make(unused()?)?;
    let test = place.furnish(&products)?;
    let mut command = Command::new(&test);
    command.args(arguments).env_clear().uid(place.id).gid(place.id);
    command.envs(KEPT.iter().filter_map(|name| Some((name, env::var_os(name)?))));
    command.envs(TOOLS.iter().map(|(variable, name, ..)| (*variable, place.folder("home").join(name))));
    command.env("PATH", place.path()?);
    command.env("HOME", place.folder("home")).env("XDG_CACHE_HOME", place.folder("home/.cache"));
    command.env("XDG_RUNTIME_DIR", place.folder("run")).env("TMPDIR", place.folder("tmp"));
    command.env(REPOSITORY, place.folder("repository"));
    command.current_dir(place.folder("repository"));
    host::run_in_place(&mut command, &format!("e2e {} (as user {})", arguments.join(" "), place.id))
}

/// A number that belongs to no user and no group.
fn unused() -> anyhow::Result<u32> {
    let mut taken = Vec::new();
    for list in ["/etc/passwd", "/etc/group"] {
        let list = fs::read_to_string(list).with_context(|| format!("cannot read {list}"))?;
        taken.extend(list.lines().filter_map(|line| line.split(':').nth(2)?.parse::<u32>().ok()));
    }
    (FIRST_ID..FIRST_ID + 10_000).find(|id| !taken.contains(id)).context("every number is somebody's")
}

/// A folder of that user's; it is removed with this.
struct Place {
    top: PathBuf,
    id: u32,
}

impl Place {
    fn make(id: u32) -> anyhow::Result<Self> {
        let top = env::temp_dir().join(format!("greenroom-user-{id}-{}", std::process::id()));
        let place = Self { top, id };
        place.own("")?;
        for folder in ["home", "home/.cache", "run", "tmp"] {
            place.own(folder)?;
        }
        Ok(place)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.top.join(name)
    }

    /// Makes a folder that is the user's alone.
    fn own(&self, name: &str) -> anyhow::Result<()> {
        let folder = self.folder(name);
        let made = fs::DirBuilder::new().mode(0o700).create(&folder);
        made.and_then(|()| chown(&folder, Some(self.id), Some(self.id)))
            .with_context(|| format!("cannot make {} for user {}", folder.display(), self.id))
    }

    /// Makes a folder and those below it the user's; the files in them stay as they are.
    fn own_all(&self, folder: &Path) -> anyhow::Result<()> {
        let failed = || format!("cannot give {} to user {}", folder.display(), self.id);
        chown(folder, Some(self.id), Some(self.id)).with_context(failed)?;
        for entry in fs::read_dir(folder).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            if entry.file_type().with_context(failed)?.is_dir() {
                self.own_all(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Where the user finds programs.
    fn path(&self) -> anyhow::Result<OsString> {
        let machine = env::var_os("PATH").unwrap_or_default();
        let own = self.folder("home/.cargo/bin");
        env::join_paths([own].into_iter().chain(env::split_paths(&machine))).context("cannot make a PATH")
    }

    /// Brings what the tests need; gives the test program.
    fn furnish(&self, products: &[Product]) -> anyhow::Result<PathBuf> {
        let there = self.folder("repository");
        for source in SOURCES {
            bring(&root().join(source), &there.join(source))?;
        }
        self.own("repository/target/tmp")?;
        for (variable, name, parts, written) in TOOLS {
            let home = || Some(PathBuf::from(env::var_os("HOME")?).join(name));
            let Some(from) = env::var_os(variable).map(PathBuf::from).or_else(home) else { continue };
            let to = self.folder("home").join(name);
            for part in parts.iter().filter(|part| from.join(part).exists()) {
                bring(&from.join(part), &to.join(part))?;
            }
            if *written && to.exists() {
                self.own_all(&to)?;
            }
        }
        let release = there.join("target/release");
        for product in products.iter().filter(|product| !product.tests && product.path.starts_with(target()))
        {
            match product.kind.as_str() {
                "bin" => bring(&product.path, &release.join(&product.name))?,
                "example" => bring(&product.path, &release.join("examples").join(&product.name))?,
                _ => {}
            }
        }
        let test = release.join("deps/e2e");
        bring(&products::find(products, "test", "e2e", true)?.path, &test)?;
        ensure!(test.is_file(), "{} is missing", test.display());
        Ok(test)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.top) {
            say(&format!("cannot remove {}: {error}", self.top.display()));
        }
    }
}

/// Puts a file, or a folder and all in it, where it can be read: as it is where possible, for these
/// are hundreds of megabytes.
fn bring(from: &Path, to: &Path) -> anyhow::Result<()> {
    let failed = || format!("cannot bring {} to {}", from.display(), to.display());
    if from.is_dir() {
        fs::create_dir_all(to).with_context(failed)?;
        for entry in fs::read_dir(from).with_context(failed)? {
            let name = entry.with_context(failed)?.file_name();
            if !UNREAD.iter().any(|unread| name == *unread) {
                bring(&from.join(&name), &to.join(&name))?;
            }
        }
        return Ok(());
    }
    let above = to.parent().with_context(failed)?;
    fs::create_dir_all(above).with_context(failed)?;
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(|_| ())).with_context(failed)
}
