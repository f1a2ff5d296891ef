//! A stream socket of which the reactor tells no more than somebody waits for.
//!
//! Owns: reading, writing, and what the reactor watches for. Must not know: what the bytes are.
//! Invariant: as long as writes find room, nobody is woken because there is some.
//!
//! A socket that is watched for room, too, wakes its owner each time the other end reads: once more for
//! every call. So room is watched for only once a write has found none, and until writes find it again.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};

use crate::hurry::Hurry;

/// After how many writes that have found room at once it is watched for no longer.
const CALM: u32 = 64;

/// A connected stream socket, for one task.
#[derive(Debug)]
pub struct Socket {
    /// There, but while it is registered anew.
    fd: Option<AsyncFd<OwnedFd>>,
    /// How many writes are still to find room until it is watched for no longer; 0 if it is not.
    unrest: u32,
    hurry: Hurry,
}

impl Socket {
    /// Watches a socket for something to read.
    ///
    /// # Errors
    /// When it cannot be registered with the reactor.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self { fd: Some(watched(fd, Interest::READABLE)?), unrest: 0, hurry: Hurry::default() })
    }

    /// The next read may well find something, although the reactor has told of nothing yet.
    pub(crate) fn hurry(&mut self) {
        self.hurry.suggest();
    }

    #[expect(unsafe_code, reason = "the kernel fills memory that was never written")]
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let fd = self.fd.as_ref().ok_or_else(unwatched)?;
        let hurries = self.hurry.tries();
        loop {
            let mut ready = match fd.poll_read_ready(cx) {
                Poll::Ready(ready) => Some(ready?),
                Poll::Pending if hurries => None,
                Poll::Pending => return Poll::Pending,
            };
            // SAFETY: nothing there is made uninitialized: it is written to, or left as it is.
            let room = unsafe { into.unfilled_mut() };
            let most = room.len();
            match recv(fd, room, RecvFlags::empty()) {
                Ok(((read, _), _)) => {
                    let count = read.len();
                    match &mut ready {
                        // More than there was is told of again.
                        Some(ready) if (1..most).contains(&count) => ready.clear_ready(),
                        Some(_) => {}
                        None => self.hurry.tried(true),
                    }
                    // SAFETY: the kernel has written so many bytes to the front of what is unfilled.
                    unsafe { into.assume_init(count) };
                    into.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::AGAIN) => match &mut ready {
                    Some(ready) => ready.clear_ready(),
                    None => {
                        self.hurry.tried(false);
                        return Poll::Pending;
                    }
                },
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let fd = self.fd.as_ref().ok_or_else(unwatched)?;
            let sent = match parts {
                // The kernel takes one faster than a list.
                [all, rest @ ..] if rest.iter().all(|part| part.is_empty()) => {
                    send(fd, all, SendFlags::NOSIGNAL)
                }
                _ => sendmsg(fd, parts, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL),
            };
            match sent {
                Ok(count) => {
                    if self.unrest > 0 {
                        self.unrest -= 1;
                        if self.unrest == 0 {
                            self.watch(Interest::READABLE, cx)?;
                        }
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.unrest == 0 => {
                    self.unrest = CALM;
                    self.watch(Interest::READABLE | Interest::WRITABLE, cx)?;
                    return Poll::Pending;
                }
                Err(Errno::AGAIN) => {
                    self.unrest = CALM;
                    ready!(fd.poll_write_ready(cx))?.clear_ready();
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    pub(crate) fn shut_down(&self) -> io::Result<()> {
        Ok(shutdown(self.fd.as_ref().ok_or_else(unwatched)?, Shutdown::Write)?)
    }

    /// Registers the socket anew. What was waited for is forgotten with it, so that the task is to look
    /// at everything once more.
    fn watch(&mut self, interest: Interest, cx: &Context<'_>) -> io::Result<()> {
        let fd = self.fd.take().ok_or_else(unwatched)?.into_inner();
        self.fd = Some(watched(fd, interest)?);
        cx.waker().wake_by_ref();
        Ok(())
    }
}

#[expect(unsafe_code, reason = "tokio makes the promise of I/O safety explicit")]
fn watched(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` always gives the same open descriptor, and only `AsyncFd` holds it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest)? })
}

fn unwatched() -> io::Error {
    io::Error::other("the reactor has refused the socket")
}
