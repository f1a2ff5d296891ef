//! What waits to be sent, and in which order it goes.
//!
//! Owns: the control lane, the credits, the errors, the round of contexts that have data, the last
//! word. Must not know: what the data is; the payloads stay with their dialogs. Invariant: control
//! and credits go before errors and errors before data; each context with data has one turn before
//! another has its next; nothing follows a `Goodbye`.
//!
//! First frames of contexts leave in the order of their ids: a new context joins the round at
//! its end, and a chunk sends its context behind those that have joined before.

use std::collections::VecDeque;
use std::mem;

use bytes::BytesMut;
use greenroom_abi::ActorId;

use crate::config::{MAX_PENDING_PONGS, MAX_REASON, MAX_TEXT};
use crate::flow::{Credit, Overrun};
use crate::id::ContextId;
use crate::message::Message;

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

/// What an outbox knows of one context. It stays with the context's dialog, so that the outbox
/// need not look for it.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// It has data or an error to send.
    waits: bool,
    /// It has a place in the round; without data, one that is passed over.
    in_round: bool,
    /// It stands with the errors, and its next turn is for that.
    urgent: bool,
    /// What it has to grant.
    credit: Option<(Credit, Overrun)>,
    /// That may be sent.
    credit_waits: bool,
}

impl Place {
    /// Adds to what is to be granted. It goes out with the next
    /// [`join_credit`](Outbox::join_credit).
    pub(crate) fn owe(&mut self, credit: Credit, overrun: Overrun) {
        let owed = self.credit.map_or_else(Credit::default, |(owed, _)| owed);
        let messages = owed.messages.saturating_add(credit.messages);
        let bytes = owed.bytes.saturating_add(credit.bytes);
        self.credit = Some((Credit { messages, bytes }, overrun));
    }

    /// Gives its place in the round back unless it has data; true if it stays.
    pub(crate) fn stay(&mut self) -> bool {
        self.in_round = self.waits;
        self.waits
    }
}

/// Everything that waits to be sent on one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    control: VecDeque<Control>,
    /// How many of `control` are pongs.
    pongs: usize,
    /// The contexts that have to grant something, each once. It may name such that have ended.
    credits: VecDeque<ContextId>,
    /// The contexts whose error is to be sent. Only its first frame is urgent: a large one is data.
    errors: VecDeque<ContextId>,
    /// The contexts with data, each once; it may name contexts that have none any more.
    round: VecDeque<ContextId>,
    /// How many of `credits`, and of `errors` and `round` together, have something to send.
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

    /// The context has data now.
    pub(crate) fn join(&mut self, context: ContextId, place: &mut Place) {
        if self.shut {
            return;
        }
        self.waiting += usize::from(!mem::replace(&mut place.waits, true));
        if !mem::replace(&mut place.in_round, true) {
            self.round.push_back(context);
        }
    }

    /// The context has an error to send from now on, and no other data.
    pub(crate) fn join_error(&mut self, context: ContextId, place: &mut Place) {
        if self.shut {
            return;
        }
        self.waiting += usize::from(!mem::replace(&mut place.waits, true));
        place.urgent = true;
        self.errors.push_back(context);
    }

    /// What the context owes may be sent now.
    pub(crate) fn join_credit(&mut self, context: ContextId, place: &mut Place) {
        if !self.shut && place.credit.is_some() && !mem::replace(&mut place.credit_waits, true) {
            self.waiting += 1;
            self.credits.push_back(context);
        }
    }

    /// The context has no data any more. Its place in the round is passed over later.
    pub(crate) fn withdraw_data(&mut self, place: &mut Place) {
        self.forget(usize::from(mem::take(&mut place.waits)));
    }

    /// The context has nothing to grant any more.
    pub(crate) fn withdraw_credit(&mut self, place: &mut Place) {
        place.credit = None;
        self.forget(usize::from(mem::take(&mut place.credit_waits)));
    }

    /// The context has neither any more.
    pub(crate) fn withdraw(&mut self, place: &mut Place) {
        self.withdraw_data(place);
        self.withdraw_credit(place);
    }

    /// An outbox that was cleared has forgotten them already.
    fn forget(&mut self, count: usize) {
        self.waiting = self.waiting.saturating_sub(count);
    }

    /// Gives up places in the round that are passed over, when they have become too many; `stay`
    /// is the answer of each context's [`Place::stay`], and no for an unknown one.
    pub(crate) fn tidy(&mut self, mut stay: impl FnMut(ContextId) -> bool) {
        if self.round.len() > 2 * self.waiting + 64 {
            self.round.retain(|context| stay(*context));
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

    /// The context whose turn it is to grant something. It may be gone.
    pub(crate) fn take_creditor(&mut self) -> Option<ContextId> {
        self.credits.pop_front()
    }

    /// What that context has to grant, which counts as sent.
    pub(crate) fn take_credit(&mut self, place: &mut Place) -> Option<(Credit, Overrun)> {
        self.forget(usize::from(mem::take(&mut place.credit_waits)));
        place.credit.take()
    }

    /// The context whose turn it is. It may be gone.
    pub(crate) fn take_turn(&mut self) -> Option<ContextId> {
        self.errors.pop_front().or_else(|| self.round.pop_front())
    }

    /// Whether no more than one context has something to send.
    pub(crate) fn is_for_one(&self) -> bool {
        self.waiting <= 1
    }

    /// Whether the context that has the turn has something to send.
    pub(crate) fn has_turn(&self, place: &mut Place) -> bool {
        if !mem::take(&mut place.urgent) {
            place.in_round = false;
        }
        place.waits
    }

    /// The context took its turn: it has more to send, or is done for now.
    pub(crate) fn took_turn(&mut self, context: ContextId, place: &mut Place, done: bool) {
        if done {
            place.waits = false;
            self.forget(1);
        } else if !mem::replace(&mut place.in_round, true) {
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
            let frame = crate::frame::take(&mut out, 100).expect("fits").expect("is whole");
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
            let mut place = Place::default();
            outbox.join(ContextId::new(number).expect("not zero"), &mut place);
            outbox.withdraw(&mut place);
            outbox.tidy(|_| false);
        }
        assert!(outbox.is_empty());
        assert!(outbox.round.len() <= 65, "{} places", outbox.round.len());
    }

    #[test]
    fn a_context_stands_in_the_round_once() {
        let context = ContextId::new(1).expect("not zero");
        let (mut outbox, mut place) = (Outbox::default(), Place::default());
        for _ in 0..3 {
            outbox.join(context, &mut place);
            outbox.withdraw_data(&mut place);
        }
        assert!(outbox.is_empty());
        outbox.join_error(context, &mut place);
        assert_eq!(outbox.take_turn(), Some(context));
        assert!(outbox.has_turn(&mut place));
        outbox.took_turn(context, &mut place, false);
        assert_eq!(outbox.take_turn(), Some(context));
        assert!(outbox.has_turn(&mut place));
        outbox.took_turn(context, &mut place, true);
        assert_eq!(outbox.take_turn(), None);
        assert!(outbox.is_empty());
    }

    #[test]
    fn credits_of_one_context_become_one() {
        let context = ContextId::new(1).expect("not zero");
        let (mut outbox, mut place) = (Outbox::default(), Place::default());
        outbox.join_credit(context, &mut place);
        assert!(outbox.is_empty(), "nothing is owed");
        place.owe(Credit { messages: 1, bytes: u64::MAX }, Overrun::Wait);
        outbox.join_credit(context, &mut place);
        place.owe(Credit { messages: 2, bytes: 3 }, Overrun::Error);
        outbox.join_credit(context, &mut place);
        assert_eq!((outbox.take_creditor(), outbox.take_creditor()), (Some(context), None));
        let credit = Credit { messages: 3, bytes: u64::MAX };
        assert_eq!(outbox.take_credit(&mut place), Some((credit, Overrun::Error)));
        assert!(outbox.is_empty());
    }
}
