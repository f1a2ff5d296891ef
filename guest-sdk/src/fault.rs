//! Why a function failed: the error type of functions that fail in several ways.
//!
//! Owns: turning errors into the data that travels. Must not know: who asks. Invariant: an
//! error that came from another actor keeps its origin, its path and its value.

use std::any::Any;
use std::error::Error;
use std::fmt;

use greenroom_abi::error::{RELAYED, type_name};
use greenroom_abi::{RemoteError, payload};
use serde::Serialize;

/// A failure on its way to the caller. `?` makes one of any error that can be serialized: the
/// caller gets its type, its message and, by `downcast`, the error itself.
///
/// ```
/// use greenroom_guest::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize, thiserror::Error)]
/// #[error("{have} is less than {want}")]
/// struct TooLittle { have: u64, want: u64 }
///
/// fn take(want: u64) -> Result<u64, Fault> {
///     let have = 5;
///     if have < want {
///         Err(TooLittle { have, want })?;
///     }
///     Ok(have - want)
/// }
/// ```
///
/// An error of another actor's is passed on as it is, marked as relayed. An error that cannot
/// be serialized becomes a fault by [`OrFault::or_fault`], a mere text by [`Fault::msg`].
pub struct Fault(Box<RemoteError>);

impl Fault {
    /// A failure that is only a message, of type `Fault`.
    pub fn msg(message: impl fmt::Display) -> Self {
        Self(Box::new(RemoteError::new("Fault", message.to_string())))
    }

    /// Any error, by its type and message alone: the caller cannot downcast it. The messages
    /// of its sources follow its own.
    pub fn opaque<E: Error>(error: &E) -> Self {
        Self(Box::new(RemoteError::new(type_name::<E>(), with_sources(error))))
    }

    /// What the caller will get.
    #[must_use]
    pub fn as_remote(&self) -> &RemoteError {
        &self.0
    }

    /// The same as data.
    #[must_use]
    pub fn into_remote(self) -> RemoteError {
        *self.0
    }
}

impl<E: Error + Serialize + 'static> From<E> for Fault {
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        Self(Box::new(match any.downcast_ref::<RemoteError>() {
            Some(relayed) => RemoteError { boxed_type: RELAYED.to_owned(), ..relayed.clone() },
            None => RemoteError {
                value: payload::encode(&error).ok(),
                ..RemoteError::new(type_name::<E>(), with_sources(&error))
            },
        }))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The error's message, with those of its sources that it does not itself repeat.
fn with_sources(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let text = source.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        next = source.source();
    }
    message
}

/// For results whose error cannot be serialized, such as `std::io::Error`.
pub trait OrFault<T> {
    /// The value, or the error as a [`Fault`] that keeps its type and message.
    ///
    /// # Errors
    /// The fault.
    fn or_fault(self) -> Result<T, Fault>;
}

impl<T, E: Error> OrFault<T> for Result<T, E> {
    fn or_fault(self) -> Result<T, Fault> {
        self.map_err(|error| Fault::opaque(&error))
    }
}

/// Ends the function with a [`Fault`] that is only a message: `fault!("no such file: {path}")`.
///
/// ```
/// # use greenroom_guest::{Fault, fault};
/// fn halve(x: i64) -> Result<i64, Fault> {
///     if x % 2 != 0 {
///         fault!("{x} is odd");
///     }
///     Ok(x / 2)
/// }
/// assert_eq!(halve(3).unwrap_err().as_remote().message, "3 is odd");
/// ```
#[macro_export]
macro_rules! fault {
    ($($message:tt)+) => {
        return ::core::result::Result::Err(::core::convert::From::from(
            $crate::Fault::msg(::core::format_args!($($message)+)),
        ))
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenroom_abi::ActorId;
    use greenroom_abi::kind::Trap;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
    #[error("oops {code}")]
    struct Oops {
        code: u8,
    }

    #[test]
    fn keeps_type_message_and_value() {
        let remote = Fault::from(Oops { code: 7 }).into_remote();
        assert_eq!(remote.boxed_type, remote.src_type);
        assert!(remote.src_type.ends_with("fault::tests::Oops"), "{}", remote.src_type);
        assert_eq!(remote.message, "oops 7");
        assert_eq!(remote.downcast::<Oops>(), Some(Oops { code: 7 }));
    }

    #[test]
    fn relays_what_came_from_elsewhere() {
        let leaf = ActorId { name: "leaf".into(), uuid: "u".into() };
        let came = Fault::from(Oops { code: 7 }).into_remote().relayed_by(&leaf);
        let passed_on = Fault::from(came.clone()).into_remote();
        assert_eq!(passed_on.boxed_type, RELAYED);
        assert_eq!(RemoteError { boxed_type: came.boxed_type.clone(), ..passed_on }, came);
    }

    #[test]
    fn names_standard_errors_by_their_own_name() {
        let trap = Trap { code: "unreachable".into() };
        let remote = Fault::from(trap.clone()).into_remote();
        assert_eq!((remote.src_type.as_str(), remote.kind::<Trap>()), ("trap", Some(trap)));
    }

    #[test]
    fn takes_errors_that_are_no_data() {
        let remote = "x".parse::<u8>().or_fault().expect_err("no number").into_remote();
        assert_eq!(remote.src_type, "core::num::error::ParseIntError");
        assert_eq!(remote.value, None);
    }
}
