//! Bytes that one of two processes lends the other, in memory that both have mapped.
//!
//! Owns: which parts of that memory are free, and giving them back. Must not know: how the other side is told
//! where they lie. Invariant: whatever the other process writes, and whenever, nothing is read or written
//! outside of what is lent.
//!
//! What is lent is written once, by its lender, and read once, by who borrows it. Each part has a bit on both
//! sides: the lender changes its own when it lends the part, and the other side that in the memory when it gives
//! it back. Where the two are alike, the part is free. Who gives back what it has yet to read harms itself.

use std::ptr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::memory::{LENDING_BYTES, Mapping, Side, Word};
use crate::turn::Place;

const PARTS: usize = u64::BITS as usize;

const PART_BYTES: usize = LENDING_BYTES / PARTS;

/// How many bytes can be lent at once.
pub const MOST_LENT: usize = LENDING_BYTES;

/// What one side lends and borrows; clones are the same.
#[derive(Clone, Debug)]
pub struct Lending {
    mapping: Arc<Mapping>,
    side: Side,
    ledger: Arc<Mutex<Ledger>>,
}

/// What the lender knows.
#[derive(Debug, Default)]
struct Ledger {
    /// Its bits.
    lent: u64,
    /// Whether anything more is to be lent.
    is_open: bool,
}

impl Lending {
    pub(crate) fn new(mapping: Arc<Mapping>, side: Side) -> Self {
        Self { mapping, side, ledger: Arc::default() }
    }

    /// From now on bytes may be lent.
    pub fn open(&self) {
        self.ledger().is_open = true;
    }

    /// From now on none may be; gives the memory back in which none are, and says whether that is all of it.
    pub fn close(&self) -> bool {
        let mut ledger = self.ledger();
        ledger.is_open = false;
        let free = !self.taken(&ledger);
        // One stretch of parts after the other.
        let mut left = free;
        while left != 0 {
            let first = left.trailing_zeros() as usize;
            let count = (left >> first).trailing_ones() as usize;
            if !self.mapping.clear(self.side, first * PART_BYTES, count * PART_BYTES) {
                return false;
            }
            left &= !bits(first, count);
        }
        free == u64::MAX
    }

    /// Copies these bytes to where the other side can borrow them; none if there is no room, or nothing is to
    /// be lent.
    #[expect(unsafe_code, reason = "bytes are copied into memory that another process may read")]
    pub fn lend(&self, bytes: &[u8]) -> Option<Loan> {
        let (first, parts) = self.take(bytes.len())?;
        let loan = self.loan(self.side, first, parts, bytes.len());
        // SAFETY: the parts hold as many bytes, and nobody has a reference to any of them. The other process has not
        // been told of them yet; should it write there, they are any bytes.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), loan.start(), bytes.len()) };
        Some(loan)
    }

    /// What the other side says that it lends there, so many bytes; none if it cannot.
    pub fn borrow(&self, place: u64, size: u64) -> Option<Loan> {
        let (first, size) = (usize::try_from(place).ok()?, usize::try_from(size).ok()?);
        Some(self.loan(self.side.other(), first, parts(first, size)?, size))
    }

    /// Where the other side was when it wrote the last time.
    pub fn place(&self) -> Place {
        Place::told(self.mapping.word(self.side.other(), Word::Core).load(Relaxed))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parts that are lent.
    fn taken(&self, ledger: &Ledger) -> u64 {
        ledger.lent ^ self.mapping.word(self.side, Word::Returned).load(Acquire)
    }

    /// Takes the first parts that are free and hold so many bytes.
    fn take(&self, size: usize) -> Option<(usize, u64)> {
        let mut ledger = self.ledger();
        let taken = self.taken(&ledger);
        let free = |first| parts(first, size).filter(|parts| parts & taken == 0).map(|parts| (first, parts));
        let found = if ledger.is_open { (0..PARTS).find_map(free)? } else { return None };
        ledger.lent ^= found.1;
        Some(found)
    }

    fn loan(&self, lender: Side, first: usize, parts: u64, size: usize) -> Loan {
        Loan { lending: self.clone(), lender, first, parts, size, departed: AtomicBool::new(false) }
    }
}

/// The bits of the parts, from that one on, that hold so many bytes; none if there are not as many.
fn parts(first: usize, size: usize) -> Option<u64> {
    let count = size.div_ceil(PART_BYTES);
    let fits = count > 0 && count <= PARTS.checked_sub(first)?;
    fits.then(|| bits(first, count))
}

/// So many bits, from that one on; at least one.
fn bits(first: usize, count: usize) -> u64 {
    (u64::MAX >> (PARTS - count)) << first
}

/// Bytes that are lent. Dropped, they are free again, unless they have [departed](Self::depart).
#[derive(Debug)]
pub struct Loan {
    lending: Lending,
    lender: Side,
    first: usize,
    parts: u64,
    size: usize,
    departed: AtomicBool,
}

impl Loan {
    /// Where they lie, as the other side is told.
    pub fn place(&self) -> u64 {
        self.first as u64
    }

    /// Their memory. The other process may write to it at any time: it is to be copied, and nothing is to be
    /// made of it but of the copy.
    pub fn bytes(&self) -> *const [u8] {
        ptr::slice_from_raw_parts(self.start(), self.size)
    }

    /// Appends what is there now.
    #[expect(unsafe_code, reason = "bytes are copied out of memory that another process may write to")]
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.size);
        let to = out.spare_capacity_mut().as_mut_ptr().cast();
        // SAFETY: the parts hold as many bytes, and there is room for them. Nobody has a reference to what is read;
        // should the other process write there meanwhile, they are any bytes, and after this they are this side's.
        unsafe {
            ptr::copy_nonoverlapping(self.start(), to, self.size);
            out.set_len(out.len() + self.size);
        }
    }

    /// The other side has been told of them, and gives them back.
    pub fn depart(&self) {
        self.departed.store(true, Relaxed);
    }

    fn start(&self) -> *mut u8 {
        self.lending.mapping.lent(self.lender, self.first * PART_BYTES)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if self.lender != self.lending.side {
            self.lending.mapping.word(self.lender, Word::Returned).fetch_xor(self.parts, Release);
        } else if !*self.departed.get_mut() {
            self.lending.ledger().lent ^= self.parts;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::memory;

    const SMALL: usize = 100;
    const LARGE: usize = 1 << 20;

    fn pair() -> (Lending, Lending) {
        let memory = memory().expect("memory");
        let side = |side| {
            let lending = Lending::new(Arc::new(Mapping::new(&memory).expect("mapped")), side);
            lending.open();
            lending
        };
        (side(Side::First), side(Side::Second))
    }

    /// What comes of a loan at the other side.
    fn borrowed(loan: &Loan, other: &Lending) -> Loan {
        loan.depart();
        other.borrow(loan.place(), loan.size as u64).expect("it is lent")
    }

    fn content(loan: &Loan) -> Vec<u8> {
        let mut out = b"before".to_vec();
        loan.copy_to(&mut out);
        out.split_off(6)
    }

    /// What the other side sees there, of what need not be lent.
    fn peek(other: &Lending, place: u64) -> Vec<u8> {
        let loan = other.borrow(place, SMALL as u64).expect("within");
        let seen = content(&loan);
        // It is not given back.
        std::mem::forget(loan);
        seen
    }

    #[test]
    fn what_is_lent_is_read_by_the_other_side() {
        let (near, far) = pair();
        for (lender, other) in [(&near, &far), (&far, &near)] {
            let bytes: Vec<u8> = (0..LARGE).map(|at| (at % 251) as u8).collect();
            let loans = [&bytes[..], &bytes[..SMALL]].map(|bytes| lender.lend(bytes).expect("there is room"));
            let got = loans.each_ref().map(|loan| borrowed(loan, other));
            assert_eq!(got.each_ref().map(content), [bytes.clone(), bytes[..SMALL].to_vec()]);
        }
    }

    #[test]
    fn a_part_is_lent_again_only_when_it_is_free() {
        let (near, far) = pair();
        let lend = |byte| near.lend(&vec![byte; LARGE]);
        let loans: Vec<Loan> = (0..9).map_while(lend).collect();
        assert_eq!(loans.len(), LENDING_BYTES / LARGE);
        assert!(near.lend(b"x").is_none(), "all is lent");
        let mut far: Vec<Loan> = loans.iter().map(|loan| borrowed(loan, &far)).collect();
        drop(loans);
        assert!(near.lend(b"x").is_none(), "the other side has it");
        let place = far.remove(1).place();
        let again = lend(9).expect("one was given back");
        assert_eq!(again.place(), place);
        assert!(lend(9).is_none());
        drop(again);
        assert!(lend(9).is_some(), "it was not sent");
        assert_eq!(
            far.iter().map(content).collect::<Vec<_>>(),
            [0, 2, 3, 4, 5, 6, 7].map(|byte| vec![byte; LARGE])
        );
    }

    #[test]
    fn nothing_is_borrowed_that_cannot_be_lent() {
        let (near, _far) = pair();
        let (parts, all) = (PARTS as u64, LENDING_BYTES as u64);
        for (place, size) in [
            (0, 0),
            (0, all + 1),
            (1, all),
            (parts, 1),
            (parts - 1, PART_BYTES as u64 + 1),
            (u64::MAX, u64::MAX),
        ] {
            assert!(near.borrow(place, size).is_none(), "{size} bytes at {place}");
        }
        assert!(near.borrow(0, all).is_some() && near.borrow(parts - 1, PART_BYTES as u64).is_some());
        assert!(near.lend(&[]).is_none() && near.lend(&vec![0; LENDING_BYTES + 1]).is_none());
    }

    #[test]
    fn memory_is_given_back_that_is_not_lent() {
        let (near, far) = pair();
        let [kept, spent] = [7, 8].map(|byte| near.lend(&vec![byte; LARGE]).expect("there is room"));
        let [kept, spent] = [kept, spent].map(|loan| borrowed(&loan, &far));
        let place = spent.place();
        drop(spent);
        assert!(!near.close(), "the other side has some");
        assert!(near.lend(&[9; SMALL]).is_none(), "nothing more is to be lent");
        assert_eq!(content(&kept), vec![7; LARGE]);
        assert_eq!(peek(&far, place), [0; SMALL]);
        drop(kept);
        assert!(near.close());
        assert_eq!(peek(&far, 0), [0; SMALL]);
        near.open();
        assert_eq!(near.lend(&[8; SMALL]).map(|loan| content(&loan)), Some(vec![8; SMALL]));
    }

    #[test]
    fn two_threads_never_lend_the_same() {
        let (near, far) = pair();
        std::thread::scope(|threads| {
            for byte in 0..4 {
                let (near, far) = (near.clone(), far.clone());
                threads.spawn(move || {
                    for _ in 0..2000 {
                        let loan = near.lend(&[byte; SMALL]).expect("there is room");
                        let got = borrowed(&loan, &far);
                        assert_eq!(content(&got), [byte; SMALL]);
                    }
                });
            }
        });
        assert!(near.close());
    }

    #[test]
    fn a_peer_that_gives_back_what_was_never_lent_is_no_danger() {
        let (near, far) = pair();
        far.mapping.word(Side::First, Word::Returned).store(0x5555, Relaxed);
        let loans: Vec<Loan> = (0..PARTS).map_while(|_| near.lend(&[1; SMALL])).collect();
        assert_eq!(loans.len(), PARTS - 8, "what it spoilt is lost to itself");
    }
}
