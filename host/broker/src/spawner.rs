//! Starting the operating-system process of an actor.
//!
//! Owns: the trait [`Spawner`] and the one that uses `exec`, and what variables a process has. Must not know: what the process
//! will run. Invariant: a process is handed over with everything needed to watch and end it.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use greenroom_wire::control::{EnabledModule, Rights};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::child::Child;

/// What an actor runs, as far as it can be made ready before it is known which actor that is. Two of
/// one kind differ in what they are called, given and bounded by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kind {
    /// The components, by their number in the catalogue.
    pub components: Vec<usize>,
    /// The allowlist, its entries naming components by their place in that list.
    pub modules: Vec<EnabledModule>,
    /// What it may do, on which depends how the components are linked.
    pub rights: Rights,
}

/// What is to be started.
pub struct Order<'a> {
    /// What the system's process list shows.
    pub title: &'a str,
    /// The actor's end of its control channel, a packet socket: its standard streams, too.
    pub control: OwnedFd,
    /// What it will run.
    pub kind: &'a Kind,
    /// Opens the compiled code of the kind's components, in their order.
    pub code: &'a dyn Fn() -> io::Result<Vec<OwnedFd>>,
}

impl fmt::Debug for Order<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("title", &self.title).field("kind", self.kind).finish_non_exhaustive()
    }
}

/// A started process.
#[derive(Debug)]
pub struct Process {
    /// The process, which is a child of this one.
    pub child: Child,
    /// Whether it has the components of its kind already; otherwise they are to be sent.
    pub is_prepared: bool,
}

/// Starts actor processes.
pub trait Spawner: Send {
    /// Starts one, without waiting for long. Called within a tokio runtime, always on the same thread,
    /// with which all that it has started dies.
    ///
    /// # Errors
    /// When the system has no process, memory or descriptor left.
    fn spawn(&mut self, order: Order<'_>) -> io::Result<Process>;
}

/// All the variables of an actor's process, and of what it is forked from. Those of its user are none of its business.
pub(crate) fn environment() -> impl Iterator<Item = (&'static str, String)> {
    // How many free pieces of memory of each size a thread has at hand in GNU's library, instead of 7, for many calls at
    // once: 64 of them took 4.0 µs each, and 4.2 without. Pieces of over a kilobyte are not among them.
    let pieces = ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=120".to_owned());
    greenroom_sabotage::environment().into_iter().chain([pieces])
}

/// Starts each actor by executing a program.
#[derive(Debug)]
pub struct ExecSpawner {
    /// The program and the arguments that make it call [`run_actor`](crate::run_actor).
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Spawner for ExecSpawner {
    fn spawn(&mut self, order: Order<'_>) -> io::Result<Process> {
        let (out, err) = (order.control.try_clone()?, order.control.try_clone()?);
        let child = Command::new(&self.program)
            .arg0(order.title)
            .args(&self.arguments)
            .env_clear()
            .envs(environment())
            // A group of its own: a terminal's Ctrl-C is for the broker, which then asks.
            .process_group(0)
            .stdin(Stdio::from(order.control))
            .stdout(Stdio::from(out))
            .stderr(Stdio::from(err))
            .spawn()?;
        let odd = || io::Error::other("the process has no number");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(odd)?;
        Ok(Process { child: Child::new(pid), is_prepared: false })
    }
}

/// What may be done about a refusal of the system's, in words that follow it; nothing if nothing is known.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    let known = error.raw_os_error().and_then(|code| ADVICE.iter().find(|(known, _)| *known == code));
    known.map_or("", |(_, advice)| advice)
}

/// By the number of the error.
const ADVICE: [(i32, &str); 4] = [
    (libc::EMFILE, "; this program has one for each actor: see `ulimit -Hn`"),
    (libc::ENFILE, "; of all programs together: see `sysctl fs.file-max`"),
    (
        libc::EAGAIN,
        "; there are too many processes: see `ulimit -u`, the `pids.max` of the control group, and `sysctl \
         kernel.pid_max kernel.threads-max`",
    ),
    (
        libc::ENOMEM,
        "; there is no memory left for another process: see `free`, and `sysctl vm.overcommit_memory`",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_of_the_system_is_named() {
        for (code, name) in
            [(libc::EMFILE, "ulimit -Hn"), (libc::EAGAIN, "pids.max"), (libc::ENOMEM, "memory")]
        {
            let error = io::Error::from_raw_os_error(code);
            assert!(advice(&error).contains(name), "{error}");
        }
        assert_eq!(advice(&io::Error::from_raw_os_error(libc::ENOENT)), "");
        assert_eq!(advice(&io::Error::other("odd")), "");
    }
}
