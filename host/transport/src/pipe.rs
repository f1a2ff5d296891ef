//! A bidirectional stream of bytes between two actors.
//!
//! Owns: the two kinds of pipe and turning one into an [`Attachment`] and back. Must not know:
//! framing. Invariant: dropping one end is seen as end-of-file at the other.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::channel::Attachment;
use crate::socket::Socket;

/// How many bytes an in-memory pipe holds before its writer waits; about what a socket holds by itself.
const MEMORY_PIPE_BYTES: usize = 208 * 1024;

/// How many bytes a socket is to hold before its writer waits, as far as the system lets it: some frames of
/// a large payload, so that neither end sleeps while the other works.
const BUFFER_BYTES: usize = 512 * 1024;

/// One end of a byte pipe. One task reads and writes it like any tokio stream.
#[derive(Debug)]
pub enum Pipe {
    /// A Unix stream socket.
    Socket(Socket),
    /// Memory of this process.
    Memory(DuplexStream),
}

impl Pipe {
    /// The pipe that an attachment carries.
    ///
    /// # Errors
    /// When the descriptor cannot be registered with the reactor.
    pub fn from_attachment(attachment: Attachment) -> io::Result<Self> {
        match attachment {
            Attachment::Fd(fd) => Ok(Self::Socket(Socket::new(fd)?)),
            Attachment::Memory(stream) => Ok(Self::Memory(stream)),
        }
    }
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

impl Pipe {
    /// The next read may well find something, although nothing has been told of yet.
    pub fn hurry(&mut self) {
        if let Self::Socket(socket) = self {
            socket.hurry();
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(socket) => socket.poll_read(cx, buf),
            Self::Memory(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Socket(socket) => socket.poll_write(cx, &[IoSlice::new(buf)]),
            Self::Memory(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Socket(socket) => socket.poll_write(cx, bufs),
            Self::Memory(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(_) => Poll::Ready(Ok(())),
            Self::Memory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(socket) => Poll::Ready(socket.shut_down()),
            Self::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
