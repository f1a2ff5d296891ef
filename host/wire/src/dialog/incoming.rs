//! What one side of a context receives.
//!
//! Owns: the parts of the payload that arrives, what the peer may still send, and whether its
//! stream has ended. Must not know: what is sent in return, or what payloads hold. Invariant: a
//! message that had no credit when its first part came is a violation.

use std::mem;

use bytes::Bytes;

use super::direction::Direction;
use crate::assembly::{Allowance, Assembly};
use crate::flow::{Balance, Credit};
use crate::id::ContextId;
use crate::violation::PeerMisbehaved;

/// The receiver of one side.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    direction: Direction,
    parts: Assembly,
    /// There was credit when the first of `parts` came.
    covered: bool,
    balance: Balance,
}

impl Incoming {
    pub(crate) fn new(direction: Direction) -> Self {
        Self { direction, ..Self::default() }
    }

    /// The peer has been told that it may send so much more.
    pub(crate) fn allow(&mut self, credit: Credit) {
        self.balance.add(credit);
    }

    /// A part of any payload arrived.
    pub(crate) fn part(
        &mut self,
        context: ContextId,
        chunk: &[u8],
        allowance: &mut Allowance,
    ) -> Result<(), PeerMisbehaved> {
        if self.parts.is_empty() {
            self.covered = self.balance.can_send();
        }
        self.parts.push(context, chunk, allowance)
    }

    /// A part arrived that can only belong to a message.
    pub(crate) fn part_of_message(
        &mut self,
        context: ContextId,
        chunk: &[u8],
        allowance: &mut Allowance,
    ) -> Result<(), PeerMisbehaved> {
        self.direction.message(context)?;
        self.part(context, chunk, allowance)?;
        self.check_credit(context)
    }

    /// The last part of a payload arrived that is none of the stream: gives the whole.
    pub(crate) fn complete(
        &mut self,
        context: ContextId,
        last: Bytes,
        allowance: &mut Allowance,
    ) -> Result<Bytes, PeerMisbehaved> {
        mem::take(&mut self.parts).complete(context, last, allowance)
    }

    /// The last part of the first value arrived: gives the whole.
    pub(crate) fn started(
        &mut self,
        context: ContextId,
        last: Bytes,
        allowance: &mut Allowance,
    ) -> Result<Bytes, PeerMisbehaved> {
        self.direction.started(context)?;
        self.complete(context, last, allowance)
    }

    /// The last part of a message arrived: gives the whole.
    pub(crate) fn message(
        &mut self,
        context: ContextId,
        last: Bytes,
        allowance: &mut Allowance,
    ) -> Result<Bytes, PeerMisbehaved> {
        self.direction.message(context)?;
        if self.parts.is_empty() {
            self.covered = self.balance.can_send();
        }
        self.check_credit(context)?;
        let whole = self.complete(context, last, allowance)?;
        self.balance.spend(whole.len());
        Ok(whole)
    }

    /// A message of so many bytes arrived that is lent.
    pub(crate) fn lent(
        &mut self,
        context: ContextId,
        size: usize,
        allowance: &Allowance,
    ) -> Result<(), PeerMisbehaved> {
        self.direction.message(context)?;
        if !self.parts.is_empty() {
            return Err(PeerMisbehaved::NotLent(context));
        }
        self.covered = self.balance.can_send();
        self.check_credit(context)?;
        self.parts.check(context, size, allowance)?;
        self.balance.spend(size);
        Ok(())
    }

    /// The peer's stream has ended, and an unfinished payload with it: true if there was one.
    pub(crate) fn stop(
        &mut self,
        context: ContextId,
        allowance: &mut Allowance,
    ) -> Result<bool, PeerMisbehaved> {
        self.direction.stop(context)?;
        let torn = !self.parts.is_empty();
        mem::take(&mut self.parts).discard(allowance);
        Ok(torn)
    }

    /// Nothing of the peer's stream is expected any more.
    pub(crate) fn close(&mut self, allowance: &mut Allowance) {
        self.direction.close();
        mem::take(&mut self.parts).discard(allowance);
    }

    /// Checks that this is a dialog.
    pub(crate) fn check_dialog(&self, context: ContextId) -> Result<(), PeerMisbehaved> {
        if self.direction.is_dialog() { Ok(()) } else { Err(PeerMisbehaved::NotDialog(context)) }
    }

    fn check_credit(&self, context: ContextId) -> Result<(), PeerMisbehaved> {
        if self.covered { Ok(()) } else { Err(PeerMisbehaved::NoCredit(context)) }
    }
}
