//! A context as the side that was called sees it.
//!
//! Owns: whether the task is yet to start, runs or has ended, and how its end is encoded. Must not
//! know: time, queues, other contexts. Invariant: exactly one end is sent for each context that the
//! peer has put on the wire.

use std::mem;

use bytes::Bytes;
use greenroom_abi::kind::{ContextCancelled, EncodeError, LimitExceeded};
use greenroom_abi::{ActorId, RemoteError, payload};

use super::Traffic;
use super::direction::Direction;
use super::incoming::Incoming;
use super::outgoing::{Frame, Kind, Outgoing};
use crate::assembly::{Allowance, check_part};
use crate::event::Outcome;
use crate::id::ContextId;
use crate::output::Output;
use crate::violation::PeerMisbehaved;

/// The callee's states. What it has sent as its stream stands in its queue.
///
/// ```text
///            Start                 finish              last frame
///  Opening ────────► Running ─────────────► Ending ───────────────► (gone)
///     │                 └─Cancel─┘             ▲
///     └───────────────── Cancel ───────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Chunks of the arguments have arrived.
    Opening,
    /// The task runs here. It is `silent` until something of it has left.
    Running { cancelled: bool, silent: bool },
    /// It has ended; its end is on the way to the wire.
    Ending,
}

/// The end of a context, encoded.
#[derive(Debug)]
struct End {
    is_error: bool,
    payload: Bytes,
}

impl End {
    /// Encodes an outcome. One that cannot be sent becomes the error that says why.
    fn new(outcome: Outcome, max_payload: usize) -> Self {
        match outcome {
            Ok(payload) if payload.len() <= max_payload => Self { is_error: false, payload },
            Ok(_) => Self::error(&Self::too_large(max_payload), max_payload),
            Err(error) => Self::error(&error, max_payload),
        }
    }

    fn error(error: &RemoteError, max_payload: usize) -> Self {
        let encoded = payload::encode(error).and_then(|bytes| match payload::check(&bytes) {
            Ok(()) => Ok(bytes),
            Err(malformed) => Err(EncodeError { reason: malformed.to_string() }),
        });
        let bytes = match encoded {
            Ok(bytes) if bytes.len() <= max_payload => bytes,
            Ok(_) => payload::encode(&Self::too_large(max_payload)).unwrap_or_default(),
            Err(error) => payload::encode(&RemoteError::of(&error)).unwrap_or_default(),
        };
        Self { is_error: true, payload: bytes.into() }
    }

    fn too_large(max_payload: usize) -> RemoteError {
        RemoteError::of(&LimitExceeded { limit: "payload".to_owned(), value: max_payload as u64 })
    }
}

/// One context that the peer started.
#[derive(Debug)]
pub(crate) struct Callee {
    state: State,
    /// What goes directly before the next frame.
    before: Option<Frame>,
    pub(crate) traffic: Traffic,
}

impl Callee {
    /// A context of which nothing has been taken in yet.
    pub(crate) fn new() -> Self {
        Self { state: State::Opening, before: None, traffic: Traffic::default() }
    }

    /// Whether a task runs for it.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Whether a task runs for it of which the caller has heard nothing.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.state, State::Running { silent: true, .. })
    }

    /// Whether its end is yet to be sent.
    pub(crate) fn is_ending(&self) -> bool {
        self.state == State::Ending
    }

    /// A part of the arguments arrived, or of a message of the caller.
    pub(crate) fn more(
        &mut self,
        context: ContextId,
        chunk: &[u8],
        allowance: &mut Allowance,
    ) -> Result<(), PeerMisbehaved> {
        let incoming = &mut self.traffic.incoming;
        match self.state {
            State::Opening => incoming.part(context, chunk, allowance),
            State::Running { .. } if incoming.check_dialog(context).is_err() => {
                Err(PeerMisbehaved::NotNew(context))
            }
            State::Running { .. } => incoming.part_of_message(context, chunk, allowance),
            State::Ending => check_part(context, chunk),
        }
    }

    /// The rest of the arguments arrived: gives the whole.
    pub(crate) fn start(
        &mut self,
        context: ContextId,
        last: Bytes,
        dialog: bool,
        allowance: &mut Allowance,
    ) -> Result<Bytes, PeerMisbehaved> {
        if self.state != State::Opening {
            return Err(PeerMisbehaved::NotNew(context));
        }
        let whole = self.traffic.incoming.complete(context, last, allowance)?;
        if dialog {
            self.traffic.incoming = Incoming::new(Direction::Open);
            self.traffic.outgoing = Outgoing::new(Direction::Silent);
        }
        self.state = State::Running { cancelled: false, silent: true };
        Ok(whole)
    }

    /// A message of the caller's stream arrived: where it goes, or none if it crossed the end.
    pub(crate) fn receive(&mut self, context: ContextId) -> Result<Option<&mut Incoming>, PeerMisbehaved> {
        match self.state {
            State::Opening => Err(PeerMisbehaved::StillStarting(context)),
            State::Running { .. } => Ok(Some(&mut self.traffic.incoming)),
            State::Ending => Ok(None),
        }
    }

    /// Asks the task to stop, and ends the caller's stream; true if it has to be told, which is at
    /// most once.
    pub(crate) fn cancel(&mut self, allowance: &mut Allowance) -> bool {
        let State::Running { cancelled, .. } = &mut self.state else {
            return false;
        };
        self.traffic.incoming.close(allowance);
        !mem::replace(cancelled, true)
    }

    /// Ends a context whose start is still incomplete; false if it is not such a one.
    pub(crate) fn withdraw(
        &mut self,
        context: ContextId,
        by: Option<&ActorId>,
        max_payload: usize,
        allowance: &mut Allowance,
    ) -> bool {
        if self.state != State::Opening {
            return false;
        }
        // The function's name comes with the `Start`, which never will.
        let kind = ContextCancelled { function: String::new() };
        let error = RemoteError { canceller: by.cloned(), ..RemoteError::of(&kind) };
        self.end(context, End::error(&error, max_payload), allowance);
        true
    }

    /// The task has ended: whether with an error, as far as the caller will see. A second end is
    /// ignored, and none.
    pub(crate) fn finish(
        &mut self,
        context: ContextId,
        outcome: Outcome,
        max_payload: usize,
        allowance: &mut Allowance,
    ) -> Option<bool> {
        let end = self.is_running().then(|| End::new(outcome, max_payload))?;
        let is_error = end.is_error;
        self.end(context, end, allowance);
        Some(is_error)
    }

    /// A value follows what is queued; an error takes its place.
    fn end(&mut self, context: ContextId, end: End, allowance: &mut Allowance) {
        self.state = State::Ending;
        self.traffic.incoming.close(allowance);
        if end.is_error {
            self.before = self.traffic.outgoing.fail(context, end.payload);
        } else {
            self.traffic.outgoing.offer(context, Kind::Return, end.payload);
        }
    }

    /// Writes the next frame, and what goes before it.
    pub(crate) fn transmit(&mut self, context: ContextId, most: usize, out: &mut impl Output) {
        let Some(frame) = self.traffic.outgoing.next(most) else {
            return;
        };
        if let Some(before) = self.before.take() {
            before.message(context).encode(out.end());
        }
        frame.transmit(&frame.message(context), out);
        if let State::Running { silent, .. } = &mut self.state {
            *silent = false;
        }
    }
}
