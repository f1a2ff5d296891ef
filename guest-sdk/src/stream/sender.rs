//! The sending half of a stream.
//!
//! Owns: waiting for room. Must not know: the other half. Invariant: a message is sent whole or not
//! at all, and the messages of one task keep their order.

use std::marker::PhantomData;
use std::pin::pin;
use std::rc::Rc;

use futures_util::{Stream, StreamExt as _};
use greenroom_abi::{RemoteError, payload};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Channel;
use super::gathering::{self, Added, Gathering};
use crate::boundary::{Asked, StreamPort};

/// The half of a stream that sends. Dropping it closes its direction.
#[derive(Debug)]
pub struct Sender<S> {
    channel: Rc<Channel>,
    messages: PhantomData<fn(S)>,
}

impl<S> Sender<S> {
    pub(super) fn new(channel: Rc<Channel>) -> Self {
        Self { channel, messages: PhantomData }
    }

    /// Ends this direction: the peer's iteration ends behind what was sent.
    pub fn close(&self) {
        // After a breach it is closed already.
        self.channel.close();
    }

    /// Hands over what has been sent at once. To be called by who has sent much and then computes for
    /// long without waiting for anything: messages that are sent one right after the other are
    /// gathered, until the task next waits, or for about a millisecond if they keep coming.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn flush(&self) -> Result<(), RemoteError> {
        self.channel.port()?;
        self.channel.flush()
    }

    /// Sends what `add` adds, once there is room.
    async fn admit(
        &self,
        mut add: impl FnMut(&mut Gathering, &dyn StreamPort) -> Asked<Added>,
    ) -> Result<(), RemoteError> {
        let port = self.channel.port()?;
        let mut added = add(&mut self.channel.gathering.borrow_mut(), &*port)?;
        loop {
            match added {
                Added::First => {
                    gathering::register(&self.channel);
                    return Ok(());
                }
                Added::Taken => return Ok(()),
                Added::Refused(encoded) => {
                    let port = self.channel.port()?;
                    port.clone().writable().await;
                    self.channel.port()?;
                    let gathering = &mut self.channel.gathering.borrow_mut();
                    added = match encoded {
                        Some(message) => gathering.add_encoded(message, &*port)?,
                        None => add(gathering, &*port)?,
                    };
                }
            }
        }
    }
}

impl<S: Serialize> Sender<S> {
    /// Sends a message. Waits as long as the peer is full, if the peer has it so.
    ///
    /// # Errors
    /// `EncodeError`, which ends nothing else; `StreamOverrun` if the peer is full and does not
    /// let its senders wait; `StreamClosed` after [`close`](Self::close) or the end of the context;
    /// what the peer's task failed with.
    ///
    /// # Cancel safety
    /// A send that is dropped has either sent the message or not sent it at all.
    pub async fn send(&self, message: S) -> Result<(), RemoteError> {
        self.admit(|gathering, port| gathering.add(&message, port)).await
    }

    /// Sends a message that is already encoded: one CBOR item.
    ///
    /// # Errors
    /// As [`send`](Self::send), and `MsgTypeError` if it is not an `S`, which ends the context.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_encoded(&self, message: Vec<u8>) -> Result<(), RemoteError>
    where
        S: DeserializeOwned,
    {
        let _fits: S = self.channel.judge(self.channel.sends, payload::decode(&message))?;
        let mut message = Some(message);
        let mut take = || message.take().expect("what is refused comes back encoded");
        self.admit(|gathering, port| gathering.add_encoded(take(), port)).await
    }

    /// Sends messages one after the other, waiting only where the peer is full.
    ///
    /// # Errors
    /// As [`send`](Self::send). The messages before the failing one were sent.
    pub async fn send_all(&self, messages: impl IntoIterator<Item = S>) -> Result<(), RemoteError> {
        for message in messages {
            self.send(message).await?;
        }
        Ok(())
    }

    /// Sends what another stream gives, until that ends.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_from(&self, messages: impl Stream<Item = S>) -> Result<(), RemoteError> {
        let mut messages = pin!(messages);
        while let Some(message) = messages.next().await {
            self.send(message).await?;
        }
        Ok(())
    }
}

impl<S> Drop for Sender<S> {
    fn drop(&mut self) {
        self.close();
    }
}
