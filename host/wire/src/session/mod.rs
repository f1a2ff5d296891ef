//! One connection between two actors.
//!
//! Owns: the contexts of both sides, the phase of the connection, the queues between it and its
//! driver. Must not know: how bytes travel, what a function does, what time it is. Invariant:
//! every started context ends with exactly one event, also when the connection does.

mod close;
mod contexts;
mod input;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use greenroom_abi::{ActorId, RemoteError};

use crate::assembly::Allowance;
use crate::config::{CHUNK, Config, MAX_TEXT};
use crate::dialog::{Callee, Caller, Head, Step};
use crate::event::{CloseReason, Event, Outcome, Refused};
use crate::id::{ContextId, Role};
use crate::message::VERSION;
use crate::outbox::{Control, Outbox};
use crate::output::Output;
use crate::payload::Lender;
use crate::timer::{Deadlines, Timers};
use contexts::Contexts;
use streams::traffic;

/// How much a context sends in its turn if it has small messages.
const TURN_BYTES: usize = 16 * 1024;

/// How many sent pings are remembered. An answer to an older one is not reported.
const MAX_PINGS: usize = 16;

/// How a context is started; by default a plain call that may take for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartOptions {
    /// How long the context may take. It is told to the peer; past it the context ends here with
    /// `DeadlineExceeded`, and is cancelled.
    pub deadline: Option<Duration>,
    /// Whether the callee is to give a first value, after which both may stream.
    pub dialog: bool,
}

/// The phases of a connection.
///
/// ```text
///  Handshake ──Hello/Welcome──► Open ──goodbye()──► Leaving ──all sent──► Closed
///      │                          │                                         ▲ ▲
///      │                          └──Goodbye──► Left ──disconnect, timeout──┘ │
///      └──────────── violation, disconnect, timeout: from everywhere ─────────┘
/// ```
#[derive(Debug)]
enum Phase {
    /// The peer's first frame is awaited.
    Handshake { until: Option<Instant> },
    /// Both may start contexts.
    Open,
    /// This side has said goodbye and sends what it still has.
    Leaving,
    /// The peer has said goodbye; the driver is to report that the connection has ended, so that
    /// open contexts end with the error it knows.
    Left { until: Option<Instant>, reason: String },
    /// Nothing happens any more.
    Closed { by_violation: bool },
}

/// The protocol's side of one connection: a state machine without input or output of its own.
///
/// Its methods are of four kinds, as far as they are not simple getters:
///
/// - **commands** are verbs ([`start`](Self::start), [`cancel`](Self::cancel),
///   [`finish`](Self::finish), [`ping`](Self::ping), [`goodbye`](Self::goodbye); in dialogs also
///   [`started`](Self::started), [`send`](Self::send), [`stop`](Self::stop),
///   [`grant`](Self::grant)): what the local runtime wants;
/// - **`handle_*`** give it what happened outside: bytes, the connection's end, the time;
/// - **`poll_*`** take from it what is to be done. After any command and any `handle_*`, call
///   [`poll_transmit`](Self::poll_transmit) until it writes nothing and
///   [`poll_event`](Self::poll_event) until it gives none, and set one timer to
///   [`poll_timeout`](Self::poll_timeout). Events come last because sending the last frame after
///   a goodbye gives the [`Closed`](Event::Closed) event.
///
/// Time never goes backwards between calls. The session is as deterministic as its caller.
#[derive(Debug)]
pub struct Session {
    role: Role,
    config: Config,
    phase: Phase,
    /// The largest part of a payload that both sides take.
    max_part: usize,
    outgoing: Contexts<Caller>,
    incoming: Contexts<Callee>,
    next_outgoing: ContextId,
    last_incoming: Option<ContextId>,
    allowance: Allowance,
    outbox: Outbox,
    events: VecDeque<Event>,
    deadlines: Deadlines,
    starts: Timers,
    acks: Timers,
    pings: VecDeque<u64>,
    /// Where the peer may lend, if anywhere.
    lender: Option<Box<dyn Lender>>,
}

impl Session {
    /// A session for a connection that stands since `now`. The initiator may start contexts at
    /// once; they are sent behind its `Hello`. The acceptor's wait for the peer's `Hello`.
    pub fn new(role: Role, config: Config, now: Instant) -> Self {
        let config = config.clamped();
        let mut outbox = Outbox::default();
        if role == Role::Initiator {
            outbox.control(Control::Hello { version: VERSION, max_frame: config.max_frame as u64 });
        }
        Self {
            role,
            phase: Phase::Handshake {
                until: config.handshake_timeout.and_then(|timeout| now.checked_add(timeout)),
            },
            max_part: CHUNK,
            outgoing: Contexts::default(),
            incoming: Contexts::default(),
            next_outgoing: role.first_id(),
            last_incoming: None,
            allowance: Allowance::new(config.max_payload, config.max_buffered),
            outbox,
            events: VecDeque::new(),
            deadlines: Deadlines::default(),
            starts: Timers::new(config.start_timeout),
            acks: Timers::new(config.ack_delay),
            pings: VecDeque::new(),
            lender: None,
            config,
        }
    }

    /// Lets the peer lend what it sends. Before any input.
    #[must_use]
    pub fn with_lender(mut self, lender: Option<impl Lender + 'static>) -> Self {
        self.lender = lender.map(|lender| Box::new(lender) as _);
        self
    }

    /// Command: calls a function of the peer. An [`Ended`](Event::Ended) will follow.
    ///
    /// # Errors
    /// [`Refused`] if a limit is reached or one of the sides has said goodbye; nothing was sent.
    pub fn start(
        &mut self,
        function: &str,
        kwargs: Bytes,
        options: StartOptions,
        now: Instant,
    ) -> Result<ContextId, Refused> {
        if !self.is_active() {
            return Err(Refused::Closed);
        }
        if function.len() > MAX_TEXT {
            return Err(Refused::FunctionTooLong { size: function.len(), limit: MAX_TEXT });
        }
        self.check_payload(&kwargs)?;
        if self.outgoing.len() >= self.config.max_contexts {
            return Err(Refused::TooManyContexts { limit: self.config.max_contexts });
        }
        let context = self.next_outgoing;
        self.next_outgoing = context.next();
        // A deadline past the end of time never passes.
        let deadline = options.deadline.map(|limit| (limit, now.checked_add(limit)));
        let head = Head { function: function.into(), deadline, dialog: options.dialog };
        let mut caller = Caller::new(context, head, kwargs);
        self.outbox.join(context, &mut caller.traffic.place);
        if let Some(due) = caller.due() {
            self.deadlines.set(due, context);
        }
        self.outgoing.insert(context, caller);
        self.starts.set(context, now);
        Ok(context)
    }

    /// Command: asks that a context started here should stop. The context still ends with an
    /// event: the peer's outcome, which may be a value if the cancel came too late; or, if its
    /// start was not yet sent completely, at once with `ContextCancelled`.
    ///
    /// Does nothing if the context has been cancelled already, has ended or is unknown.
    pub fn cancel(&mut self, context: ContextId, by: &ActorId) {
        let Some(caller) = self.outgoing.get_mut(&context) else {
            return;
        };
        let step = caller.cancel(&mut self.allowance);
        let error = match step {
            Step::Forget | Step::Abandon { .. } => Some(caller.cancelled(Some(by))),
            Step::Nothing | Step::Rearm | Step::Ask => None,
        };
        self.take_step(context, step, error, Some(by));
    }

    /// Command: ends a context that the peer started. To be called exactly once for each
    /// [`Start`](Event::Start).
    ///
    /// An outcome that is too large for the connection, or cannot be encoded, becomes an error
    /// that says so. Does nothing if the context has ended or is unknown, as after the end of the
    /// connection.
    pub fn finish(&mut self, context: ContextId, outcome: Outcome) {
        let Some(callee) = self.incoming.get_mut(&context) else {
            return;
        };
        let Some(is_error) = callee.finish(context, outcome, self.config.max_sent, &mut self.allowance)
        else {
            return;
        };
        let place = &mut callee.traffic.place;
        if is_error {
            self.outbox.withdraw(place);
            self.outbox.join_error(context, place);
        } else {
            self.outbox.withdraw_credit(place);
            self.outbox.join(context, place);
        }
        self.tidy();
        self.prune_acks();
    }

    /// Command: asks the peer for a sign of life, which comes as [`Pong`](Event::Pong).
    pub fn ping(&mut self, token: u64) {
        if !self.is_active() {
            return;
        }
        if self.pings.len() == MAX_PINGS {
            self.pings.pop_front();
        }
        self.pings.push_back(token);
        self.outbox.control(Control::Ping { token });
    }

    /// Getter: whether [`poll_transmit`](Self::poll_transmit) would write something.
    pub fn has_output(&self) -> bool {
        !self.is_held() && !self.outbox.is_empty()
    }

    /// Poll: appends frames to `out` until it is full, or `budget` bytes long, or nothing is left to send;
    /// true if anything was appended. Passes the budget by at most one frame, with what goes directly
    /// before it: before an error a `Stop`, or a first value of one frame.
    ///
    /// A frame that was appended counts as sent: the driver has to send all of `out`, in order,
    /// or report a disconnect. So keep the budget small if a cancel should overtake data.
    pub fn poll_transmit(&mut self, out: &mut impl Output, budget: usize) -> bool {
        let before = out.size();
        while out.size() < budget && !out.is_full() && self.has_output() && self.transmit_turn(out, budget) {}
        out.size() > before
    }

    /// Poll: takes the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Poll: when to call [`handle_timeout`](Self::handle_timeout) at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Handshake { until } | Phase::Left { until, .. } => until,
            Phase::Open | Phase::Leaving | Phase::Closed { .. } => None,
        };
        [phase, self.deadlines.next(), self.starts.next(), self.acks.next()].into_iter().flatten().min()
    }

    /// Getter: whether [`poll_event`](Self::poll_event) would give something.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Getter: whether the session has ended. A last frame may still be to be sent, to tell the
    /// peer why.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }

    /// Getter: how many contexts are open, of both sides together. One that has ended for its
    /// starter, but for which the peer still owes its end, counts; so does one whose end waits to
    /// be sent.
    pub fn open_contexts(&self) -> usize {
        self.outgoing.len() + self.incoming.len()
    }

    /// Whether all output has to wait: the acceptor does not speak first, unless to hang up.
    fn is_held(&self) -> bool {
        self.role == Role::Acceptor && matches!(self.phase, Phase::Handshake { .. })
    }

    /// How much of a payload goes into one frame: others are not to wait long.
    fn most_of_payload(&self) -> usize {
        if self.outbox.is_for_one() { self.max_part } else { CHUNK }
    }

    /// Writes one frame, or some small ones as long as the budget lasts; false if there was none after
    /// all.
    fn transmit_turn(&mut self, out: &mut impl Output, budget: usize) -> bool {
        let until = budget.min(out.size() + TURN_BYTES);
        if self.outbox.transmit_control(out.end()) {
            return true;
        }
        while let Some(context) = self.outbox.take_creditor() {
            if self.transmit_credit(context, out.end()) {
                return true;
            }
        }
        while let Some(context) = self.outbox.take_turn() {
            let wrote = match self.role.opens(context) {
                true => self.transmit_caller(context, out, until),
                false => self.transmit_callee(context, out, until),
            };
            if wrote {
                return true;
            }
        }
        let said = self.outbox.transmit_goodbye(out.end());
        if said && matches!(self.phase, Phase::Leaving) {
            self.close(CloseReason::Goodbye);
        }
        said
    }

    /// Writes the next frame of a context started here, and small messages behind it; false if it has
    /// none.
    fn transmit_caller(&mut self, context: ContextId, out: &mut impl Output, until: usize) -> bool {
        let most = self.most_of_payload();
        let Some(caller) = self.outgoing.get_mut(&context) else {
            return false;
        };
        if !self.outbox.has_turn(&mut caller.traffic.place) {
            return false;
        }
        let was_queued = caller.is_queued();
        caller.transmit(context, most, out);
        while out.size() < until && !out.is_full() && caller.traffic.outgoing.has_small_message() {
            caller.transmit(context, most, out);
        }
        let done = !caller.traffic.outgoing.has_data();
        let sent = was_queued && !caller.is_queued();
        let place = &mut caller.traffic.place;
        self.outbox.took_turn(context, place, done);
        if sent {
            self.outbox.join_credit(context, place);
        }
        true
    }

    /// Writes the next frame of a context that the peer started, and small messages behind it; false if
    /// it has none.
    fn transmit_callee(&mut self, context: ContextId, out: &mut impl Output, until: usize) -> bool {
        let most = self.most_of_payload();
        let Some(callee) = self.incoming.get_mut(&context) else {
            return false;
        };
        if !self.outbox.has_turn(&mut callee.traffic.place) {
            return false;
        }
        callee.transmit(context, most, out);
        while out.size() < until && !out.is_full() && callee.traffic.outgoing.has_small_message() {
            callee.transmit(context, most, out);
        }
        let done = !callee.traffic.outgoing.has_data();
        self.outbox.took_turn(context, &mut callee.traffic.place, done);
        if done && callee.is_ending() {
            self.incoming.remove(&context);
        }
        true
    }

    /// Does what a context started here asks for; `error` is what it ends with, if it does.
    fn take_step(
        &mut self,
        context: ContextId,
        step: Step,
        error: Option<RemoteError>,
        by: Option<&ActorId>,
    ) {
        if let Some(caller) = self.outgoing.get_mut(&context) {
            let (due, place) = (caller.due(), &mut caller.traffic.place);
            match step {
                Step::Nothing | Step::Rearm => {}
                Step::Ask => self.outbox.withdraw_data(place),
                Step::Forget | Step::Abandon { .. } => {
                    self.outbox.withdraw(place);
                    due.into_iter().for_each(|due| self.deadlines.remove(due, context));
                }
            }
        }
        match step {
            Step::Forget => drop(self.outgoing.remove(&context)),
            Step::Abandon { send_cancel: true } | Step::Ask => {
                self.outbox.control(Control::Cancel { context, by: by.cloned().map(Box::new) });
            }
            Step::Nothing | Step::Rearm | Step::Abandon { send_cancel: false } => {}
        }
        if let Some(error) = error {
            self.events.push_back(Event::Ended { context, outcome: Err(Box::new(error)) });
        }
        self.tidy();
        self.prune_starts();
    }

    /// Gives up places in the outbox that nobody needs any more, if they are many.
    fn tidy(&mut self) {
        let (role, outgoing, incoming) = (self.role, &mut self.outgoing, &mut self.incoming);
        self.outbox.tidy(|context| {
            traffic(role, outgoing, incoming, context).is_some_and(|traffic| traffic.place.stay())
        });
    }

    /// Drops start timers that are not needed any more.
    fn prune_starts(&mut self) {
        let outgoing = &self.outgoing;
        self.starts.prune(|context| outgoing.get(&context).is_some_and(Caller::is_unacknowledged));
    }

    /// Drops acknowledgement timers that are not needed any more.
    fn prune_acks(&mut self) {
        let incoming = &self.incoming;
        self.acks.prune(|context| incoming.get(&context).is_some_and(Callee::is_silent));
    }
}
