//! Packets between a broker and its zygote.
//!
//! Owns: sending and receiving them, with descriptors. Must not know: what they say. Invariant: what
//! is received is close-on-exec, and a packet that is cut short is an error.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The longest packet: a kind names all modules of an actor.
const MAX_BYTES: usize = 128 * 1024;

/// The most descriptors in one.
const MAX_FDS: usize = 128;

/// A packet's bytes and its descriptors.
pub(super) type Packet = (Vec<u8>, Vec<OwnedFd>);

/// Sends a packet, or fails where it would have to wait.
pub(super) fn send(socket: &OwnedFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.len() > MAX_BYTES || fds.len() > MAX_FDS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = vec![MaybeUninit::uninit(); SendAncillaryMessage::ScmRights(fds).size()];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, flags)?;
    Ok(())
}

/// The next packet; none at the end. With [`RecvFlags::DONTWAIT`] it may also be `WouldBlock`.
pub(super) fn receive(socket: &OwnedFd, buffer: &mut Buffer, flags: RecvFlags) -> io::Result<Option<Packet>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut buffer.0)], &mut ancillary, flags)
    })?;
    let fds = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fds: Vec<OwnedFd> = fds.flatten().collect();
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet is cut short"));
    }
    if received.bytes == 0 && fds.is_empty() {
        return Ok(None);
    }
    Ok(Some((buffer.0[..received.bytes].to_vec(), fds)))
}

/// Room for one packet.
pub(super) struct Buffer(Vec<u8>);

impl Buffer {
    /// For any packet.
    pub(super) fn whole() -> Self {
        Self(vec![0; MAX_BYTES])
    }

    /// For packets that are short.
    pub(super) fn short() -> Self {
        Self(vec![0; 4096])
    }
}
