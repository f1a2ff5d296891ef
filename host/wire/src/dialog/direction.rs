//! How far one direction of a context has come.
//!
//! Owns: which message of a stream may follow which. Must not know: payloads, credit, which side
//! it is on. Invariant: sender and receiver go through the same states in the same order, so that
//! what the sender's lets through is no violation at the receiver's.

use crate::id::ContextId;
use crate::violation::PeerMisbehaved;

/// The states of one direction. The caller's begins at `Open`.
///
/// ```text
///  Silent ──Started──► Open ──Stop, Cancel, end──► Stopped
///     └──────────────────Stop, end───────────────────┘        Plain, for ever
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Direction {
    /// A plain call, or one whose start has not arrived: there is no stream.
    #[default]
    Plain,
    /// The callee has not given its first value.
    Silent,
    /// Messages may be sent.
    Open,
    /// No message follows.
    Stopped,
}

impl Direction {
    pub(crate) fn is_dialog(self) -> bool {
        self != Self::Plain
    }

    /// The callee's first value.
    pub(crate) fn started(&mut self, context: ContextId) -> Result<(), PeerMisbehaved> {
        match self {
            Self::Plain => Err(PeerMisbehaved::NotDialog(context)),
            Self::Silent => {
                *self = Self::Open;
                Ok(())
            }
            Self::Open => Err(PeerMisbehaved::StartedTwice(context)),
            Self::Stopped => Err(PeerMisbehaved::AfterStop(context)),
        }
    }

    /// One message.
    pub(crate) fn message(self, context: ContextId) -> Result<(), PeerMisbehaved> {
        match self {
            Self::Plain => Err(PeerMisbehaved::NotDialog(context)),
            Self::Silent => Err(PeerMisbehaved::BeforeStarted(context)),
            Self::Open => Ok(()),
            Self::Stopped => Err(PeerMisbehaved::AfterStop(context)),
        }
    }

    /// The end of the stream.
    pub(crate) fn stop(&mut self, context: ContextId) -> Result<(), PeerMisbehaved> {
        match self {
            Self::Plain => Err(PeerMisbehaved::NotDialog(context)),
            Self::Silent | Self::Open => {
                *self = Self::Stopped;
                Ok(())
            }
            Self::Stopped => Err(PeerMisbehaved::AfterStop(context)),
        }
    }

    /// Whatever comes next, it is not of the stream.
    pub(crate) fn close(&mut self) {
        if self.is_dialog() {
            *self = Self::Stopped;
        }
    }
}
