//! Values on their way out of a component.
//!
//! Owns: writing what wasmtime gives as a payload. Must not know: instances. Invariant: what is
//! written for a value of a type is taken for the same value of that type.

use wasmtime::component::Val;

use super::item::{self, ARRAY, BYTES, MAP, NULL, UNSIGNED};
use super::types::ValueType;

/// A value is not of the type that it was given out as.
#[derive(Debug)]
pub(crate) struct Misfit;

/// Writes a value of a type.
///
/// # Errors
/// [`Misfit`], which wasmtime does not let happen for what a function of that type returned.
pub(crate) fn lift(ty: &ValueType, value: &Val, out: &mut Vec<u8>) -> Result<(), Misfit> {
    match (ty, value) {
        (ValueType::Bool, Val::Bool(value)) => item::boolean(out, *value),
        (ValueType::S8, Val::S8(value)) => item::integer(out, (*value).into()),
        (ValueType::U8, Val::U8(value)) => item::integer(out, (*value).into()),
        (ValueType::S16, Val::S16(value)) => item::integer(out, (*value).into()),
        (ValueType::U16, Val::U16(value)) => item::integer(out, (*value).into()),
        (ValueType::S32, Val::S32(value)) => item::integer(out, (*value).into()),
        (ValueType::U32, Val::U32(value)) => item::integer(out, (*value).into()),
        (ValueType::S64, Val::S64(value)) => item::integer(out, *value),
        (ValueType::U64, Val::U64(value)) => item::head(out, UNSIGNED, *value),
        (ValueType::F32, Val::Float32(value)) => item::float32(out, *value),
        (ValueType::F64, Val::Float64(value)) => item::float64(out, *value),
        (ValueType::Char, Val::Char(value)) => item::text(out, value.encode_utf8(&mut [0; 4])),
        (ValueType::String, Val::String(value)) => item::text(out, value),
        (ValueType::List(inner), Val::List(values)) if **inner == ValueType::U8 => {
            item::head(out, BYTES, values.len() as u64);
            for value in values {
                let Val::U8(byte) = value else { return Err(Misfit) };
                out.push(*byte);
            }
        }
        (ValueType::List(inner), Val::List(values)) => {
            item::head(out, ARRAY, values.len() as u64);
            values.iter().try_for_each(|value| lift(inner, value, out))?;
        }
        (ValueType::Tuple(types), Val::Tuple(values)) if types.len() == values.len() => {
            item::head(out, ARRAY, values.len() as u64);
            types.iter().zip(values).try_for_each(|(ty, value)| lift(ty, value, out))?;
        }
        (ValueType::Record { fields, .. }, Val::Record(values)) if fields.len() == values.len() => {
            item::head(out, MAP, values.len() as u64);
            for ((name, ty), (_, value)) in fields.iter().zip(values) {
                item::text(out, name);
                lift(ty, value, out)?;
            }
        }
        (ValueType::Variant { cases, .. }, Val::Variant(case, payload)) => {
            let (_, inner) = cases.iter().find(|(name, _)| name == case).ok_or(Misfit)?;
            match (inner, payload) {
                (None, None) => item::text(out, case),
                (Some(ty), Some(value)) => entry(case, ty, value, out)?,
                _ => return Err(Misfit),
            }
        }
        (ValueType::Enum { .. }, Val::Enum(case)) => item::text(out, case),
        (ValueType::Flags { flags, .. }, Val::Flags(raised)) => {
            let names = flags.iter().filter(|flag| raised.contains(flag));
            item::head(out, ARRAY, names.clone().count() as u64);
            names.for_each(|name| item::text(out, name));
        }
        (ValueType::Option(_), Val::Option(None)) => out.push(NULL),
        (ValueType::Option(inner), Val::Option(Some(value))) => {
            if inner.is_nullable() {
                item::head(out, ARRAY, 1);
            }
            lift(inner, value, out)?;
        }
        (ValueType::Result { ok, .. }, Val::Result(Ok(value))) => side("ok", ok.as_deref(), value, out)?,
        (ValueType::Result { err, .. }, Val::Result(Err(value))) => side("err", err.as_deref(), value, out)?,
        _ => return Err(Misfit),
    }
    Ok(())
}

/// Writes a value that may be nothing at all.
pub(crate) fn lift_some(
    ty: Option<&ValueType>,
    value: Option<&Val>,
    out: &mut Vec<u8>,
) -> Result<(), Misfit> {
    match (ty, value) {
        (Some(ty), Some(value)) => lift(ty, value, out),
        (None, None) => {
            out.push(NULL);
            Ok(())
        }
        _ => Err(Misfit),
    }
}

fn entry(key: &str, ty: &ValueType, value: &Val, out: &mut Vec<u8>) -> Result<(), Misfit> {
    item::head(out, MAP, 1);
    item::text(out, key);
    lift(ty, value, out)
}

fn side(
    key: &str,
    ty: Option<&ValueType>,
    value: &Option<Box<Val>>,
    out: &mut Vec<u8>,
) -> Result<(), Misfit> {
    item::head(out, MAP, 1);
    item::text(out, key);
    lift_some(ty, value.as_deref(), out)
}
