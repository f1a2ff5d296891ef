//! Values as they are printed.
//!
//! Owns: the forms of a result. Must not know: arguments. Invariant: on a terminal, no control
//! character of a guest's comes through.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

use base64::Engine as _;
use ciborium::Value;
use greenroom::{ValueType, payload};

use super::fit::same;
use crate::error::CliError;

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Text as it is, all else as JSON, on several lines at a terminal; nothing for no value
    #[default]
    Text,
    /// One line of JSON
    Json,
    /// The CBOR item itself
    Cbor,
    /// WAVE, for functions whose types are known
    Wave,
}

/// Prints a result: nothing for null, text as it is, all else as JSON.
pub(crate) fn print(bytes: &[u8]) -> Result<(), CliError> {
    print_as(bytes, Format::Text, None)
}

/// Prints a result, which is of a type if that is known.
pub(crate) fn print_as(bytes: &[u8], format: Format, ty: Option<&ValueType>) -> Result<(), CliError> {
    if format == Format::Cbor {
        return write_bytes(bytes);
    }
    let value: Value = payload::decode(bytes)
        .map_err(|error| CliError::failed(format!("the result cannot be shown: {error}")))?;
    match (format, value) {
        (Format::Wave, value) => match ty {
            Some(ty) => write_line(&wave(&value, ty)),
            None => Err(CliError::input("only the results of plain functions can be printed as WAVE")
                .hint("take `-o json`")),
        },
        (Format::Text, Value::Null) => Ok(()),
        (Format::Text, Value::Text(text)) => write_line(&harmless(text.trim_end_matches('\n'))),
        (format, value) => {
            let pretty = format == Format::Text && std::io::stdout().is_terminal();
            write_line(&json(value, pretty))
        }
    }
}

/// A value as JSON, on one line or several.
fn json(value: Value, pretty: bool) -> String {
    let json = to_json(value);
    let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) };
    text.unwrap_or_default()
}

/// An encoded value as one line of JSON.
pub(crate) fn line(bytes: &[u8]) -> Result<String, CliError> {
    let value: Value = payload::decode(bytes)
        .map_err(|error| CliError::failed(format!("a message cannot be shown: {error}")))?;
    Ok(json(value, false))
}

/// Text for whoever looks at it: a terminal takes no orders from a guest.
fn harmless(text: &str) -> String {
    if !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    greenroom::harmless(text).into_owned()
}

/// Writes a line to standard output.
pub(crate) fn write_line(text: &str) -> Result<(), CliError> {
    written(writeln!(anstream::stdout(), "{text}"))
}

fn write_bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

fn written(done: std::io::Result<()>) -> Result<(), CliError> {
    match done {
        // Whoever reads no further has what it wanted.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(|error| CliError::ended(125, format!("cannot write the output: {error}"))),
    }
}

/// JSON's nearest word for a value: bytes become base64, other keys than text their JSON, and
/// floats that are no numbers their names.
fn to_json(value: Value) -> serde_json::Value {
    match value {
        Value::Integer(integer) => {
            let wide = i128::from(integer);
            u64::try_from(wide)
                .map(serde_json::Value::from)
                .or_else(|_| i64::try_from(wide).map(serde_json::Value::from))
                .unwrap_or_else(|_| wide.to_string().into())
        }
        Value::Bytes(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        Value::Float(float) if float.is_finite() => float.into(),
        Value::Float(float) => float_name(float).into(),
        Value::Text(text) => text.into(),
        Value::Bool(value) => value.into(),
        Value::Tag(_, inner) => to_json(*inner),
        Value::Array(items) => items.into_iter().map(to_json).collect(),
        Value::Map(fields) => {
            let field = |(key, value)| match key {
                Value::Text(key) => (key, to_json(value)),
                other => (to_json(other).to_string(), to_json(value)),
            };
            serde_json::Value::Object(fields.into_iter().map(field).collect())
        }
        _ => serde_json::Value::Null,
    }
}

fn float_name(float: f64) -> String {
    match float {
        float if float.is_nan() => "nan".to_owned(),
        float if float.is_infinite() => if float > 0.0 { "inf" } else { "-inf" }.to_owned(),
        float => format!("{float}"),
    }
}

/// A value of a type as WAVE. What is not of the type is shown as JSON in its place.
fn wave(value: &Value, ty: &ValueType) -> String {
    let list = |items: &[Value], ty: &mut dyn FnMut(usize) -> Option<ValueType>| {
        let one = |(place, item)| match ty(place) {
            Some(ty) => wave(item, &ty),
            None => json(item.clone(), false),
        };
        items.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
    };
    match (ty, value) {
        (ValueType::Char, Value::Text(text)) => format!("'{}'", escaped(text, '\'')),
        (ValueType::String, Value::Text(text)) => format!("\"{}\"", escaped(text, '"')),
        (ValueType::F32 | ValueType::F64, Value::Float(float)) => float_name(*float),
        (ValueType::List(item), Value::Bytes(bytes)) if **item == ValueType::U8 => {
            format!("[{}]", bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", "))
        }
        (ValueType::List(item), Value::Array(items)) => {
            format!("[{}]", list(items, &mut |_| Some((**item).clone())))
        }
        (ValueType::Tuple(types), Value::Array(items)) => {
            format!("({})", list(items, &mut |place| types.get(place).cloned()))
        }
        (ValueType::Record { fields, .. }, Value::Map(given)) => {
            let one = |(name, ty): &(String, ValueType)| {
                let value = given.iter().find(|(key, _)| key.as_text().is_some_and(|key| same(key, name)))?;
                (value.1 != Value::Null).then(|| format!("{name}: {}", wave(&value.1, ty)))
            };
            let fields: Vec<String> = fields.iter().filter_map(one).collect();
            if fields.is_empty() { "{:}".to_owned() } else { format!("{{{}}}", fields.join(", ")) }
        }
        (ValueType::Variant { .. } | ValueType::Enum { .. }, Value::Text(case)) => label(case),
        (ValueType::Variant { cases, .. }, Value::Map(given)) if given.len() == 1 => {
            let name = given[0].0.as_text().unwrap_or_default();
            match cases.iter().find(|(case, _)| same(case, name)) {
                Some((case, Some(ty))) => format!("{}({})", label(case), wave(&given[0].1, ty)),
                _ => json(value.clone(), false),
            }
        }
        (ValueType::Flags { .. }, Value::Array(items)) => {
            let names: Vec<&str> = items.iter().filter_map(Value::as_text).collect();
            format!("{{{}}}", names.join(", "))
        }
        (ValueType::Option(_), Value::Null) => "none".to_owned(),
        (ValueType::Option(inner), Value::Array(items)) if inner.is_nullable() && items.len() == 1 => {
            format!("some({})", wave(&items[0], inner))
        }
        (ValueType::Option(inner), value) => format!("some({})", wave(value, inner)),
        (ValueType::Result { ok, err }, Value::Map(given)) if given.len() == 1 => {
            let case = given[0].0.as_text().unwrap_or_default();
            match if case == "ok" { ok } else { err } {
                Some(ty) => format!("{case}({})", wave(&given[0].1, ty)),
                None => case.to_owned(),
            }
        }
        // A whole function's result comes without its `ok`.
        (ValueType::Result { ok: Some(ok), .. }, value) => wave(value, ok),
        (ValueType::Result { ok: None, .. }, Value::Null) => "ok".to_owned(),
        (_, value) => json(value.clone(), false),
    }
}

/// A case's name where WAVE might take it for a word of its own.
fn label(name: &str) -> String {
    const KEYWORDS: &[&str] = &["true", "false", "inf", "nan", "some", "none", "ok", "err"];
    if KEYWORDS.contains(&name) { format!("%{name}") } else { name.to_owned() }
}

fn escaped(text: &str, quote: char) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // Writing to text does not fail.
        let _ = match c {
            '\n' => escaped.write_str("\\n"),
            '\t' => escaped.write_str("\\t"),
            '\r' => escaped.write_str("\\r"),
            '\\' => escaped.write_str("\\\\"),
            c if c == quote => write!(escaped, "\\{c}"),
            c if c.is_control() => write!(escaped, "\\u{{{:x}}}", u32::from(c)),
            c => escaped.write_char(c),
        };
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::fit::fit;
    use super::super::written::Written;
    use super::*;

    /// What stands for a value, made of it and printed again, is the same as WAVE.
    fn again(text: &str, ty: &ValueType) -> String {
        let written = Written::wave(text).expect("WAVE");
        wave(&fit(&written, ty, "x").expect("it fits"), ty)
    }

    #[test]
    fn wave_goes_there_and_back() {
        let option = |ty| ValueType::Option(Box::new(ty));
        let fields = vec![
            ("a".into(), ValueType::String),
            ("b".into(), option(ValueType::Char)),
            ("c".into(), { option(option(ValueType::F64)) }),
        ];
        let cases = vec![
            ("none".into(), None),
            ("pair".into(), { Some(ValueType::Tuple(vec![ValueType::U8, ValueType::Bool])) }),
        ];
        let record = ValueType::Record { name: None, fields };
        let variant = ValueType::Variant { name: None, cases };
        let flags = ValueType::Flags { name: None, flags: vec!["r".into(), "w".into()] };
        let result = ValueType::Result { ok: None, err: Some(Box::new(ValueType::String)) };
        let list = |ty| ValueType::List(Box::new(ty));
        for (text, ty) in [
            ("{a: \"x\\n\\\"y\\\"\", b: some('\\''), c: some(none)}", &record),
            ("[%none, pair((1, true))]", &list(variant)),
            ("{r, w}", &flags),
            ("{}", &flags),
            ("[ok, err(\"no\")]", &list(result)),
            ("[1, 2, 255]", &list(ValueType::U8)),
            ("[nan, -inf, 1.5]", &list(ValueType::F32)),
        ] {
            assert_eq!(again(text, ty), text);
        }
    }

    #[test]
    fn json_is_given_back() {
        for text in ["[1,-2,3.5,null,true,\"x\",{\"a\":[]}]", "18446744073709551615", "-9223372036854775808"]
        {
            let bytes = super::super::given::message(text, None).expect("JSON");
            assert_eq!(line(&bytes).expect("a value"), text);
        }
    }
}
