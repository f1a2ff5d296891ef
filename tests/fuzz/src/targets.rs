//! The targets.
//!
//! Owns: how bytes become input, and the properties that are checked. Must not know: files.
//! Invariant: a target depends on its bytes only, so every finding can be replayed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_wire::{Config, ContextId, Event, Message, Role, Session, StartOptions};

/// What a fuzzer calls.
pub type Target = fn(&[u8]);

/// All targets, under the names of their corpus folders.
pub const TARGETS: [(&str, Target); 3] =
    [("message", message), ("acceptor", acceptor), ("initiator", initiator)];

/// Decodes one message, without its length prefix. What can be decoded can be encoded again and
/// means the same.
pub fn message(data: &[u8]) {
    let Ok(message) = Message::decode(data) else {
        return;
    };
    let mut out = BytesMut::new();
    message.encode(&mut out);
    assert!(out.len() <= data.len() + 4, "the shortest form is never longer");
    assert_eq!(Message::decode(&out[4..]), Ok(message));
}

/// Gives the bytes to an acceptor that has contexts of its own waiting.
pub fn acceptor(data: &[u8]) {
    converse(Role::Acceptor, data);
}

/// Gives the bytes to an initiator that has sent two small starts, and cancelled one of them; a
/// large third one is still to be sent.
pub fn initiator(data: &[u8]) {
    converse(Role::Initiator, data);
}

/// Limits low enough for a fuzzer to reach.
const LIMITS: Config = Config {
    max_frame: 80 * 1024,
    max_payload: 256 * 1024,
    max_buffered: 300 * 1024,
    max_contexts: 8,
    ack_delay: Duration::from_millis(50),
    start_timeout: Duration::from_secs(10),
    handshake_timeout: Duration::from_secs(5),
};

/// What is known of the contexts of one session.
#[derive(Default)]
struct Ledger {
    awaited: BTreeSet<ContextId>,
    running: Vec<ContextId>,
    cancelled: BTreeSet<ContextId>,
    closed: bool,
}

impl Ledger {
    /// Checks all events there are.
    fn check(&mut self, session: &mut Session) {
        while let Some(event) = session.poll_event() {
            assert!(!self.closed, "{event:?} after the end");
            match event {
                Event::Start { context, .. } => {
                    assert!(!self.running.contains(&context), "{context} started twice");
                    self.running.push(context);
                }
                Event::Cancel { context, .. } => {
                    assert!(self.running.contains(&context), "{context} does not run");
                    assert!(self.cancelled.insert(context), "{context} cancelled twice");
                }
                Event::Ended { context, .. } => {
                    assert!(self.awaited.remove(&context), "{context} ended, but nobody waits");
                }
                Event::Closed { .. } => {
                    assert!(self.awaited.is_empty(), "closed with open contexts");
                    self.closed = true;
                }
                _ => {}
            }
        }
        assert_eq!(session.is_closed(), self.closed);
        assert!(session.open_contexts() <= 2 * LIMITS.max_contexts);
    }
}

/// Feeds a session in pieces. The first byte says how large they are and how much is done
/// between them.
fn converse(role: Role, data: &[u8]) {
    let Some((pace, data)) = data.split_first() else {
        return;
    };
    let mut now = Instant::now();
    let mut session = Session::new(role, LIMITS, now);
    let mut ledger = Ledger::default();
    for size in [0, 3, 200 * 1024] {
        let kwargs = Bytes::from(vec![0; size]);
        ledger.awaited.extend(session.start("a:b", kwargs, StartOptions::default(), now));
    }
    let mut out = BytesMut::new();
    session.poll_transmit(&mut out, 100);
    let nobody = ActorId { name: String::new(), uuid: String::new() };
    if let Some(context) = ledger.awaited.first() {
        session.cancel(*context, &nobody);
    }

    let mut buffer = BytesMut::new();
    for piece in data.chunks(1 + usize::from(pace >> 2) * 16) {
        buffer.extend_from_slice(piece);
        let result = session.handle_input(&mut buffer, now);
        assert!(result.is_ok() || session.is_closed(), "a violation leaves the session open");
        ledger.check(&mut session);
        if pace & 1 != 0 {
            out.clear();
            session.poll_transmit(&mut out, 4096);
        }
        if pace & 2 != 0 {
            if let Some(context) = ledger.running.first() {
                session.finish(*context, Ok(Bytes::from_static(b"\x01")));
            }
            now += Duration::from_millis(40);
            session.handle_timeout(now);
        }
        ledger.check(&mut session);
    }
    session.handle_disconnect(&RemoteError::new("ActorDied", "the end of the input"));
    ledger.check(&mut session);
    assert!(ledger.closed && ledger.awaited.is_empty());
    assert_eq!((session.open_contexts(), session.poll_timeout()), (0, None));
    assert!(!session.has_output());
}
