//! What may go wrong with the protocol itself, and whose fault it is.
//!
//! Owns: the list of violations. Must not know: where each is found. Invariant: each names one
//! guilty side; what a peer may legally do is never in this list.

use greenroom_abi::kind;

use crate::cbor::HeaderError;
use crate::id::ContextId;

/// The protocol was broken; the session is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// By the peer.
    #[error("the peer broke the protocol: {0}")]
    PeerMisbehaved(#[from] PeerMisbehaved),
    /// By whoever drives this session.
    #[error("the session was misused: {0}")]
    ApiMisuse(#[from] ApiMisuse),
}

impl Violation {
    /// The error that open contexts end with.
    pub(crate) fn to_kind(&self) -> kind::PeerMisbehaved {
        let violation = match self {
            Self::PeerMisbehaved(fault) => fault.to_string(),
            Self::ApiMisuse(fault) => fault.to_string(),
        };
        kind::PeerMisbehaved { violation }
    }
}

/// What the peer did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerMisbehaved {
    /// A frame longer than this side accepts at this point.
    #[error("a frame of {length} bytes, where {limit} are allowed")]
    FrameTooLarge {
        /// What the frame's prefix says.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A header that cannot be read.
    #[error("a malformed frame: {0}")]
    Header(#[from] HeaderError),
    /// A message number that this version does not have, or only reserves.
    #[error("an unknown message kind {0}")]
    UnknownKind(u64),
    /// A context id where there must be none, or none where there must be one.
    #[error("message kind {kind} with context {context}")]
    WrongContext {
        /// The message number.
        kind: u64,
        /// The context number it came with.
        context: u64,
    },
    /// A first frame that is not the handshake's.
    #[error("message kind {0} before the handshake")]
    BeforeHandshake(u64),
    /// A handshake message of the wrong role, or a second one.
    #[error("message kind {0}, which has no place after or in this handshake")]
    UnexpectedHandshake(u64),
    /// A version that this side does not speak.
    #[error("protocol version {0}")]
    UnsupportedVersion(u64),
    /// A `max_frame` below the protocol's minimum.
    #[error("a maximal frame of {0} bytes, below the protocol's minimum")]
    MaxFrameTooSmall(u64),
    /// A context started under an id of the wrong parity.
    #[error("context {0} started by the side that does not own its number")]
    NotYours(ContextId),
    /// A context started twice, or out of order, or continued after its end.
    #[error("a start of context {0}, whose number is not new")]
    NotNew(ContextId),
    /// More open contexts than allowed.
    #[error("more than {0} open contexts")]
    TooManyContexts(usize),
    /// A message in a context of the sender's own that it never started.
    #[error("a message in context {0}, which was never started")]
    NeverStarted(ContextId),
    /// A reply in a context that is not open.
    #[error("a reply in context {0}, which is not open")]
    NotOpen(ContextId),
    /// A message in a context whose start has not been sent completely.
    #[error("a message in context {0}, which is still being started")]
    StillStarting(ContextId),
    /// A second acknowledgement.
    #[error("a second acknowledgement of context {0}")]
    AckedTwice(ContextId),
    /// A message of a dialog in a plain call.
    #[error("a message of a dialog in context {0}, which is a plain call")]
    NotDialog(ContextId),
    /// A second first value.
    #[error("a second first value in context {0}")]
    StartedTwice(ContextId),
    /// A message of the callee's stream before its first value.
    #[error("a message of the stream of context {0} before its first value")]
    BeforeStarted(ContextId),
    /// A message of a stream that has ended.
    #[error("a message in context {0} behind the end of its stream")]
    AfterStop(ContextId),
    /// A message that the receiver has not allowed.
    #[error("a message in context {0} for which there was no credit")]
    NoCredit(ContextId),
    /// A message that was said to be lent where it cannot be.
    #[error("a message in context {0} that is lent where nothing can be")]
    NotLent(ContextId),
    /// A chunk without content: it would cost the sender nothing.
    #[error("an empty chunk in context {0}")]
    EmptyChunk(ContextId),
    /// A payload longer than allowed.
    #[error("a payload of over {limit} bytes in context {context}")]
    PayloadTooLarge {
        /// Where.
        context: ContextId,
        /// What is allowed.
        limit: usize,
    },
    /// Too many bytes of unfinished payloads.
    #[error("over {0} bytes of unfinished payloads")]
    TooMuchBuffered(usize),
    /// An `Error` whose payload is not a remote error.
    #[error("an error in context {context} that cannot be decoded: {reason}")]
    UnreadableError {
        /// Where.
        context: ContextId,
        /// What the decoder said.
        reason: String,
    },
    /// A frame after the sender's own `Goodbye`.
    #[error("a frame after goodbye")]
    AfterGoodbye,
    /// The connection still stands, long after the peer's `Goodbye`.
    #[error("stayed connected after goodbye")]
    Lingering,
}

/// What the driver did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiMisuse {
    /// Input was given after a violation had closed the session.
    #[error("input after a violation")]
    InputAfterViolation,
}
