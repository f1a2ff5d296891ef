//! What is needed of the system, and gets there by its packages.
//!
//! Owns: telling what is missing, and installing it. Must not know: what it is for. Invariant: on a machine that has them all, nothing is run but the
//! tests whether it does.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::languages::run;

/// One thing that must be there.
pub(crate) struct Need {
    /// What it is for.
    pub(crate) name: &'static str,
    /// Succeeds where it is there; it is given an empty C program as standard input.
    pub(crate) test: &'static [&'static str],
    /// The packages of Debian that bring it.
    pub(crate) packages: &'static [&'static str],
}

/// Sees to it that all is there, installing it where that is possible.
pub(crate) fn prepare(needs: &[Need]) -> anyhow::Result<()> {
    let missing = missing(needs)?;
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    let by_hand = || {
        let names: Vec<&str> = missing.iter().map(|need| need.name).collect();
        format!("this machine lacks {}; on Debian: apt-get install {}", names.join("; "), packages.join(" "))
    };
    let Some(sudo) = sudo()? else { bail!(by_hand()) };
    let apt = |rest: &[&str]| {
        let line = [sudo, &["apt-get", "-q"], rest].concat();
        run(Command::new(line[0]).args(&line[1..]).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let install = [&["install", "-y", "--no-install-recommends"], &packages[..]].concat();
    // The lists of packages may be old, or not there at all.
    if apt(&install).is_err() {
        apt(&["update"]).with_context(by_hand)?;
        apt(&install).with_context(by_hand)?;
    }
    match self::missing(needs)?.first() {
        Some(need) => bail!("{} is still missing after installing {}", need.name, packages.join(" ")),
        None => Ok(()),
    }
}

fn missing(needs: &[Need]) -> anyhow::Result<Vec<&Need>> {
    let mut missing = Vec::new();
    for need in needs {
        if !succeeds(need.test, "int main(void) { return 0; }")? {
            missing.push(need);
        }
    }
    Ok(missing)
}

/// What a command that installs packages begins with, if we may run one.
fn sudo() -> anyhow::Result<Option<&'static [&'static str]>> {
    const SUDO: &[&str] = &["sudo", "-n"];
    if !succeeds(&["apt-get", "--version"], "")? {
        return Ok(None);
    }
    let id = Command::new("id").arg("-u").output().context("cannot run id")?;
    if id.stdout.trim_ascii() == b"0" {
        return Ok(Some(&[]));
    }
    Ok(succeeds(&["sudo", "-n", "true"], "")?.then_some(SUDO))
}

/// Whether a command ends well; one that is not there does not.
fn succeeds(line: &[&str], input: &str) -> anyhow::Result<bool> {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return Ok(false) };
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it is content without.
        let _ = stdin.write_all(input.as_bytes());
    }
    Ok(child.wait().with_context(|| format!("cannot await {}", line[0]))?.success())
}
