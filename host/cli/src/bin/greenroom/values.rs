//! Values between the command line and CBOR.
//!
//! Owns: reading `key=value` and printing results. Must not know: functions. Invariant: what is
//! printed as JSON can be given back as an argument.

use std::io::{IsTerminal, Write};

use base64::Engine as _;
use ciborium::Value;
use greenroom::{Signature, payload};

use crate::error::CliError;

/// Encodes keyword arguments, guided by the function's signature if it has one.
pub(crate) fn kwargs(pairs: &[(String, String)], signature: Option<&Signature>) -> Result<Vec<u8>, CliError> {
    let mut entries: Vec<(Value, Value)> = Vec::new();
    for (key, text) in pairs {
        let wanted = match signature {
            Some(signature) => {
                let known = signature.params.iter().find(|(name, _)| name == key);
                Some(&known.ok_or_else(|| unknown(key, signature))?.1)
            }
            None => None,
        };
        if entries.iter().any(|(known, _)| known.as_text() == Some(key)) {
            return Err(CliError::input(format!("argument `{key}` is given twice")));
        }
        entries.push((Value::Text(key.clone()), value(text, wanted.map_or("", String::as_str))));
    }
    payload::encode(&Value::Map(entries)).map_err(|error| CliError::input(error.to_string()))
}

fn unknown(key: &str, signature: &Signature) -> CliError {
    let known: Vec<String> = signature.params.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    let message = format!("`{}` has no argument `{key}`", signature.function);
    match known.is_empty() {
        true => CliError::input(message).hint("it takes no arguments"),
        false => CliError::input(message).hint(format!("it takes {}", known.join(", "))),
    }
}

/// JSON where the text is JSON and the parameter's type is not text; otherwise text. Where all
/// numbers of the type are floats, `3` is `3.0`: CBOR keeps the two apart.
fn value(text: &str, ty: &str) -> Value {
    let words: Vec<&str> =
        ty.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
    if matches!(words[..], ["String"] | ["Option", "String"]) {
        return Value::Text(text.to_owned());
    }
    let is_float = |word: &&str| matches!(*word, "f32" | "f64");
    let is_integer = |word: &&str| {
        word.starts_with(['i', 'u']) && word[1..].parse::<u8>().is_ok() || matches!(*word, "isize" | "usize")
    };
    let floats = words.iter().any(is_float) && !words.iter().any(is_integer);
    match serde_json::from_str(text) {
        Ok(json) => from_json(json, floats),
        Err(_) => Value::Text(text.to_owned()),
    }
}

fn from_json(json: serde_json::Value, floats: bool) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) if floats => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => Value::from(value),
            (None, Some(value)) => Value::from(value),
            (None, None) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| from_json(item, floats)).collect())
        }
        serde_json::Value::Object(fields) => {
            let field = |(key, value)| (Value::Text(key), from_json(value, floats));
            Value::Map(fields.into_iter().map(field).collect())
        }
    }
}

/// Prints a result: nothing for null, text as it is, all else as JSON.
pub(crate) fn print(bytes: &[u8]) -> Result<(), CliError> {
    let value: Value = payload::decode(bytes)
        .map_err(|error| CliError::failed(format!("the result cannot be shown: {error}")))?;
    match value {
        Value::Null => {}
        Value::Text(text) => write_line(text.trim_end_matches('\n'))?,
        other => {
            let json = to_json(other);
            let text = match std::io::stdout().is_terminal() {
                true => serde_json::to_string_pretty(&json),
                false => serde_json::to_string(&json),
            };
            write_line(&text.unwrap_or_default())?;
        }
    }
    Ok(())
}

/// Writes a line to standard output.
pub(crate) fn write_line(text: &str) -> Result<(), CliError> {
    match writeln!(anstream::stdout(), "{text}") {
        // Whoever reads no further has what it wanted.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| CliError::ended(125, format!("cannot write the output: {error}"))),
    }
}

/// JSON's nearest word for a value: bytes become base64, other keys than text their JSON.
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
        Value::Float(float) => float.into(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_goes_there_and_back() {
        for text in ["[1,-2,3.5,null,true,\"x\",{\"a\":[]}]", "18446744073709551615", "-9223372036854775808"]
        {
            let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(to_json(from_json(json.clone(), false)), json);
        }
    }

    #[test]
    fn the_type_decides_where_the_text_does_not() {
        assert_eq!(value("12", ""), Value::from(12));
        assert_eq!(value("12", "String"), Value::Text("12".into()));
        assert_eq!(value("12", "Option < String >"), Value::Text("12".into()));
        assert_eq!(value("plain", "Kind"), Value::Text("plain".into()));
        assert_eq!(value("[1]", "Vec < f64 >"), Value::Array(vec![Value::from(1.0)]));
        assert_eq!(value("[1]", "Vec < (i64, f64) >"), Value::Array(vec![Value::from(1)]));
    }

    #[test]
    fn an_unknown_argument_names_the_known_ones() {
        let signature = Signature {
            module: String::new(),
            function: "main".into(),
            params: vec![("vals".into(), "Vec < i64 >".into())],
            result: String::new(),
            doc: String::new(),
            context: None,
        };
        assert!(kwargs(&[("vals".into(), "[1]".into())], Some(&signature)).is_ok());
        assert!(kwargs(&[("x".into(), "1".into())], Some(&signature)).is_err());
        assert!(kwargs(&[("x".into(), "1".into()), ("x".into(), "2".into())], None).is_err());
    }
}
