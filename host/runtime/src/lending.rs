//! What a link lends its peer, and borrows from it.
//!
//! Owns: what is worth lending, how many links of an actor lend at once, and for how long. Must not
//! know: contexts. Invariant: a link that sends nothing large for a while keeps no memory but what its peer has
//! borrowed, and all links of an actor together have little.

use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use greenroom_abi::payload;
use greenroom_transport::{self as transport, Pipe, Place};
use greenroom_wire::{Lender, Lent, Loan, Payload};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// From which size on it is quicker to lend bytes than to copy them twice more, and up to which there can be room.
const WORTH_BYTES: RangeInclusive<usize> = 64 << 10..=transport::MOST_LENT;

/// How many links of an actor lend at once: what they lend counts for no limit of the process.
const LENDERS: usize = 8;

/// For how long a link may lend after it has sent something large.
const KEPT: Duration = Duration::from_secs(1);

/// How long it takes at most until it is noticed that a peer has given back what it borrowed long ago.
const RARELY: Duration = Duration::from_mins(1);

/// The places for the links of an actor that lend.
#[derive(Clone, Debug)]
pub(crate) struct Lenders(Arc<Semaphore>);

impl Default for Lenders {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LENDERS)))
    }
}

/// What those who send may do with the memory that the peer sees too, as long as there is any.
#[derive(Debug, Default)]
pub(crate) struct Lending(OnceLock<Weak<transport::Lending>>);

impl Lending {
    fn memory(&self) -> Option<Arc<transport::Lending>> {
        self.0.get().and_then(Weak::upgrade)
    }

    /// Whether the peer is known to run on another core.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.memory().is_some_and(|memory| memory.place() == Place::Elsewhere)
    }

    /// Copies the content of a byte string that begins so to where the peer can borrow it; none if it is not worth
    /// it, or there is no room.
    pub(crate) fn lend(&self, head: &[u8], content: &[u8]) -> Option<Loan> {
        let memory = if is_worth(head, content) { self.memory()? } else { return None };
        memory.lend(content).map(|loan| Loan::new(Shared(loan)))
    }
}

/// Whether that is a byte string that would be lent.
fn is_worth(head: &[u8], content: &[u8]) -> bool {
    WORTH_BYTES.contains(&content.len()) && head == Loan::head_of(content.len())
}

/// What the driver of a link decides of it.
#[derive(Debug)]
pub(crate) struct Desk {
    memory: Option<Arc<transport::Lending>>,
    lenders: Lenders,
    /// There is one as long as there may be something in the memory.
    place: Option<OwnedSemaphorePermit>,
    /// When to give it back, unless something is sent before that could be lent.
    until: Option<Instant>,
    /// For how long to wait if something is lent still.
    patience: Duration,
}

impl Desk {
    /// For a pipe, whose sides may share no memory.
    pub(crate) fn new(pipe: &Pipe, lenders: Lenders, senders: &Lending) -> Self {
        let memory = pipe.lending().map(|memory| {
            let memory = Arc::new(memory.clone());
            let _ = senders.0.set(Arc::downgrade(&memory));
            memory
        });
        Self { memory, lenders, place: None, until: None, patience: KEPT }
    }

    /// Where the peer lends.
    pub(crate) fn lender(&self) -> Option<impl Lender + use<>> {
        self.memory.as_deref().map(|memory| Peer(memory.clone()))
    }

    /// Something is sent: if it could be lent, or is, what follows may be, as long as there is a place.
    pub(crate) fn sent(&mut self, message: &Payload, now: impl FnOnce() -> Instant) {
        let lendable = match message {
            Payload::Here(bytes) if bytes.len() < *WORTH_BYTES.start() => false,
            Payload::Here(bytes) => {
                payload::split(bytes).is_some_and(|at| is_worth(&bytes[..at], &bytes[at..]))
            }
            Payload::Lent(_) => true,
        };
        let Some(memory) = self.memory.as_ref().filter(|_| lendable) else { return };
        self.place = self.place.take().or_else(|| self.lenders.0.clone().try_acquire_owned().ok());
        if self.place.is_some() {
            memory.open();
            self.patience = KEPT;
            self.until = now().checked_add(KEPT);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    /// Lends nothing more once nothing was sent for a while that could be lent, and gives the memory back. A peer that
    /// does not give back what it has borrowed is waited for longer and longer, so that an idle actor
    /// sleeps.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let Some(memory) = self.memory.as_ref().filter(|_| self.until.is_some_and(|until| until <= now))
        else {
            return;
        };
        if memory.close() {
            (self.place, self.until) = (None, None);
        } else {
            self.patience = (2 * self.patience).min(RARELY);
            self.until = now.checked_add(self.patience);
        }
    }
}

/// What the peer lends.
#[derive(Debug)]
struct Peer(transport::Lending);

impl Lender for Peer {
    fn borrow(&self, place: u64, size: u64) -> Option<Loan> {
        self.0.borrow(place, size).map(|loan| Loan::new(Shared(loan)))
    }
}

/// Bytes in memory that both processes have mapped.
#[derive(Debug)]
struct Shared(transport::Loan);

impl Lent for Shared {
    fn place(&self) -> u64 {
        self.0.place()
    }

    fn bytes(&self) -> *const [u8] {
        self.0.bytes()
    }

    fn copy_to(&self, out: &mut Vec<u8>) {
        self.0.copy_to(out);
    }

    fn depart(&self) {
        self.0.depart();
    }
}
