//! A context as the side that started it sees it.
//!
//! Owns: how far the start has been sent, and whether it was acknowledged, cancelled or given up.
//! Must not know: time, queues, other contexts. Invariant: of [`Step::Forget`], [`Step::Abandon`]
//! and a delivered outcome, each dialog yields exactly one.

use std::time::{Duration, Instant};

use bytes::Bytes;
use greenroom_abi::kind::{ContextCancelled, DeadlineExceeded};
use greenroom_abi::{ActorId, RemoteError, payload};

use super::direction::Direction;
use super::incoming::Incoming;
use super::outgoing::{Kind, Outgoing};
use super::{Place, Traffic};
use crate::assembly::Allowance;
use crate::event::Outcome;
use crate::id::ContextId;
use crate::message::Message;
use crate::output::Output;
use crate::violation::PeerMisbehaved;

/// The caller's states. `fresh` says that a chunked start moved on since the last look.
///
/// ```text
///  Queued ──first chunk──► Sending ──last frame──► Sent ──StartAck, data──► Acked
///    │  └──only frame────────────────────────────► │ └─cancel─┐ ┌─cancel──┘ │
///    │ cancel, timeout,      │ cancel, timeout,    │          ▼ ▼           │
///    │ deadline              │ deadline   timeout, │      Cancelling        │
///    ▼                       ▼            deadline │          │ likewise    │ deadline
///  (forgotten)           Abandoned ◄───────────────┴──────────┴─────────────┘
///
///  Sent, Acked, Cancelling, Abandoned ──Return or Error──► (gone)
/// ```
///
/// The streams of a dialog go on beside these states, the caller's until it cancels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing of it is on the wire.
    Queued,
    /// Chunks are on the wire, but not the `Start`.
    Sending { fresh: bool },
    /// The `Start` is on the wire.
    Sent { fresh: bool },
    /// The callee has acknowledged it, or sent anything of its stream or outcome.
    Acked,
    /// Asked to stop; the outcome is still awaited.
    Cancelling { acked: bool },
    /// Ended for its starter; the peer's end of it is awaited and will be dropped.
    Abandoned,
}

impl State {
    fn frame_sent(self, last: bool) -> Self {
        match (self, last) {
            (Self::Queued, true) => Self::Sent { fresh: false },
            (Self::Queued | Self::Sending { .. }, false) => Self::Sending { fresh: true },
            (Self::Sending { .. }, true) => Self::Sent { fresh: true },
            (other, _) => other,
        }
    }
}

/// What the session has to do about a context that was cancelled or has waited too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Nothing,
    /// Look again after another delay.
    Rearm,
    /// End it here and forget it: the peer has never heard of it.
    Forget,
    /// End it here, keep its id until the peer ends it, and send a `Cancel` if none was sent.
    Abandon { send_cancel: bool },
    /// Send a `Cancel` and await the outcome.
    Ask,
}

/// What a context is started with, beside its arguments.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) function: Box<str>,
    /// How long it may take, and when that is over, if ever.
    pub(crate) deadline: Option<(Duration, Option<Instant>)>,
    pub(crate) dialog: bool,
}

/// One context that was started here.
#[derive(Debug)]
pub(crate) struct Caller {
    state: State,
    head: Head,
    pub(crate) traffic: Traffic,
}

impl Caller {
    pub(crate) fn new(context: ContextId, head: Head, kwargs: Bytes) -> Self {
        let (ours, theirs) = match head.dialog {
            true => (Direction::Open, Direction::Silent),
            false => (Direction::Plain, Direction::Plain),
        };
        let mut outgoing = Outgoing::new(ours);
        outgoing.offer(context, Kind::Start, kwargs);
        let traffic = Traffic { place: Place::default(), outgoing, incoming: Incoming::new(theirs) };
        Self { state: State::Queued, head, traffic }
    }

    pub(crate) fn function(&self) -> &str {
        &self.head.function
    }

    /// When its deadline passes.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.head.deadline.and_then(|(_, due)| due)
    }

    /// Whether the starter still awaits its end.
    pub(crate) fn is_awaited(&self) -> bool {
        self.state != State::Abandoned
    }

    /// Whether part of the start is yet to be sent.
    pub(crate) fn is_queued(&self) -> bool {
        matches!(self.state, State::Queued | State::Sending { .. })
    }

    /// Whether the start timeout may still end it.
    pub(crate) fn is_unacknowledged(&self) -> bool {
        !matches!(self.state, State::Acked | State::Cancelling { acked: true } | State::Abandoned)
    }

    /// What it ends with if it is cancelled here.
    pub(crate) fn cancelled(&self, by: Option<&ActorId>) -> RemoteError {
        let kind = ContextCancelled { function: self.function().to_owned() };
        RemoteError { canceller: by.cloned(), ..RemoteError::of(&kind) }
    }

    /// What it ends with if its deadline has passed.
    pub(crate) fn overdue(&self) -> RemoteError {
        let limit = self.head.deadline.map_or(Duration::ZERO, |(limit, _)| limit);
        RemoteError::of(&DeadlineExceeded::new(self.function(), limit))
    }

    /// Writes the next frame, with at most so much of a payload.
    pub(crate) fn transmit(&mut self, context: ContextId, most: usize, out: &mut impl Output) {
        let Some(frame) = self.traffic.outgoing.next(most) else {
            return;
        };
        let message = match frame.message(context) {
            Message::Start { kwargs, .. } => {
                let Head { function, deadline, dialog } = &self.head;
                let deadline_us =
                    deadline.map(|(limit, _)| u64::try_from(limit.as_micros()).unwrap_or(u64::MAX));
                Message::Start { context, function, kwargs, deadline_us, dialog: *dialog }
            }
            other => other,
        };
        frame.transmit(&message, out);
        self.state = self.state.frame_sent(!matches!(message, Message::More { .. }));
    }

    /// The starter wants it to stop.
    pub(crate) fn cancel(&mut self, allowance: &mut Allowance) -> Step {
        let acked = match self.state {
            State::Queued => return Step::Forget,
            State::Sending { .. } => return self.abandon(true, allowance),
            State::Sent { .. } => false,
            State::Acked => true,
            State::Cancelling { .. } | State::Abandoned => return Step::Nothing,
        };
        self.state = State::Cancelling { acked };
        self.traffic.outgoing.close();
        Step::Ask
    }

    /// Its deadline has passed.
    pub(crate) fn give_up(&mut self, allowance: &mut Allowance) -> Step {
        match self.state {
            State::Queued => Step::Forget,
            State::Sending { .. } | State::Sent { .. } | State::Acked => self.abandon(true, allowance),
            State::Cancelling { .. } => self.abandon(false, allowance),
            State::Abandoned => Step::Nothing,
        }
    }

    /// The start timeout has passed. A chunked start is given more time as long as it moves on.
    pub(crate) fn expire(&mut self, allowance: &mut Allowance) -> Step {
        match self.state {
            State::Queued => Step::Forget,
            State::Sending { fresh: true } => {
                self.state = State::Sending { fresh: false };
                Step::Rearm
            }
            State::Sent { fresh: true } => {
                self.state = State::Sent { fresh: false };
                Step::Rearm
            }
            State::Sending { fresh: false } | State::Sent { fresh: false } => self.abandon(true, allowance),
            State::Cancelling { acked: false } => self.abandon(false, allowance),
            State::Acked | State::Cancelling { acked: true } | State::Abandoned => Step::Nothing,
        }
    }

    /// The peer acknowledged the start; true if its starter still waits.
    pub(crate) fn acknowledge(&mut self, context: ContextId) -> Result<bool, PeerMisbehaved> {
        self.state = match self.state {
            State::Queued => return Err(PeerMisbehaved::NotOpen(context)),
            State::Sending { .. } => return Err(PeerMisbehaved::StillStarting(context)),
            State::Sent { .. } => State::Acked,
            State::Cancelling { acked: false } => State::Cancelling { acked: true },
            State::Acked | State::Cancelling { acked: true } => {
                return Err(PeerMisbehaved::AckedTwice(context));
            }
            State::Abandoned => return Ok(false),
        };
        Ok(true)
    }

    /// Data arrived: where it goes, or none if nobody waits for it. It acknowledges the start as
    /// well: the rest may take longer than the start timeout.
    pub(crate) fn receive(&mut self, context: ContextId) -> Result<Option<&mut Incoming>, PeerMisbehaved> {
        if !self.is_replying(context)? {
            return Ok(None);
        }
        self.state = match self.state {
            State::Cancelling { .. } => State::Cancelling { acked: true },
            _ => State::Acked,
        };
        Ok(Some(&mut self.traffic.incoming))
    }

    /// The end arrived: the outcome for the starter, or none if it has stopped waiting.
    pub(crate) fn end(
        &mut self,
        context: ContextId,
        last: Bytes,
        is_error: bool,
        allowance: &mut Allowance,
    ) -> Result<Option<Outcome>, PeerMisbehaved> {
        let Some(incoming) = self.receive(context)? else {
            return Ok(None);
        };
        let whole = incoming.complete(context, last, allowance)?;
        if !is_error {
            return Ok(Some(Ok(whole)));
        }
        match payload::decode::<RemoteError>(&whole) {
            Ok(error) => Ok(Some(Err(Box::new(error)))),
            Err(error) => Err(PeerMisbehaved::UnreadableError { context, reason: error.reason }),
        }
    }

    /// Whether the peer's reply is of interest, if it may reply at all.
    pub(crate) fn is_replying(&self, context: ContextId) -> Result<bool, PeerMisbehaved> {
        match self.state {
            State::Queued => Err(PeerMisbehaved::NotOpen(context)),
            State::Sending { .. } => Err(PeerMisbehaved::StillStarting(context)),
            State::Sent { .. } | State::Acked | State::Cancelling { .. } => Ok(true),
            State::Abandoned => Ok(false),
        }
    }

    /// Drops all that is to be sent and what has come; the peer's end will be dropped as well.
    fn abandon(&mut self, send_cancel: bool, allowance: &mut Allowance) -> Step {
        self.state = State::Abandoned;
        self.traffic.outgoing.close();
        self.traffic.incoming.close(allowance);
        Step::Abandon { send_cancel }
    }
}
