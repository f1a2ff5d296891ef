//! A bidirectional stream of bytes between two actors.
//!
//! Owns: the kinds of pipe, which is taken for whom, and turning one into an [`Attachment`] and back. Must not
//! know: framing. Invariant: dropping one end is seen as end-of-file at the other.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::channel::Attachment;
use crate::lending::Lending;
use crate::shared::{Shared, shared_ends};
use crate::socket::Socket;
use crate::turn::Place;

/// How many bytes an in-memory pipe holds before its writer waits; about what a socket holds by itself.
const MEMORY_PIPE_BYTES: usize = 208 * 1024;

/// How many bytes a socket is to hold before its writer waits, as far as the system lets it: some frames of
/// a large payload, so that neither end sleeps while the other works.
const BUFFER_BYTES: usize = 512 * 1024;

/// One end of a byte pipe. One task reads and writes it like any tokio stream.
#[derive(Debug)]
pub enum Pipe {
    /// Memory that two processes share.
    Shared(Shared),
    /// A Unix stream socket.
    Socket(Socket),
    /// Memory of this process.
    Memory(DuplexStream),
}

impl Pipe {
    /// The pipe that an attachment carries.
    ///
    /// # Errors
    /// When it cannot be used, or not be registered with the reactor.
    pub fn from_attachment(attachment: Attachment) -> io::Result<Self> {
        match attachment {
            Attachment::Shared(end) => Ok(Self::Shared(Shared::new(end)?)),
            Attachment::Fd(fd) => Ok(Self::Socket(Socket::new(fd)?)),
            Attachment::Memory(stream) => Ok(Self::Memory(stream)),
        }
    }
}

/// How many of the descriptors that this process may have are used at most for pipes with more than one.
const PLENTY: u64 = 4;

/// A connected pair for two actors that will have to do with each other, ready to be sent to two processes:
/// memory that they share, or sockets where descriptors are scarce or the system refuses what that takes.
///
/// # Errors
/// When the process has no descriptors left.
pub fn actor_pipe() -> io::Result<(Attachment, Attachment)> {
    match shared_ends() {
        Ok((a, b)) if are_plenty(a.descriptors(), getrlimit(Resource::Nofile).current) => {
            Ok((Attachment::Shared(a), Attachment::Shared(b)))
        }
        Ok(_) | Err(_) => socket_pipe(),
    }
}

/// Whether these, which have been given out just now, are few of as many as there may be.
fn are_plenty(given: &[OwnedFd], most: Option<u64>) -> bool {
    // The lowest that is free is given: so the number tells how many there are.
    let count = given.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).max().unwrap_or_default();
    most.is_none_or(|most| u64::from(count) < most / PLENTY)
}

/// A connected pair of sockets, ready to be sent to two processes.
///
/// # Errors
/// When the process has no descriptors left.
pub fn socket_pipe() -> io::Result<(Attachment, Attachment)> {
    let (a, b): (OwnedFd, OwnedFd) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    for end in [&a, &b] {
        set_socket_send_buffer_size(end, BUFFER_BYTES)?;
    }
    Ok((Attachment::Fd(a), Attachment::Fd(b)))
}

/// A connected pair in this process's memory.
pub fn memory_pipe() -> (Attachment, Attachment) {
    let (a, b) = tokio::io::duplex(MEMORY_PIPE_BYTES);
    (Attachment::Memory(a), Attachment::Memory(b))
}

/// For whoever looks more than once before sleeping.
impl Pipe {
    /// Reads what is there. When to look again where nothing is, [`Self::poll_rest`] tells.
    pub fn looking(&mut self) -> Looking<'_> {
        Looking(self)
    }

    fn poll_look(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Shared(shared) => shared.look(into),
            Self::Socket(socket) => socket.poll_read(cx, into),
            Self::Memory(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }

    /// Writes as much as there is room for. When to try again where there is none, [`Self::poll_rest`] tells.
    pub fn poll_offer(&mut self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Shared(shared) => shared.offer(parts),
            Self::Socket(socket) => socket.poll_write(cx, parts),
            Self::Memory(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    /// Waits until there is something to read, or room for what has found none. To be asked after both, and
    /// before sleeping.
    pub fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Shared(shared) => shared.poll_rest(cx),
            // They wake whoever has looked.
            Self::Socket(_) | Self::Memory(_) => Poll::Pending,
        }
    }

    /// Looks for a moment for what comes from another core; whether something has.
    pub fn comes_soon(&self) -> bool {
        match self {
            Self::Shared(shared) => shared.comes_soon(),
            Self::Socket(_) | Self::Memory(_) => false,
        }
    }

    /// What both sides may lend each other beside what they write, where they share memory.
    pub fn lending(&self) -> Option<&Lending> {
        match self {
            Self::Shared(shared) => Some(shared.lending()),
            Self::Socket(_) | Self::Memory(_) => None,
        }
    }

    /// Where the other side was when it wrote the last time.
    pub fn place(&self) -> Place {
        match self {
            Self::Shared(shared) => shared.place(),
            Self::Socket(_) | Self::Memory(_) => Place::Unknown,
        }
    }

    /// The next look may well find something, although nothing has been told of yet.
    pub fn hurry(&mut self) {
        if let Self::Socket(socket) = self {
            socket.hurry();
        }
    }
}

/// A pipe that is read without being waited for.
#[derive(Debug)]
pub struct Looking<'a>(&'a mut Pipe);

impl AsyncRead for Looking<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.poll_look(cx, buf)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let pipe = self.get_mut();
        loop {
            match (pipe.poll_look(cx, buf), &mut *pipe) {
                (Poll::Pending, Self::Shared(shared)) => ready!(shared.poll_bytes(cx)),
                (read, _) => return read,
            }
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let pipe = self.get_mut();
        loop {
            match (pipe.poll_offer(cx, bufs), &mut *pipe) {
                (Poll::Pending, Self::Shared(shared)) => ready!(shared.poll_room(cx)),
                (wrote, _) => return wrote,
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Shared(_) | Self::Socket(_) => Poll::Ready(Ok(())),
            Self::Memory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Shared(shared) => {
                shared.shut_down();
                Poll::Ready(Ok(()))
            }
            Self::Socket(socket) => Poll::Ready(socket.shut_down()),
            Self::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
