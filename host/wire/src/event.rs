//! What a session tells its driver.
//!
//! Owns: events, the outcome of a context, why a session closed, why a start is refused. Must
//! not know: how any of them comes about. Invariant: every `Start` that was not refused is
//! followed by exactly one `Ended` on the same session, and `Closed` is the last event.

use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::LimitExceeded;
use greenroom_abi::{ActorId, RemoteError};

use crate::flow::{Credit, Overrun};
use crate::id::ContextId;
use crate::payload::Payload;
use crate::violation::Violation;

/// How a context ended: the returned payload, or the error.
pub type Outcome = Result<Bytes, Box<RemoteError>>;

/// Something that the driver must know; see [`Session::poll_event`](crate::Session::poll_event).
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The handshake is done.
    Opened,
    /// The peer calls a function here. To be answered with one
    /// [`finish`](crate::Session::finish).
    Start {
        /// The new context.
        context: ContextId,
        /// The function's name, not yet resolved or checked beyond its length.
        function: String,
        /// The arguments' payload, not yet checked.
        kwargs: Bytes,
        /// How much time the caller had left when it started the context.
        deadline: Option<Duration>,
        /// Whether the caller awaits a first value and a stream.
        dialog: bool,
    },
    /// The task of an incoming context is to stop; its end is still to be told with `finish`.
    /// Comes at most once for each context.
    Cancel {
        /// The context.
        context: ContextId,
        /// Who asked; none if the caller gave up or the link is gone.
        by: Option<ActorId>,
    },
    /// The peer has begun the task of a context that was started here. Comes at most once, and
    /// not at all for a task that ends at once.
    Acknowledged {
        /// The context.
        context: ContextId,
    },
    /// The callee of a dialog that was started here gave its first value. Comes at most once, and
    /// says what `Acknowledged` would.
    Started {
        /// The context.
        context: ContextId,
        /// The value's payload, not yet checked.
        value: Bytes,
    },
    /// One message of the peer's stream, in the order they were sent.
    Message {
        /// The context.
        context: ContextId,
        /// The message's payload, not yet checked.
        payload: Payload,
    },
    /// The peer lets this side send so much more. The first one says that its stream is open.
    Credit {
        /// The context.
        context: ContextId,
        /// How much more.
        credit: Credit,
        /// What is to be done while there is none.
        overrun: Overrun,
    },
    /// The peer's stream has ended: no message follows. Comes at most once, and not for a stream
    /// that the callee's error has torn: that one ends with its context.
    Stopped {
        /// The context.
        context: ContextId,
    },
    /// A context that was started here has ended. No event of it follows.
    Ended {
        /// The context.
        context: ContextId,
        /// How.
        outcome: Outcome,
    },
    /// The peer answered a [`ping`](crate::Session::ping).
    Pong {
        /// The token of that ping.
        token: u64,
    },
    /// The session has ended. No event follows.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// Why a session closed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side said goodbye, and everything it had to say is sent.
    Goodbye,
    /// The peer said goodbye.
    PeerGoodbye {
        /// Why, in the peer's words: not to be trusted, to be shown escaped.
        reason: String,
    },
    /// The connection was lost; the error is the one that open contexts ended with.
    Disconnected(Box<RemoteError>),
    /// The protocol was broken.
    Violation(Violation),
    /// The handshake took too long.
    HandshakeTimeout,
}

/// Why a context cannot be started, or a message not be sent. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// As many contexts are open as may be.
    #[error("{limit} contexts are open already")]
    TooManyContexts {
        /// The limit.
        limit: usize,
    },
    /// The payload is too large.
    #[error("a payload of {size} bytes, where {limit} are allowed")]
    PayloadTooLarge {
        /// Their size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The function's name is too long.
    #[error("a function name of {size} bytes, where {limit} are allowed")]
    FunctionTooLong {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// One of the sides has said goodbye, or the session is closed.
    #[error("the session is closing or closed")]
    Closed,
}

impl Refused {
    /// The limit that was reached, as the standard error; none if the session is closed.
    pub fn limit(&self) -> Option<LimitExceeded> {
        let (limit, value) = match self {
            Self::TooManyContexts { limit } => ("max_contexts", *limit),
            Self::PayloadTooLarge { limit, .. } => ("payload", *limit),
            Self::FunctionTooLong { limit, .. } => ("max_text", *limit),
            Self::Closed => return None,
        };
        Some(LimitExceeded { limit: limit.to_owned(), value: value as u64 })
    }
}
