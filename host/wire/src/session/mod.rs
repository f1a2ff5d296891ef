//! One connection between two actors.
//!
//! Owns: the contexts of both sides, the phase of the connection, the queues between it and its
//! driver. Must not know: how bytes travel, what a function does, what time it is. Invariant:
//! every started context ends with exactly one event, also when the connection does.

mod close;
mod input;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use greenroom_abi::{ActorId, RemoteError};

use crate::assembly::Allowance;
use crate::config::{Config, MAX_TEXT};
use crate::dialog::{Callee, Caller, Step};
use crate::event::{CloseReason, Event, Outcome, Refused};
use crate::id::{ContextId, Role};
use crate::message::VERSION;
use crate::outbox::{Control, Outbox};
use crate::timer::Timers;

/// How many sent pings are remembered. An answer to an older one is not reported.
const MAX_PINGS: usize = 16;

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
///   [`finish`](Self::finish), [`ping`](Self::ping), [`goodbye`](Self::goodbye)): what the local
///   runtime wants;
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
    // Ordered maps: a peer chooses ids, so a cheap hash would let it force collisions; and
    // contexts end in the order of their ids whatever ends them.
    outgoing: BTreeMap<ContextId, Caller>,
    incoming: BTreeMap<ContextId, Callee>,
    next_outgoing: ContextId,
    last_incoming: Option<ContextId>,
    allowance: Allowance,
    outbox: Outbox,
    events: VecDeque<Event>,
    starts: Timers,
    acks: Timers,
    pings: VecDeque<u64>,
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
            phase: Phase::Handshake { until: now.checked_add(config.handshake_timeout) },
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            next_outgoing: role.first_id(),
            last_incoming: None,
            allowance: Allowance::new(config.max_payload, config.max_buffered),
            outbox,
            events: VecDeque::new(),
            starts: Timers::new(config.start_timeout),
            acks: Timers::new(config.ack_delay),
            pings: VecDeque::new(),
            config,
        }
    }

    /// Command: calls a function of the peer. An [`Ended`](Event::Ended) will follow.
    ///
    /// `deadline` is the time the caller has left; it is told to the peer and not enforced here.
    ///
    /// # Errors
    /// [`Refused`] if a limit is reached or one of the sides has said goodbye; nothing was sent.
    pub fn start(
        &mut self,
        function: &str,
        kwargs: Bytes,
        deadline: Option<Duration>,
        now: Instant,
    ) -> Result<ContextId, Refused> {
        if !matches!(self.phase, Phase::Handshake { .. } | Phase::Open) {
            return Err(Refused::Closed);
        }
        if function.len() > MAX_TEXT {
            return Err(Refused::FunctionTooLong { size: function.len(), limit: MAX_TEXT });
        }
        if kwargs.len() > self.config.max_payload {
            return Err(Refused::PayloadTooLarge { size: kwargs.len(), limit: self.config.max_payload });
        }
        if self.outgoing.len() >= self.config.max_contexts {
            return Err(Refused::TooManyContexts { limit: self.config.max_contexts });
        }
        let context = self.next_outgoing;
        self.next_outgoing = context.next();
        let deadline_us = deadline.map(|left| u64::try_from(left.as_micros()).unwrap_or(u64::MAX));
        self.outgoing.insert(context, Caller::new(function, kwargs, deadline_us));
        self.outbox.join(context);
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
        let was_queued = caller.is_queued();
        let step = caller.cancel();
        let error = match step {
            Step::Forget | Step::Abandon { .. } => Some(caller.cancelled(Some(by))),
            Step::Nothing | Step::Rearm | Step::Ask => None,
        };
        self.take_step(context, step, was_queued, error, Some(by));
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
        let is_error = outcome.is_err();
        if callee.finish(outcome, self.config.max_payload) {
            match is_error {
                true => self.outbox.join_error(context),
                false => self.outbox.join(context),
            }
            let incoming = &self.incoming;
            self.acks.prune(|context| incoming.get(&context).is_some_and(Callee::is_running));
        }
    }

    /// Command: asks the peer for a sign of life, which comes as [`Pong`](Event::Pong).
    pub fn ping(&mut self, token: u64) {
        if !matches!(self.phase, Phase::Handshake { .. } | Phase::Open) {
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

    /// Poll: appends frames to `out` until it is `budget` bytes long or nothing is left to send;
    /// true if anything was appended. Passes the budget by at most one frame.
    ///
    /// A frame that was appended counts as sent: the driver has to send all of `out`, in order,
    /// or report a disconnect. So keep the budget small if a cancel should overtake data.
    pub fn poll_transmit(&mut self, out: &mut BytesMut, budget: usize) -> bool {
        let before = out.len();
        while out.len() < budget && self.has_output() && self.transmit_frame(out) {}
        out.len() > before
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
        [phase, self.starts.next(), self.acks.next()].into_iter().flatten().min()
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

    /// Writes one frame; false if there was none after all.
    fn transmit_frame(&mut self, out: &mut BytesMut) -> bool {
        if self.outbox.transmit_control(out) {
            return true;
        }
        while let Some(context) = self.outbox.take_turn() {
            let done = if self.role.opens(context) {
                match self.outgoing.get_mut(&context).filter(|caller| caller.is_queued()) {
                    Some(caller) => caller.transmit(context, out),
                    None => continue,
                }
            } else {
                match self.incoming.get_mut(&context).filter(|callee| callee.is_ending()) {
                    Some(callee) => {
                        let done = callee.transmit(context, out);
                        if done {
                            self.incoming.remove(&context);
                        }
                        done
                    }
                    None => continue,
                }
            };
            self.outbox.took_turn(context, done);
            return true;
        }
        let said = self.outbox.transmit_goodbye(out);
        if said && matches!(self.phase, Phase::Leaving) {
            self.close(CloseReason::Goodbye);
        }
        said
    }

    /// Does what a context started here asks for; `error` is what it ends with, if it does.
    fn take_step(
        &mut self,
        context: ContextId,
        step: Step,
        was_queued: bool,
        error: Option<RemoteError>,
        by: Option<&ActorId>,
    ) {
        match step {
            Step::Forget => drop(self.outgoing.remove(&context)),
            Step::Abandon { send_cancel: true } | Step::Ask => {
                self.outbox.control(Control::Cancel { context, by: by.cloned().map(Box::new) });
            }
            Step::Nothing | Step::Rearm | Step::Abandon { send_cancel: false } => {}
        }
        if was_queued && matches!(step, Step::Forget | Step::Abandon { .. }) {
            let (role, outgoing, incoming) = (self.role, &self.outgoing, &self.incoming);
            self.outbox.withdraw(|context| match role.opens(context) {
                true => outgoing.get(&context).is_some_and(Caller::is_queued),
                false => incoming.get(&context).is_some_and(Callee::is_ending),
            });
        }
        if let Some(error) = error {
            self.events.push_back(Event::Ended { context, outcome: Err(Box::new(error)) });
        }
        self.prune_starts();
    }

    /// Drops start timers that are not needed any more.
    fn prune_starts(&mut self) {
        let outgoing = &self.outgoing;
        self.starts.prune(|context| outgoing.get(&context).is_some_and(Caller::is_unacknowledged));
    }
}
