//! Telling one failure from another, as a caller does.
//!
//! Owns: the report. Must not know: how the failure was brought about.

use std::collections::BTreeMap;

use greenroom_guest::RemoteActorError;
use greenroom_guest::kind::{BadArguments, EncodeError, FunctionNotFound, ModuleNotExposed, Trap};
use serde::{Serialize, Serializer, ser::Error as _};

use crate::BankError;

/// What is known of an error: what it was where it began, and the way it came.
pub(crate) fn describe(error: &RemoteActorError) -> String {
    let what = if let Some(BankError::Overdrawn { account, short }) = error.downcast() {
        format!("a bank error: `{account}` is short of {short}")
    } else if let Some(Trap { code }) = error.downcast() {
        format!("a trap: {code}")
    } else if let Some(FunctionNotFound { function, near, .. }) = error.downcast() {
        format!("no function `{function}`; near: {}", near.join(", "))
    } else if let Some(ModuleNotExposed { module, exposed, .. }) = error.downcast() {
        format!("module `{module}` is not enabled; enabled: {}", exposed.join(", "))
    } else if let Some(BadArguments { unknown, missing, ill_typed, .. }) = error.downcast() {
        let ill_typed: Vec<_> = ill_typed.into_iter().map(|(name, _)| name).collect();
        format!(
            "bad arguments; unknown: {}; missing: {}; ill-typed: {}",
            unknown.join(", "),
            missing.join(", "),
            ill_typed.join(", ")
        )
    } else if let Some(EncodeError { reason }) = error.downcast() {
        format!("a result that cannot be encoded: {reason}")
    } else {
        format!("{}: {}", error.src_type, error.message)
    };
    let path: Vec<_> = error.relay_path.iter().map(|actor| actor.name.as_str()).collect();
    let trace = error.trace.lines().next().map(|line| format!("\n{line}")).unwrap_or_default();
    format!("{what}\nboxed as {}, came by {}{trace}", error.boxed_type, path.join(" > "))
}

/// A value whose encoding fails, as that of a value with a broken invariant might.
pub struct Unencodable(pub(crate) BTreeMap<String, u64>);

impl Serialize for Unencodable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom(format!("a ledger of {} entries does not balance", self.0.len())))
    }
}
