//! Starting the operating-system process of an actor.
//!
//! Owns: the trait [`Spawner`] and the one that uses `exec`. Must not know: what the process
//! will run. Invariant: a process is handed over with everything needed to watch and end it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use greenroom_abi::kind::Exit;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A started process.
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Readable once it has ended; also the way to signal it.
    pub pidfd: OwnedFd,
    /// The pipe from its standard output.
    pub stdout: OwnedFd,
    /// The pipe from its standard error.
    pub stderr: OwnedFd,
    /// Collects how it ended; to be called once the pidfd is readable.
    pub reap: Box<dyn FnOnce() -> Exit + Send>,
}

/// Starts actor processes.
pub trait Spawner: Send {
    /// Starts one. It finds its control channel as its standard input, and `title` is what
    /// the system's process list shows.
    ///
    /// # Errors
    /// When the system has no process, memory or descriptor left.
    fn spawn(&mut self, title: &str, control: OwnedFd) -> io::Result<Process>;
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
    fn spawn(&mut self, title: &str, control: OwnedFd) -> io::Result<Process> {
        let mut child = Command::new(&self.program)
            .arg0(title)
            .args(&self.arguments)
            .env_clear()
            .envs(greenroom_sabotage::environment())
            // A group of its own: a terminal's Ctrl-C is for the broker, which then asks.
            .process_group(0)
            .stdin(Stdio::from(control))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::other("the process has no pipes");
        let stdout = child.stdout.take().ok_or_else(missing)?.into();
        let stderr = child.stderr.take().ok_or_else(missing)?.into();
        let pid = child.id();
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(missing)?;
        let pidfd = pidfd_open(number, PidfdFlags::NONBLOCK)?;
        let reap = Box::new(move || child.wait().map_or(Exit::Unknown, exit_of));
        Ok(Process { pid, pidfd, stdout, stderr, reap })
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    }
}
