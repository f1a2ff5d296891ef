//! The model of dialogs: what users say in them, and what they may rely on.
//!
//! Owns: what was sent and what has come in each direction of each dialog. Must not know: how
//! contexts start and end, beyond what the world says of it. Invariant of what is tested: messages
//! come whole, once, in order, and all of them unless an error, a cancel or the link's end came
//! between; and an honest side never sends without credit.

use super::*;
use crate::flow::{Balance, Credit, Overrun};

/// What a user does in a dialog.
#[derive(Clone, Debug)]
pub(super) enum Word {
    Started { size: usize },
    Send { size: usize },
    Grant { messages: u64, bytes: u64 },
    Stop,
}

pub(super) fn words() -> impl Strategy<Value = Word> {
    let bytes = prop_oneof![1..100u64, 1..5 * CHUNK as u64];
    prop_oneof![
        2 => sizes().prop_map(|size| Word::Started { size }),
        6 => (0..50usize).prop_map(|size| Word::Send { size }),
        3 => sizes().prop_map(|size| Word::Send { size }),
        4 => (0..8u64, bytes).prop_map(|(messages, bytes)| Word::Grant { messages, bytes }),
        1 => Just(Word::Stop),
    ]
}

/// Like [`acts`], but mostly of dialogs that are open for long.
pub(super) fn talks() -> impl Strategy<Value = Act> {
    let (side, which) = (0..2usize, any::<usize>());
    prop_oneof![
        30 => (side.clone(), which, words()).prop_map(|(side, which, word)| Act::Say { side, which, word }),
        10 => (side.clone(), 1..2 * CHUNK).prop_map(|(side, budget)| Act::Write { side, budget }),
        10 => (side.clone(), 1..3 * CHUNK).prop_map(|(side, bytes)| Act::Arrive { side, bytes }),
        1 => (side.clone(), which).prop_map(|(side, which)| Act::Cancel { side, which }),
        2 => (side.clone(), which, sizes(), any::<bool>())
            .prop_map(|(side, which, size, fails)| Act::Finish { side, which, size, fails }),
        1 => (side.clone(), sizes(), prop::option::weighted(0.1, 0..200u64))
            .prop_map(|(side, size, ms)| Act::Start { side, size, dialog: true, ms }),
        1 => (0..10u64).prop_map(|ms| Act::Pass { ms }),
    ]
}

/// One direction of one dialog.
#[derive(Default)]
pub(super) struct Stream {
    /// What its sender may still send.
    balance: Balance,
    /// The sizes of the messages sent.
    sent: Vec<usize>,
    /// How many of them have come.
    received: usize,
    stopped: bool,
    stop_seen: bool,
    /// The size of the first value, and whether it has come.
    first: Option<(usize, bool)>,
}

/// The content of a message or, before all messages, of the first value.
fn said(context: ContextId, sender: usize, index: Option<usize>, size: usize) -> Bytes {
    content(context, sender + 2 + 2 * index.map_or(0, |index| index + 1), size)
}

impl World {
    /// Two dialogs of each side, in which everybody may send.
    pub(super) fn in_dialog() -> Self {
        let mut world = Self::new();
        let settle = |world: &mut Self| {
            for side in [0, 1, 0] {
                world.perform(&Act::Write { side, budget: usize::MAX });
                world.perform(&Act::Arrive { side, bytes: usize::MAX });
            }
        };
        let sides = [0, 1, 0, 1];
        for side in sides {
            world.perform(&Act::Start { side, size: 3, dialog: true, ms: None });
        }
        settle(&mut world);
        for which in 0..sides.len() {
            for side in [0, 1] {
                let word = Word::Grant { messages: 20, bytes: 20 * CHUNK as u64 };
                world.perform(&Act::Say { side, which, word });
                world.perform(&Act::Say { side, which, word: Word::Started { size: 3 } });
            }
        }
        settle(&mut world);
        world
    }

    /// The side that started a context.
    fn owner(context: ContextId) -> usize {
        usize::from(context.get().is_multiple_of(2))
    }

    fn stream(&mut self, context: ContextId, sender: usize) -> &mut Stream {
        self.streams.entry((context, sender)).or_default()
    }

    /// Whether this side still has a part in the context.
    fn is_live(&self, side: usize, context: ContextId) -> bool {
        match Self::owner(context) == side {
            true => self.sides[side].open.contains_key(&context),
            false => self.sides[side].running.contains(&context),
        }
    }

    pub(super) fn say(&mut self, side: usize, which: usize, word: &Word) {
        let live: Vec<_> =
            self.dialogs.iter().copied().filter(|context| self.is_live(side, *context)).collect();
        let Some(context) = live.get(which % live.len().max(1)).copied() else {
            return;
        };
        let is_callee = Self::owner(context) != side;
        let silenced = self.sides[side].silenced.contains(&context);
        let stream = self.stream(context, side);
        let may_speak = !stream.stopped && !silenced;
        let has_begun = !is_callee || stream.first.is_some();
        // Words that have no effect are said as well: that they have none is tested so.
        match *word {
            Word::Started { size } => {
                if is_callee && may_speak && stream.first.is_none() {
                    stream.first = Some((size, false));
                }
                let value = said(context, side, None, size);
                self.session(side).started(context, value).expect("fits");
            }
            Word::Send { size } => {
                let index = stream.sent.len();
                if !stream.balance.can_send() {
                    return;
                }
                if may_speak && has_begun {
                    stream.sent.push(size);
                    stream.balance.spend(size);
                }
                let message = said(context, side, Some(index), size);
                self.session(side).send(context, message).expect("fits");
            }
            Word::Grant { messages, bytes } => {
                self.session(side).grant(context, Credit { messages, bytes }, Overrun::Wait);
            }
            Word::Stop => {
                stream.stopped |= may_speak;
                self.session(side).stop(context);
            }
        }
    }

    /// Checks an event of a dialog.
    pub(super) fn hear(&mut self, side: usize, event: Event) {
        let peer = 1 - side;
        match event {
            Event::Started { context, value } => {
                assert!(self.is_live(side, context));
                let stream = self.stream(context, peer);
                let Some((size, seen)) = &mut stream.first else { panic!("{context} has no first value") };
                assert!(!std::mem::replace(seen, true), "{context} was started twice");
                assert_eq!(value, said(context, peer, None, *size));
                assert_eq!(stream.received, 0);
            }
            Event::Message { context, payload } => {
                assert!(self.is_live(side, context));
                let stream = self.stream(context, peer);
                assert!(!stream.stop_seen, "a message of {context} behind its stop");
                let index = stream.received;
                stream.received += 1;
                let size = stream.sent[index];
                assert_eq!(payload.to_bytes(), said(context, peer, Some(index), size));
            }
            Event::Credit { context, credit, .. } => {
                assert!(self.is_live(side, context));
                self.stream(context, side).balance.add(credit);
            }
            Event::Stopped { context } => {
                assert!(self.is_live(side, context));
                let stream = self.stream(context, peer);
                assert!(!std::mem::replace(&mut stream.stop_seen, true), "{context} stopped twice");
                assert!(stream.stopped, "{context} was not stopped");
                assert_eq!(stream.received, stream.sent.len());
            }
            other => panic!("{other:?}"),
        }
    }

    /// A callee's value has come: so has all that it said before.
    pub(super) fn check_complete(&self, context: ContextId, callee: usize) {
        if let Some(stream) = self.streams.get(&(context, callee)) {
            assert_eq!(stream.received, stream.sent.len(), "messages of {context} were lost");
            assert_eq!(stream.stop_seen, stream.stopped);
            assert!(stream.first.is_none_or(|(_, seen)| seen));
        }
    }
}
