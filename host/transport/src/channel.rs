//! The packet channel between an actor and its broker.
//!
//! Owns: whole packets in order, each with the descriptors that belong to it. Must not know:
//! what a packet says. Invariant: a packet arrives whole, with all of its attachments, or the
//! channel has failed; descriptors received are close-on-exec.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, sendmsg, socketpair,
};
use tokio::io::unix::AsyncFd;
use tokio::io::{DuplexStream, Interest};
use tokio::sync::{Mutex, mpsc};

use crate::shared::SharedEnd;

/// The longest packet. Below the kernel's default socket buffer, so that one packet always
/// fits; far above any honest control message. Whoever would send more is refused.
pub const MAX_PACKET_BYTES: usize = 128 * 1024;

/// The longest mark.
const MAX_MARK_BYTES: usize = 16;

/// The most descriptors in one packet: the kernel's own bound (`SCM_MAX_FD`) is 253.
const MAX_ATTACHMENTS: usize = 128;

/// What travels beside a packet's bytes.
#[derive(Debug)]
pub enum Attachment {
    /// A descriptor: an end of a pipe that is a socket, an open file, an open folder.
    Fd(OwnedFd),
    /// An end of a pipe in memory that two processes share: three descriptors.
    Shared(SharedEnd),
    /// The in-memory twin of a pipe's end.
    Memory(DuplexStream),
}

impl Attachment {
    /// How many descriptors it is.
    fn count(&self) -> usize {
        match self {
            Self::Fd(_) | Self::Memory(_) => 1,
            Self::Shared(end) => end.descriptors().len(),
        }
    }

    /// The end of a pipe to which nothing but these belongs, in the order in which they have arrived; none if
    /// they are none.
    pub fn pipe(attachments: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut attachments = attachments.into_iter();
        match (attachments.next()?, attachments.next(), attachments.next(), attachments.next()) {
            (end, None, None, None) => Some(end),
            (Self::Fd(memory), Some(Self::Fd(first)), Some(Self::Fd(second)), None) => {
                Some(Self::Shared(SharedEnd::new([memory, first, second])))
            }
            _ => None,
        }
    }
}

/// One message with its attachments.
#[derive(Debug, Default)]
pub struct Packet {
    /// The message, at most 128 KiB.
    pub bytes: Vec<u8>,
    /// What belongs to it, at most 128 descriptors. They arrive one by one: see [`Attachment::pipe`].
    pub attachments: Vec<Attachment>,
}

impl Packet {
    fn check(&self) -> io::Result<()> {
        let attached: usize = self.attachments.iter().map(Attachment::count).sum();
        if self.bytes.len() > MAX_PACKET_BYTES || attached > MAX_ATTACHMENTS {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "control message too large"));
        }
        Ok(())
    }
}

/// One end of a packet channel. Both directions may be used at once.
#[derive(Debug)]
pub enum Channel {
    /// A `SOCK_SEQPACKET` socket.
    Socket {
        /// The socket.
        socket: AsyncFd<OwnedFd>,
        /// What every packet that is sent begins with, before its bytes.
        mark: Vec<u8>,
    },
    /// Two queues of this process.
    Memory {
        /// Packets to the other end.
        sender: mpsc::UnboundedSender<Packet>,
        /// Packets from it.
        receiver: Mutex<mpsc::UnboundedReceiver<Packet>>,
    },
}

/// A connected pair of sockets: one end for this process, the other as a descriptor to hand on.
///
/// # Errors
/// When the process has no descriptors left.
pub fn socket_channel() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// The channel over an end made by [`socket_channel`].
///
/// # Errors
/// When the descriptor cannot be registered with the reactor.
#[expect(unsafe_code, reason = "tokio makes the promise of I/O safety explicit")]
pub fn channel_from_fd(fd: OwnedFd) -> io::Result<Channel> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    // SAFETY: an `OwnedFd` always gives the same open descriptor, and only `AsyncFd` holds it.
    Ok(Channel::Socket { socket: unsafe { AsyncFd::register(fd)? }, mark: Vec::new() })
}

/// Sends the first packet over an end made by [`socket_channel`] that is no channel yet: there is room.
///
/// # Errors
/// As [`Channel::send`].
pub fn send_first(socket: &OwnedFd, packet: &Packet) -> io::Result<()> {
    packet.check()?;
    send_now(socket, &[], packet)
}

/// A connected pair in this process's memory.
pub fn memory_channel() -> (Channel, Channel) {
    let (a_sender, b_receiver) = mpsc::unbounded_channel();
    let (b_sender, a_receiver) = mpsc::unbounded_channel();
    (
        Channel::Memory { sender: a_sender, receiver: Mutex::new(a_receiver) },
        Channel::Memory { sender: b_sender, receiver: Mutex::new(b_receiver) },
    )
}

/// An attachment for a descriptor.
pub fn attach(fd: impl Into<OwnedFd>) -> Attachment {
    Attachment::Fd(fd.into())
}

impl Channel {
    /// The same, every packet sent over which begins with these bytes, so that it can be told from what
    /// else is written to the socket. In memory nothing else is, and nothing is put before it.
    #[must_use]
    pub fn marked(self, mark: Vec<u8>) -> Self {
        match self {
            Self::Socket { socket, .. } => Self::Socket { socket, mark },
            memory @ Self::Memory { .. } => memory,
        }
    }

    /// Sends one packet, waiting while the other end is behind.
    ///
    /// # Errors
    /// `BrokenPipe` when the other end is gone, `InvalidInput` when the packet is too large.
    ///
    /// # Cancel safety
    /// The packet is sent whole or not at all.
    pub async fn send(&self, packet: Packet) -> io::Result<()> {
        packet.check()?;
        match self {
            Self::Socket { socket, mark } => {
                socket.async_io(Interest::WRITABLE, |fd| send_now(fd, mark, &packet)).await
            }
            Self::Memory { sender, .. } => {
                sender.send(packet).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
            }
        }
    }

    /// The next packet, or none at end-of-file.
    ///
    /// # Errors
    /// When the socket fails or a packet arrives truncated.
    ///
    /// # Cancel safety
    /// No packet is lost.
    pub async fn receive(&self) -> io::Result<Option<Packet>> {
        match self {
            Self::Socket { socket, .. } => socket.async_io(Interest::READABLE, receive_now).await,
            Self::Memory { receiver, .. } => Ok(receiver.lock().await.recv().await),
        }
    }
}

fn send_now(socket: &OwnedFd, mark: &[u8], packet: &Packet) -> io::Result<()> {
    let mut fds = Vec::with_capacity(packet.attachments.len());
    for attachment in &packet.attachments {
        match attachment {
            Attachment::Fd(fd) => fds.push(fd.as_fd()),
            Attachment::Shared(end) => fds.extend(end.descriptors().iter().map(AsFd::as_fd)),
            Attachment::Memory(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "memory cannot leave its process"));
            }
        }
    }
    let mut space = vec![MaybeUninit::uninit(); SendAncillaryMessage::ScmRights(&fds).size()];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    let parts = [IoSlice::new(mark), IoSlice::new(&packet.bytes)];
    sendmsg(socket, &parts, &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive_now(socket: &OwnedFd) -> io::Result<Option<Packet>> {
    // How long the next packet is. Memory for the longest would be touched for each.
    let (_, length) = recv(socket, &mut [0_u8; 0], RecvFlags::PEEK | RecvFlags::TRUNC)?;
    let mut bytes = vec![0; length.min(MAX_PACKET_BYTES + MAX_MARK_BYTES)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_ATTACHMENTS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let attachments: Vec<_> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds.map(Attachment::Fd)),
            _ => None,
        })
        .flatten()
        .collect();
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "control message truncated"));
    }
    if received.bytes == 0 && attachments.is_empty() {
        return Ok(None);
    }
    bytes.truncate(received.bytes);
    Ok(Some(Packet { bytes, attachments }))
}

#[cfg(test)]
mod tests;
