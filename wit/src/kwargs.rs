//! Keyword arguments on the caller's side, for calls by name: the same in a guest and in a native
//! program.
//!
//! Owns: [`Kwargs`] and the macro [`kwargs!`](macro@crate::kwargs). Must not know: the function that
//! is called. Invariant: a payload that comes out is one CBOR map from text.

use serde::Serialize;

use crate::kind::EncodeError;
use crate::payload;

/// Keyword arguments of a call by name, each encoded as it is added.
///
/// Usually written with [`kwargs!`](macro@crate::kwargs). Giving a name twice is an error at the
/// callee, as it is for any payload.
#[derive(Clone, Debug)]
pub struct Kwargs(Content);

#[derive(Clone, Debug)]
enum Content {
    Entries { count: u32, bytes: Vec<u8> },
    Payload(Vec<u8>),
    Failed(EncodeError),
}

impl Default for Kwargs {
    fn default() -> Self {
        Self::new()
    }
}

impl Kwargs {
    /// No arguments.
    #[must_use]
    pub const fn new() -> Self {
        Self(Content::Entries { count: 0, bytes: Vec::new() })
    }

    /// Arguments that are already encoded, to pass a call on unread: one CBOR map from text, or
    /// nothing at all for none.
    #[must_use]
    pub const fn from_payload(payload: Vec<u8>) -> Self {
        Self(Content::Payload(payload))
    }

    /// Adds an argument. One that cannot be encoded makes the call fail, not this. Nothing can
    /// be added to arguments that came encoded: that fails the call too.
    #[must_use]
    pub fn with<T: Serialize + ?Sized>(self, name: &str, value: &T) -> Self {
        let Content::Entries { count, mut bytes } = self.0 else {
            let reason = format!("cannot add `{name}` to arguments that came encoded");
            return match self.0 {
                failed @ Content::Failed(_) => Self(failed),
                _ => Self(Content::Failed(EncodeError { reason })),
            };
        };
        match payload::encode(name).and_then(|name| Ok((name, payload::encode(value)?))) {
            Ok((name, value)) => {
                bytes.extend(name);
                bytes.extend(value);
                Self(Content::Entries { count: count + 1, bytes })
            }
            Err(error) => {
                let reason = format!("argument `{name}`: {}", error.reason);
                Self(Content::Failed(EncodeError { reason }))
            }
        }
    }

    /// The payload of the call.
    ///
    /// # Errors
    /// [`EncodeError`] naming the first argument that could not be encoded.
    pub fn into_payload(self) -> Result<Vec<u8>, EncodeError> {
        match self.0 {
            Content::Entries { count, bytes } => Ok([map_head(count), bytes].concat()),
            Content::Payload(payload) => Ok(payload),
            Content::Failed(error) => Err(error),
        }
    }
}

/// The first bytes of a CBOR map of `count` entries (RFC 8949, section 3.1).
fn map_head(count: u32) -> Vec<u8> {
    const MAP: u8 = 5 << 5;
    match u8::try_from(count) {
        Ok(count @ 0..=23) => vec![MAP | count],
        _ => [&[MAP | 26][..], &count.to_be_bytes()].concat(),
    }
}

/// Keyword arguments for a call by name: `kwargs! { x: 2, name: "a" }`.
///
/// ```
/// # use greenroom_abi::kwargs;
/// let (x, list) = (2, vec!["a", "b"]);
/// let payload = kwargs! { x, names: list, deep: true }.into_payload().unwrap();
/// assert_eq!(payload[0], 0xa3); // a map of three
/// ```
#[macro_export]
macro_rules! kwargs {
    ($($name:ident $(: $value:expr)?),* $(,)?) => {
        $crate::Kwargs::new()
            $(.with($crate::kwargs!(@name $name), &$crate::kwargs!(@value $name $(: $value)?)))*
    };
    (@name $name:ident) => {{
        const NAME: &str = ::core::stringify!($name);
        NAME.strip_prefix("r#").unwrap_or(NAME)
    }};
    (@value $name:ident : $value:expr) => { $value };
    (@value $name:ident) => { $name };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn encodes_a_map() {
        let x = 1;
        let payload = kwargs! { x, r#type: 2 }.into_payload().expect("encodes");
        let map: BTreeMap<String, u8> = payload::decode(&payload).expect("decodes");
        assert_eq!(map, BTreeMap::from([("type".into(), 2), ("x".into(), 1)]));
        assert_eq!(kwargs! {}.into_payload(), Ok(vec![0xa0]));
        let many = (0..300).fold(Kwargs::new(), |all, n| all.with(&n.to_string(), &n));
        let map: BTreeMap<String, u32> =
            payload::decode(&many.into_payload().expect("encodes")).expect("decodes");
        assert_eq!(map.len(), 300);
    }

    #[test]
    fn reports_what_cannot_be_encoded() {
        struct Broken;
        impl Serialize for Broken {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("broken"))
            }
        }
        let error = kwargs! { good: 1, bad: Broken, other: 2 }.into_payload().expect_err("broken");
        assert_eq!(error.reason, "argument `bad`: broken");
        assert!(Kwargs::from_payload(vec![0xa0]).with("x", &1).into_payload().is_err());
    }
}
