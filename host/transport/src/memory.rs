//! Memory that two processes share.
//!
//! Owns: the memory, and where what lies in it. Must not know: what is copied in and out, and when. Invariant: no
//! place that is given lies outside it, and nobody can make it smaller or larger.

use std::io;
use std::os::fd::OwnedFd;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicPtr, AtomicU64};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// How many bytes a ring holds before its writer waits: far more than is written at once, so that some is read
/// while other is written, and all of it stays in a core's cache.
pub(crate) const RING_BYTES: usize = 128 * 1024;

/// How many bytes each side may lend: some large messages. A page of it is in use from when it is first written
/// to until nothing has been lent for a while.
pub(crate) const LENDING_BYTES: usize = 8 << 20;

/// Where the bytes begin: before them, in a page that is touched anyway, stand the words.
const WORDS_BYTES: usize = 4096;

/// Where that begins which is lent.
const LENDING_BEGIN: usize = WORDS_BYTES + 2 * RING_BYTES;

const MEMORY_BYTES: usize = LENDING_BEGIN + 2 * LENDING_BYTES;

/// How far the words of the two sides are apart.
const SIDE_WORDS: usize = 1024;

/// A word that both sides use, of what one side sends; at a distance from all others, so that no two of them
/// are moved between cores together.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// How many bytes have been written to the ring. Its writer's.
    Written = 0,
    /// The core on which that was, and one more; moved together with it.
    Core = 8,
    /// How many have been read. Its reader's.
    Read = 128,
    /// Whether the reader waits for bytes.
    ReaderWaits = 256,
    /// Whether the writer waits for room.
    WriterWaits = 384,
    /// Whether nothing more will be written.
    Ended = 512,
    /// A bit for each part of what is lent, which changes each time that part is given back. The reader's.
    Returned = 640,
}

/// Memory for one pipe, all zero.
///
/// # Errors
/// When the system has no memory or no descriptors left.
pub(crate) fn memory() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = match memfd_create(c"greenroom-pipe", flags | MemfdFlags::NOEXEC_SEAL) {
        // Linux 6.2 does not know it yet.
        Err(Errno::INVAL) => memfd_create(c"greenroom-pipe", flags),
        made => made,
    }?;
    ftruncate(&fd, MEMORY_BYTES as u64)?;
    fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

/// The memory, as this process sees it: where it begins, for whichever thread.
#[derive(Debug)]
pub(crate) struct Mapping(AtomicPtr<u8>);

#[expect(unsafe_code, reason = "memory that is mapped by hand is given back by hand")]
impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nobody has a reference to it any more.
        let _ = unsafe { munmap(self.base().cast(), MEMORY_BYTES) };
    }
}

impl Mapping {
    /// # Errors
    /// `InvalidData` when the descriptor is not of such a memory; when it cannot be mapped.
    #[expect(unsafe_code, reason = "memory is mapped by hand")]
    pub(crate) fn new(memory: &OwnedFd) -> io::Result<Self> {
        if usize::try_from(fstat(memory)?.st_size) != Ok(MEMORY_BYTES) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not the memory of a pipe"));
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: where it lies is the kernel's choice, so it takes the place of nothing.
        let base = unsafe { mmap(ptr::null_mut(), MEMORY_BYTES, protection, MapFlags::SHARED, memory, 0)? };
        Ok(Self(AtomicPtr::new(base.cast())))
    }

    fn base(&self) -> *mut u8 {
        self.0.load(Relaxed)
    }

    /// A word of what that side sends.
    #[expect(unsafe_code, reason = "words of the shared memory are at fixed places")]
    pub(crate) fn word(&self, sender: Side, word: Word) -> &AtomicU64 {
        let at = sender as usize * SIDE_WORDS + word as usize;
        // SAFETY: the place is within the first page, a multiple of 8, and nothing but an atomic is ever there, on
        // the other side too. It is borrowed no longer than the mapping.
        unsafe { AtomicU64::from_ptr(self.base().add(at).cast()) }
    }

    /// Where the byte of the ring lies that has been, or will be, sent at that position; and how many lie behind
    /// it before the ring begins again.
    pub(crate) fn ring(&self, sender: Side, position: u64) -> (*mut u8, usize) {
        let at = position as usize % RING_BYTES;
        (self.base().wrapping_add(WORDS_BYTES + sender as usize * RING_BYTES + at), RING_BYTES - at)
    }

    /// Where that byte lies of what the side lends.
    pub(crate) fn lent(&self, lender: Side, at: usize) -> *mut u8 {
        debug_assert!(at < LENDING_BYTES, "it lends no more");
        self.base().wrapping_add(LENDING_BEGIN + lender as usize * LENDING_BYTES + at)
    }

    /// Gives back the pages of so much of what the side lends, from there on, of which nothing may be in use;
    /// whether the system has taken them.
    #[expect(unsafe_code, reason = "memory is given back by hand")]
    pub(crate) fn clear(&self, lender: Side, at: usize, size: usize) -> bool {
        debug_assert!(at + size <= LENDING_BYTES, "it lends no more");
        // SAFETY: the pages lie within the mapping, and nobody has a reference to any of their bytes; what reads them
        // sees zeros from then on.
        unsafe { madvise(self.lent(lender, at).cast(), size, Advice::LinuxRemove) }.is_ok()
    }
}

/// One of the two that share a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    First = 0,
    Second = 1,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_keeps_its_size() {
        let memory = memory().expect("memory");
        for size in [0, 4096, 1 << 30] {
            assert!(ftruncate(&memory, size).is_err());
        }
        assert!(fcntl_add_seals(&memory, SealFlags::WRITE).is_err());
        let (other, _) = rustix::pipe::pipe().expect("descriptors");
        assert_eq!(Mapping::new(&other).expect_err("no memory").kind(), io::ErrorKind::InvalidData);
    }
}
