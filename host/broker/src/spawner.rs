//! Starting the operating-system process of an actor.
//!
//! Owns: the trait [`Spawner`] and the one that uses `exec`. Must not know: what the process
//! will run. Invariant: a process is handed over with everything needed to watch and end it.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use greenroom_abi::kind::Exit;
use greenroom_wire::control::{EnabledModule, Rights};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

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
    /// The actor's end of its control channel, a packet socket.
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
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Readable once it has ended; also the way to signal it.
    pub pidfd: Arc<OwnedFd>,
    /// The pipe from its standard output.
    pub stdout: OwnedFd,
    /// The pipe from its standard error.
    pub stderr: OwnedFd,
    /// Collects how it ended; to be called once the pidfd is readable.
    pub reap: Box<dyn FnOnce() -> Exit + Send>,
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
        let mut child = Command::new(&self.program)
            .arg0(order.title)
            .args(&self.arguments)
            .env_clear()
            .envs(greenroom_sabotage::environment())
            // A group of its own: a terminal's Ctrl-C is for the broker, which then asks.
            .process_group(0)
            .stdin(Stdio::from(order.control))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::other("the process has no pipes");
        let stdout = child.stdout.take().ok_or_else(missing)?.into();
        let stderr = child.stderr.take().ok_or_else(missing)?.into();
        let pid = child.id();
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(missing)?;
        let pidfd = Arc::new(pidfd_open(number, PidfdFlags::NONBLOCK)?);
        let reap = Box::new(move || child.wait().map_or(Exit::Unknown, exit_of));
        Ok(Process { pid, pidfd, stdout, stderr, reap, is_prepared: false })
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    }
}
