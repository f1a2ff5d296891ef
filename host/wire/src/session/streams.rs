//! The streams of dialogs: what the runtime sends in them, and what arrives.
//!
//! Owns: first values, messages, credit and the end of a stream, from the command to the outbox
//! and from the frame to the event. Must not know: how contexts start and end. Invariant: what a
//! context no longer has a place for is dropped here, and said by nobody.

use bytes::{Bytes, BytesMut};

use super::contexts::Contexts;
use super::{Phase, Session};
use crate::assembly::Allowance;
use crate::dialog::{Callee, Caller, Incoming, Kind, Traffic};
use crate::event::{Event, Refused};
use crate::flow::{Credit, Overrun};
use crate::id::{ContextId, Role};
use crate::message::Message;
use crate::payload::Payload;
use crate::violation::PeerMisbehaved;

/// What goes either way in a context of either side.
pub(super) fn traffic<'a>(
    role: Role,
    outgoing: &'a mut Contexts<Caller>,
    incoming: &'a mut Contexts<Callee>,
    context: ContextId,
) -> Option<&'a mut Traffic> {
    match role.opens(context) {
        true => outgoing.get_mut(&context).map(|caller| &mut caller.traffic),
        false => incoming.get_mut(&context).map(|callee| &mut callee.traffic),
    }
}

fn check_size(size: usize, limit: usize) -> Result<(), Refused> {
    if size > limit { Err(Refused::PayloadTooLarge { size, limit }) } else { Ok(()) }
}

impl Session {
    /// Command: gives the first value of a dialog that the peer started. To be called at most
    /// once, and before the first [`send`](Self::send).
    ///
    /// Does nothing in any other context, or if it was called before.
    ///
    /// # Errors
    /// [`Refused::PayloadTooLarge`]; nothing was sent.
    pub fn started(&mut self, context: ContextId, value: Bytes) -> Result<(), Refused> {
        self.check_payload(&value)?;
        if !self.role.opens(context) {
            self.enqueue(context, Kind::Started, value);
        }
        Ok(())
    }

    /// Command: sends one message of this side's stream. Whether the peer has given credit for it
    /// is for the caller of this to see to, with a [`Balance`](crate::Balance): a peer that gets
    /// more than it allowed closes the connection.
    ///
    /// Does nothing if the context has ended, is unknown or is no dialog; if this side has
    /// cancelled it or stopped its stream; or if it has yet to give its first value.
    ///
    /// # Errors
    /// [`Refused::PayloadTooLarge`]; nothing was sent.
    pub fn send(&mut self, context: ContextId, message: Bytes) -> Result<(), Refused> {
        self.send_all(context, [message.into()])
    }

    /// Command: sends messages one behind the other, each as [`send`](Self::send) does.
    ///
    /// # Errors
    /// [`Refused::PayloadTooLarge`]; that message was not sent, nor those behind it.
    pub fn send_all(
        &mut self,
        context: ContextId,
        messages: impl IntoIterator<Item = Payload>,
    ) -> Result<(), Refused> {
        let (limit, active) = (self.config.max_sent, self.is_active());
        let mut traffic = traffic(self.role, &mut self.outgoing, &mut self.incoming, context);
        for message in messages {
            check_size(message.size(), limit)?;
            if let Some(Traffic { place, outgoing, .. }) = traffic.as_mut().filter(|_| active)
                && outgoing.offer(context, Kind::Yield, message)
            {
                self.outbox.join(context, place);
            }
        }
        Ok(())
    }

    /// Command: ends this side's stream, behind the messages that were sent. Does nothing where
    /// [`send`](Self::send) would do nothing, but may come before the first value.
    pub fn stop(&mut self, context: ContextId) {
        self.enqueue(context, Kind::Stop, Bytes::new());
    }

    /// Command: lets the peer send so much more in a dialog, and says what it is to do while it
    /// has no credit. The first call says that this side's stream is open, and may be for nothing.
    /// Credit that could not be sent yet is added up; the last `overrun` counts.
    ///
    /// Does nothing if the context has ended for this side, is unknown or is no dialog.
    pub fn grant(&mut self, context: ContextId, credit: Credit, overrun: Overrun) {
        if !self.is_active() {
            return;
        }
        let (is_sent, traffic) = if self.role.opens(context) {
            match self.outgoing.get_mut(&context).filter(|caller| caller.is_awaited()) {
                Some(caller) => (!caller.is_queued(), &mut caller.traffic),
                None => return,
            }
        } else {
            match self.incoming.get_mut(&context).filter(|callee| callee.is_running()) {
                Some(callee) => (true, &mut callee.traffic),
                None => return,
            }
        };
        if traffic.incoming.check_dialog(context).is_ok() {
            traffic.place.owe(credit, overrun);
            // Credit would overtake the start of its context.
            if is_sent {
                self.outbox.join_credit(context, &mut traffic.place);
            }
        }
    }

    /// Getter: about how many bytes are held of what a context is yet to send; 0 for one that has
    /// ended.
    pub fn unsent(&mut self, context: ContextId) -> usize {
        let traffic = traffic(self.role, &mut self.outgoing, &mut self.incoming, context);
        traffic.map_or(0, |traffic| traffic.outgoing.waiting())
    }

    /// Getter: about how many bytes are held of what all contexts together are yet to send.
    pub fn unsent_in_all(&self) -> usize {
        let callers = self.outgoing.values().map(|caller| &caller.traffic);
        let callees = self.incoming.values().map(|callee| &callee.traffic);
        callers.chain(callees).map(|traffic| traffic.outgoing.waiting()).sum()
    }

    pub(super) fn check_payload(&self, payload: &Bytes) -> Result<(), Refused> {
        check_size(payload.len(), self.config.max_sent)
    }

    fn enqueue(&mut self, context: ContextId, kind: Kind, payload: Bytes) {
        if !self.is_active() {
            return;
        }
        let traffic = traffic(self.role, &mut self.outgoing, &mut self.incoming, context);
        if let Some(Traffic { place, outgoing, .. }) = traffic
            && outgoing.offer(context, kind, payload)
        {
            self.outbox.join(context, place);
        }
    }

    /// Whether streams go on: nobody has said goodbye.
    pub(super) fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Handshake { .. } | Phase::Open)
    }

    /// Writes what a context grants; false if there is nothing. From here on the peer may use it.
    pub(super) fn transmit_credit(&mut self, context: ContextId, out: &mut BytesMut) -> bool {
        let traffic = traffic(self.role, &mut self.outgoing, &mut self.incoming, context);
        let Some(Traffic { place, incoming, .. }) = traffic else {
            return false;
        };
        let Some((credit, overrun)) = self.outbox.take_credit(place) else {
            return false;
        };
        incoming.allow(credit);
        Message::Credit { context, credit, overrun }.encode(out);
        true
    }

    pub(super) fn handle_started(&mut self, context: ContextId, last: Bytes) -> Result<(), PeerMisbehaved> {
        let caller = self.outgoing.get_mut(&context).ok_or(PeerMisbehaved::NotOpen(context))?;
        if let Some(incoming) = caller.receive(context)? {
            let value = incoming.started(context, last, &mut self.allowance)?;
            self.events.push_back(Event::Started { context, value });
        }
        self.prune_starts();
        Ok(())
    }

    pub(super) fn handle_yield(&mut self, context: ContextId, last: Bytes) -> Result<(), PeerMisbehaved> {
        let (incoming, allowance) = self.receiver(context)?;
        if let Some(incoming) = incoming {
            let payload = incoming.message(context, last, allowance)?.into();
            self.events.push_back(Event::Message { context, payload });
        }
        Ok(())
    }

    pub(super) fn handle_lend(
        &mut self,
        context: ContextId,
        place: u64,
        size: u64,
    ) -> Result<(), PeerMisbehaved> {
        let loan = self.lender.as_ref().and_then(|lender| lender.borrow(place, size));
        // Whatever becomes of it, it goes back.
        let payload = Payload::Lent(loan.ok_or(PeerMisbehaved::NotLent(context))?);
        let (incoming, allowance) = self.receiver(context)?;
        if let Some(incoming) = incoming {
            incoming.lent(context, payload.size(), allowance)?;
            self.events.push_back(Event::Message { context, payload });
        }
        Ok(())
    }

    pub(super) fn handle_stop(&mut self, context: ContextId) -> Result<(), PeerMisbehaved> {
        let calling = self.role.opens(context);
        let (incoming, allowance) = self.receiver(context)?;
        if let Some(incoming) = incoming {
            let torn = incoming.stop(context, allowance)?;
            // A callee tears its stream for an error, which ends it and is about to come.
            if !(torn && calling) {
                self.events.push_back(Event::Stopped { context });
            }
        }
        self.prune_starts();
        Ok(())
    }

    pub(super) fn handle_credit(
        &mut self,
        context: ContextId,
        credit: Credit,
        overrun: Overrun,
    ) -> Result<(), PeerMisbehaved> {
        // Unlike data, it says nothing about the start: it may overtake the acknowledgement.
        let incoming = if self.role.opens(context) {
            let caller = self.outgoing.get(&context).ok_or(PeerMisbehaved::NotOpen(context))?;
            caller.is_replying(context)?.then_some(&caller.traffic.incoming)
        } else {
            self.receiver(context)?.0.map(|incoming| &*incoming)
        };
        if let Some(incoming) = incoming {
            incoming.check_dialog(context)?;
            self.events.push_back(Event::Credit { context, credit, overrun });
        }
        Ok(())
    }

    /// Where a message of the peer's stream goes; none if it crossed the end of its context.
    fn receiver(
        &mut self,
        context: ContextId,
    ) -> Result<(Option<&mut Incoming>, &mut Allowance), PeerMisbehaved> {
        let incoming = if self.role.opens(context) {
            self.outgoing.get_mut(&context).ok_or(PeerMisbehaved::NotOpen(context))?.receive(context)?
        } else if self.last_incoming < Some(context) {
            return Err(PeerMisbehaved::NeverStarted(context));
        } else {
            match self.incoming.get_mut(&context) {
                Some(callee) => callee.receive(context)?,
                None => None,
            }
        };
        Ok((incoming, &mut self.allowance))
    }
}
