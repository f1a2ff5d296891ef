//! The messages of version 1, and their form as CBOR arrays.
//!
//! Owns: message numbers, fields and their order, encoding and decoding. Must not know: when a
//! message is allowed. Invariant: what `encode` writes `decode` reads back equal; `decode`
//! borrows from the frame and never allocates.

use bytes::BytesMut;

use crate::cbor::{HeaderError, Reader, Writer};
use crate::flow::{Credit, Overrun};
use crate::frame;
use crate::id::ContextId;
use crate::violation::PeerMisbehaved;

/// The version of the protocol that this crate speaks.
pub const VERSION: u64 = 1;

/// What an optional field holds that says yes.
const YES: u64 = 1;

/// What a sender without credit does, by its number in a `Credit`.
const OVERRUNS: [Overrun; 3] = [Overrun::Wait, Overrun::Error, Overrun::DropOldest];

/// The message numbers. All fit in one byte of CBOR.
mod number {
    pub(super) const HELLO: u64 = 0;
    pub(super) const WELCOME: u64 = 1;
    pub(super) const PING: u64 = 2;
    pub(super) const PONG: u64 = 3;
    pub(super) const GOODBYE: u64 = 4;
    pub(super) const START: u64 = 8;
    pub(super) const START_ACK: u64 = 9;
    pub(super) const STARTED: u64 = 10;
    pub(super) const YIELD: u64 = 11;
    pub(super) const CREDIT: u64 = 12;
    pub(super) const STOP: u64 = 13;
    pub(super) const CANCEL: u64 = 14;
    pub(super) const RETURN: u64 = 15;
    pub(super) const ERROR: u64 = 16;
    pub(super) const MORE: u64 = 17;
    pub(super) const LEND: u64 = 18;
}

/// One message. The first five concern the connection, the others one context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// The initiator's first frame.
    Hello {
        /// The highest version it speaks.
        version: u64,
        /// The largest frame it accepts.
        max_frame: u64,
    },
    /// The acceptor's first frame.
    Welcome {
        /// The version to be spoken: at most the initiator's.
        version: u64,
        /// The largest frame it accepts.
        max_frame: u64,
    },
    /// Asks for a `Pong`.
    Ping {
        /// To be sent back.
        token: u64,
    },
    /// Answers a `Ping`.
    Pong {
        /// The ping's.
        token: u64,
    },
    /// The last frame of its sender.
    Goodbye {
        /// Why, for a person.
        reason: &'a str,
    },
    /// Calls a function.
    Start {
        /// The new context.
        context: ContextId,
        /// The function's full name.
        function: &'a str,
        /// The arguments, or their last part.
        kwargs: &'a [u8],
        /// How many microseconds the caller has left.
        deadline_us: Option<u64>,
        /// Whether the context is a dialog, with a first value and a stream each way.
        dialog: bool,
    },
    /// Says that a start has arrived and its end will take a while.
    StartAck {
        /// The started context.
        context: ContextId,
    },
    /// Gives the first value of a dialog's callee.
    Started {
        /// The context.
        context: ContextId,
        /// The value, or its last part.
        payload: &'a [u8],
    },
    /// One message of the sender's stream.
    Yield {
        /// The context.
        context: ContextId,
        /// The message, or its last part.
        payload: &'a [u8],
    },
    /// Lets the other side send so much more.
    Credit {
        /// The context.
        context: ContextId,
        /// How much.
        credit: Credit,
        /// What the other side does while it has none.
        overrun: Overrun,
    },
    /// Ends the sender's stream.
    Stop {
        /// The context.
        context: ContextId,
    },
    /// Asks the callee to stop.
    Cancel {
        /// The context.
        context: ContextId,
        /// The asking actor's name and uuid.
        by: Option<(&'a str, &'a str)>,
    },
    /// Ends a context with a value.
    Return {
        /// The context.
        context: ContextId,
        /// The value, or its last part.
        payload: &'a [u8],
    },
    /// Ends a context with an error.
    Error {
        /// The context.
        context: ContextId,
        /// An encoded remote error, or its last part.
        payload: &'a [u8],
    },
    /// A part of a payload that a later message completes.
    More {
        /// The context.
        context: ContextId,
        /// The part.
        chunk: &'a [u8],
    },
    /// One message of the sender's stream: a byte string whose content lies in memory that both sides see.
    Lend {
        /// The context.
        context: ContextId,
        /// Where in that memory.
        place: u64,
        /// How many bytes.
        size: u64,
    },
}

impl<'a> Message<'a> {
    /// Appends the message as a frame, with its length prefix.
    pub fn encode(&self, out: &mut BytesMut) {
        frame::put(out, |out| {
            self.fields(&mut Writer::new(out));
            0
        });
    }

    /// Whether nothing follows its payload. It has one then.
    pub(crate) fn ends_with_payload(&self) -> bool {
        match self {
            Self::Start { deadline_us, dialog, .. } => deadline_us.is_none() && !dialog,
            Self::Started { .. }
            | Self::Yield { .. }
            | Self::Return { .. }
            | Self::Error { .. }
            | Self::More { .. } => true,
            _ => false,
        }
    }

    /// Appends the message as a frame that lacks the payload it [ends with](Self::ends_with_payload).
    pub(crate) fn encode_head(&self, out: &mut BytesMut) {
        frame::put(out, |out| {
            let mut writer = Writer::of_heads(out);
            self.fields(&mut writer);
            writer.omitted()
        });
    }

    /// Reads a message from a frame's content, without its length prefix. Fields after those
    /// that this version knows are passed over.
    ///
    /// # Errors
    /// What the peer did wrong.
    pub fn decode(frame: &'a [u8]) -> Result<Self, PeerMisbehaved> {
        let mut reader = Reader::new(frame);
        let items = reader.array()?;
        let mut fields = Fields { left: items, reader };
        let kind = fields.uint()?;
        let context = fields.uint()?;
        let message = match ContextId::new(context) {
            None => Self::about_connection(kind, &mut fields)?,
            Some(context) => Self::about_context(kind, context, &mut fields)?,
        };
        fields.finish()?;
        Ok(message)
    }

    /// The message's number on the wire.
    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Hello { .. } => number::HELLO,
            Self::Welcome { .. } => number::WELCOME,
            Self::Ping { .. } => number::PING,
            Self::Pong { .. } => number::PONG,
            Self::Goodbye { .. } => number::GOODBYE,
            Self::Start { .. } => number::START,
            Self::StartAck { .. } => number::START_ACK,
            Self::Started { .. } => number::STARTED,
            Self::Yield { .. } => number::YIELD,
            Self::Credit { .. } => number::CREDIT,
            Self::Stop { .. } => number::STOP,
            Self::Cancel { .. } => number::CANCEL,
            Self::Return { .. } => number::RETURN,
            Self::Error { .. } => number::ERROR,
            Self::More { .. } => number::MORE,
            Self::Lend { .. } => number::LEND,
        }
    }

    fn fields(&self, w: &mut Writer<'_>) {
        let mut begin = |context: u64, fields: usize| {
            w.array(2 + fields);
            w.uint(self.number());
            w.uint(context);
        };
        match *self {
            Self::Hello { version, max_frame } | Self::Welcome { version, max_frame } => {
                begin(0, 2);
                w.uint(version);
                w.uint(max_frame);
            }
            Self::Ping { token } | Self::Pong { token } => {
                begin(0, 1);
                w.uint(token);
            }
            Self::Goodbye { reason } => {
                begin(0, 1);
                w.text(reason);
            }
            Self::Start { context, function, kwargs, deadline_us, dialog } => {
                let optional = if dialog { 2 } else { usize::from(deadline_us.is_some()) };
                begin(context.get(), 2 + optional);
                w.text(function);
                w.payload(kwargs);
                match deadline_us {
                    Some(deadline_us) => w.uint(deadline_us),
                    None if dialog => w.null(),
                    None => {}
                }
                if dialog {
                    w.uint(YES);
                }
            }
            Self::StartAck { context } | Self::Stop { context } => begin(context.get(), 0),
            Self::Credit { context, credit, overrun } => {
                let overrun = OVERRUNS.iter().position(|known| *known == overrun).unwrap_or_default();
                begin(context.get(), 2 + usize::from(overrun > 0));
                w.uint(credit.messages);
                w.uint(credit.bytes);
                if overrun > 0 {
                    w.uint(overrun as u64);
                }
            }
            Self::Cancel { context, by } => {
                begin(context.get(), usize::from(by.is_some()));
                if let Some((name, uuid)) = by {
                    w.array(2);
                    w.text(name);
                    w.text(uuid);
                }
            }
            Self::Started { context, payload }
            | Self::Yield { context, payload }
            | Self::Return { context, payload }
            | Self::Error { context, payload } => {
                begin(context.get(), 1);
                w.payload(payload);
            }
            Self::More { context, chunk } => {
                begin(context.get(), 1);
                w.bytes(chunk);
            }
            Self::Lend { context, place, size } => {
                begin(context.get(), 2);
                w.uint(place);
                w.uint(size);
            }
        }
    }

    fn about_connection(kind: u64, fields: &mut Fields<'a>) -> Result<Self, PeerMisbehaved> {
        Ok(match kind {
            number::HELLO => Self::Hello { version: fields.uint()?, max_frame: fields.uint()? },
            number::WELCOME => Self::Welcome { version: fields.uint()?, max_frame: fields.uint()? },
            number::PING => Self::Ping { token: fields.uint()? },
            number::PONG => Self::Pong { token: fields.uint()? },
            number::GOODBYE => Self::Goodbye { reason: fields.text()? },
            number::START
            | number::START_ACK
            | number::STARTED
            | number::YIELD
            | number::CREDIT
            | number::STOP
            | number::CANCEL
            | number::RETURN
            | number::ERROR
            | number::MORE
            | number::LEND => return Err(PeerMisbehaved::WrongContext { kind, context: 0 }),
            _ => return Err(PeerMisbehaved::UnknownKind(kind)),
        })
    }

    fn about_context(kind: u64, context: ContextId, fields: &mut Fields<'a>) -> Result<Self, PeerMisbehaved> {
        Ok(match kind {
            number::START => Self::Start {
                context,
                function: fields.text()?,
                kwargs: fields.payload()?,
                deadline_us: fields.optional(Fields::uint)?,
                dialog: fields.yes()?,
            },
            number::START_ACK => Self::StartAck { context },
            number::STARTED => Self::Started { context, payload: fields.payload()? },
            number::YIELD => Self::Yield { context, payload: fields.payload()? },
            number::CREDIT => Self::Credit {
                context,
                credit: Credit { messages: fields.uint()?, bytes: fields.uint()? },
                overrun: fields.optional(Fields::overrun)?.unwrap_or_default(),
            },
            number::STOP => Self::Stop { context },
            number::CANCEL => Self::Cancel { context, by: fields.optional(Fields::actor)? },
            number::RETURN => Self::Return { context, payload: fields.payload()? },
            number::ERROR => Self::Error { context, payload: fields.payload()? },
            number::MORE => Self::More { context, chunk: fields.bytes()? },
            number::LEND => Self::Lend { context, place: fields.uint()?, size: fields.uint()? },
            number::HELLO | number::WELCOME | number::PING | number::PONG | number::GOODBYE => {
                return Err(PeerMisbehaved::WrongContext { kind, context: context.get() });
            }
            _ => return Err(PeerMisbehaved::UnknownKind(kind)),
        })
    }
}

/// A reader that also counts the array's fields.
struct Fields<'a> {
    reader: Reader<'a>,
    left: u64,
}

impl<'a> Fields<'a> {
    fn uint(&mut self) -> Result<u64, HeaderError> {
        self.count()?;
        self.reader.uint()
    }

    fn text(&mut self) -> Result<&'a str, HeaderError> {
        self.count()?;
        self.reader.text()
    }

    fn bytes(&mut self) -> Result<&'a [u8], HeaderError> {
        self.count()?;
        self.reader.bytes()
    }

    fn payload(&mut self) -> Result<&'a [u8], HeaderError> {
        self.count()?;
        self.reader.payload()
    }

    /// `[name, uuid]`, with whatever later versions add.
    fn actor(&mut self) -> Result<(&'a str, &'a str), HeaderError> {
        self.count()?;
        let Some(more) = self.reader.array()?.checked_sub(2) else {
            return Err(HeaderError::TooFewFields);
        };
        let actor = (self.reader.text()?, self.reader.text()?);
        (0..more).try_for_each(|_| self.reader.skip())?;
        Ok(actor)
    }

    /// One that this version does not know is the one that loses nothing.
    fn overrun(&mut self) -> Result<Overrun, HeaderError> {
        let number = usize::try_from(self.uint()?).unwrap_or(usize::MAX);
        Ok(OVERRUNS.get(number).copied().unwrap_or_default())
    }

    /// Whether the next field is the number that says yes. Whatever else is there, or nothing,
    /// says no.
    fn yes(&mut self) -> Result<bool, HeaderError> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        self.reader.skip_number(YES)
    }

    /// A field that may be null or, with all after it, missing.
    fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, HeaderError>,
    ) -> Result<Option<T>, HeaderError> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.reader.null() {
            self.left -= 1;
            return Ok(None);
        }
        read(self).map(Some)
    }

    fn finish(mut self) -> Result<(), HeaderError> {
        (0..self.left).try_for_each(|_| self.reader.skip())?;
        self.reader.finish()
    }

    fn count(&mut self) -> Result<(), HeaderError> {
        self.left = self.left.checked_sub(1).ok_or(HeaderError::TooFewFields)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
