//! Two sessions over a pipe in virtual time.
//!
//! Owns: the pair, and the tests of what two honest sessions do with each other. Must not know:
//! the session's private state. Invariant: nothing here waits; time is a number.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use greenroom_abi::{ActorId, RemoteError};

use super::*;
use crate::config::{AROUND, CHUNK, MIN_MAX_FRAME};
use crate::frame;
use crate::message::Message;
use crate::output::{Output, Parts};
use crate::violation::{PeerMisbehaved, Violation};

mod calls;
mod chaos;
mod dialogs;
mod hostile;
mod lending;
mod payloads;
mod timing;

/// A plain call without a deadline.
const CALL: StartOptions = StartOptions { deadline: None, dialog: false };

/// A session with what it told its driver, and what is on the way to it.
struct End {
    session: Session,
    events: Vec<Event>,
    /// Bytes on the way here, with the time they arrive.
    wire: VecDeque<(Instant, Vec<u8>)>,
    buffer: BytesMut,
}

impl End {
    fn new(role: Role, config: Config, now: Instant) -> Self {
        let session = Session::new(role, config, now);
        Self { session, events: Vec::new(), wire: VecDeque::new(), buffer: BytesMut::new() }
    }

    /// Takes in what has arrived by `now`; true if there was anything.
    fn receive(&mut self, now: Instant) -> bool {
        let mut received = false;
        while let Some((_, bytes)) = self.wire.pop_front_if(|(due, _)| *due <= now) {
            received = true;
            self.buffer.extend_from_slice(&bytes);
            self.session.handle_input(&mut self.buffer, now).expect("the peer is honest");
        }
        self.events.extend(std::iter::from_fn(|| self.session.poll_event()));
        received
    }

    /// Puts what it has to say on the wire, to arrive at `due`; true if there was anything.
    fn send_to(&mut self, peer: &mut Self, due: Instant, budget: usize, fragment: usize) -> bool {
        let mut any = false;
        let mut out = Parts::default();
        while self.session.poll_transmit(&mut out, budget) {
            any = true;
            peer.wire.extend(out.slices().concat().chunks(fragment).map(|piece| (due, piece.to_vec())));
            out.advance(out.size());
        }
        any
    }

    fn take_events(&mut self) -> Vec<Event> {
        self.events.extend(std::iter::from_fn(|| self.session.poll_event()));
        std::mem::take(&mut self.events)
    }
}

/// An initiator, an acceptor and the pipe between them.
struct Pair {
    now: Instant,
    left: End,
    right: End,
    /// How long bytes travel.
    latency: Duration,
    /// The largest piece that arrives at once.
    fragment: usize,
    /// How many bytes one poll may write.
    budget: usize,
}

impl Pair {
    fn new(config: Config) -> Self {
        Self::of(config.clone(), config)
    }

    fn of(left: Config, right: Config) -> Self {
        let now = Instant::now();
        Self {
            now,
            left: End::new(Role::Initiator, left, now),
            right: End::new(Role::Acceptor, right, now),
            latency: Duration::ZERO,
            fragment: usize::MAX,
            budget: 16 * 1024,
        }
    }

    /// A pair that has shaken hands.
    fn open() -> Self {
        let mut pair = Self::new(Config::default());
        pair.settle();
        assert_eq!(pair.left.take_events(), [Event::Opened]);
        assert_eq!(pair.right.take_events(), [Event::Opened]);
        pair
    }

    /// Puts what both have to say on the wire; true if there was anything.
    fn transmit(&mut self) -> bool {
        let due = self.now + self.latency;
        let sent_left = self.left.send_to(&mut self.right, due, self.budget, self.fragment);
        let sent_right = self.right.send_to(&mut self.left, due, self.budget, self.fragment);
        sent_left || sent_right
    }

    /// Lets both talk at the present time until neither has anything to say.
    fn settle(&mut self) {
        loop {
            let sent = self.transmit();
            let received = [self.left.receive(self.now), self.right.receive(self.now)];
            if !sent && received == [false, false] {
                return;
            }
        }
    }

    /// Lets time pass, stopping whenever something is due.
    fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        loop {
            self.settle();
            let arrivals = [&self.left, &self.right].map(|end| end.wire.front().map(|(due, _)| *due));
            let timers = [self.left.session.poll_timeout(), self.right.session.poll_timeout()];
            let next = arrivals.into_iter().chain(timers).flatten().min().filter(|next| *next <= end);
            self.now = self.now.max(next.unwrap_or(end));
            self.left.session.handle_timeout(self.now);
            self.right.session.handle_timeout(self.now);
            if next.is_none() {
                return self.settle();
            }
        }
    }

    /// Starts a context on the left and lets it arrive.
    fn call(&mut self, function: &str, kwargs: &[u8]) -> ContextId {
        let kwargs = Bytes::copy_from_slice(kwargs);
        let context = self.left.session.start(function, kwargs, CALL, self.now).expect("not refused");
        self.settle();
        context
    }

    /// Cuts the pipe: what is on the way is lost.
    fn cut(&mut self, error: &RemoteError) {
        for end in [&mut self.left, &mut self.right] {
            end.wire.clear();
            end.session.handle_disconnect(error);
            end.events.extend(std::iter::from_fn(|| end.session.poll_event()));
        }
    }

    fn assert_idle(&self) {
        for end in [&self.left, &self.right] {
            assert_eq!(end.session.open_contexts(), 0);
            assert_eq!(end.session.allowance.buffered(), 0);
            assert!(!end.session.has_output());
            assert_eq!(end.session.poll_timeout(), None);
        }
    }
}

fn actor(name: &str) -> ActorId {
    ActorId { name: name.to_owned(), uuid: format!("{name}-uuid") }
}

fn error(name: &str) -> RemoteError {
    RemoteError::new(name, "a test's error")
}

fn id(number: u64) -> ContextId {
    ContextId::new(number).expect("not zero")
}

fn bytes(content: &'static [u8]) -> Bytes {
    Bytes::from_static(content)
}

fn ended(context: ContextId, outcome: Outcome) -> Event {
    Event::Ended { context, outcome }
}

fn started(context: ContextId, function: &str, kwargs: &[u8]) -> Event {
    let kwargs = Bytes::copy_from_slice(kwargs);
    Event::Start { context, function: function.to_owned(), kwargs, deadline: None, dialog: false }
}
