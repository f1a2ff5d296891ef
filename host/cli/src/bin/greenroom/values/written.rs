//! What a person has written for a value, before it is asked what type it is to be.
//!
//! Owns: reading WAVE and JSON into one form. Must not know: types of functions, CBOR. Invariant:
//! nothing that was written is lost on the way: numbers keep their digits, fields their order, and
//! a field that stands twice is refused.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use wasm_wave::ast::{Node, NodeType};
use wasm_wave::untyped::UntypedValue;

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Written {
    /// JSON's `null`.
    Null,
    Bool(bool),
    /// Its digits.
    Number(String),
    /// In quotes, or a whole argument that is nothing else.
    Text(String),
    /// WAVE's `'c'`.
    Char(char),
    /// The content of a file.
    Bytes(Vec<u8>),
    List(Vec<Written>),
    /// WAVE's `(a, b)`.
    Tuple(Vec<Written>),
    /// A record in WAVE, an object in JSON.
    Fields(Vec<(String, Written)>),
    /// WAVE's `{a, b}`.
    Names(Vec<String>),
    /// WAVE's `case` and `case(value)`.
    Case(String, Option<Box<Written>>),
    /// WAVE's `some(value)` and `none`.
    Option(Option<Box<Written>>),
    /// WAVE's `ok(value)` and `err(value)`.
    Result(Result<Option<Box<Written>>, Option<Box<Written>>>),
}

impl Written {
    /// Reads JSON.
    ///
    /// # Errors
    /// Where it is none, and why.
    pub(crate) fn json(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Reads WAVE.
    ///
    /// # Errors
    /// Where it is none, and why.
    pub(crate) fn wave(text: &str) -> Result<Self, String> {
        let value = UntypedValue::parse(text).map_err(|error| wave_error(text, &error))?;
        from_node(value.node(), text).map_err(|error| wave_error(text, &error))
    }

    /// What stands there, in a few words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(digits) => digits.clone(),
            Self::Text(text) => format!("the text {}", shortened(text)),
            Self::Char(c) => format!("the character {c:?}"),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Tuple(items) => format!("a tuple of {}", items.len()),
            Self::Fields(fields) if fields.is_empty() => "no fields".to_owned(),
            Self::Fields(fields) => {
                let names: Vec<&str> = fields.iter().take(5).map(|(name, _)| name.as_str()).collect();
                let rest = if fields.len() > names.len() { ", …" } else { "" };
                format!("the fields {}{rest}", names.join(", "))
            }
            Self::Names(names) if names.is_empty() => "{}".to_owned(),
            Self::Names(names) => format!("{{{}}}", names.join(", ")),
            Self::Case(name, None) => format!("`{name}`"),
            Self::Case(name, Some(_)) => format!("`{name}(…)`"),
            Self::Option(None) => "none".to_owned(),
            Self::Option(Some(_)) => "some(…)".to_owned(),
            Self::Result(Ok(_)) => "ok(…)".to_owned(),
            Self::Result(Err(_)) => "err(…)".to_owned(),
        }
    }
}

/// A text in quotes, not longer than one cares to read in a message.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

fn wave_error(text: &str, error: &wasm_wave::parser::ParserError) -> String {
    let start = error.span().start.min(text.len());
    let column = text.get(..start).map_or(start, |before| before.chars().count()) + 1;
    let detail = error.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{}{detail} at column {column}", error.kind())
}

fn from_node(node: &Node, text: &str) -> Result<Written, wasm_wave::parser::ParserError> {
    let all = |nodes: &mut dyn Iterator<Item = &Node>| {
        nodes.map(|node| from_node(node, text)).collect::<Result<Vec<Written>, _>>()
    };
    let boxed = |node: Option<&Node>| node.map(|node| from_node(node, text).map(Box::new)).transpose();
    Ok(match node.ty() {
        NodeType::BoolTrue | NodeType::BoolFalse => Written::Bool(node.as_bool()?),
        NodeType::Number => Written::Number(text[node.span()].to_owned()),
        NodeType::Char => Written::Char(node.as_char(text)?),
        NodeType::String | NodeType::MultilineString => Written::Text(node.as_str(text)?.into_owned()),
        NodeType::Tuple => Written::Tuple(all(&mut node.as_tuple()?)?),
        NodeType::List => Written::List(all(&mut node.as_list()?)?),
        NodeType::TupleSet => {
            let mut fields = Vec::new();
            for (name, value) in node.as_record(text)? {
                fields.push((name.to_owned(), from_node(value, text)?));
            }
            Written::Fields(fields)
        }
        NodeType::Label | NodeType::VariantWithPayload => {
            let (name, payload) = node.as_variant(text)?;
            Written::Case(name.to_owned(), boxed(payload)?)
        }
        NodeType::OptionSome | NodeType::OptionNone => Written::Option(boxed(node.as_option()?)?),
        NodeType::ResultOk | NodeType::ResultErr => Written::Result(match node.as_result()? {
            Ok(payload) => Ok(boxed(payload)?),
            Err(payload) => Err(boxed(payload)?),
        }),
        NodeType::Flags | NodeType::EmptySet => {
            Written::Names(node.as_flags(text)?.map(str::to_owned).collect())
        }
    })
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Json)
    }
}

struct Json;

impl<'de> Visitor<'de> for Json {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        Ok(Written::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Written, E> {
        Ok(Written::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Written, E> {
        Ok(Written::Number(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Written, E> {
        Ok(Written::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Written, E> {
        // With its point, so that it is told from an integer.
        Ok(Written::Number(format!("{value:?}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Written, E> {
        Ok(Written::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Written, E> {
        Ok(Written::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Written, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = items.next_element()? {
            found.push(item);
        }
        Ok(Written::List(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Written, A::Error> {
        let (mut found, mut names) = (Vec::new(), std::collections::HashSet::new());
        while let Some((name, value)) = fields.next_entry::<String, Written>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("the field `{name}` stands twice")));
            }
            found.push((name, value));
        }
        Ok(Written::Fields(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(digits: &str) -> Written {
        Written::Number(digits.to_owned())
    }

    #[test]
    fn reads_json() {
        let fields = Written::Fields(vec![
            ("b".into(), Written::List(vec![number("1"), number("-2"), number("3.0"), Written::Null])),
            ("a".into(), Written::Text("x".into())),
        ]);
        assert_eq!(Written::json(r#"{"b": [1, -2, 3.0, null], "a": "x"}"#), Ok(fields));
        assert_eq!(Written::json("18446744073709551615"), Ok(number("18446744073709551615")));
        let twice = Written::json(r#"{"a": 1, "a": 2}"#).expect_err("which of the two?");
        assert!(twice.contains("`a` stands twice"), "{twice}");
    }

    #[test]
    fn reads_wave() {
        let fields = Written::Fields(vec![
            ("x-1".into(), Written::Case("circle".into(), Some(Box::new(number("2.5"))))),
            ("y".into(), Written::Option(None)),
            ("z".into(), Written::Names(vec!["read".into(), "write".into()])),
        ]);
        assert_eq!(Written::wave("{x-1: circle(2.5), y: none, z: {read, write}}"), Ok(fields));
        assert_eq!(Written::wave("('a', \"b\\n\")"), {
            Ok(Written::Tuple(vec![Written::Char('a'), Written::Text("b\n".into())]))
        });
        assert_eq!(Written::wave("ok"), Ok(Written::Result(Ok(None))));
        assert!(Written::wave("{a: 1, a: 2}").is_err());
        assert!(Written::wave("[1, 2").expect_err("it is open").contains("column"));
    }
}
