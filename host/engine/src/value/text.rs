//! Values as a person reads them.
//!
//! Owns: the text of a value in an error's message, in the manner of WAVE. Must not know: types.
//! Invariant: it is as long as a message may be, whatever the value.

use std::fmt::{self, Write};

use wasmtime::component::Val;

/// How long a text may become.
const MAX_LEN: usize = 1024;

/// The text of a value.
pub(crate) fn text(value: &Val) -> String {
    let mut out = Bounded(String::new());
    if write(&mut out, value).is_err() {
        out.0.push('…');
    }
    out.0
}

/// Fails once there is enough.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_LEN - self.0.len();
        let end = text.floor_char_boundary(room.min(text.len()));
        self.0.push_str(&text[..end]);
        if end == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

fn write(out: &mut Bounded, value: &Val) -> fmt::Result {
    match value {
        Val::Bool(value) => write!(out, "{value}"),
        Val::S8(value) => write!(out, "{value}"),
        Val::U8(value) => write!(out, "{value}"),
        Val::S16(value) => write!(out, "{value}"),
        Val::U16(value) => write!(out, "{value}"),
        Val::S32(value) => write!(out, "{value}"),
        Val::U32(value) => write!(out, "{value}"),
        Val::S64(value) => write!(out, "{value}"),
        Val::U64(value) => write!(out, "{value}"),
        Val::Float32(value) => write!(out, "{value}"),
        Val::Float64(value) => write!(out, "{value}"),
        Val::Char(value) => write!(out, "{value:?}"),
        Val::String(value) => write!(out, "{value:?}"),
        Val::List(values) | Val::FixedLengthList(values) => all(out, "[", values, "]", write),
        Val::Tuple(values) => all(out, "(", values, ")", write),
        Val::Record(fields) => all(out, "{", fields, "}", |out, (name, value)| {
            write!(out, "{name}: ")?;
            write(out, value)
        }),
        Val::Flags(names) => all(out, "{", names, "}", |out, name| out.write_str(name)),
        Val::Enum(case) => out.write_str(case),
        Val::Variant(case, payload) => holding(out, case, payload.as_deref()),
        Val::Option(None) => out.write_str("none"),
        Val::Option(payload) => holding(out, "some", payload.as_deref()),
        Val::Result(Ok(payload)) => holding(out, "ok", payload.as_deref()),
        Val::Result(Err(payload)) => holding(out, "err", payload.as_deref()),
        Val::Map(_) | Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => {
            out.write_str("…")
        }
    }
}

fn all<T>(
    out: &mut Bounded,
    open: &str,
    values: &[T],
    close: &str,
    one: impl Fn(&mut Bounded, &T) -> fmt::Result,
) -> fmt::Result {
    out.write_str(open)?;
    for (number, value) in values.iter().enumerate() {
        if number > 0 {
            out.write_str(", ")?;
        }
        one(out, value)?;
    }
    out.write_str(close)
}

fn holding(out: &mut Bounded, case: &str, payload: Option<&Val>) -> fmt::Result {
    out.write_str(case)?;
    let Some(payload) = payload else { return Ok(()) };
    out.write_str("(")?;
    write(out, payload)?;
    out.write_str(")")
}
