//! A failure as it travels between actors.
//!
//! Owns: the shape of [`RemoteError`] and its CBOR form. Must not know: who raises or carries
//! one. Invariant: a remote error is plain data; no field of it can fail to encode.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::kind::{self, Kind};
use crate::payload;

/// Who an actor is: the name it was started under and its unique identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActorId {
    /// The name it was started under; several actors may share one.
    pub name: String,
    /// A UUID in its hyphenated text form.
    pub uuid: String,
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The `src_type` of the box that an actor puts around an error it merely passes on.
pub const RELAYED: &str = "RemoteActorError";

/// A failure as data: what crosses a portal when a call does not return a value.
///
/// See the WIT record `remote-error` for the meaning of each field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteError {
    /// The type at the last hop.
    pub boxed_type: String,
    /// The type where it began.
    pub src_type: String,
    /// What went wrong, for a person.
    pub message: String,
    /// The actor it began in; none until it first leaves one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src_actor: Option<ActorId>,
    /// The actors it passed out of, origin first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relay_path: Vec<ActorId>,
    /// For a cancellation: who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceller: Option<ActorId>,
    /// Panic place and wasm backtrace, lines separated by LF.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace: String,
    /// The error's own value: one CBOR item.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "serde_bytes")]
    pub value: Option<Vec<u8>>,
}

impl RemoteError {
    /// An error of the given type with a message and no value.
    pub fn new(src_type: impl Into<String>, message: impl Into<String>) -> Self {
        let src_type = src_type.into();
        Self { boxed_type: src_type.clone(), src_type, message: message.into(), ..Self::default() }
    }

    /// The standard error whose value is `kind`, with the message that `kind` displays.
    pub fn of<K: Kind>(kind: &K) -> Self {
        Self { value: payload::encode(kind).ok(), ..Self::new(K::NAME, kind.to_string()) }
    }

    /// The value, if this error began as the standard error `K`.
    pub fn kind<K: Kind>(&self) -> Option<K> {
        if self.src_type != K::NAME {
            return None;
        }
        payload::decode(self.value.as_deref()?).ok()
    }

    /// Whether this error began as the standard error `K`.
    pub fn is<K: Kind>(&self) -> bool {
        self.src_type == K::NAME
    }

    /// The original error value, if this error began as an `E`: a standard error of
    /// [`kind`] or the type that the failing function returned.
    pub fn downcast<E: DeserializeOwned>(&self) -> Option<E> {
        self.downcast_as(type_name::<E>())
    }

    /// As [`downcast`](Self::downcast), for a caller that does not have the failing function's own
    /// type: reads the value into an `E`, if this error began as the type of this name.
    pub fn downcast_as<E: DeserializeOwned>(&self, src_type: &str) -> Option<E> {
        if self.src_type != src_type {
            return None;
        }
        payload::decode(self.value.as_deref()?).ok()
    }

    /// Marks the passage out of `actor`: the first such passage also settles the origin.
    #[must_use]
    pub fn relayed_by(mut self, actor: &ActorId) -> Self {
        self.src_actor.get_or_insert_with(|| actor.clone());
        self.relay_path.push(actor.clone());
        self
    }

    /// Whether both report the same failure, however far each has travelled.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.src_type == other.src_type
            && self.message == other.message
            && self.src_actor == other.src_actor
            && self.value == other.value
    }
}

/// The name under which errors of type `E` travel: a standard error's own name, else Rust's
/// path of the type without its generic arguments.
pub fn type_name<E: ?Sized>() -> &'static str {
    let path = std::any::type_name::<E>();
    kind::standard_name(path).unwrap_or(path.split('<').next().unwrap_or(path))
}

impl fmt::Display for RemoteError {
    /// `type: message (raised in a, relayed by b, c)`; the trace is left to the caller.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.src_type, self.message)?;
        if let Some(origin) = &self.src_actor {
            write!(f, " (raised in {origin}")?;
            let mut hops = self.relay_path.iter().filter(|hop| *hop != origin).peekable();
            if hops.peek().is_some() {
                f.write_str(", relayed by ")?;
            }
            while let Some(hop) = hops.next() {
                write!(f, "{hop}{}", if hops.peek().is_some() { ", " } else { "" })?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl std::error::Error for RemoteError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{ActorDied, Exit, Trap};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Oops {
        code: u8,
    }

    fn actor(name: &str) -> ActorId {
        ActorId { name: name.into(), uuid: format!("{name}-uuid") }
    }

    #[test]
    fn downcasts_to_what_it_began_as_and_nothing_else() {
        let died = ActorDied { actor: actor("leaf"), exit: Exit::Signal(9) };
        let error = RemoteError::of(&died).relayed_by(&actor("mid"));
        assert_eq!(error.downcast::<ActorDied>(), Some(died));
        assert_eq!(error.downcast::<Trap>(), None);

        let own = RemoteError {
            value: payload::encode(&Oops { code: 7 }).ok(),
            ..RemoteError::new(type_name::<Oops>(), "oops")
        };
        assert_eq!(own.downcast::<Oops>(), Some(Oops { code: 7 }));
        let named = RemoteError { src_type: "bank::Oops".into(), ..own.clone() };
        assert_eq!(named.downcast::<Oops>(), None);
        assert_eq!(named.downcast_as("bank::Oops"), Some(Oops { code: 7 }));
        assert_eq!(named.downcast_as::<Oops>("shop::Oops"), None);
        assert_eq!(type_name::<Trap>(), "trap");
    }

    #[test]
    fn keeps_the_path_origin_first() {
        let error = RemoteError::new("x", "y").relayed_by(&actor("leaf")).relayed_by(&actor("mid"));
        assert_eq!(error.src_actor, Some(actor("leaf")));
        assert_eq!(error.to_string(), "x: y (raised in leaf, relayed by mid)");
        let bytes = payload::encode(&error).expect("encodes");
        assert_eq!(payload::decode::<RemoteError>(&bytes).expect("decodes"), error);
    }
}
