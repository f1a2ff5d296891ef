//! What a module says of its own functions.
//!
//! Owns: the custom section `greenroom:signatures`, one JSON object a line. Must not know:
//! wasmtime. Invariant: the section is a guest's word: it helps people and the command line,
//! and decides nothing.

use serde::{Deserialize, Serialize};
use wasmparser::{Parser, Payload};

/// The name of the section in a component's core modules.
const SECTION: &str = "greenroom:signatures";

/// One function as its author wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The module, i.e. the exported interface; empty for a function of the world.
    pub module: String,
    /// The function.
    pub function: String,
    /// Names and types, in order.
    pub params: Vec<(String, String)>,
    /// The type of its value.
    pub result: String,
    /// The first line of its documentation.
    #[serde(default)]
    pub doc: String,
    /// What else passes, if it is to be opened as a context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ContextSignature>,
}

/// The types of a context beside its arguments and result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextSignature {
    /// Of the first value.
    pub first: String,
    /// Of the messages to the caller.
    pub sends: String,
    /// Of the messages from the caller.
    pub receives: String,
}

/// Reads the signatures of a component; lines that are not well-formed are passed over.
pub(crate) fn read(component: &[u8]) -> Vec<Signature> {
    Parser::new(0)
        .parse_all(component)
        .filter_map(|payload| match payload {
            Ok(Payload::CustomSection(section)) if section.name() == SECTION => {
                Some(String::from_utf8_lossy(section.data()).into_owned())
            }
            _ => None,
        })
        .flat_map(|text| {
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Signature>>()
        })
        .collect()
}
