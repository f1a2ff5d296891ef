//! Two rings of bytes in memory that two processes share, one for each direction.
//!
//! Owns: copying bytes in and out, and how far each side is. Must not know: who is to be woken
//! when. Invariant: whatever the other process writes anywhere in it, and whenever, nothing is read or written
//! outside it, and bytes that have been taken out change no more.
//!
//! Each side keeps its own position for itself and only tells it; it believes the other's only as far as the
//! ring is long.

use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use tokio::io::ReadBuf;

use crate::memory::{Mapping, RING_BYTES, Side, Word};
use crate::turn::{Place, core};

/// After how many bytes the other side is told of them, so that it works on those while this one goes on.
const STEP: usize = 16 * 1024;

/// The rings of one side: that which it reads, and that which it writes.
pub(crate) fn rings(mapping: &Arc<Mapping>, side: Side) -> (Incoming, Outgoing) {
    let ring = |writer| Ring { mapping: mapping.clone(), writer };
    (Incoming { ring: ring(side.other()), read: 0, waits: false }, Outgoing { ring: ring(side), written: 0 })
}

#[derive(Debug)]
struct Ring {
    mapping: Arc<Mapping>,
    writer: Side,
}

impl Ring {
    fn word(&self, word: Word) -> &AtomicU64 {
        self.mapping.word(self.writer, word)
    }

    /// Where the byte of that position lies, and how many lie behind it before the ring begins again.
    fn place(&self, position: u64) -> (*mut u8, usize) {
        self.mapping.ring(self.writer, position)
    }

    /// How many bytes are written and not read; the other side tells one of the two.
    fn held(written: u64, read: u64) -> io::Result<usize> {
        let held = written.wrapping_sub(read);
        match usize::try_from(held) {
            Ok(held) if held <= RING_BYTES => Ok(held),
            _ => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the peer has miscounted what is in its pipe"))
            }
        }
    }

    /// Whether that side waits; from now on it does not.
    fn rouse(&self, side: Word) -> bool {
        let waits = self.word(side);
        waits.load(SeqCst) != 0 && waits.swap(0, SeqCst) != 0
    }
}

/// The ring that this side reads.
#[derive(Debug)]
pub(crate) struct Incoming {
    ring: Ring,
    read: u64,
    /// Whether it has been said that this side waits.
    waits: bool,
}

impl Incoming {
    fn held(&self) -> io::Result<usize> {
        Ring::held(self.ring.word(Word::Written).load(SeqCst), self.read)
    }

    /// Takes out what is there, as far as there is room for it; gives how much that was. After each step that
    /// wakes a writer it is told so.
    ///
    /// # Errors
    /// `InvalidData` when the other side has told what cannot be.
    pub(crate) fn read(&mut self, into: &mut ReadBuf<'_>, mut roused: impl FnMut()) -> io::Result<usize> {
        let before = into.remaining();
        loop {
            let count = self.held()?.min(into.remaining()).min(STEP);
            if count > 0 && std::mem::take(&mut self.waits) {
                self.ring.word(Word::ReaderWaits).store(0, Relaxed);
            }
            if count == 0 {
                return Ok(before - into.remaining());
            }
            self.take(into, count);
            if self.rouses_writer() {
                roused();
            }
            // Who brings less may bring it bit by bit, without end.
            if count < STEP {
                return Ok(before - into.remaining());
            }
        }
    }

    /// Copies bytes out that are there and for which there is room.
    #[expect(unsafe_code, reason = "bytes are copied out of memory that another process may write to")]
    fn take(&mut self, into: &mut ReadBuf<'_>, count: usize) {
        let (from, front) = self.ring.place(self.read);
        let front = front.min(count);
        // SAFETY: nothing there is made uninitialized; what is copied there is counted after.
        let to = unsafe { into.unfilled_mut() }.as_mut_ptr().cast::<u8>();
        // SAFETY: both parts lie within this ring, and `into` has room for both. Nobody has a reference to the
        // ring's bytes. Should the other process write them meanwhile, it has told that they are there and breaks its
        // word: then they are any bytes, as they might be anyway, and after this they are this side's own.
        unsafe {
            ptr::copy_nonoverlapping(from, to, front);
            ptr::copy_nonoverlapping(self.ring.place(0).0, to.add(front), count - front);
            into.assume_init(count);
        }
        into.advance(count);
        self.read = self.read.wrapping_add(count as u64);
        self.ring.word(Word::Read).store(self.read, SeqCst);
    }

    /// Whether the writer waits for room and there is enough that it is worth to be woken. It waits no longer.
    fn rouses_writer(&self) -> bool {
        self.held().is_ok_and(|held| held <= RING_BYTES / 2) && self.ring.rouse(Word::WriterWaits)
    }

    /// Whether there is something to read, if it is no more than a fault of the other side.
    pub(crate) fn has_bytes(&self) -> bool {
        self.held().map_or(true, |held| held > 0)
    }

    /// Says that this side waits for bytes, unless there are any; whether there are, or will be none.
    pub(crate) fn has_bytes_or_waits(&mut self) -> bool {
        self.waits = true;
        self.ring.word(Word::ReaderWaits).store(1, SeqCst);
        // What cannot be is found when it is read.
        self.has_bytes() || self.has_ended()
    }

    /// Where the other side was when it wrote the last bytes.
    pub(crate) fn place(&self) -> Place {
        Place::told(self.ring.word(Word::Core).load(Relaxed))
    }

    /// Whether the other side will write nothing more.
    pub(crate) fn has_ended(&self) -> bool {
        self.ring.word(Word::Ended).load(SeqCst) != 0
    }
}

/// The ring that this side writes.
#[derive(Debug)]
pub(crate) struct Outgoing {
    ring: Ring,
    written: u64,
}

impl Outgoing {
    /// For how much there is room; for nothing where it is little, as who reads bit by bit would have it written
    /// so.
    fn room(&self) -> io::Result<usize> {
        let room = RING_BYTES - Ring::held(self.written, self.ring.word(Word::Read).load(SeqCst))?;
        Ok(if room < STEP { 0 } else { room })
    }

    /// Puts in as much as there is room for; gives how much that was. After each step that wakes a reader it is
    /// told so.
    ///
    /// # Errors
    /// `InvalidData` when the other side has told what cannot be.
    pub(crate) fn write<'a>(
        &mut self,
        parts: impl IntoIterator<Item = &'a [u8]>,
        mut roused: impl FnMut(),
    ) -> io::Result<usize> {
        let before = self.written;
        let mut told = before;
        'all: for mut part in parts {
            while !part.is_empty() {
                let step = STEP - self.written.wrapping_sub(told) as usize;
                let count = part.len().min(self.room()?).min(step);
                if count == 0 {
                    break 'all;
                }
                self.put(&part[..count]);
                part = &part[count..];
                if count == step {
                    told = self.tell(&mut roused);
                }
            }
        }
        if told != self.written {
            self.tell(&mut roused);
        }
        Ok(self.written.wrapping_sub(before) as usize)
    }

    /// Tells the other side how much there is.
    fn tell(&self, roused: &mut impl FnMut()) -> u64 {
        self.ring.word(Word::Core).store(core(), Relaxed);
        self.ring.word(Word::Written).store(self.written, SeqCst);
        if self.rouses_reader() {
            roused();
        }
        self.written
    }

    /// Copies bytes for which there is room.
    #[expect(unsafe_code, reason = "bytes are copied into memory that another process may read")]
    fn put(&mut self, bytes: &[u8]) {
        let (to, front) = self.ring.place(self.written);
        let (front, back) = bytes.split_at(front.min(bytes.len()));
        // SAFETY: both parts lie within this ring: no more is put than a ring holds. Nobody has a reference to its
        // bytes, and the other process reads none of these before it is told that they are there.
        unsafe {
            ptr::copy_nonoverlapping(front.as_ptr(), to, front.len());
            ptr::copy_nonoverlapping(back.as_ptr(), self.ring.place(0).0, back.len());
        }
        self.written = self.written.wrapping_add(bytes.len() as u64);
    }

    /// Whether the reader waits for bytes. It waits no longer.
    fn rouses_reader(&self) -> bool {
        self.ring.rouse(Word::ReaderWaits)
    }

    /// Says that this side waits for room, unless there is some; whether there is.
    pub(crate) fn has_room_or_waits(&self) -> bool {
        let waits = self.ring.word(Word::WriterWaits);
        waits.store(1, SeqCst);
        let has = self.room().map_or(true, |room| room > 0);
        if has {
            waits.store(0, Relaxed);
        }
        has
    }

    /// Says that nothing more will be written; whether that wakes a reader.
    pub(crate) fn end(&self) -> bool {
        self.ring.word(Word::Ended).store(1, SeqCst);
        self.rouses_reader()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::memory;

    fn pair() -> ((Incoming, Outgoing), (Incoming, Outgoing)) {
        let memory = memory().expect("memory");
        let side = |side| rings(&Arc::new(Mapping::new(&memory).expect("mapped")), side);
        (side(Side::First), side(Side::Second))
    }

    /// What is read, and how often that wakes the writer.
    fn read(incoming: &mut Incoming, most: usize) -> io::Result<(Vec<u8>, usize)> {
        let (mut bytes, mut roused) = (vec![0; most], 0);
        let mut into = ReadBuf::new(&mut bytes);
        let count = incoming.read(&mut into, || roused += 1)?;
        bytes.truncate(count);
        Ok((bytes, roused))
    }

    #[test]
    fn a_ring_goes_round() {
        let ((_, mut near), (mut far, _)) = pair();
        let block: Vec<u8> = (0..100_000).map(|at| (at % 251) as u8).collect();
        for _ in 0..10 {
            let (front, back) = block.split_at(70_000);
            assert!(!far.has_bytes_or_waits());
            let mut roused = 0;
            assert_eq!(near.write([front, back], || roused += 1).expect("honest"), block.len());
            assert_eq!(near.write([&block[..]], || roused += 1).expect("honest"), STEP, "it is full then");
            assert_eq!(near.write([&block[..]], || roused += 1).expect("honest"), 0, "it is full");
            assert_eq!(roused, 1, "with the first step");
            assert!(!near.has_room_or_waits());
            assert_eq!(read(&mut far, block.len()).expect("honest"), (block.clone(), 1));
            assert_eq!(read(&mut far, block.len()).expect("honest"), (block[..STEP].to_vec(), 0));
        }
    }

    #[test]
    fn a_writer_is_woken_for_enough_room() {
        let ((_, mut near), (mut far, _)) = pair();
        near.write([&[0; RING_BYTES][..]], || ()).expect("honest");
        assert!(!near.has_room_or_waits());
        assert_eq!(read(&mut far, RING_BYTES / 2 - 1).expect("honest").1, 0);
        assert_eq!(read(&mut far, 1).expect("honest").1, 1);
    }

    /// Both sides may write all of the memory, so both can tell anything at any time.
    #[test]
    fn what_cannot_be_is_a_fault_of_the_peer() {
        let lies = [1 << 63, RING_BYTES as u64 + 6, RING_BYTES as u64 * 5];
        for lie in lies {
            let ((_, mut near), (mut far, _)) = pair();
            near.write([&b"bytes"[..]], || ()).expect("honest");
            far.ring.word(Word::Written).store(lie, SeqCst);
            assert_eq!(read(&mut far, 100).expect_err("a lie").kind(), io::ErrorKind::InvalidData);
            assert!(far.has_bytes_or_waits(), "it is to be read");
            near.ring.word(Word::Read).store(lie, SeqCst);
            assert_eq!(
                near.write([&b"more"[..]], || ()).expect_err("a lie").kind(),
                io::ErrorKind::InvalidData
            );
            assert!(near.has_room_or_waits(), "it is to be written");
        }
    }

    /// What a side has told of itself it does not believe when the other tells it.
    #[test]
    fn ones_own_position_is_not_read_back() {
        let ((_, mut near), (mut far, _)) = pair();
        near.write([&b"one"[..]], || ()).expect("honest");
        near.ring.word(Word::Written).store(2, SeqCst);
        near.write([&b"two"[..]], || ()).expect("honest");
        assert_eq!(read(&mut far, 4).expect("honest").0, b"onet");
        far.ring.word(Word::Read).store(0, SeqCst);
        assert_eq!(read(&mut far, 4).expect("honest").0, b"wo");
    }
}
