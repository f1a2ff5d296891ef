//! How a session ends, and what time does to it.
//!
//! Owns: goodbyes, disconnects, violations, timeouts. Must not know: which message or clock
//! brought them about. Invariant: whatever closes a session, first every context ends, then the
//! one `Closed` event comes.

use std::mem;
use std::time::Instant;

use greenroom_abi::RemoteError;
use greenroom_abi::kind::StartTimeout;

use super::{Phase, Session};
use crate::dialog::{Callee, Caller, Step};
use crate::event::{CloseReason, Event};
use crate::id::Role;
use crate::outbox::Control;
use crate::violation::{PeerMisbehaved, Violation};

impl Session {
    /// Command: takes leave. No context can be started any more, those started here end with
    /// `ContextCancelled`, running tasks get [`Cancel`](Event::Cancel), input is dropped. Ends
    /// that [`finish`](Self::finish) has queued before are still sent, then the goodbye; with it
    /// the session is closed.
    pub fn goodbye(&mut self, reason: &str) {
        match self.phase {
            Phase::Handshake { .. } | Phase::Open => {}
            Phase::Leaving | Phase::Left { .. } | Phase::Closed { .. } => return,
        }
        if self.role == Role::Acceptor && matches!(self.phase, Phase::Handshake { .. }) {
            // The goodbye answers in place of a `Welcome`; nothing may go before it.
            self.outbox.clear();
        }
        self.phase = Phase::Leaving;
        for (context, mut caller) in self.outgoing.take() {
            self.outbox.withdraw(&mut caller.traffic.place);
            if caller.is_awaited() {
                let outcome = Err(Box::new(caller.cancelled(None)));
                self.events.push_back(Event::Ended { context, outcome });
            }
        }
        self.cancel_incoming();
        self.allowance.reset();
        self.deadlines.clear();
        self.starts.clear();
        self.acks.clear();
        self.outbox.goodbye(reason);
    }

    /// Input: the connection has ended, in order or by an error. Contexts started here end with a
    /// clone of `error`, running tasks get [`Cancel`](Event::Cancel), then comes
    /// [`Closed`](Event::Closed). Does nothing if the session is closed already, but that nothing
    /// more is to be sent.
    pub fn handle_disconnect(&mut self, error: &RemoteError) {
        self.outbox.shut();
        let reason = match &mut self.phase {
            Phase::Closed { .. } => return,
            Phase::Left { reason, .. } => CloseReason::PeerGoodbye { reason: mem::take(reason) },
            Phase::Handshake { .. } | Phase::Open | Phase::Leaving => {
                CloseReason::Disconnected(Box::new(error.clone()))
            }
        };
        self.end_outgoing(|_| error.clone());
        self.close(reason);
    }

    /// Input: it is `now`. To be called when [`poll_timeout`](Self::poll_timeout) has passed;
    /// does no harm at any other time.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Handshake { until: Some(until) } if until <= now => {
                let timeout = self.config.handshake_timeout.unwrap_or_default().as_millis();
                self.end_outgoing(|caller| start_timeout(caller, timeout));
                self.outbox.clear();
                self.outbox.goodbye("the handshake took too long");
                return self.close(CloseReason::HandshakeTimeout);
            }
            Phase::Left { until: Some(until), .. } if until <= now => {
                return self.fail(PeerMisbehaved::Lingering.into());
            }
            _ => {}
        }
        while let Some(context) = self.acks.expire(now) {
            if self.incoming.get(&context).is_some_and(Callee::is_silent) {
                self.outbox.control(Control::StartAck { context });
            }
        }
        while let Some(context) = self.deadlines.expire(now) {
            if let Some(caller) = self.outgoing.get_mut(&context) {
                let error = caller.is_awaited().then(|| caller.overdue());
                let step = caller.give_up(&mut self.allowance);
                self.take_step(context, step, error, None);
            }
        }
        while let Some(context) = self.starts.expire(now) {
            let Some(caller) = self.outgoing.get_mut(&context) else {
                continue;
            };
            let step = caller.expire(&mut self.allowance);
            let error = match step {
                Step::Rearm => {
                    self.starts.set(context, now);
                    None
                }
                Step::Forget | Step::Abandon { .. } => {
                    Some(start_timeout(caller, self.config.start_timeout.as_millis()))
                }
                Step::Nothing | Step::Ask => None,
            };
            self.take_step(context, step, error, None);
        }
        self.prune_acks();
        self.prune_starts();
    }

    /// The peer has said goodbye. What it still owes will not come; what became of it, its actor
    /// or the connection, the driver learns when the connection ends.
    pub(super) fn handle_goodbye(&mut self, reason: &str, now: Instant) {
        self.outbox.shut();
        self.cancel_incoming();
        self.incoming.clear();
        self.acks.clear();
        let reason = reason.to_owned();
        if self.outgoing.is_empty() {
            return self.close(CloseReason::PeerGoodbye { reason });
        }
        self.phase = Phase::Left { until: now.checked_add(self.config.goodbye_timeout), reason };
    }

    /// Ends everything because the protocol was broken.
    pub(super) fn fail(&mut self, violation: Violation) {
        let error = RemoteError::of(&violation.to_kind());
        self.end_outgoing(|_| error.clone());
        self.outbox.clear();
        self.outbox.goodbye(&violation.to_string());
        self.close(CloseReason::Violation(violation));
    }

    /// Ends what is still open on the peer's behalf, and closes.
    pub(super) fn close(&mut self, reason: CloseReason) {
        self.cancel_incoming();
        self.incoming.clear();
        self.allowance.reset();
        self.deadlines.clear();
        self.starts.clear();
        self.acks.clear();
        self.pings.clear();
        let by_violation = matches!(reason, CloseReason::Violation(_));
        self.phase = Phase::Closed { by_violation };
        self.events.push_back(Event::Closed { reason });
    }

    fn end_outgoing(&mut self, error: impl Fn(&Caller) -> RemoteError) {
        for (context, caller) in self.outgoing.take() {
            if caller.is_awaited() {
                let outcome = Err(Box::new(error(&caller)));
                self.events.push_back(Event::Ended { context, outcome });
            }
        }
    }

    /// Tells every running task to stop, and forgets those whose end can no longer be told.
    fn cancel_incoming(&mut self) {
        let Self { incoming, events, outbox, allowance, .. } = self;
        incoming.retain(|context, callee| {
            if callee.cancel(allowance) {
                events.push_back(Event::Cancel { context: *context, by: None });
            }
            if !callee.is_ending() {
                outbox.withdraw(&mut callee.traffic.place);
            }
            callee.is_ending()
        });
    }
}

/// What a context ends with that was neither acknowledged nor ended in time.
fn start_timeout(caller: &Caller, waited_ms: u128) -> RemoteError {
    let waited_ms = u64::try_from(waited_ms).unwrap_or(u64::MAX);
    RemoteError::of(&StartTimeout { function: caller.function().to_owned(), waited_ms })
}
