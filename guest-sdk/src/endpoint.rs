//! A function as its callers see it from the outside: bytes in, bytes out.
//!
//! Owns: [`Endpoint`], which generated code implements, and how results are encoded. Must not
//! know: the component boundary.

use std::future::Future;

use greenroom_abi::kind::BadArguments;
use greenroom_abi::{Malformed, RemoteError, payload};
use serde::Serialize;

use crate::Fault;
use crate::arguments::Arguments;

/// A function together with the arguments of one call.
pub trait Endpoint: Sized {
    /// Takes the arguments.
    ///
    /// # Errors
    /// [`BadArguments`] naming all that is wrong, but not the function.
    fn decode(arguments: Arguments<'_>) -> Result<Self, BadArguments>;

    /// Runs the function.
    fn invoke(self) -> impl Future<Output = Outcome>;
}

/// What a function gave, encoded.
#[derive(Debug)]
pub struct Outcome(Result<Vec<u8>, RemoteError>);

impl Outcome {
    /// Of a function that cannot fail.
    pub fn value<T: Serialize>(value: T) -> Self {
        Self(payload::encode(&value).map_err(|error| RemoteError::of(&error)))
    }

    /// Of a function that can.
    pub fn result<T: Serialize, E: Into<Fault>>(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::value(value),
            Err(error) => Self(Err(error.into().into_remote())),
        }
    }

    #[cfg(test)]
    pub(crate) fn into_result(self) -> Result<Vec<u8>, RemoteError> {
        self.0
    }

    /// The same, unless it is a value and the check failed.
    pub(crate) fn if_passes(self, check: Result<(), RemoteError>) -> Self {
        Self(self.0.and_then(|value| check.map(|()| value)))
    }
}

/// Ambiguous for a `Result` that hides behind an alias, so that generated code which names it
/// does not compile: the macro knows a `Result` by its name, and would take this one for a value
/// that happens to be a failure.
pub trait WriteTheReturnTypeAsResult<Marker> {
    /// For generated code to name.
    const SEEN: () = ();
}

impl<T> WriteTheReturnTypeAsResult<()> for T {}

/// The marker that makes results ambiguous.
#[derive(Debug)]
pub struct Aliased;

impl<T, E> WriteTheReturnTypeAsResult<Aliased> for Result<T, E> {}

/// One call, from the payload of its arguments to the payload of its result. Only what fails asks
/// for the function's name, which is the host's to tell.
///
/// # Errors
/// Whatever kept the function from running, or its own failure.
pub async fn call<E: Endpoint>(
    function: impl FnOnce() -> String,
    kwargs: Vec<u8>,
) -> Result<Vec<u8>, RemoteError> {
    let call = decode::<E>(function, &kwargs)?;
    drop(kwargs);
    call.invoke().await.0
}

fn decode<E: Endpoint>(function: impl FnOnce() -> String, kwargs: &[u8]) -> Result<E, RemoteError> {
    let arguments = Arguments::parse(kwargs).map_err(malformed)?;
    E::decode(arguments).map_err(|wrong| RemoteError::of(&BadArguments { function: function(), ..wrong }))
}

fn malformed(error: Malformed) -> RemoteError {
    RemoteError::of(&greenroom_abi::kind::DecodeError { reason: error.to_string() })
}
