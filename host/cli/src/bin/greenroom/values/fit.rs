//! What was written, made to be of a type.
//!
//! Owns: what each type of a plain function may be written as. Must not know: where it was written.
//! Invariant: what comes out is of the type, in the CBOR form of `docs/values.md`; what does not fit
//! is told with its place, all of it and not only the first.

use std::fmt::Write as _;

use base64::Engine as _;
use ciborium::Value;
use greenroom::ValueType;

use super::written::Written;

/// What was wrong, and where: `point.coords[3]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) place: String,
    pub(crate) what: String,
}

/// Makes what was written a value of a type.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn fit(written: &Written, ty: &ValueType, name: &str) -> Result<Value, Vec<Mistake>> {
    let mut fitting = Fitting { place: name.to_owned(), mistakes: Vec::new() };
    match fitting.value(written, ty) {
        Some(value) if fitting.mistakes.is_empty() => Ok(value),
        _ => Err(fitting.mistakes),
    }
}

/// Whether two names are the same to users: `_` and `-` are.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes().zip(b.bytes()).all(|(a, b)| a == b || matches!((a, b), (b'-', b'_') | (b'_', b'-')))
}

struct Fitting {
    place: String,
    mistakes: Vec<Mistake>,
}

impl Fitting {
    fn wrong(&mut self, what: impl Into<String>) -> Option<Value> {
        self.mistakes.push(Mistake { place: self.place.clone(), what: what.into() });
        None
    }

    fn mismatch(&mut self, ty: &ValueType, written: &Written) -> Option<Value> {
        let also = ty.name().map(|_| format!(", {}", ty.definition())).unwrap_or_default();
        self.wrong(format!("expected {ty}{also}, got {}", written.describe()))
    }

    /// A part, under the name of its place.
    fn part(&mut self, step: std::fmt::Arguments<'_>, written: &Written, ty: &ValueType) -> Option<Value> {
        let length = self.place.len();
        // Writing to text does not fail.
        let _ = self.place.write_fmt(step);
        let value = self.value(written, ty);
        self.place.truncate(length);
        value
    }

    fn value(&mut self, written: &Written, ty: &ValueType) -> Option<Value> {
        match (ty, written) {
            (ValueType::Bool, Written::Bool(value)) => Some(Value::Bool(*value)),
            (ValueType::S8, Written::Number(n)) => self.integer(n, ty, i8::MIN.into(), i8::MAX.into()),
            (ValueType::U8, Written::Number(n)) => self.integer(n, ty, 0, u8::MAX.into()),
            (ValueType::S16, Written::Number(n)) => self.integer(n, ty, i16::MIN.into(), i16::MAX.into()),
            (ValueType::U16, Written::Number(n)) => self.integer(n, ty, 0, u16::MAX.into()),
            (ValueType::S32, Written::Number(n)) => self.integer(n, ty, i32::MIN.into(), i32::MAX.into()),
            (ValueType::U32, Written::Number(n)) => self.integer(n, ty, 0, u32::MAX.into()),
            (ValueType::S64, Written::Number(n)) => self.integer(n, ty, i64::MIN.into(), i64::MAX.into()),
            (ValueType::U64, Written::Number(n)) => self.integer(n, ty, 0, u64::MAX.into()),
            // JSON has no numbers for what is no number.
            (ValueType::F32 | ValueType::F64, Written::Number(text) | Written::Text(text)) => {
                match text.parse::<f64>() {
                    Ok(value) => Some(Value::Float(value)),
                    Err(_) => self.mismatch(ty, written),
                }
            }
            (ValueType::Char, Written::Char(c)) => Some(Value::Text(c.to_string())),
            (ValueType::Char, Written::Text(text)) if text.chars().count() == 1 => {
                Some(Value::Text(text.clone()))
            }
            (ValueType::String, Written::Text(text)) => Some(Value::Text(text.clone())),
            (ValueType::List(item), _) if **item == ValueType::U8 => self.bytes(written, item),
            (ValueType::List(item), Written::List(items)) => {
                let all = items.iter().enumerate().map(|(n, i)| self.part(format_args!("[{n}]"), i, item));
                Some(Value::Array(all.collect::<Vec<_>>().into_iter().flatten().collect()))
            }
            (ValueType::Tuple(types), Written::Tuple(items) | Written::List(items)) => {
                self.tuple(types, items, ty)
            }
            (ValueType::Record { fields, .. }, Written::Fields(given)) => self.record(fields, given, ty),
            (ValueType::Record { fields, .. }, Written::Names(names)) if names.is_empty() => {
                self.record(fields, &[], ty)
            }
            (ValueType::Variant { cases, .. }, _) => self.variant(cases, written, ty),
            (ValueType::Enum { cases, .. }, Written::Case(name, None) | Written::Text(name)) => {
                match cases.iter().find(|case| same(case, name)) {
                    Some(case) => Some(Value::Text(case.clone())),
                    None => self.mismatch(ty, written),
                }
            }
            (ValueType::Flags { flags, .. }, _) => self.flags(flags, written, ty),
            (ValueType::Option(_), Written::Null | Written::Option(None)) => Some(Value::Null),
            (ValueType::Option(inner), Written::Option(Some(some))) => {
                Some(boxed(self.value(some, inner)?, inner))
            }
            (ValueType::Option(inner), Written::List(items)) if inner.is_nullable() && items.len() == 1 => {
                Some(boxed(self.value(&items[0], inner)?, inner))
            }
            (ValueType::Option(inner), _) if inner.is_nullable() => self.wrong(format!(
                "expected {}, written some(value) or [value], got {}",
                ty,
                written.describe()
            )),
            (ValueType::Option(inner), _) => self.value(written, inner),
            (ValueType::Result { ok, err }, _) => self.result(ok.as_deref(), err.as_deref(), written, ty),
            _ => self.mismatch(ty, written),
        }
    }

    fn integer(&mut self, digits: &str, ty: &ValueType, min: i128, max: i128) -> Option<Value> {
        match digits.parse::<i128>() {
            Ok(value) if (min..=max).contains(&value) => Value::try_from_i128(value),
            Ok(value) => self.wrong(format!("expected {ty}, got {value}: out of range {min}..={max}")),
            Err(_) => self.wrong(format!("expected {ty}, got {digits}, which is no integer")),
        }
    }

    /// Bytes are a file's, base64 in quotes, or a list of numbers.
    fn bytes(&mut self, written: &Written, item: &ValueType) -> Option<Value> {
        match written {
            Written::Bytes(bytes) => Some(Value::Bytes(bytes.clone())),
            Written::Text(text) => match base64::engine::general_purpose::STANDARD.decode(text) {
                Ok(bytes) => Some(Value::Bytes(bytes)),
                Err(error) => self.wrong(format!("expected list<u8>, in quotes as base64: {error}")),
            },
            Written::List(items) => {
                let all = items.iter().enumerate().map(|(n, i)| self.part(format_args!("[{n}]"), i, item));
                let all: Vec<u8> = all
                    .collect::<Vec<_>>()
                    .into_iter()
                    .flatten()
                    .filter_map(|value| value.as_integer().and_then(|n| u8::try_from(n).ok()))
                    .collect();
                Some(Value::Bytes(all))
            }
            _ => self.wrong(format!(
                "expected list<u8>: @FILE, base64 in quotes, or a list of numbers, got {}",
                written.describe()
            )),
        }
    }

    fn tuple(&mut self, types: &[ValueType], items: &[Written], ty: &ValueType) -> Option<Value> {
        if types.len() != items.len() {
            let (wanted, got) = (types.len(), items.len());
            return self.wrong(format!("expected {ty}, which holds {wanted} values, got {got}"));
        }
        let pairs = types.iter().zip(items).enumerate();
        let all: Vec<_> = pairs.map(|(n, (ty, item))| self.part(format_args!("[{n}]"), item, ty)).collect();
        Some(Value::Array(all.into_iter().flatten().collect()))
    }

    fn record(
        &mut self,
        fields: &[(String, ValueType)],
        given: &[(String, Written)],
        ty: &ValueType,
    ) -> Option<Value> {
        for (place, (name, _)) in given.iter().enumerate() {
            if !fields.iter().any(|(known, _)| same(known, name)) {
                let known = listed(fields.iter().map(|field| &field.0));
                self.wrong(format!("{} has no field `{name}`; it has {known}", ty));
            } else if given[..place].iter().any(|(before, _)| same(before, name)) {
                self.wrong(format!("the field `{name}` stands twice"));
            }
        }
        let mut map = Vec::new();
        for (name, ty) in fields {
            match given.iter().find(|(known, _)| same(known, name)) {
                Some((_, written)) => {
                    if let Some(value) = self.part(format_args!(".{name}"), written, ty) {
                        map.push((Value::Text(name.clone()), value));
                    }
                }
                None if matches!(ty, ValueType::Option(_)) => {}
                None => _ = self.wrong(format!("the field `{name}: {}` is missing", ty)),
            }
        }
        Some(Value::Map(map))
    }

    fn variant(
        &mut self,
        cases: &[(String, Option<ValueType>)],
        written: &Written,
        ty: &ValueType,
    ) -> Option<Value> {
        let (name, payload) = match written {
            Written::Case(name, payload) => (name.as_str(), payload.as_deref()),
            Written::Text(name) => (name.as_str(), None),
            Written::Fields(fields) if fields.len() == 1 => (fields[0].0.as_str(), Some(&fields[0].1)),
            // WAVE's own words may be cases too.
            Written::Option(None) => ("none", None),
            Written::Option(Some(payload)) => ("some", Some(&**payload)),
            Written::Result(Ok(payload)) => ("ok", payload.as_deref()),
            Written::Result(Err(payload)) => ("err", payload.as_deref()),
            _ => return self.mismatch(ty, written),
        };
        match (cases.iter().find(|(case, _)| same(case, name)), payload) {
            (None, _) => {
                let known = listed(cases.iter().map(|case| &case.0));
                self.wrong(format!("{} has no case `{name}`; it has {known}", ty))
            }
            (Some((case, None)), None | Some(Written::Null)) => Some(Value::Text(case.clone())),
            (Some((case, None)), Some(_)) => self.wrong(format!("the case `{case}` carries no value")),
            (Some((case, Some(ty))), None) => {
                self.wrong(format!("the case `{case}` lacks its value: {}", ty))
            }
            (Some((case, Some(ty))), Some(payload)) => {
                let value = self.part(format_args!(".{case}"), payload, ty)?;
                Some(Value::Map(vec![(Value::Text(case.clone()), value)]))
            }
        }
    }

    fn flags(&mut self, flags: &[String], written: &Written, ty: &ValueType) -> Option<Value> {
        let given: Vec<&str> = match written {
            Written::Names(names) => names.iter().map(String::as_str).collect(),
            Written::Fields(fields) if fields.is_empty() => Vec::new(),
            Written::Case(name, None) => vec![name],
            Written::List(items) => {
                let mut names = Vec::new();
                for item in items {
                    match item {
                        Written::Text(name) | Written::Case(name, None) => names.push(name.as_str()),
                        other => return self.mismatch(ty, other),
                    }
                }
                names
            }
            _ => return self.mismatch(ty, written),
        };
        for (place, name) in given.iter().enumerate() {
            if !flags.iter().any(|flag| same(flag, name)) {
                self.wrong(format!("{} has no flag `{name}`; it has {}", ty, listed(flags.iter())));
            } else if given[..place].iter().any(|before| same(before, name)) {
                self.wrong(format!("the flag `{name}` stands twice"));
            }
        }
        let set = flags.iter().filter(|flag| given.iter().any(|name| same(flag, name)));
        Some(Value::Array(set.map(|flag| Value::Text(flag.clone())).collect()))
    }

    fn result(
        &mut self,
        ok: Option<&ValueType>,
        err: Option<&ValueType>,
        written: &Written,
        ty: &ValueType,
    ) -> Option<Value> {
        let (case, payload) = match written {
            Written::Result(Ok(payload)) => ("ok", payload.as_deref()),
            Written::Result(Err(payload)) => ("err", payload.as_deref()),
            Written::Fields(fields) if fields.len() == 1 && fields[0].0 == "ok" => ("ok", Some(&fields[0].1)),
            Written::Fields(fields) if fields.len() == 1 && fields[0].0 == "err" => {
                ("err", Some(&fields[0].1))
            }
            _ => {
                return self.wrong(format!(
                    "expected {}, written ok(value) or {{\"ok\": value}}, or the same with err, got {}",
                    ty,
                    written.describe()
                ));
            }
        };
        let value = match (if case == "ok" { ok } else { err }, payload) {
            (None, None | Some(Written::Null)) => Value::Null,
            (None, Some(_)) => return self.wrong(format!("`{case}` carries no value here")),
            (Some(ty), None) => return self.wrong(format!("`{case}` lacks its value: {}", ty)),
            (Some(ty), Some(payload)) => self.part(format_args!(".{case}"), payload, ty)?,
        };
        Some(Value::Map(vec![(Value::Text(case.to_owned()), value)]))
    }
}

/// An option's value, in the box that tells `some(none)` from `none` where it needs one.
fn boxed(value: Value, inner: &ValueType) -> Value {
    if inner.is_nullable() { Value::Array(vec![value]) } else { value }
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.join(", "),
    }
}

/// Integers that CBOR holds without bignums.
trait Wide: Sized {
    fn try_from_i128(value: i128) -> Option<Self>;
}

impl Wide for Value {
    fn try_from_i128(value: i128) -> Option<Self> {
        ciborium::value::Integer::try_from(value).ok().map(Value::Integer)
    }
}
