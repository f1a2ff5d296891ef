//! Contexts, seen from the function that answers.
//!
//! Owns: [`Context`], which a function marked `#[context]` is given. Must not know: the caller's
//! side, or how the function is run.

#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::rc::Rc;

use greenroom_abi::RemoteError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::boundary::CalleePort;
use crate::context::{TaskContext, current_context};
use crate::contract::{Contract, Dialog, Part, encode};
use crate::endpoint::Outcome;
use crate::stream::{Channel, MsgStream, StreamOptions};

/// The callee's end of a context: it starts with a `First`, sends `Sends` and receives `Receives`.
///
/// A function marked `#[context]` takes it as its first parameter, calls
/// [`started`](Self::started) once it is ready for its caller, and may then open the stream.
#[derive(Debug)]
pub struct Context<First, Sends, Receives> {
    port: Rc<dyn CalleePort>,
    dialog: Rc<Dialog>,
    types: PhantomData<fn(Receives) -> (First, Sends)>,
}

impl<First, Sends, Receives> Context<First, Sends, Receives> {
    pub(crate) fn new(port: Rc<dyn CalleePort>, dialog: Rc<Dialog>) -> Self {
        Self { port, dialog, types: PhantomData }
    }

    /// Gives the caller its first value: `open_context` returns with it there. To be called once.
    ///
    /// # Errors
    /// `ContextProtocol` if it is called twice, or the function was called with `run`;
    /// `EncodeError`.
    pub fn started(&mut self, first: First) -> Result<(), RemoteError>
    where
        First: Serialize,
    {
        self.dialog.intact()?;
        self.port.started(&encode(&first)?)
    }

    /// As [`started`](Self::started), with a value that is already encoded: one CBOR item.
    ///
    /// # Errors
    /// As there, and `MsgTypeError` if it is not a `First`, which ends the context.
    pub fn started_encoded(&mut self, first: Vec<u8>) -> Result<(), RemoteError>
    where
        First: DeserializeOwned,
    {
        self.dialog.intact()?;
        let _fits: First = self.dialog.decode(Part::First, &first)?;
        self.port.started(&first)
    }

    /// Opens this side's end of the stream, once, after [`started`](Self::started).
    ///
    /// # Errors
    /// `ContextProtocol` out of this order.
    pub fn open_stream(&mut self) -> Result<MsgStream<Sends, Receives>, RemoteError> {
        self.open_stream_with(StreamOptions::new())
    }

    /// As [`open_stream`](Self::open_stream), with how to receive.
    ///
    /// # Errors
    /// As there.
    pub fn open_stream_with(
        &mut self,
        options: StreamOptions,
    ) -> Result<MsgStream<Sends, Receives>, RemoteError> {
        self.dialog.intact()?;
        let port = self.port.open_stream(options.into())?;
        Ok(MsgStream::new(Channel::of_callee(port, self.dialog.clone()), options))
    }

    /// The task that answers: who called, until when, and whether it should end.
    #[must_use]
    pub fn task(&self) -> &TaskContext {
        self.port.task()
    }
}

/// For generated code: runs a function marked `#[context]` in the current task. A breach of the
/// contract that the function keeps to itself is its outcome all the same.
pub async fn in_context<C: Contract>(
    function: impl AsyncFnOnce(Context<C::First, C::Sends, C::Receives>) -> Outcome,
) -> Outcome {
    let task = current_context();
    let dialog = Rc::new(Dialog::new(task.function(), C::types()));
    hold::<C>(Rc::new(task), dialog, function).await
}

async fn hold<C: Contract>(
    port: Rc<dyn CalleePort>,
    dialog: Rc<Dialog>,
    function: impl AsyncFnOnce(Context<C::First, C::Sends, C::Receives>) -> Outcome,
) -> Outcome {
    let outcome = function(Context::new(port, dialog.clone())).await;
    outcome.if_passes(dialog.intact())
}
