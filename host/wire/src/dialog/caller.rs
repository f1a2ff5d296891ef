//! A context as the side that started it sees it.
//!
//! Owns: how far the start has been sent, whether it was acknowledged or cancelled, and the parts
//! of the outcome so far. Must not know: time, queues, other contexts. Invariant: of
//! [`Step::Forget`], [`Step::Abandon`] and a delivered outcome, each dialog yields exactly one.

use std::mem;

use bytes::{Bytes, BytesMut};
use greenroom_abi::kind::ContextCancelled;
use greenroom_abi::{ActorId, RemoteError, payload};

use crate::assembly::{Allowance, Assembly};
use crate::event::Outcome;
use crate::id::ContextId;
use crate::message::Message;
use crate::outbox::{Chunks, Part};
use crate::violation::PeerMisbehaved;

/// The caller's states. `fresh` says that a chunked start moved on since the last look.
///
/// ```text
///  Queued ──first chunk──► Sending ──last frame──► Sent ─StartAck,More─► Acked
///    │  └──only frame────────────────────────────► │ │                 │ │
///    │ cancel, timeout        │ cancel, timeout    │ └──────cancel─────┤ │
///    ▼                        ▼          timeout   │                   ▼ │
///  (forgotten)            Abandoned ◄──────────────┴──────────── Cancelling
///                             │                                    │   │
///                             └──────── Return or Error ───────────┴───┴──► (gone)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing of it is on the wire.
    Queued,
    /// Chunks are on the wire, but not the `Start`.
    Sending { fresh: bool },
    /// The `Start` is on the wire.
    Sent { fresh: bool },
    /// The callee has acknowledged it, or sent part of its outcome.
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

/// One context that was started here.
#[derive(Debug)]
pub(crate) struct Caller {
    state: State,
    function: Box<str>,
    deadline_us: Option<u64>,
    kwargs: Chunks,
    outcome: Assembly,
}

impl Caller {
    pub(crate) fn new(function: &str, kwargs: Bytes, deadline_us: Option<u64>) -> Self {
        Self {
            state: State::Queued,
            function: function.into(),
            deadline_us,
            kwargs: Chunks::new(kwargs),
            outcome: Assembly::default(),
        }
    }

    pub(crate) fn function(&self) -> &str {
        &self.function
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
        let kind = ContextCancelled { function: self.function.to_string() };
        RemoteError { canceller: by.cloned(), ..RemoteError::of(&kind) }
    }

    /// Writes the next frame of the start; true if it was the last.
    pub(crate) fn transmit(&mut self, context: ContextId, out: &mut BytesMut) -> bool {
        let last = match self.kwargs.next() {
            Part::More(chunk) => {
                Message::More { context, chunk: &chunk }.encode(out);
                false
            }
            Part::Last(kwargs) => {
                let (function, deadline_us) = (&*self.function, self.deadline_us);
                Message::Start { context, function, kwargs: &kwargs, deadline_us }.encode(out);
                true
            }
        };
        self.state = self.state.frame_sent(last);
        last
    }

    /// The starter wants it to stop.
    pub(crate) fn cancel(&mut self) -> Step {
        match self.state {
            State::Queued => Step::Forget,
            State::Sending { .. } => self.abandon(true),
            State::Sent { .. } => {
                self.state = State::Cancelling { acked: false };
                Step::Ask
            }
            State::Acked => {
                self.state = State::Cancelling { acked: true };
                Step::Ask
            }
            State::Cancelling { .. } | State::Abandoned => Step::Nothing,
        }
    }

    /// The start timeout has passed. A chunked start is given more time as long as it moves on.
    pub(crate) fn expire(&mut self) -> Step {
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
            State::Sending { fresh: false } | State::Sent { fresh: false } => self.abandon(true),
            State::Cancelling { acked: false } => self.abandon(false),
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

    /// A part of the outcome arrived. That acknowledges the start as well: the rest may take longer
    /// than the start timeout.
    pub(crate) fn more(
        &mut self,
        context: ContextId,
        chunk: &[u8],
        allowance: &mut Allowance,
    ) -> Result<(), PeerMisbehaved> {
        if !self.replying(context)? {
            return if chunk.is_empty() { Err(PeerMisbehaved::EmptyChunk(context)) } else { Ok(()) };
        }
        self.state = match self.state {
            State::Cancelling { .. } => State::Cancelling { acked: true },
            _ => State::Acked,
        };
        self.outcome.push(context, chunk, allowance)
    }

    /// The end arrived: the outcome for the starter, or none if it has stopped waiting.
    pub(crate) fn end(
        &mut self,
        context: ContextId,
        last: Bytes,
        is_error: bool,
        allowance: &mut Allowance,
    ) -> Result<Option<Outcome>, PeerMisbehaved> {
        if !self.replying(context)? {
            return Ok(None);
        }
        let whole = mem::take(&mut self.outcome).complete(context, last, allowance)?;
        if !is_error {
            return Ok(Some(Ok(whole)));
        }
        match payload::decode::<RemoteError>(&whole) {
            Ok(error) => Ok(Some(Err(Box::new(error)))),
            Err(error) => Err(PeerMisbehaved::UnreadableError { context, reason: error.reason }),
        }
    }

    /// Whether the peer's reply is of interest, if it may reply at all.
    fn replying(&self, context: ContextId) -> Result<bool, PeerMisbehaved> {
        match self.state {
            State::Queued => Err(PeerMisbehaved::NotOpen(context)),
            State::Sending { .. } => Err(PeerMisbehaved::StillStarting(context)),
            State::Sent { .. } | State::Acked | State::Cancelling { .. } => Ok(true),
            State::Abandoned => Ok(false),
        }
    }

    /// Only before the first sign of life: there is no part of an outcome to drop.
    fn abandon(&mut self, send_cancel: bool) -> Step {
        self.state = State::Abandoned;
        self.kwargs = Chunks::default();
        Step::Abandon { send_cancel }
    }
}
