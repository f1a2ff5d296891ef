//! What the villain has in its hands before the walls are raised.
//!
//! Owns: descriptors that help an attack along, and that no real actor has. Must not know: which
//! attack is next. Invariant: they only ever make an attack easier.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketType};
use rustix::process::{PidfdFlags, getppid, pidfd_open};

/// Where the villain's own program is.
pub(super) const SELF: &str = "/proc/self/exe";

/// What attacks are made with.
#[derive(Debug)]
pub(super) struct Ground {
    /// The process of the broker.
    pub(super) broker: usize,
    process: OwnedFd,
    program: File,
    socket: OwnedFd,
    /// A folder that nobody was granted.
    outside: PathBuf,
}

impl Ground {
    /// Takes all of it.
    pub(super) fn take(outside: PathBuf) -> io::Result<Self> {
        let parent = getppid().ok_or_else(|| io::Error::other("nobody has started this"))?;
        Ok(Self {
            broker: usize::try_from(parent.as_raw_nonzero().get()).map_err(io::Error::other)?,
            process: pidfd_open(parent, PidfdFlags::empty())?,
            program: File::open(SELF)?,
            socket: rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?,
            outside,
        })
    }

    /// The broker's process, open.
    pub(super) fn process(&self) -> usize {
        number(&self.process)
    }

    /// The villain's program, open.
    pub(super) fn program(&self) -> usize {
        number(&self.program)
    }

    /// A socket that has no address.
    pub(super) fn socket(&self) -> usize {
        number(&self.socket)
    }

    /// A path outside of everything that was granted.
    pub(super) fn outside(&self, name: &str) -> String {
        self.outside.join(name).display().to_string()
    }
}

fn number(fd: &impl AsRawFd) -> usize {
    usize::try_from(fd.as_raw_fd()).unwrap_or(usize::MAX)
}
