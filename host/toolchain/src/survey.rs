//! What a machine has for building guests.
//!
//! Owns: looking at folders and asking compilers for their version. Must not know: which
//! pieces a way needs, or what to say when one is missing. Invariant: looking changes
//! nothing and builds nothing; it costs some stats and one process per promising compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::missing::Home;
use crate::places::Places;
use crate::version::Version;
use crate::way::TARGET;

/// Runs a program and returns what it printed, if it succeeded.
pub(crate) type Ask<'a> = &'a dyn Fn(&Path, &[&str]) -> Option<String>;

/// The source of the standard library that a compiler comes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Absent(PathBuf),
    /// It says of itself which version it is.
    Versioned(PathBuf, Version),
    /// It is a part of the toolchain, so it is the right one.
    Present(PathBuf),
}

/// A compiler and what lies beside it.
#[derive(Clone, Debug)]
pub(crate) struct Compiler {
    pub(crate) home: Home,
    pub(crate) sysroot: PathBuf,
    pub(crate) rustc: Option<PathBuf>,
    pub(crate) cargo: Option<PathBuf>,
    /// Known only if there is a `rustc`, and a source or a target to use with it.
    pub(crate) version: Option<Version>,
    pub(crate) source: Source,
    /// Whether the prebuilt standard library for the guest target is installed; a C library
    /// is part of it.
    pub(crate) target: bool,
    /// The folders of its own linker for WebAssembly, if complete.
    linkers: Option<Vec<PathBuf>>,
}

/// Everything found.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    /// The system's own compiler first, then the active toolchain, then the others by name.
    pub(crate) compilers: Vec<Compiler>,
    /// The C library for WASI that the system has, and the folder it was looked for in.
    pub(crate) libc: Result<PathBuf, PathBuf>,
    path_linkers: Option<Vec<PathBuf>>,
}

impl Survey {
    pub(crate) fn take(places: &Places, ask: Ask<'_>) -> Self {
        let mut compilers = vec![Compiler::look(Home::System, places.system.clone(), ask)];
        for (home, sysroot) in toolchains(places, ask) {
            compilers.push(Compiler::look(home, sysroot, ask));
        }
        let libc = places.system.join("lib/wasm32-wasi");
        let libc = if libc.join("libc.a").is_file() { Ok(libc) } else { Err(libc) };
        Self { compilers, libc, path_linkers: linkers_on_path(places) }
    }

    /// The folders of a complete linker: the compiler's own, else any compiler's, else the
    /// search path's.
    pub(crate) fn linkers(&self, compiler: &Compiler) -> Option<Vec<PathBuf>> {
        let others = self.compilers.iter().find_map(|other| other.linkers.as_ref());
        compiler.linkers.as_ref().or(others).or(self.path_linkers.as_ref()).cloned()
    }
}

impl Compiler {
    fn look(home: Home, sysroot: PathBuf, ask: Ask<'_>) -> Self {
        let existing = |path: PathBuf| path.is_file().then_some(path);
        let rustc = existing(sysroot.join("bin/rustc"));
        let cargo = existing(sysroot.join("bin/cargo"));
        let source = source(&sysroot);
        let target = has_std(&sysroot.join("lib/rustlib").join(TARGET).join("lib"));
        let promising = target || !matches!(source, Source::Absent(_));
        let version = rustc
            .as_deref()
            .filter(|_| promising)
            .and_then(|rustc| ask(rustc, &["--version"]))
            .and_then(|text| Version::parse(&text));
        let linkers = linkers(&sysroot);
        Self { home, sysroot, rustc, cargo, version, source, target, linkers }
    }
}

/// Runs `program` for what it prints.
pub(crate) fn ask(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Every toolchain but the system's, the active one first; one known by two names counts once.
fn toolchains(places: &Places, ask: Ask<'_>) -> Vec<(Home, PathBuf)> {
    let folder = places.rustup_home.as_ref().map(|home| home.join("toolchains"));
    let mut candidates = Vec::new();
    if let Some(rustc) = places.on_path("rustc")
        && let Some(sysroot) = ask(&rustc, &["--print", "sysroot"])
    {
        candidates.push(PathBuf::from(sysroot));
    }
    let entries = folder.as_ref().and_then(|folder| fs::read_dir(folder).ok());
    let mut rest: Vec<_> = entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    rest.sort();
    candidates.append(&mut rest);

    let mut seen = vec![real(&places.system)];
    let mut found = Vec::new();
    for sysroot in candidates {
        let identity = real(&sysroot);
        if seen.contains(&identity) {
            continue;
        }
        seen.push(identity);
        let name = folder.as_ref().and_then(|folder| sysroot.strip_prefix(folder).ok());
        let home = match name {
            Some(name) => Home::Rustup(name.to_string_lossy().into_owned()),
            None => Home::Folder(sysroot.clone()),
        };
        found.push((home, sysroot));
    }
    found
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn source(sysroot: &Path) -> Source {
    let root = sysroot.join("lib/rustlib/src/rust");
    if !root.join("library/std/Cargo.toml").is_file() {
        return Source::Absent(root);
    }
    // Debian's source is a package of its own, linked to from here by a name with a version;
    // it can be upgraded without the compiler.
    let named = real(&root);
    let named = named.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("rustc-"));
    match named.and_then(Version::parse) {
        Some(version) => Source::Versioned(root, version),
        None => Source::Present(root),
    }
}

/// Whether a folder of libraries holds a prebuilt standard library.
fn has_std(dir: &Path) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

/// rustup's toolchains carry both linkers, under the name of the host.
fn linkers(sysroot: &Path) -> Option<Vec<PathBuf>> {
    let entries = fs::read_dir(sysroot.join("lib/rustlib")).ok()?;
    entries.flatten().map(|entry| entry.path().join("bin")).find_map(|bin| {
        let lld = bin.join("gcc-ld");
        let complete = bin.join("wasm-component-ld").is_file()
            && bin.join("rust-lld").is_file()
            && lld.join("wasm-ld").is_file();
        complete.then(|| vec![bin, lld])
    })
}

fn linkers_on_path(places: &Places) -> Option<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for name in ["wasm-component-ld", "wasm-ld"] {
        let folder = places.on_path(name)?.parent()?.to_owned();
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    Some(folders)
}
