//! The types of plain functions.
//!
//! Owns: the value types of the component model, as data that can be sent and kept. Must not know:
//! wasmtime, values. Invariant: handles (resources, streams, futures) have no place in them.

use serde::{Deserialize, Serialize};

/// The type of one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueType {
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<…>`
    List(Box<ValueType>),
    /// `tuple<…>`
    Tuple(Vec<ValueType>),
    /// A record, its fields in order.
    Record {
        /// What its component calls it, if it says.
        name: Option<String>,
        /// Name and type of each field.
        fields: Vec<(String, ValueType)>,
    },
    /// A variant, its cases in order.
    Variant {
        /// What its component calls it, if it says.
        name: Option<String>,
        /// Name and payload of each case.
        cases: Vec<(String, Option<ValueType>)>,
    },
    /// An enum, its cases in order.
    Enum {
        /// What its component calls it, if it says.
        name: Option<String>,
        /// The names.
        cases: Vec<String>,
    },
    /// Flags, in order.
    Flags {
        /// What its component calls it, if it says.
        name: Option<String>,
        /// The names.
        flags: Vec<String>,
    },
    /// `option<…>`
    Option(Box<ValueType>),
    /// `result<…, …>`
    Result {
        /// What it holds when all went well.
        ok: Option<Box<ValueType>>,
        /// What it holds otherwise.
        err: Option<Box<ValueType>>,
    },
}

/// The type of a plain function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionType {
    /// Name and type of each parameter, in order.
    pub params: Vec<(String, ValueType)>,
    /// What it returns, if anything.
    pub result: Option<ValueType>,
}
