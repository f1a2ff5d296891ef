//! The types of a context, which both its sides keep to.
//!
//! Owns: [`Contract`] and [`ContextCall`], and what happens to a value that breaks one. Must not
//! know: how values travel. Invariant: the first breach that either side of a dialog finds is final:
//! nothing is sent or received after it, and it is the context's outcome here.

use std::cell::OnceCell;
use std::marker::PhantomData;

pub(crate) use greenroom_abi::contract::Part;
pub use greenroom_abi::contract::Types;
use greenroom_abi::kind::DecodeError;
use greenroom_abi::{RemoteError, payload};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The types of a context, from the point of view of the function that answers.
#[diagnostic::on_unimplemented(message = "`{Self}` does not declare the types of a context")]
pub trait Contract: 'static {
    /// What the function starts with: the caller's first value.
    type First;
    /// What the function sends, and the caller receives.
    type Sends;
    /// What the function receives, and the caller sends.
    type Receives;
    /// What the function gives when it succeeds.
    type Output;

    /// The types in words.
    #[doc(hidden)]
    #[must_use]
    fn types() -> Types {
        Types::of::<Self::First, Self::Sends, Self::Receives, Self::Output>()
    }
}

/// A call of a function marked `#[context]`, with its arguments: implemented by the struct that
/// `#[module]` puts beside it, and serialized as the map of keyword arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a call of a function marked `#[context]`",
    note = "a function without `#[context]` is called with `portal.run(module::function {{ … }})`",
    note = "by name, a context is opened with `open_context_from_ns`"
)]
pub trait ContextCall: Contract + Serialize {
    /// The name of the module.
    const MODULE: &'static str;
    /// The name of the function in it.
    const FUNCTION: &'static str;
}

/// The contract of a context that is opened by name: what its caller says of it.
#[derive(Debug)]
pub struct ByName<First, Sends, Receives, Output>(PhantomData<Stated<First, Sends, Receives, Output>>);

/// Types that are only spoken of.
type Stated<First, Sends, Receives, Output> = fn(Receives) -> (First, Sends, Output);

impl<First, Sends, Receives, Output> Contract for ByName<First, Sends, Receives, Output>
where
    Self: 'static,
{
    type First = First;
    type Sends = Sends;
    type Receives = Receives;
    type Output = Output;
}

/// One side's view of one context: its function, its contract, and whether that was broken.
#[derive(Debug)]
pub(crate) struct Dialog {
    function: String,
    types: Types,
    breach: OnceCell<RemoteError>,
}

impl Dialog {
    pub(crate) fn new(function: String, types: Types) -> Self {
        Self { function, types, breach: OnceCell::new() }
    }

    pub(crate) fn function(&self) -> &str {
        &self.function
    }

    /// Passes as long as nobody broke the contract.
    ///
    /// # Errors
    /// The breach.
    pub(crate) fn intact(&self) -> Result<(), RemoteError> {
        self.breach.get().map_or(Ok(()), |breach| Err(breach.clone()))
    }

    /// Decodes a value that must be of the declared type.
    ///
    /// # Errors
    /// The breach, if it is not.
    pub(crate) fn decode<T: DeserializeOwned>(&self, part: Part, value: &[u8]) -> Result<T, RemoteError> {
        self.judge(part, payload::decode(value))
    }

    /// What came of decoding one.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn judge<T>(&self, part: Part, decoded: Result<T, DecodeError>) -> Result<T, RemoteError> {
        part.judge(&self.function, &self.types, decoded)
            .map_err(|breach| self.breach.get_or_init(|| RemoteError::of(&breach)).clone())
    }
}

/// Encodes a value.
///
/// # Errors
/// `EncodeError`, which concerns nothing but this value.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, RemoteError> {
    payload::encode(value).map_err(|error| RemoteError::of(&error))
}

/// As [`encode`], behind what is there already, unless it is a large byte string: then `take` is given its
/// head and its content. Says whether the value was encoded. After an error, nothing of it is there.
///
/// # Errors
/// As there.
pub(crate) fn encode_or_offer<T: Serialize + ?Sized>(
    value: &T,
    bytes: &mut Vec<u8>,
    take: impl FnOnce(Vec<u8>, &[u8]),
) -> Result<bool, RemoteError> {
    let before = bytes.len();
    payload::encode_or_offer(value, bytes, take).map_err(|error| {
        bytes.truncate(before);
        RemoteError::of(&error)
    })
}
