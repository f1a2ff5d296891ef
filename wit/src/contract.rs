//! The types of a context in words, and the value that does not keep to them.
//!
//! Owns: the parts of a contract and what breaking one is called. Must not know: which side of a
//! context it speaks for.

use serde::de::DeserializeOwned;

use crate::kind::{DecodeError, MsgTypeError};
use crate::payload;

/// The types of a contract in words, for its errors.
#[derive(Clone, Copy, Debug)]
pub struct Types {
    /// Of the first value.
    pub first: &'static str,
    /// Of messages to the caller.
    pub sends: &'static str,
    /// Of messages to the callee.
    pub receives: &'static str,
    /// Of the result.
    pub output: &'static str,
}

impl Types {
    /// What the function starts with, sends, receives, and gives when it succeeds.
    #[must_use]
    pub fn of<First, Sends, Receives, Output>() -> Self {
        Self {
            first: std::any::type_name::<First>(),
            sends: std::any::type_name::<Sends>(),
            receives: std::any::type_name::<Receives>(),
            output: std::any::type_name::<Output>(),
        }
    }
}

/// A part of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the function starts with.
    First,
    /// A message of the caller's.
    ToCallee,
    /// A message of the function's.
    ToCaller,
    /// What the function gives.
    Output,
}

impl Part {
    /// Decodes a value that is this part of a context with `function`.
    ///
    /// # Errors
    /// [`MsgTypeError`] if it is not of the declared type.
    pub fn decode<T: DeserializeOwned>(
        self,
        function: &str,
        types: &Types,
        value: &[u8],
    ) -> Result<T, MsgTypeError> {
        self.judge(function, types, payload::decode(value))
    }

    /// What came of decoding a value that is this part of a context with `function`.
    ///
    /// # Errors
    /// [`MsgTypeError`] if it is not of the declared type.
    pub fn judge<T>(
        self,
        function: &str,
        types: &Types,
        decoded: Result<T, DecodeError>,
    ) -> Result<T, MsgTypeError> {
        decoded.map_err(|error| MsgTypeError {
            function: function.to_owned(),
            part: self.text().to_owned(),
            expected: self.declared(types).to_owned(),
            reason: error.reason,
        })
    }

    fn text(self) -> &'static str {
        match self {
            Self::First => "first value",
            Self::ToCallee => "message to the callee",
            Self::ToCaller => "message to the caller",
            Self::Output => "result",
        }
    }

    fn declared(self, types: &Types) -> &'static str {
        match self {
            Self::First => types.first,
            Self::ToCallee => types.receives,
            Self::ToCaller => types.sends,
            Self::Output => types.output,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_names_its_part_and_the_declared_type() {
        let types = Types::of::<u8, u16, u32, u64>();
        let text = payload::encode("text").expect("encodes");
        for (part, name, declared) in [
            (Part::First, "first value", "u8"),
            (Part::ToCaller, "message to the caller", "u16"),
            (Part::ToCallee, "message to the callee", "u32"),
            (Part::Output, "result", "u64"),
        ] {
            let breach = part.decode::<u64>("m:f", &types, &text).expect_err("no number");
            assert_eq!((&*breach.function, &*breach.part, &*breach.expected), ("m:f", name, declared));
        }
        let seven = payload::encode(&7).expect("encodes");
        assert_eq!(Part::Output.decode::<u64>("m:f", &types, &seven), Ok(7));
    }
}
