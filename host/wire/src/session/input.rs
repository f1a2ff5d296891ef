//! What a session does with what arrives.
//!
//! Owns: which message is allowed in which phase, and which context it concerns. Must not know:
//! what is sent in return beyond the queue it goes to. Invariant: a message is either taken in
//! completely or is a violation; no part of a bad one has an effect.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use greenroom_abi::ActorId;

use super::{Phase, Session, StartOptions};
use crate::assembly::check_part;
use crate::config::{AROUND, MAX_HANDSHAKE_FRAME, MIN_MAX_FRAME};
use crate::dialog::Callee;
use crate::event::Event;
use crate::frame;
use crate::id::{ContextId, Role};
use crate::message::{Message, VERSION};
use crate::outbox::Control;
use crate::violation::{ApiMisuse, PeerMisbehaved, Violation};

impl Session {
    /// Input: takes all complete frames from the front of `buffer`; what is left is the start of
    /// one that has not arrived completely.
    ///
    /// Payloads that came in one frame are slices of the buffer's memory: as long as one lives,
    /// so does the block that was read. After a goodbye of either side, input is dropped.
    ///
    /// # Errors
    /// [`Violation`]: the session is closed, its contexts have ended, the events say so. A last
    /// frame waits to be sent, which tells the peer why.
    pub fn handle_input(&mut self, buffer: &mut BytesMut, now: Instant) -> Result<(), Violation> {
        if let Phase::Closed { by_violation: true } = self.phase {
            return Err(ApiMisuse::InputAfterViolation.into());
        }
        while !matches!(self.phase, Phase::Leaving | Phase::Closed { .. }) {
            let limit = match self.phase {
                Phase::Handshake { .. } => MAX_HANDSHAKE_FRAME,
                _ => self.config.max_frame,
            };
            let handled = match frame::take(buffer, limit) {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) => self.handle_frame(&frame, now),
                Err(fault) => Err(fault),
            };
            if let Err(fault) = handled {
                buffer.clear();
                let violation = Violation::from(fault);
                self.fail(violation.clone());
                return Err(violation);
            }
        }
        buffer.clear();
        Ok(())
    }

    fn handle_frame(&mut self, frame: &Bytes, now: Instant) -> Result<(), PeerMisbehaved> {
        let message = Message::decode(frame)?;
        match self.phase {
            Phase::Handshake { .. } => return self.shake_hands(message, now),
            Phase::Left { .. } => return Err(PeerMisbehaved::AfterGoodbye),
            Phase::Open | Phase::Leaving | Phase::Closed { .. } => {}
        }
        match message {
            Message::Hello { .. } | Message::Welcome { .. } => {
                Err(PeerMisbehaved::UnexpectedHandshake(message.number()))
            }
            Message::Ping { token } => {
                self.outbox.control(Control::Pong { token });
                Ok(())
            }
            Message::Pong { token } => {
                self.handle_pong(token);
                Ok(())
            }
            Message::Goodbye { reason } => {
                self.handle_goodbye(reason, now);
                Ok(())
            }
            Message::Start { context, function, kwargs, deadline_us, dialog } => {
                let options = StartOptions { deadline: deadline_us.map(Duration::from_micros), dialog };
                self.handle_start(context, function, frame.slice_ref(kwargs), options, now)
            }
            Message::StartAck { context } => self.handle_start_ack(context),
            Message::Started { context, payload } => self.handle_started(context, frame.slice_ref(payload)),
            Message::Yield { context, payload } => self.handle_yield(context, frame.slice_ref(payload)),
            Message::Credit { context, credit, overrun } => self.handle_credit(context, credit, overrun),
            Message::Stop { context } => self.handle_stop(context),
            Message::Cancel { context, by } => self.handle_cancel(context, by),
            Message::Return { context, payload } => self.handle_end(context, frame.slice_ref(payload), false),
            Message::Error { context, payload } => self.handle_end(context, frame.slice_ref(payload), true),
            Message::More { context, chunk } => self.handle_more(context, chunk),
            Message::Lend { context, place, size } => self.handle_lend(context, place, size),
        }
    }

    fn shake_hands(&mut self, message: Message<'_>, now: Instant) -> Result<(), PeerMisbehaved> {
        let (version, max_frame) = match (self.role, message) {
            (Role::Acceptor, Message::Hello { version, max_frame })
            | (Role::Initiator, Message::Welcome { version, max_frame }) => (version, max_frame),
            (_, Message::Goodbye { reason }) => {
                self.handle_goodbye(reason, now);
                return Ok(());
            }
            (_, Message::Hello { .. } | Message::Welcome { .. }) => {
                return Err(PeerMisbehaved::UnexpectedHandshake(message.number()));
            }
            _ => return Err(PeerMisbehaved::BeforeHandshake(message.number())),
        };
        // The initiator names the highest version it speaks, and speaks all below; the answer
        // is the version to be spoken.
        let speaks = match self.role {
            Role::Acceptor => version >= VERSION,
            Role::Initiator => version == VERSION,
        };
        if !speaks {
            return Err(PeerMisbehaved::UnsupportedVersion(version));
        }
        if max_frame < MIN_MAX_FRAME as u64 {
            return Err(PeerMisbehaved::MaxFrameTooSmall(max_frame));
        }
        let max_frame = usize::try_from(max_frame)
            .map_or(self.config.max_frame, |theirs| theirs.min(self.config.max_frame));
        self.max_part = max_frame - AROUND;
        if self.role == Role::Acceptor {
            let max_frame = self.config.max_frame as u64;
            self.outbox.control_first(Control::Welcome { version: VERSION, max_frame });
        }
        self.phase = Phase::Open;
        self.events.push_back(Event::Opened);
        Ok(())
    }

    fn handle_pong(&mut self, token: u64) {
        if let Some(at) = self.pings.iter().position(|sent| *sent == token) {
            self.pings.remove(at);
            self.events.push_back(Event::Pong { token });
        }
    }

    fn handle_start(
        &mut self,
        context: ContextId,
        function: &str,
        last: Bytes,
        options: StartOptions,
        now: Instant,
    ) -> Result<(), PeerMisbehaved> {
        self.admit(context)?;
        let StartOptions { deadline, dialog } = options;
        let callee = self.incoming.get_mut(&context).ok_or(PeerMisbehaved::NotNew(context))?;
        let kwargs = callee.start(context, last, dialog, &mut self.allowance)?;
        self.acks.set(context, now);
        let function = function.to_owned();
        self.events.push_back(Event::Start { context, function, kwargs, deadline, dialog });
        Ok(())
    }

    fn handle_start_ack(&mut self, context: ContextId) -> Result<(), PeerMisbehaved> {
        let caller = self.outgoing.get_mut(&context).ok_or(PeerMisbehaved::NotOpen(context))?;
        if caller.acknowledge(context)? {
            self.events.push_back(Event::Acknowledged { context });
        }
        self.prune_starts();
        Ok(())
    }

    fn handle_cancel(&mut self, context: ContextId, by: Option<(&str, &str)>) -> Result<(), PeerMisbehaved> {
        if self.role.opens(context) {
            return Err(PeerMisbehaved::NotYours(context));
        }
        if self.last_incoming < Some(context) {
            return Err(PeerMisbehaved::NeverStarted(context));
        }
        // One that has ended already is no fault of the peer, which cannot know yet.
        let Some(callee) = self.incoming.get_mut(&context) else {
            return Ok(());
        };
        let by = by.map(|(name, uuid)| ActorId { name: name.to_owned(), uuid: uuid.to_owned() });
        if callee.withdraw(context, by.as_ref(), self.config.max_sent, &mut self.allowance) {
            self.outbox.join_error(context, &mut callee.traffic.place);
        } else if callee.cancel(&mut self.allowance) {
            self.events.push_back(Event::Cancel { context, by });
        }
        Ok(())
    }

    fn handle_more(&mut self, context: ContextId, chunk: &[u8]) -> Result<(), PeerMisbehaved> {
        if self.role.opens(context) {
            let caller = self.outgoing.get_mut(&context).ok_or(PeerMisbehaved::NotOpen(context))?;
            match caller.receive(context)? {
                Some(incoming) => incoming.part(context, chunk, &mut self.allowance)?,
                None => check_part(context, chunk)?,
            }
            self.prune_starts();
            return Ok(());
        }
        self.admit(context)?;
        // One whose end has been sent is no fault of the peer, which cannot know yet.
        match self.incoming.get_mut(&context) {
            Some(callee) => callee.more(context, chunk, &mut self.allowance),
            None => check_part(context, chunk),
        }
    }

    fn handle_end(&mut self, context: ContextId, last: Bytes, is_error: bool) -> Result<(), PeerMisbehaved> {
        let caller = self.outgoing.get_mut(&context).ok_or(PeerMisbehaved::NotOpen(context))?;
        let outcome = caller.end(context, last, is_error, &mut self.allowance)?;
        self.outbox.withdraw(&mut caller.traffic.place);
        caller.due().into_iter().for_each(|due| self.deadlines.remove(due, context));
        self.outgoing.remove(&context);
        if let Some(outcome) = outcome {
            self.events.push_back(Event::Ended { context, outcome });
        }
        self.tidy();
        self.prune_starts();
        Ok(())
    }

    /// Lets a context of the peer in if its number is new; leaves known ones alone.
    fn admit(&mut self, context: ContextId) -> Result<(), PeerMisbehaved> {
        if self.role.opens(context) {
            return Err(PeerMisbehaved::NotYours(context));
        }
        if self.last_incoming >= Some(context) {
            return Ok(());
        }
        if self.incoming.len() >= self.config.max_contexts {
            return Err(PeerMisbehaved::TooManyContexts(self.config.max_contexts));
        }
        self.last_incoming = Some(context);
        self.incoming.insert(context, Callee::new());
        Ok(())
    }
}
