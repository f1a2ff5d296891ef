//! A context as the side that was called sees it.
//!
//! Owns: the parts of the arguments so far, whether the task runs or has ended, and what of its
//! end is yet to be sent. Must not know: time, queues, other contexts. Invariant: exactly one
//! end is sent for each context that the peer has put on the wire.

use std::mem;

use bytes::{Bytes, BytesMut};
use greenroom_abi::kind::{ContextCancelled, EncodeError, LimitExceeded};
use greenroom_abi::{ActorId, RemoteError, payload};

use crate::assembly::{Allowance, Assembly};
use crate::event::Outcome;
use crate::id::ContextId;
use crate::message::Message;
use crate::outbox::{Chunks, Part};
use crate::violation::PeerMisbehaved;

/// The callee's states.
///
/// ```text
///            Start                 finish              last frame
///  Opening ────────► Running ─────────────► Ending ───────────────► (gone)
///     │                 └─Cancel─┘             ▲
///     └───────────────── Cancel ───────────────┘
/// ```
#[derive(Debug)]
enum State {
    /// Chunks of the arguments have arrived.
    Opening(Assembly),
    /// The task runs here.
    Running { cancelled: bool },
    /// It has ended; its end is on the way to the wire.
    Ending(End),
}

/// The end of a context, encoded.
#[derive(Debug)]
struct End {
    is_error: bool,
    payload: Chunks,
}

impl End {
    /// Encodes an outcome. One that cannot be sent becomes the error that says why.
    fn new(outcome: Outcome, max_payload: usize) -> Self {
        match outcome {
            Ok(payload) if payload.len() <= max_payload => {
                Self { is_error: false, payload: Chunks::new(payload) }
            }
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
        Self { is_error: true, payload: Chunks::new(bytes.into()) }
    }

    fn too_large(max_payload: usize) -> RemoteError {
        RemoteError::of(&LimitExceeded { limit: "max_payload".to_owned(), value: max_payload as u64 })
    }
}

/// One context that the peer started.
#[derive(Debug)]
pub(crate) struct Callee(State);

impl Callee {
    /// A context of which nothing has been taken in yet.
    pub(crate) fn new() -> Self {
        Self(State::Opening(Assembly::default()))
    }

    /// Whether a task runs for it.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.0, State::Running { .. })
    }

    /// Whether its end is yet to be sent.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.0, State::Ending(_))
    }

    /// A part of the arguments arrived.
    pub(crate) fn more(
        &mut self,
        context: ContextId,
        chunk: &[u8],
        allowance: &mut Allowance,
    ) -> Result<(), PeerMisbehaved> {
        match &mut self.0 {
            State::Opening(kwargs) => kwargs.push(context, chunk, allowance),
            State::Running { .. } | State::Ending(_) => Err(PeerMisbehaved::NotNew(context)),
        }
    }

    /// The rest of the arguments arrived: gives the whole.
    pub(crate) fn start(
        &mut self,
        context: ContextId,
        last: Bytes,
        allowance: &mut Allowance,
    ) -> Result<Bytes, PeerMisbehaved> {
        let State::Opening(kwargs) = &mut self.0 else {
            return Err(PeerMisbehaved::NotNew(context));
        };
        let whole = mem::take(kwargs).complete(context, last, allowance)?;
        self.0 = State::Running { cancelled: false };
        Ok(whole)
    }

    /// Asks the task to stop; true if it has to be told, which is at most once.
    pub(crate) fn cancel(&mut self) -> bool {
        match &mut self.0 {
            State::Running { cancelled } => !mem::replace(cancelled, true),
            State::Opening(_) | State::Ending(_) => false,
        }
    }

    /// Ends a context whose start is still incomplete; false if it is not such a one.
    pub(crate) fn withdraw(
        &mut self,
        by: Option<&ActorId>,
        max_payload: usize,
        allowance: &mut Allowance,
    ) -> bool {
        let State::Opening(kwargs) = &mut self.0 else {
            return false;
        };
        mem::take(kwargs).discard(allowance);
        // The function's name comes with the `Start`, which never will.
        let kind = ContextCancelled { function: String::new() };
        let error = RemoteError { canceller: by.cloned(), ..RemoteError::of(&kind) };
        self.0 = State::Ending(End::error(&error, max_payload));
        true
    }

    /// The task has ended. A second end is ignored, and false.
    pub(crate) fn finish(&mut self, outcome: Outcome, max_payload: usize) -> bool {
        let running = self.is_running();
        if running {
            self.0 = State::Ending(End::new(outcome, max_payload));
        }
        running
    }

    /// Writes the next frame of the end; true if nothing more is to be sent.
    pub(crate) fn transmit(&mut self, context: ContextId, out: &mut BytesMut) -> bool {
        let State::Ending(end) = &mut self.0 else {
            return false;
        };
        match end.payload.next() {
            Part::More(chunk) => {
                Message::More { context, chunk: &chunk }.encode(out);
                false
            }
            Part::Last(payload) if end.is_error => {
                Message::Error { context, payload: &payload }.encode(out);
                true
            }
            Part::Last(payload) => {
                Message::Return { context, payload: &payload }.encode(out);
                true
            }
        }
    }
}
