//! A pipe in memory that two processes share, with a bell at each end.
//!
//! Owns: when who is woken, and what the end of a process is to the other. Must not know: where bytes lie in the
//! memory. Invariant: who waits has said so and has looked once more since; who brings what is waited for
//! rings.
//!
//! A socket takes a call of the system for each write and each read, and memory for each message. Here bytes
//! are copied in and out, and the kernel is asked for nothing but to wake the other side, where that sleeps.
//!
//! The bell is a pipe of the system into which nothing is written but rings. Both of its ends are the only
//! ones of their kind: whoever has one cannot change how the other behaves, and the end of the last process
//! that could ring is heard.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};

use crate::lending::Lending;
use crate::memory::{Mapping, Side, memory};
use crate::ring::{Incoming, Outgoing, rings};
use crate::turn::Place;

/// What a bell holds: one page, as what all pipes of a user may hold is bounded.
const BELL_BYTES: usize = 4096;

/// How many rings may lie in a bell before they are taken out: far fewer than it holds.
const RINGS: u32 = 1024;

/// How often one looks for what comes from another core before all else has its turn: for about a microsecond.
const LOOKS: u32 = 16;

/// One end of a shared pipe, as it is handed on.
#[derive(Debug)]
pub struct SharedEnd {
    /// The memory, and of each of the two bells the end that belongs here: the first is rung by the first side,
    /// the second by the second.
    descriptors: [OwnedFd; 3],
}

/// A connected pair, ready to be sent to two processes.
///
/// # Errors
/// When the process has no descriptors left.
pub(crate) fn shared_ends() -> io::Result<(SharedEnd, SharedEnd)> {
    let memory = memory()?;
    let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
    let ((first_hears, first_rings), (second_hears, second_rings)) = (pipe_with(flags)?, pipe_with(flags)?);
    for bell in [&first_rings, &second_rings] {
        fcntl_setpipe_size(bell, BELL_BYTES)?;
    }
    Ok((
        SharedEnd { descriptors: [memory.try_clone()?, first_rings, second_hears] },
        SharedEnd { descriptors: [memory, first_hears, second_rings] },
    ))
}

impl SharedEnd {
    /// The end of which these are the descriptors, in the order of [`Self::descriptors`].
    pub(crate) fn new(descriptors: [OwnedFd; 3]) -> Self {
        Self { descriptors }
    }

    /// What has to be handed on.
    pub(crate) fn descriptors(&self) -> &[OwnedFd; 3] {
        &self.descriptors
    }
}

/// One end of a shared pipe, for one task.
#[derive(Debug)]
pub struct Shared {
    incoming: Incoming,
    outgoing: Outgoing,
    lending: Lending,
    /// Rung by the other side. It says, too, when there is none any more.
    bell: AsyncFd<OwnedFd>,
    /// How many rings may lie in it.
    rings: u32,
    /// Rings at the other side.
    ringer: OwnedFd,
    /// Whether the other side is gone.
    alone: bool,
    /// Whether the last write has found no room.
    is_full: bool,
}

impl Shared {
    /// Takes an end into use.
    ///
    /// # Errors
    /// `InvalidData` when the descriptors are not those of such an end; when the memory cannot be mapped, or the
    /// bell cannot be registered with the reactor.
    #[expect(unsafe_code, reason = "tokio makes the promise of I/O safety explicit")]
    pub(crate) fn new(SharedEnd { descriptors: [memory, one, two] }: SharedEnd) -> io::Result<Self> {
        let (bell, ringer, side) = match (rings_with(&one)?, rings_with(&two)?) {
            (true, false) => (two, one, Side::First),
            (false, true) => (one, two, Side::Second),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "not the bells of a pipe")),
        };
        let mapping = Arc::new(Mapping::new(&memory)?);
        let (incoming, outgoing) = rings(&mapping, side);
        let lending = Lending::new(mapping, side);
        // SAFETY: an `OwnedFd` always gives the same open descriptor, and only `AsyncFd` holds it.
        let bell = unsafe { AsyncFd::register_with_interest(bell, Interest::READABLE)? };
        Ok(Self { incoming, outgoing, lending, bell, rings: 0, ringer, alone: false, is_full: false })
    }

    /// Reads what is there; nobody is woken for what is not.
    pub(crate) fn look(&mut self, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let alone = self.alone || self.incoming.has_ended();
        match self.incoming.read(into, || ring(&self.ringer)) {
            Ok(0) if !alone && into.remaining() > 0 => Poll::Pending,
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Writes as much as there is room for; nobody is woken where there is none.
    pub(crate) fn offer(&mut self, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.alone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match self.outgoing.write(parts.iter().map(|part| &**part), || ring(&self.ringer)) {
            Ok(count) => {
                self.is_full = count == 0 && parts.iter().any(|part| !part.is_empty());
                if self.is_full { Poll::Pending } else { Poll::Ready(Ok(count)) }
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Looks for a moment for what comes from another core; whether something has.
    pub(crate) fn comes_soon(&self) -> bool {
        self.place() == Place::Elsewhere
            && (0..LOOKS).any(|_| {
                std::hint::spin_loop();
                self.incoming.has_bytes()
            })
    }

    /// What both sides lend each other beside what they write.
    pub(crate) fn lending(&self) -> &Lending {
        &self.lending
    }

    /// Where the other side was when it wrote the last time.
    pub(crate) fn place(&self) -> Place {
        self.incoming.place()
    }

    /// Waits until there is something to read, or room for what has found none.
    pub(crate) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll(cx, |end| {
            end.incoming.has_bytes_or_waits() || end.is_full && end.outgoing.has_room_or_waits()
        })
    }

    /// Waits until there is something to read.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll(cx, |end| end.incoming.has_bytes_or_waits())
    }

    /// Waits until there is room.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll(cx, |end| end.outgoing.has_room_or_waits())
    }

    fn poll(&mut self, cx: &mut Context<'_>, mut is_there: impl FnMut(&mut Self) -> bool) -> Poll<()> {
        loop {
            // Each of the two things that may be waited for is answered by one ring at most.
            self.rings += 2;
            if self.rings >= RINGS {
                self.rings = 0;
                empty(self.bell.get_ref());
            }
            if is_there(self) || self.alone {
                return Poll::Ready(());
            }
            ready!(self.poll_bell(cx));
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn shut_down(&self) {
        if self.outgoing.end() {
            ring(&self.ringer);
        }
    }

    /// Whether the bell has been rung since the last time.
    fn poll_bell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.bell.poll_read_ready(cx)) {
            Ok(mut ready) if !ready.ready().is_read_closed() => {
                ready.clear_ready();
            }
            // Without a reactor nothing is heard, either.
            Ok(_) | Err(_) => self.alone = true,
        }
        Poll::Ready(())
    }
}

/// Wakes the other side. A bell that is full of rings will be heard; that there is nobody to hear it is heard by
/// one's own.
fn ring(bell: &OwnedFd) {
    let _ = rustix::io::retry_on_intr(|| rustix::io::write(bell, &[0]));
}

/// Whether it is the end of a bell with which one rings.
fn rings_with(end: impl AsFd) -> io::Result<bool> {
    Ok(fcntl_getfl(end)?.intersection(OFlags::RWMODE) == OFlags::WRONLY)
}

/// Takes as many rings out of a bell as it holds: who rings without end is not waited for.
fn empty(bell: impl AsFd) {
    let _ = rustix::io::read(&bell, &mut [0; BELL_BYTES]);
}
