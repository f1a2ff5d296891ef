//! Raising all walls of one process.
//!
//! Owns: what each wall is raised with, and the order. Must not know: how a wall is raised.
//! Invariant: what is left out was named; whatever else fails, the process is to end.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;

use greenroom_sabotage::Protection;

use crate::wall::{Wall, WallError, Without};
use crate::{files, filter, limits};

/// What a process is for, which decides on the system calls that it can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To run guests, whose code is compiled and mapped by the time that the last wall is raised.
    Actor,
    /// To compile: no names of files are resolved in it, and it makes code.
    Compiler,
}

/// Ports of TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// All of them.
    Any,
    /// These.
    Only(BTreeSet<u16>),
}

/// What a process has of the network. Addresses are not the kernel's to check here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// No sockets but those it is given.
    #[default]
    None,
    /// Sockets of the internet, bounded to these ports where they are of TCP.
    Some {
        /// The ports that it may connect to.
        connect: Ports,
        /// The ports that it may take connections at.
        bind: Ports,
    },
}

/// What the walls of a process are raised with.
#[derive(Clone, Debug)]
pub struct Walls<'a> {
    /// Those that are left out.
    pub without: Without,
    /// What the process is for.
    pub purpose: Purpose,
    /// The most memory of its own that it may have, all that can be written counted, touched or not.
    pub data_bytes: u64,
    /// The most descriptors that it may have open.
    pub open_files: u64,
    /// The most seconds that it may compute; no bound if none.
    pub cpu_seconds: Option<u64>,
    /// The folders that it may see, and whether it may write there.
    pub folders: Vec<(BorrowedFd<'a>, bool)>,
    /// The single files that it may read by name.
    pub readable: Vec<BorrowedFd<'a>>,
    /// What it has of the network.
    pub network: Network,
}

/// The walls but the last, which are raised.
#[derive(Debug)]
#[must_use = "the last wall is still to be raised"]
pub struct Outer {
    without: Without,
    calls: filter::Calls,
}

impl Walls<'_> {
    /// Raises the kernel's bounds, the end of new privileges, and Landlock: everything but the wall
    /// against system calls, which would keep a process from mapping compiled code.
    ///
    /// # Errors
    /// [`WallError`], naming the wall. The process is to end then.
    pub fn raise_first(&self) -> Result<Outer, WallError> {
        let without = &self.without;
        if without.has(Wall::Privileges) {
            let standing = [Wall::Landlock, Wall::Seccomp].into_iter().find(|wall| !without.has(*wall));
            standing.map_or(Ok(()), |wall| Err(WallError::Needed(wall)))?;
        }
        if !without.has(Wall::Landlock) {
            alone()?;
        }
        if stands(without, Wall::Limits) {
            limits::raise(self.data_bytes, self.open_files, self.cpu_seconds)?;
        }
        if stands(without, Wall::Privileges) {
            rustix::thread::set_no_new_privs(true)
                .map_err(|error| WallError::refused(Wall::Privileges, error))?;
        }
        if stands(without, Wall::Landlock) {
            files::raise(&self.folders, &self.readable, &self.network)?;
        }
        let calls = filter::Calls {
            purpose: self.purpose,
            files: !self.folders.is_empty(),
            network: self.network != Network::None,
        };
        Ok(Outer { without: without.clone(), calls })
    }
}

impl Outer {
    /// Sets the last bounds, and raises the last wall, against system calls, around all threads there are.
    ///
    /// # Errors
    /// [`WallError`], naming the wall. The process is to end then.
    pub fn raise_last(self) -> Result<(), WallError> {
        if stands(&self.without, Wall::Limits) {
            limits::raise_last()?;
        }
        if stands(&self.without, Wall::Seccomp) { filter::raise(self.calls) } else { Ok(()) }
    }
}

/// Whether a wall is to be raised.
fn stands(without: &Without, wall: Wall) -> bool {
    let protection = match wall {
        Wall::Limits => Protection::WallRlimits,
        Wall::Privileges => Protection::WallNoNewPrivs,
        Wall::Landlock => Protection::WallLandlock,
        Wall::Seccomp => Protection::WallSeccomp,
    };
    !without.has(wall) && !protection.is_off()
}

/// That there is one thread: Landlock binds none that is there already but the one that raises it.
fn alone() -> Result<(), WallError> {
    let unknown = |error: io::Error| WallError::refused(Wall::Landlock, format_args!("/proc: {error}"));
    let tasks = rustix::fs::stat("/proc/self/task").map_err(|error| unknown(error.into()))?;
    // A folder has two names more than it has folders: one for each thread.
    match tasks.st_nlink.saturating_sub(2) {
        1 => Ok(()),
        threads => Err(WallError::Threads(threads.to_string())),
    }
}
