//! Random conversations against a model.
//!
//! Owns: a model that knows only what users may rely on, and what two sessions are compared with
//! after every step. Must not know: messages, frames, states. Invariant of what is tested: every
//! context ends exactly once, nothing is left, order and content are kept.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use greenroom_abi::kind::DeadlineExceeded;

use super::*;

mod streams;

use streams::{Stream, Word, talks, words};

/// What one side does next, or what happens to both.
#[derive(Clone, Debug)]
enum Act {
    Start {
        side: usize,
        size: usize,
        dialog: bool,
        ms: Option<u64>,
    },
    /// A side says something in one of its dialogs.
    Say {
        side: usize,
        which: usize,
        word: Word,
    },
    Cancel {
        side: usize,
        which: usize,
    },
    Finish {
        side: usize,
        which: usize,
        size: usize,
        fails: bool,
    },
    Ping {
        side: usize,
    },
    /// One side writes at most so much, which is on its way then.
    Write {
        side: usize,
        budget: usize,
    },
    /// Whatever is on its way, up to so many bytes, arrives.
    Arrive {
        side: usize,
        bytes: usize,
    },
    Pass {
        ms: u64,
    },
    Goodbye {
        side: usize,
    },
    Cut,
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0..50usize, 1 => CHUNK - 1..CHUNK + 2, 1 => CHUNK..3 * CHUNK]
}

fn acts(with_ends: bool) -> impl Strategy<Value = Act> {
    let side = 0..2usize;
    let ends = u32::from(with_ends);
    let longest_pause = if with_ends { 12_000u64 } else { 40 };
    let endings = prop_oneof![
        ends => side.clone().prop_map(|side| Act::Goodbye { side }),
        ends => Just(Act::Cut),
        100 - 2 * ends => (0..40u64).prop_map(|ms| Act::Pass { ms }),
    ];
    prop_oneof![
        4 => (side.clone(), sizes(), any::<bool>(), prop::option::weighted(0.2, 0..200u64))
            .prop_map(|(side, size, dialog, ms)| Act::Start { side, size, dialog, ms }),
        10 => (side.clone(), any::<usize>(), words())
            .prop_map(|(side, which, word)| Act::Say { side, which, word }),
        2 => (side.clone(), any::<usize>()).prop_map(|(side, which)| Act::Cancel { side, which }),
        4 => (side.clone(), any::<usize>(), sizes(), any::<bool>())
            .prop_map(|(side, which, size, fails)| Act::Finish { side, which, size, fails }),
        1 => side.clone().prop_map(|side| Act::Ping { side }),
        5 => (side.clone(), 1..2 * CHUNK).prop_map(|(side, budget)| Act::Write { side, budget }),
        5 => (side, 1..3 * CHUNK).prop_map(|(side, bytes)| Act::Arrive { side, bytes }),
        2 => endings,
        1 => (0..longest_pause).prop_map(|ms| Act::Pass { ms }),
    ]
}

/// What a context carries there or back: made from its number, so that the model need not store it.
fn content(context: ContextId, side: usize, size: usize) -> Bytes {
    let seed = context.get() as usize * 31 + side;
    (0..size).map(|at| ((seed + at) ^ (at >> 8)) as u8).collect::<Vec<_>>().into()
}

/// What the model knows of one side.
#[derive(Default)]
struct Side {
    /// Started here and not yet ended, with the size of its arguments.
    open: BTreeMap<ContextId, usize>,
    ended: BTreeSet<ContextId>,
    /// The peer's contexts whose `Start` was seen here, in the order seen.
    seen: Vec<ContextId>,
    /// Those of them that were not yet finished here.
    running: Vec<ContextId>,
    told_to_cancel: BTreeSet<ContextId>,
    /// How the peer's contexts were finished here.
    outcomes: BTreeMap<ContextId, Outcome>,
    acknowledged: BTreeSet<ContextId>,
    /// Asked for here, by any means, to stop.
    cancelled: BTreeSet<ContextId>,
    /// Those of them that were open here then.
    silenced: BTreeSet<ContextId>,
    /// When the contexts that have a deadline are due.
    due: BTreeMap<ContextId, Instant>,
    opened: bool,
    closed: bool,
}

/// Two sessions, their pipe, and the model of both.
struct World {
    pair: Pair,
    sides: [Side; 2],
    dialogs: BTreeSet<ContextId>,
    /// What was said in dialogs, by the side that said it.
    streams: BTreeMap<(ContextId, usize), Stream>,
    /// Bytes written by each side and not yet arrived.
    pipes: [BytesMut; 2],
    begun: Instant,
    /// No side may end a context by itself because time or the link ran out.
    orderly: bool,
}

impl World {
    fn new() -> Self {
        let sides = [Side::default(), Side::default()];
        let pipes = [BytesMut::new(), BytesMut::new()];
        let pair = Pair::new(Config::default());
        let (dialogs, streams) = (BTreeSet::new(), BTreeMap::new());
        Self { begun: pair.now, pair, sides, dialogs, streams, pipes, orderly: true }
    }

    fn session(&mut self, side: usize) -> &mut Session {
        if side == 0 { &mut self.pair.left.session } else { &mut self.pair.right.session }
    }

    fn perform(&mut self, act: &Act) {
        let now = self.pair.now;
        match *act {
            Act::Start { side, size, dialog, ms } => {
                let next = self.session(side).next_outgoing;
                let kwargs = content(next, side, size);
                let options = StartOptions { deadline: ms.map(Duration::from_millis), dialog };
                if let Ok(context) = self.session(side).start("a:b", kwargs, options, now) {
                    assert_eq!(context, next);
                    assert!(!self.sides[side].closed, "started on a closed session");
                    self.sides[side].open.insert(context, size);
                    self.sides[side].due.extend(options.deadline.map(|limit| (context, now + limit)));
                    self.dialogs.extend(dialog.then_some(context));
                }
            }
            Act::Say { side, which, ref word } => self.say(side, which, word),
            Act::Cancel { side, which } => {
                let last = self.session(side).next_outgoing.get();
                let any = id(which as u64 % last + 1);
                let open = self.sides[side].open.keys().copied().nth(which % (last as usize + 1));
                let context = open.unwrap_or(any);
                self.session(side).cancel(context, &actor("boss"));
                self.sides[side].cancelled.insert(context);
                if open.is_some() {
                    self.sides[side].silenced.insert(context);
                }
            }
            Act::Finish { side, which, size, fails } => {
                if self.sides[side].running.is_empty() {
                    return;
                }
                let at = which % self.sides[side].running.len();
                let context = self.sides[side].running.remove(at);
                let value = content(context, side, size);
                let failed = || RemoteError { value: Some(value.to_vec()), ..error("Oops") };
                let outcome = if fails { Err(Box::new(failed())) } else { Ok(value) };
                self.sides[side].outcomes.insert(context, outcome.clone());
                self.session(side).finish(context, outcome);
            }
            Act::Ping { side } => self.session(side).ping(7),
            Act::Write { side, budget } => {
                let mut out = BytesMut::new();
                let has_output = self.session(side).has_output();
                assert_eq!(self.session(side).poll_transmit(&mut out, budget), has_output);
                self.pipes[side].extend_from_slice(&out);
            }
            Act::Arrive { side, bytes } => {
                let bytes = bytes.min(self.pipes[side].len());
                let arrived = self.pipes[side].split_to(bytes);
                let to = if side == 0 { &mut self.pair.right } else { &mut self.pair.left };
                to.buffer.extend_from_slice(&arrived);
                to.session.handle_input(&mut to.buffer, now).expect("the peer is honest");
            }
            Act::Pass { ms } => {
                self.pair.now += Duration::from_millis(ms);
                let now = self.pair.now;
                let timeout = Config::default().handshake_timeout;
                self.orderly &= timeout.is_none_or(|timeout| now < self.begun + timeout);
                // A peer that says goodbye and stays is guilty: what has arrived must be seen first.
                self.hang_up();
                self.session(0).handle_timeout(now);
                self.session(1).handle_timeout(now);
                self.observe();
                for side in &self.sides {
                    let overdue = |context| side.due.get(context).is_some_and(|due| *due <= now);
                    assert!(!side.open.keys().any(overdue), "a deadline has passed");
                }
            }
            Act::Goodbye { side } => {
                self.session(side).goodbye("enough");
                self.orderly = false;
            }
            Act::Cut => self.cut(),
        }
        self.observe();
    }

    /// A side that has closed closes the connection.
    fn hang_up(&mut self) {
        for side in [0, 1] {
            if self.session(side).is_closed() && !self.session(side).has_output() {
                while !self.pipes[side].is_empty() {
                    self.perform(&Act::Arrive { side, bytes: usize::MAX });
                }
                self.session(1 - side).handle_disconnect(&error("ActorDied"));
            }
        }
    }

    fn cut(&mut self) {
        self.orderly = false;
        for side in [0, 1] {
            self.pipes[side].clear();
            self.session(side).handle_disconnect(&error("ActorDied"));
        }
    }

    /// Compares what the sessions tell with the model.
    fn observe(&mut self) {
        for side in [0, 1] {
            while let Some(event) = self.session(side).poll_event() {
                assert!(!self.sides[side].closed, "{event:?} after the end");
                self.check(side, event);
            }
        }
    }

    fn check(&mut self, side: usize, event: Event) {
        let peer = 1 - side;
        match event {
            Event::Opened => {
                assert!(!self.sides[side].opened);
                self.sides[side].opened = true;
            }
            Event::Start { context, kwargs, dialog, .. } => {
                assert_eq!(dialog, self.dialogs.contains(&context));
                let size = self.sides[peer].open.get(&context).copied().unwrap_or(kwargs.len());
                assert_eq!(kwargs, content(context, peer, size));
                assert!(!self.sides[side].seen.contains(&context), "{context} started twice");
                self.sides[side].seen.push(context);
                self.sides[side].running.push(context);
            }
            Event::Cancel { context, .. } => {
                assert!(self.sides[side].running.contains(&context), "{context} does not run");
                assert!(self.sides[side].told_to_cancel.insert(context), "{context} cancelled twice");
            }
            Event::Acknowledged { context } => {
                assert!(self.sides[side].open.contains_key(&context));
                assert!(self.sides[side].acknowledged.insert(context), "{context} acknowledged twice");
            }
            Event::Ended { context, outcome } => {
                assert!(self.sides[side].open.remove(&context).is_some(), "{context} was not open");
                assert!(self.sides[side].ended.insert(context), "{context} ended twice");
                self.check_outcome(side, context, outcome);
            }
            Event::Started { context, .. }
            | Event::Message { context, .. }
            | Event::Credit { context, .. }
            | Event::Stopped { context } => {
                assert!(self.dialogs.contains(&context), "{event:?} in a plain call");
                self.hear(side, event);
            }
            Event::Pong { token } => assert_eq!(token, 7),
            Event::Closed { .. } => {
                self.sides[side].closed = true;
                assert_eq!(self.sides[side].open, BTreeMap::new(), "closed with open contexts");
            }
        }
    }

    /// An outcome is what the peer's task gave, or an error of this side's own with good reason.
    fn check_outcome(&self, side: usize, context: ContextId, outcome: Outcome) {
        let given = self.sides[1 - side].outcomes.get(&context);
        let own = match &outcome {
            Ok(_) => false,
            Err(error) => error.src_type != "Oops",
        };
        let overdue = outcome.as_ref().is_err_and(|error| error.is::<DeadlineExceeded>());
        if !own {
            assert_eq!(Some(&outcome), given);
            if outcome.is_ok() {
                self.check_complete(context, 1 - side);
            }
        } else if overdue {
            assert!(self.sides[side].due[&context] <= self.pair.now, "too early");
        } else if self.orderly {
            assert!(self.sides[side].cancelled.contains(&context), "{outcome:?} for no reason");
            assert!(!self.sides[1 - side].seen.contains(&context), "it was started: its task decides");
        }
    }

    /// Lets everything that runs end, everything sent arrive, and looks for what is left.
    fn wind_up(&mut self) {
        for _ in 0..1000 {
            for side in [0, 1] {
                self.perform(&Act::Write { side, budget: usize::MAX });
                self.perform(&Act::Arrive { side, bytes: usize::MAX });
                while !self.sides[side].running.is_empty() {
                    self.perform(&Act::Finish { side, which: 0, size: 10, fails: false });
                }
            }
            self.hang_up();
            let has_output = self.session(0).has_output() || self.session(1).has_output();
            let is_running = self.sides.iter().any(|side| !side.running.is_empty());
            if !has_output && !is_running && self.pipes.iter().all(BytesMut::is_empty) {
                break;
            }
        }
        self.observe();
        for side in [0, 1] {
            assert_eq!(self.sides[side].open, BTreeMap::new(), "contexts without an end");
            assert_eq!(self.session(side).open_contexts(), 0);
            assert_eq!(self.session(side).allowance.buffered(), 0);
            let timeout = self.session(side).poll_timeout();
            assert_eq!(timeout, None, "nothing is waited for");
        }
    }

    fn run(&mut self, acts: &[Act]) {
        for act in acts {
            self.perform(act);
        }
        self.wind_up();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_orderly_connection_loses_nothing(acts in prop::collection::vec(acts(false), 0..140)) {
        let mut world = World::new();
        world.run(&acts);
        prop_assert!(world.orderly);
    }

    #[test]
    fn dialogs_lose_nothing(talks in prop::collection::vec(talks(), 0..200)) {
        let mut world = World::in_dialog();
        world.run(&talks);
        prop_assert!(world.orderly);
    }

    #[test]
    fn a_connection_that_may_end_any_time_ends_everything(acts in prop::collection::vec(acts(true), 0..140)) {
        let mut world = World::new();
        world.run(&acts);
        world.cut();
        world.observe();
        prop_assert!(world.sides.iter().all(|side| side.closed));
        world.pair.assert_idle();
    }

    /// Control messages reach the peer in the first frame that is written after them.
    #[test]
    fn a_cancel_overtakes_all_data(sizes in prop::collection::vec(sizes(), 1..20), which in any::<prop::sample::Index>()) {
        let mut pair = Pair::open();
        let contexts: Vec<_> = sizes.iter().map(|_| pair.call("a:b", b"")).collect();
        for size in &sizes {
            pair.left.session.start("c:d", Bytes::from(vec![0; *size]), CALL, pair.now).expect("not refused");
        }
        let target = *which.get(&contexts);
        pair.left.session.cancel(target, &actor("boss"));
        pair.right.take_events();
        let mut out = BytesMut::new();
        pair.left.session.poll_transmit(&mut out, 1);
        pair.right.session.handle_input(&mut out, pair.now).expect("honest");
        let expected = [Event::Cancel { context: target, by: Some(actor("boss")) }];
        prop_assert_eq!(pair.right.take_events(), expected);
    }

    /// Starts leave in the order of their ids, whatever their size, as far as their first frames go.
    #[test]
    fn first_frames_go_in_order(sizes in prop::collection::vec(sizes(), 1..20), budget in 1..3 * CHUNK) {
        let mut pair = Pair::open();
        let mut firsts = Vec::new();
        let mut out = BytesMut::new();
        for size in &sizes {
            pair.left.session.start("c:d", Bytes::from(vec![0; *size]), CALL, pair.now).expect("not refused");
            pair.left.session.poll_transmit(&mut out, budget);
        }
        pair.left.session.poll_transmit(&mut out, usize::MAX);
        while let Some(frame) = frame::take(&mut out, MIN_MAX_FRAME).expect("honest") {
            match Message::decode(&frame).expect("honest") {
                Message::Start { context, .. } | Message::More { context, .. } => {
                    if !firsts.contains(&context) {
                        firsts.push(context);
                    }
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert_eq!(firsts.len(), sizes.len());
        prop_assert!(firsts.is_sorted());
    }
}
