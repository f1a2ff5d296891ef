//! The programs of others that the benchmarks stand beside Greenroom.
//!
//! Owns: which there are, and by which commands each is set up. Must not know: what is measured, or
//! how. Invariant: what cannot be set up is named, and keeps nothing else from being set up; the
//! benchmark finds out by itself what is there.
//!
//! Everything is in `tests/peers/target`.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::guests::say;
use crate::host::cargo;
use crate::languages::run;
use crate::system::{self, Need};
use crate::workspace::root;

/// The crates of the workspace of peers, and what each needs of the system.
const CRATES: [(&str, &[Need]); 4] =
    [("peer-tarpc", &[]), ("peer-tonic", &[]), ("peer-ractor", &[]), ("peer-capnp", &[CAPNP])];

const CAPNP: Need = Need {
    name: "capnp with its own schemas, for capnp-rpc",
    test: &["sh", "-c", "capnp --version && test -e /usr/include/capnp/stream.capnp"],
    packages: &["capnproto", "libcapnp-dev"],
};

const ERLANG: Need = Need {
    name: "erl and erlc",
    test: &["sh", "-c", "command -v erl && command -v erlc"],
    packages: &["erlang-base"],
};

const PYTHON: Need = Need {
    name: "python3 with venv, for tractor and Ray",
    test: &["python3", "-c", "import ensurepip, venv"],
    packages: &["python3", "python3-venv"],
};

/// The version of tractor. It asks for a package that no registry has, so it comes without what it asks
/// for; `requirements.txt` has that.
const TRACTOR: &str = "tractor==0.1.0a5";

/// Sets all of them up.
///
/// # Errors
/// When the folder for them cannot be made.
pub(crate) fn set_up() -> anyhow::Result<ExitCode> {
    let folder = root().join("tests/peers");
    fs::create_dir_all(folder.join("target/erlang"))?;
    let mut missing = Vec::new();
    let mut note = |what: &str, done: anyhow::Result<()>| {
        if let Err(error) = done {
            missing.push(format!("{what}: {error:#}"));
        }
    };
    for (package, needs) in CRATES {
        note(package, rust(&folder, package, needs));
    }
    note("Erlang", erlang(&folder));
    note("Python", python(&folder));
    note("Ray and what tractor needs", pip(&folder, &["-r", "python/requirements.txt"]));
    note("tractor", pip(&folder, &["--no-deps", TRACTOR]));
    for line in &missing {
        say(&format!("absent: {line}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn rust(folder: &Path, package: &str, needs: &[Need]) -> anyhow::Result<()> {
    system::prepare(needs)?;
    let mut command = Command::new(cargo());
    // The peers' workspace has a folder of its own, whatever ours is.
    command.env_remove("CARGO_TARGET_DIR").current_dir(folder);
    run(command.args(["build", "--release", "--locked", "--package", package]))
}

fn erlang(folder: &Path) -> anyhow::Result<()> {
    system::prepare(&[ERLANG])?;
    run(Command::new("erlc").args(["-o", "target/erlang", "erlang/far.erl"]).current_dir(folder))
}

fn python(folder: &Path) -> anyhow::Result<()> {
    system::prepare(&[PYTHON])?;
    run(Command::new("python3").args(["-m", "venv", "target/venv"]).current_dir(folder))
}

fn pip(folder: &Path, what: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(folder.join("target/venv/bin/python"));
    command.args(["-m", "pip", "--disable-pip-version-check", "install", "--quiet"]);
    run(command.args(what).current_dir(folder))
}
