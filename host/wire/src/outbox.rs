//! What waits to be sent, and in which order it goes.
//!
//! Owns: the control lane, the errors, the round of contexts that have data, the last word. Must
//! not know: what the data is; the payloads stay with their dialogs. Invariant: control goes
//! before errors and errors before data; each context with data sends one frame in its turn;
//! nothing follows a `Goodbye`.
//!
//! First frames of contexts leave in the order of their ids: a new context joins the round at
//! its end, and a chunk sends its context behind those that have joined before.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use greenroom_abi::ActorId;

use crate::config::{CHUNK, MAX_PENDING_PONGS, MAX_REASON, MAX_TEXT};
use crate::id::ContextId;
use crate::message::Message;

/// A payload that is handed out in parts.
#[derive(Debug, Default)]
pub(crate) struct Chunks(Bytes);

/// The next part of a payload.
pub(crate) enum Part {
    /// Others follow.
    More(Bytes),
    /// The last or only one.
    Last(Bytes),
}

impl Chunks {
    pub(crate) fn new(payload: Bytes) -> Self {
        Self(payload)
    }

    pub(crate) fn next(&mut self) -> Part {
        if self.0.len() > CHUNK {
            Part::More(self.0.split_to(CHUNK))
        } else {
            Part::Last(std::mem::take(&mut self.0))
        }
    }
}

/// A message that never waits for data.
#[derive(Debug)]
pub(crate) enum Control {
    Hello { version: u64, max_frame: u64 },
    Welcome { version: u64, max_frame: u64 },
    Ping { token: u64 },
    Pong { token: u64 },
    StartAck { context: ContextId },
    Cancel { context: ContextId, by: Option<Box<ActorId>> },
}

impl Control {
    fn encode(&self, out: &mut BytesMut) {
        let message = match self {
            Self::Hello { version, max_frame } => Message::Hello { version: *version, max_frame: *max_frame },
            Self::Welcome { version, max_frame } => {
                Message::Welcome { version: *version, max_frame: *max_frame }
            }
            Self::Ping { token } => Message::Ping { token: *token },
            Self::Pong { token } => Message::Pong { token: *token },
            Self::StartAck { context } => Message::StartAck { context: *context },
            Self::Cancel { context, by } => {
                let by = by.as_ref().map(|by| (shortened(&by.name, MAX_TEXT), shortened(&by.uuid, MAX_TEXT)));
                Message::Cancel { context: *context, by }
            }
        };
        message.encode(out);
    }
}

/// Everything that waits to be sent on one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    control: VecDeque<Control>,
    /// How many of `control` are pongs.
    pongs: usize,
    /// The contexts whose error is to be sent. Only its first frame is urgent: a large one is data.
    errors: VecDeque<ContextId>,
    /// The contexts with data, each once; it may name contexts that have none any more.
    round: VecDeque<ContextId>,
    /// How many of `errors` and `round` have something to send.
    waiting: usize,
    goodbye: Option<String>,
    /// Nothing may be added any more.
    shut: bool,
}

impl Outbox {
    pub(crate) fn control(&mut self, message: Control) {
        if self.shut {
            return;
        }
        if matches!(message, Control::Pong { .. }) {
            if self.pongs == MAX_PENDING_PONGS {
                let oldest = self.control.iter().position(|m| matches!(m, Control::Pong { .. }));
                oldest.and_then(|at| self.control.remove(at));
                self.pongs -= 1;
            }
            self.pongs += 1;
        }
        self.control.push_back(message);
    }

    /// The answer to the handshake goes before what has gathered meanwhile.
    pub(crate) fn control_first(&mut self, message: Control) {
        self.control.push_front(message);
    }

    /// The context has data from now on.
    pub(crate) fn join(&mut self, context: ContextId) {
        if !self.shut {
            self.round.push_back(context);
            self.waiting += 1;
        }
    }

    /// The context has an error to send from now on, and no data.
    pub(crate) fn join_error(&mut self, context: ContextId) {
        if !self.shut {
            self.errors.push_back(context);
            self.waiting += 1;
        }
    }

    /// A context that had data has none any more. Its place in the round is passed over later;
    /// `has_data` tells which of the others to keep when such places become too many.
    pub(crate) fn withdraw(&mut self, has_data: impl Fn(ContextId) -> bool) {
        self.waiting = self.waiting.saturating_sub(1);
        if self.round.len() > 2 * self.waiting + 64 {
            self.round.retain(|context| has_data(*context));
        }
    }

    /// Writes the next control message, if there is one.
    pub(crate) fn transmit_control(&mut self, out: &mut BytesMut) -> bool {
        let Some(message) = self.control.pop_front() else {
            return false;
        };
        self.pongs -= usize::from(matches!(message, Control::Pong { .. }));
        message.encode(out);
        true
    }

    /// The context whose turn it is. It may have no data any more.
    pub(crate) fn take_turn(&mut self) -> Option<ContextId> {
        self.errors.pop_front().or_else(|| self.round.pop_front())
    }

    /// What became of the context that took its turn: it has more to send, or is done.
    pub(crate) fn took_turn(&mut self, context: ContextId, done: bool) {
        if done {
            self.waiting -= 1;
        } else {
            self.round.push_back(context);
        }
    }

    /// Nothing may be added any more; a `Goodbye` follows what is there.
    pub(crate) fn goodbye(&mut self, reason: &str) {
        if !self.shut {
            self.goodbye = Some(shortened(reason, MAX_REASON).to_owned());
            self.shut = true;
        }
    }

    /// Writes the `Goodbye`, if there is one.
    pub(crate) fn transmit_goodbye(&mut self, out: &mut BytesMut) -> bool {
        let goodbye = self.goodbye.take();
        if let Some(reason) = &goodbye {
            Message::Goodbye { reason }.encode(out);
        }
        goodbye.is_some()
    }

    /// Drops what waits, but takes more.
    pub(crate) fn clear(&mut self) {
        let shut = self.shut;
        *self = Self { shut, ..Self::default() };
    }

    /// Drops what waits, and nothing may be added any more.
    pub(crate) fn shut(&mut self) {
        *self = Self { shut: true, ..Self::default() };
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.waiting == 0 && self.goodbye.is_none()
    }
}

/// The longest start of a text that is at most `limit` bytes.
fn shortened(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortens_between_characters() {
        assert_eq!(shortened("aé", 3), "aé");
        assert_eq!(shortened("aé", 2), "a");
    }

    #[test]
    fn keeps_the_newest_pongs() {
        let mut outbox = Outbox::default();
        outbox.control(Control::Ping { token: 7 });
        for token in 0..MAX_PENDING_PONGS as u64 + 2 {
            outbox.control(Control::Pong { token });
        }
        let mut out = BytesMut::new();
        let mut written = Vec::new();
        while outbox.transmit_control(&mut out) {
            let frame = crate::frame::take(&mut out, CHUNK).expect("fits").expect("is whole");
            written.push(format!("{:?}", Message::decode(&frame).expect("decodes")));
        }
        assert_eq!(written.len(), 1 + MAX_PENDING_PONGS);
        assert_eq!(written[0], "Ping { token: 7 }");
        assert_eq!(written[1], "Pong { token: 2 }");
    }

    #[test]
    fn withdrawn_contexts_do_not_pile_up() {
        let mut outbox = Outbox::default();
        for number in 1..10_000 {
            outbox.join(ContextId::new(number).expect("not zero"));
            outbox.withdraw(|_| false);
        }
        assert!(outbox.is_empty());
        assert!(outbox.round.len() <= 65, "{} places", outbox.round.len());
    }
}
