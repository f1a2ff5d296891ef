//! The limits of a session: what a peer may make this side hold, and for how long it may wait.
//!
//! Owns: the named limits and their reasons. Must not know: how they are enforced. Invariant:
//! every size that a peer chooses is compared with one of these before memory is reserved.

use std::time::Duration;

/// The largest part of a payload in one frame, in bytes, where several contexts have something to send:
/// 64 KiB. Larger parts save little (the header is under 0.1 %); smaller ones let other contexts in more
/// often than a socket's buffer drains. A context that is alone sends all that the peer takes in one
/// frame, which is read to where it stays.
pub const CHUNK: usize = 64 * 1024;

/// The longest text in a header, in bytes: function names, actor names, reasons. Honest ones
/// are under 200; without a bound a 128 KiB name would be copied into every log line.
pub const MAX_TEXT: usize = 4096;

/// The longest reason that a `Goodbye` gives, in bytes. It fits in [`MAX_HANDSHAKE_FRAME`], so
/// that a refusal can always be told.
pub const MAX_REASON: usize = 512;

/// What is left in a frame for what may stand around a part of a payload, in bytes.
pub(crate) const AROUND: usize = 2 * MAX_TEXT;

/// The smallest `max_frame` a side may announce: a chunk and what may stand around it. Under this bound a
/// sender need not know its peer's limit to send a chunk.
pub const MIN_MAX_FRAME: usize = CHUNK + AROUND;

/// The largest first frame of a connection, in bytes. Whoever connects has shown nothing yet;
/// this is all that a stranger can make the acceptor buffer.
pub const MAX_HANDSHAKE_FRAME: usize = 1024;

/// How many answers to `Ping` may wait to be sent. A peer that pings without reading would
/// otherwise grow the queue; past this the oldest answer is dropped.
pub const MAX_PENDING_PONGS: usize = 16;

/// The limits of one session. All sizes are in bytes.
#[derive(Clone, Debug)]
pub struct Config {
    /// The largest frame accepted, without its length prefix; at least [`MIN_MAX_FRAME`], which
    /// a lower value is raised to. Bounds what a peer makes the driver buffer for one frame, and what is
    /// sent in one.
    pub max_frame: usize,
    /// The largest payload accepted, put together from its chunks.
    pub max_payload: usize,
    /// The largest payload sent; at most `max_payload`, which a higher value is lowered to.
    pub max_sent: usize,
    /// How many bytes of unfinished payloads may be held for all contexts together: without it a
    /// peer could hold `max_contexts` × `max_payload`.
    pub max_buffered: usize,
    /// How many contexts each side may have open that it started itself.
    pub max_contexts: usize,
    /// How long the callee waits for the outcome before it acknowledges a start. Most calls end
    /// sooner and are spared the frame.
    pub ack_delay: Duration,
    /// How long the caller waits for an acknowledgement or an end. Much longer than `ack_delay`
    /// and a round trip together.
    pub start_timeout: Duration,
    /// How long the handshake may take; none where that is as long as the connection stands. Calls that are made
    /// meanwhile have their own bounds.
    pub handshake_timeout: Option<Duration>,
    /// How long a peer may stay after its `Goodbye`.
    pub goodbye_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_frame: MIN_MAX_FRAME,
            max_payload: 1 << 30,
            max_sent: 1 << 30,
            max_buffered: 2 << 30,
            max_contexts: 65_536,
            ack_delay: Duration::from_millis(50),
            start_timeout: Duration::from_secs(10),
            handshake_timeout: Some(Duration::from_secs(5)),
            goodbye_timeout: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// The same limits within what the protocol allows.
    pub(crate) fn clamped(mut self) -> Self {
        self.max_frame = self.max_frame.clamp(MIN_MAX_FRAME, u32::MAX as usize);
        self.max_sent = self.max_sent.min(self.max_payload);
        self
    }
}
