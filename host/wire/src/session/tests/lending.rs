//! Messages that are lent rather than written.
//!
//! Owns: memory that two sessions see, and the tests of what becomes of it. Must not know: hostile peers.

use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::flow::{Credit, Overrun};
use crate::payload::{Lender, Lent, Loan, Payload};

/// Memory in which one side lends, and the other borrows; clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Board(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    memory: Mutex<Vec<u8>>,
    /// How many loans somebody has.
    held: AtomicIsize,
}

/// What lies at one place of a board.
#[derive(Debug)]
struct Note {
    board: Board,
    content: Vec<u8>,
    place: usize,
    departed: AtomicBool,
}

impl Board {
    pub(super) fn new(size: usize) -> Self {
        Self(Arc::new(Shared { memory: Mutex::new(vec![0; size]), held: AtomicIsize::new(0) }))
    }

    /// How many loans somebody has.
    pub(super) fn held(&self) -> isize {
        self.0.held.load(Ordering::Relaxed)
    }

    fn lend(&self, place: usize, content: &[u8]) -> Payload {
        self.0.memory.lock().expect("not poisoned")[place..][..content.len()].copy_from_slice(content);
        Payload::Lent(self.note(place, content.to_vec()))
    }

    fn note(&self, place: usize, content: Vec<u8>) -> Loan {
        self.0.held.fetch_add(1, Ordering::Relaxed);
        Loan::new(Note { board: self.clone(), content, place, departed: AtomicBool::new(false) })
    }
}

impl Lender for Board {
    fn borrow(&self, place: u64, size: u64) -> Option<Loan> {
        let begin = usize::try_from(place).ok()?;
        let end = begin.checked_add(usize::try_from(size).ok()?)?;
        let content = self.0.memory.lock().expect("not poisoned").get(begin..end)?.to_vec();
        Some(self.note(begin, content))
    }
}

impl Lent for Note {
    fn place(&self) -> u64 {
        self.place as u64
    }

    fn bytes(&self) -> *const [u8] {
        &raw const *self.content
    }

    fn copy_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.content);
    }

    fn depart(&self) {
        assert!(!self.departed.swap(true, Ordering::Relaxed), "once");
        self.board.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if !*self.departed.get_mut() {
            self.board.0.held.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A dialog whose right side may borrow from that board, and has allowed so much.
fn dialog(board: &Board, credit: Credit) -> (Pair, ContextId) {
    let mut pair = Pair::open();
    pair.right.session.lender = Some(Box::new(board.clone()));
    let options = StartOptions { deadline: None, dialog: true };
    let context = pair.left.session.start("a:b", Bytes::new(), options, pair.now).expect("not refused");
    pair.settle();
    pair.right.session.grant(context, credit, Overrun::Wait);
    pair.settle();
    (pair, context)
}

fn messages(events: &[Event]) -> Vec<Bytes> {
    let message = |event: &Event| match event {
        Event::Message { payload, .. } => Some(payload.to_bytes()),
        _ => None,
    };
    events.iter().filter_map(message).collect()
}

#[test]
fn what_is_lent_arrives_among_what_is_written() {
    let board = Board::new(1000);
    let (mut pair, context) = dialog(&board, Credit { messages: 4, bytes: 1 << 20 });
    let all = [
        Bytes::from_static(b"first").into(),
        board.lend(100, &[7; 300]),
        Bytes::from(vec![8; 2 * CHUNK]).into(),
        board.lend(500, b"last"),
    ];
    let expected = all.each_ref().map(Payload::to_bytes);
    assert_eq!(&expected[1][..4], b"\x59\x01\x2c\x07", "a byte string of 300 bytes");
    let sizes = all.iter().map(Payload::size).sum::<usize>();
    pair.left.session.send_all(context, all).expect("fits");
    assert!(pair.left.session.unsent(context) >= sizes);
    pair.settle();
    let events = pair.right.take_events();
    assert_eq!(messages(&events), expected);
    assert_eq!(board.held(), 2, "the right side has it");
    drop(events);
    assert_eq!(board.held(), 0);
}

#[test]
fn a_loan_costs_what_its_message_has() {
    let board = Board::new(1000);
    let (mut pair, context) = dialog(&board, Credit { messages: 3, bytes: 303 });
    pair.left.session.send_all(context, [board.lend(0, &[7; 300])]).expect("fits");
    pair.settle();
    pair.left.session.send(context, Bytes::new()).expect("is not checked here");
    let mut buffer = BytesMut::new();
    pair.left.session.poll_transmit(&mut buffer, usize::MAX);
    let found = pair.right.session.handle_input(&mut buffer, pair.now);
    assert_eq!(found, Err(PeerMisbehaved::NoCredit(context).into()), "303 bytes were all");
}

#[test]
fn what_is_never_sent_is_free_again() {
    let board = Board::new(1000);
    let (mut pair, context) = dialog(&board, Credit { messages: 9, bytes: 1000 });
    pair.left.session.send_all(context, [board.lend(0, &[7; 300])]).expect("fits");
    pair.left.session.cancel(context, &actor("left"));
    assert_eq!(board.held(), 0, "it was queued");
    pair.settle();
    pair.left.session.send_all(context, [board.lend(0, &[7; 300])]).expect("is ignored");
    assert_eq!(board.held(), 0, "the stream has ended");
}

#[test]
fn what_crosses_the_end_of_its_context_is_given_back() {
    let board = Board::new(1000);
    let (mut pair, context) = dialog(&board, Credit { messages: 9, bytes: 1000 });
    pair.left.session.send_all(context, [board.lend(0, &[7; 300])]).expect("fits");
    pair.right.session.finish(context, Ok(Bytes::new()));
    pair.settle();
    assert!(messages(&pair.right.take_events()).is_empty());
    assert_eq!(board.held(), 0);
}
