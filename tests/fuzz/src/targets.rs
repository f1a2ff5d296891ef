//! The targets.
//!
//! Owns: how bytes become input, and the properties that are checked. Must not know: files.
//! Invariant: a target depends on its bytes only, so every finding can be replayed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_wire::{Config, ContextId, Credit, Event, Message, Overrun, Role, Session, StartOptions};

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
/// large third one is still to be sent; a dialog, number 7, has been sent with credit for three
/// messages. It lets contexts of the peer send as many.
pub fn initiator(data: &[u8]) {
    converse(Role::Initiator, data);
}

/// Limits low enough for a fuzzer to reach.
const LIMITS: Config = Config {
    max_frame: 80 * 1024,
    max_payload: 256 * 1024,
    max_sent: 256 * 1024,
    max_buffered: 300 * 1024,
    max_contexts: 8,
    ack_delay: Duration::from_millis(50),
    start_timeout: Duration::from_secs(10),
    handshake_timeout: Some(Duration::from_secs(5)),
    goodbye_timeout: Duration::from_secs(5),
};

/// What the peer may send in each dialog.
const CREDIT: Credit = Credit { messages: 3, bytes: 100 * 1024 };

/// What is known of one dialog.
#[derive(Default)]
struct Dialog {
    has_first: bool,
    has_stopped: bool,
    messages: u64,
}

/// What is known of the contexts of one session.
#[derive(Default)]
struct Ledger {
    awaited: BTreeSet<ContextId>,
    seen: BTreeSet<ContextId>,
    running: Vec<ContextId>,
    cancelled: BTreeSet<ContextId>,
    dialogs: BTreeMap<ContextId, Dialog>,
    closed: bool,
}

impl Ledger {
    /// A dialog that is still open on this side.
    fn dialog(&mut self, context: ContextId) -> &mut Dialog {
        assert!(self.awaited.contains(&context) || self.running.contains(&context), "{context} is over");
        self.dialogs.get_mut(&context).expect("it is a dialog")
    }

    /// Checks all events there are, and says something in dialogs.
    fn check(&mut self, session: &mut Session) {
        while let Some(event) = session.poll_event() {
            assert!(!self.closed, "{event:?} after the end");
            match event {
                Event::Start { context, dialog, .. } => {
                    assert!(self.seen.insert(context), "{context} started twice");
                    self.running.push(context);
                    if dialog {
                        self.dialogs.insert(context, Dialog::default());
                        session.grant(context, CREDIT, Overrun::Wait);
                    }
                }
                Event::Cancel { context, .. } => {
                    assert!(self.running.contains(&context), "{context} does not run");
                    assert!(self.cancelled.insert(context), "{context} cancelled twice");
                }
                Event::Started { context, .. } => {
                    let dialog = self.dialog(context);
                    assert!(!dialog.has_first && dialog.messages == 0, "{context} said late that it started");
                    dialog.has_first = true;
                }
                Event::Message { context, .. } => {
                    let dialog = self.dialog(context);
                    dialog.messages += 1;
                    assert!(!dialog.has_stopped && dialog.messages <= CREDIT.messages, "{context}");
                }
                Event::Stopped { context } => {
                    let dialog = self.dialog(context);
                    assert!(!dialog.has_stopped, "{context} stopped twice");
                    dialog.has_stopped = true;
                }
                Event::Credit { context, credit, .. } => {
                    self.dialog(context);
                    let message = Bytes::from_static(b"\x02");
                    match credit.messages {
                        0 => session.stop(context),
                        1 => session.started(context, message).expect("fits"),
                        _ => session.send(context, message).expect("fits"),
                    }
                }
                Event::Ended { context, .. } => {
                    assert!(self.awaited.remove(&context), "{context} ended, but nobody waits");
                }
                Event::Closed { .. } => {
                    assert!(self.awaited.is_empty(), "closed with open contexts");
                    self.closed = true;
                }
                Event::Opened | Event::Acknowledged { .. } | Event::Pong { .. } => {}
            }
        }
        assert_eq!(session.is_closed(), self.closed);
        assert!(session.open_contexts() <= 2 * LIMITS.max_contexts);
    }
}

/// Starts two small calls, a large one and a dialog with a deadline, sends all but the rest of the
/// large one, and cancels the first.
fn begin(session: &mut Session, now: Instant) -> Ledger {
    let mut ledger = Ledger::default();
    for size in [0, 3, 200 * 1024] {
        let kwargs = Bytes::from(vec![0; size]);
        ledger.awaited.extend(session.start("a:b", kwargs, StartOptions::default(), now));
    }
    let mut out = BytesMut::new();
    session.poll_transmit(&mut out, 100);
    let options = StartOptions { deadline: Some(Duration::from_secs(1)), dialog: true };
    if let Ok(context) = session.start("a:c", Bytes::new(), options, now) {
        ledger.awaited.insert(context);
        ledger.dialogs.insert(context, Dialog::default());
        session.grant(context, CREDIT, Overrun::Error);
    }
    // The large call's second part has the turn; then come the dialog and its credit.
    for _ in 0..3 {
        out.clear();
        session.poll_transmit(&mut out, 1);
    }
    let nobody = ActorId { name: String::new(), uuid: String::new() };
    if let Some(context) = ledger.awaited.first() {
        session.cancel(*context, &nobody);
    }
    ledger
}

/// Feeds a session in pieces. The first byte says how large they are and how much is done
/// between them.
fn converse(role: Role, data: &[u8]) {
    let Some((pace, data)) = data.split_first() else {
        return;
    };
    let mut now = Instant::now();
    let mut session = Session::new(role, LIMITS, now);
    let mut ledger = begin(&mut session, now);
    let mut out = BytesMut::new();
    let mut buffer = BytesMut::new();
    for piece in data.chunks(1 + usize::from(pace >> 2) * 16) {
        buffer.extend_from_slice(piece);
        let result = session.handle_input(&mut buffer, now);
        assert!(result.is_ok() || session.is_closed(), "a violation leaves the session open");
        ledger.check(&mut session);
        if pace & 1 != 0 {
            out.clear();
            let has_output = session.has_output();
            assert_eq!(session.poll_transmit(&mut out, 4096), has_output);
            ledger.check(&mut session);
        }
        if pace & 2 != 0 {
            if !ledger.running.is_empty() {
                session.finish(ledger.running.remove(0), Ok(Bytes::from_static(b"\x01")));
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
