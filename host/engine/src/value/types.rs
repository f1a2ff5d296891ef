//! The types of plain functions.
//!
//! Owns: the value types of the component model, as data that can be sent and kept. Must not know:
//! wasmtime, values. Invariant: handles (resources, streams, futures) have no place in them.

use std::fmt;

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

impl ValueType {
    /// The name that its component gave it, if it has one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Record { name, .. }
            | Self::Variant { name, .. }
            | Self::Enum { name, .. }
            | Self::Flags { name, .. } => name.as_deref(),
            _ => None,
        }
    }

    /// Whether null is one of its values, so that an option of it must tell two nulls apart.
    pub fn is_nullable(&self) -> bool {
        matches!(self, Self::Option(_))
    }

    /// Whether it is `list<u8>`, whose values are byte strings.
    pub fn is_bytes(&self) -> bool {
        matches!(self, Self::List(inner) if **inner == Self::U8)
    }

    /// Whether it is `list<u8>`, or an option or a result that may hold one.
    pub(crate) fn holds_bytes(&self) -> bool {
        match self {
            Self::Option(inner) => inner.is_bytes(),
            Self::Result { ok: Some(ok), .. } => ok.is_bytes(),
            ty => ty.is_bytes(),
        }
    }

    /// Its definition in WIT's words, also where it has a name.
    pub fn definition(&self) -> impl fmt::Display + '_ {
        Definition(self)
    }
}

/// As WIT has it; a type with a name is its name.
impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => Definition(self).fmt(f),
        }
    }
}

struct Definition<'a>(&'a ValueType);

impl fmt::Display for Definition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ValueType::Bool => f.write_str("bool"),
            ValueType::S8 => f.write_str("s8"),
            ValueType::U8 => f.write_str("u8"),
            ValueType::S16 => f.write_str("s16"),
            ValueType::U16 => f.write_str("u16"),
            ValueType::S32 => f.write_str("s32"),
            ValueType::U32 => f.write_str("u32"),
            ValueType::S64 => f.write_str("s64"),
            ValueType::U64 => f.write_str("u64"),
            ValueType::F32 => f.write_str("f32"),
            ValueType::F64 => f.write_str("f64"),
            ValueType::Char => f.write_str("char"),
            ValueType::String => f.write_str("string"),
            ValueType::List(inner) => write!(f, "list<{inner}>"),
            ValueType::Option(inner) => write!(f, "option<{inner}>"),
            ValueType::Tuple(inner) => write!(f, "tuple<{}>", Joined(inner)),
            ValueType::Record { fields, .. } => {
                write!(f, "record {{ {} }}", Joined(&texts(fields, |(name, ty)| format!("{name}: {ty}"))))
            }
            ValueType::Variant { cases, .. } => {
                let case = |(name, ty): &(String, Option<ValueType>)| match ty {
                    Some(ty) => format!("{name}({ty})"),
                    None => name.clone(),
                };
                write!(f, "variant {{ {} }}", Joined(&texts(cases, case)))
            }
            ValueType::Enum { cases, .. } => write!(f, "enum {{ {} }}", Joined(cases)),
            ValueType::Flags { flags, .. } => write!(f, "flags {{ {} }}", Joined(flags)),
            ValueType::Result { ok, err } => match (ok, err) {
                (None, None) => f.write_str("result"),
                (Some(ok), None) => write!(f, "result<{ok}>"),
                (None, Some(err)) => write!(f, "result<_, {err}>"),
                (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            },
        }
    }
}

/// Parameters and result, as they stand behind a function's name: `(x: u8) -> string`.
impl fmt::Display for FunctionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({})", Joined(&texts(&self.params, |(name, ty)| format!("{name}: {ty}"))))?;
        match &self.result {
            Some(result) => write!(f, " -> {result}"),
            None => Ok(()),
        }
    }
}

fn texts<T>(all: &[T], text: impl Fn(&T) -> String) -> Vec<String> {
    all.iter().map(text).collect()
}

/// Things with commas between them.
struct Joined<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Joined<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for one in self.0 {
            write!(f, "{separator}{one}")?;
            separator = ", ";
        }
        Ok(())
    }
}
