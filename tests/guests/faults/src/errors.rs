//! Failing politely.

use serde::{Deserialize, Serialize, Serializer};

/// An error with fields, to be recognised at the other end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text} ({code})")]
pub struct MyError {
    /// A number.
    pub code: u32,
    /// Words.
    pub text: String,
}

/// A value whose encoding fails half-way through.
pub struct Unencodable;

impl Serialize for Unencodable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("this value cannot be encoded"))
    }
}
