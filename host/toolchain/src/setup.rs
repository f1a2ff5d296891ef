//! Makes a machine able to build guests, the best way it can.
//!
//! Owns: which installers to run, in which order. Must not know: what a way needs; it looks
//! again after each step. Invariant: on a machine that has the best way, nothing is run.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::choice::{NoToolchain, Toolchain, detect};
use crate::missing::{Home, Missing, PACKAGES, Refusal};
use crate::way::{TARGET, Way};

/// Why no way could be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Nothing that could be tried here helped.
    #[error("{none}\ntried here: {}", if .tried.is_empty() { "nothing, for want of rights or tools".to_owned() } else { .tried.join("; ") })]
    Unable {
        /// The commands that were run.
        tried: Vec<String>,
        /// What is still missing.
        none: NoToolchain,
    },
    /// The messages could not be written.
    #[error("cannot write messages: {0}")]
    Log(#[from] io::Error),
}

/// Installs what the best way to build guests needs, where this machine lets it: with
/// Debian's packages if we may install them, else with rustup. Says on `log` what it runs.
/// Where the best way is there already, it returns at once.
///
/// # Errors
///
/// If there is no way in the end. A lesser way than the best is no error; the returned
/// [`Toolchain`] says why.
pub fn setup(log: &mut dyn Write) -> Result<Toolchain, SetupError> {
    set_up(&mut ThisMachine, log)
}

/// What it takes to look at a machine and change it.
trait Machine {
    fn detect(&mut self) -> Result<Toolchain, NoToolchain>;
    /// Runs a command for its exit status alone.
    fn succeeds(&mut self, command: &[&str]) -> bool;
    /// Runs a command that prints what it does.
    fn run(&mut self, command: &[&str], log: &mut dyn Write) -> io::Result<bool>;
    /// Whether we are root.
    fn is_root(&mut self) -> bool;
}

fn set_up(machine: &mut dyn Machine, log: &mut dyn Write) -> Result<Toolchain, SetupError> {
    let mut found = machine.detect();
    let mut tried = Vec::new();
    if packages_would_help(&found) {
        Installer { machine, log, tried: &mut tried }.packages(found.is_err())?;
        found = machine.detect();
    }
    if found.is_err() && machine.succeeds(&["rustup", "--version"]) {
        Installer { machine, log, tried: &mut tried }.run(&["rustup", "target", "add", TARGET])?;
        found = machine.detect();
    }
    found.map_err(|none| SetupError::Unable { tried, none })
}

/// Whether the first way lacks something that a package brings.
fn packages_would_help(found: &Result<Toolchain, NoToolchain>) -> bool {
    let refusals = match found {
        Ok(toolchain) => &toolchain.refusals,
        Err(none) => &none.refusals,
    };
    let brought = |refusal: &&Refusal| {
        refusal.way == Way::SourceUnwind
            && refusal.home == Home::System
            && refusal.missing.iter().any(|missing| *missing != Missing::Linker)
    };
    refusals.iter().any(|refusal| brought(&refusal))
}

struct Installer<'a> {
    machine: &'a mut dyn Machine,
    log: &'a mut dyn Write,
    tried: &'a mut Vec<String>,
}

impl Installer<'_> {
    /// Installs the system's packages if it has them and we may. Fresh package lists cost
    /// half a minute, so they are fetched only if guests could not be built otherwise, or if
    /// the old ones turn out to be stale.
    fn packages(&mut self, needed: bool) -> io::Result<()> {
        if !self.machine.succeeds(&["apt-get", "--version"]) {
            return Ok(());
        }
        let sudo: &[&str] = if self.machine.is_root() {
            &[]
        } else if self.machine.succeeds(&["sudo", "-n", "true"]) {
            &["sudo", "-n"]
        } else {
            return Ok(());
        };
        let with_sudo = |rest: &[&'static str]| [sudo, rest].concat();
        let update = with_sudo(&["apt-get", "-q", "update"]);
        let mut install = with_sudo(&["apt-get", "-q", "install", "-y", "--no-install-recommends"]);
        install.extend(PACKAGES);
        let mut known = vec!["apt-cache", "show"];
        known.extend(PACKAGES);

        let mut fresh = false;
        if !self.machine.succeeds(&known) {
            if !needed {
                return Ok(());
            }
            self.run(&update)?;
            fresh = true;
            if !self.machine.succeeds(&known) {
                return writeln!(self.log, "this system has no packages {}", PACKAGES.join(" "));
            }
        }
        let installed = self.run(&install)?;
        // Old lists may name packages that are gone, or too old to help.
        if !fresh && (!installed || packages_would_help(&self.machine.detect())) {
            self.run(&update)?;
            self.run(&install)?;
        }
        Ok(())
    }

    fn run(&mut self, command: &[&str]) -> io::Result<bool> {
        let line = command.join(" ");
        writeln!(self.log, "running: {line}")?;
        let succeeded = self.machine.run(command, self.log)?;
        self.tried.push(if succeeded { line } else { format!("{line} (failed)") });
        Ok(succeeded)
    }
}

/// The machine we run on.
struct ThisMachine;

impl ThisMachine {
    fn command(line: &[&str]) -> Command {
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).stdin(Stdio::null()).env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

impl Machine for ThisMachine {
    fn detect(&mut self) -> Result<Toolchain, NoToolchain> {
        detect()
    }

    fn succeeds(&mut self, command: &[&str]) -> bool {
        let mut command = Self::command(command);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    fn run(&mut self, command: &[&str], log: &mut dyn Write) -> io::Result<bool> {
        let (reader, writer) = io::pipe()?;
        let mut command = Self::command(command);
        command.stdout(writer.try_clone()?).stderr(writer);
        let Ok(mut child) = command.spawn() else { return Ok(false) };
        // The command holds the pipe's writing ends; while it lives, reading does not end.
        drop(command);
        for line in BufReader::new(reader).split(b'\n') {
            log.write_all(&line?)?;
            log.write_all(b"\n")?;
        }
        Ok(child.wait()?.success())
    }

    fn is_root(&mut self) -> bool {
        let output = Command::new("id").arg("-u").output();
        output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
    }
}

#[cfg(test)]
mod tests;
