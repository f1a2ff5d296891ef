//! The arguments of a call as they stand on the command line.
//!
//! Owns: where they are read from, and what they mean to the function that is called. Must not
//! know: how it is reached. Invariant: what does not fit a function whose types are known is told
//! before anything is called, all of it in one message.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use ciborium::Value;
use greenroom::{FunctionType, Signature, ValueType, payload};

use super::fit::{Mistake, fit, same};
use super::written::Written;
use crate::error::CliError;

/// How the arguments of a call may be given.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// Keyword arguments; `@FILE` reads a value from a file (`@@` for one that begins with `@`),
    /// and a single `-` reads all of them from standard input, one JSON object
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) pairs: Vec<Pair>,

    /// All arguments as one JSON object
    #[arg(long, value_name = "OBJECT", conflicts_with_all = ["pairs", "cbor"])]
    pub(crate) json: Option<String>,

    /// All arguments as one CBOR map, from a file, or from standard input if it is `-`
    #[arg(long, value_name = "FILE", conflicts_with = "pairs")]
    pub(crate) cbor: Option<PathBuf>,
}

/// One argument, or the word that they come through standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pair {
    /// A name and what stands behind the `=`.
    Value(String, String),
    /// `-`
    Input,
}

impl std::str::FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            _ if text == "-" => Ok(Self::Input),
            Some((key, value)) if !key.is_empty() => Ok(Self::Value(key.to_owned(), value.to_owned())),
            _ => Err("write it as KEY=VALUE".to_owned()),
        }
    }
}

/// What is known of the function that is called.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape<'a> {
    /// All of it.
    Plain(&'a FunctionType),
    /// What its author says.
    Portal(Option<&'a Signature>),
}

impl Shape<'_> {
    /// What it takes, for a message.
    fn params(&self) -> Option<Vec<(&str, String)>> {
        match self {
            Self::Plain(ty) => {
                Some(ty.params.iter().map(|(name, ty)| (name.as_str(), ty.to_string())).collect())
            }
            Self::Portal(signature) => Some(
                signature.as_ref()?.params.iter().map(|(name, ty)| (name.as_str(), ty.clone())).collect(),
            ),
        }
    }
}

impl Arguments {
    /// Reads what comes from files and standard input as a whole, before anything else is done.
    ///
    /// # Errors
    /// What cannot be read.
    pub(crate) fn read(&self) -> Result<Read, CliError> {
        if let Some(file) = &self.cbor {
            return cbor(file).map(Read::Cbor);
        }
        if let Some(text) = &self.json {
            return Ok(Read::Object { source: "--json", text: text.clone() });
        }
        if self.pairs.contains(&Pair::Input) {
            let [Pair::Input] = &self.pairs[..] else {
                return Err(CliError::input("`-` takes all arguments from standard input: give no others"));
            };
            return Ok(Read::Object { source: "standard input", text: text_of_input()? });
        }
        let pairs = self.pairs.iter().filter_map(|pair| match pair {
            Pair::Value(key, text) => Some((key.clone(), text.clone())),
            Pair::Input => None,
        });
        Ok(Read::Pairs(pairs.collect()))
    }

    /// Whether standard input is needed for them.
    pub(crate) fn take_input(&self) -> bool {
        self.pairs.contains(&Pair::Input) || self.cbor.as_deref() == Some(Path::new("-"))
    }
}

/// The arguments of a call, before it is known what they are for.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    /// Names, and what stands behind the `=`.
    Pairs(Vec<(String, String)>),
    /// A JSON object.
    Object { source: &'static str, text: String },
    /// A CBOR map, to be sent as it is.
    Cbor(Vec<u8>),
}

impl Read {
    /// The arguments of a call of `function` as one CBOR map.
    ///
    /// # Errors
    /// All that does not fit.
    pub(crate) fn encode(&self, function: &str, shape: Shape<'_>) -> Result<Vec<u8>, CliError> {
        match self {
            Self::Cbor(bytes) => Ok(bytes.clone()),
            Self::Object { source, text } => object(source, text, function, shape),
            Self::Pairs(pairs) => {
                encode(function, shape, pairs.iter().map(|(key, text)| (key.as_str(), Given::Argument(text))))
            }
        }
    }
}

/// Encodes keyword arguments, guided by the function's signature if it has one.
pub(crate) fn kwargs(pairs: &[(String, String)], signature: Option<&Signature>) -> Result<Vec<u8>, CliError> {
    let function = signature.map_or("main", |signature| &signature.function);
    let pairs = pairs.iter().map(|(key, text)| (key.as_str(), Given::Argument(text)));
    encode(function, Shape::Portal(signature), pairs)
}

/// Encodes one message of a stream, a line of JSON.
pub(crate) fn message(line: &str, ty: Option<&str>) -> Result<Vec<u8>, String> {
    // There is one line, and who sent it knows which.
    let written = Written::json(line).map_err(|error| error.replace(" at line 1 column", " at column"))?;
    let value = untyped(written, ty.is_some_and(all_floats));
    payload::encode(&value).map_err(|error| error.to_string())
}

/// One value as it was given.
enum Given<'a> {
    /// Behind the `=` of an argument.
    Argument(&'a str),
    /// In a JSON object.
    Json(Written),
}

fn object(source: &str, text: &str, function: &str, shape: Shape<'_>) -> Result<Vec<u8>, CliError> {
    match Written::json(text) {
        Ok(Written::Fields(fields)) => {
            let fields: Vec<(String, Written)> = fields;
            let pairs = fields.iter().map(|(key, value)| (key.as_str(), Given::Json(value.clone())));
            encode(function, shape, pairs)
        }
        Ok(other) => Err(CliError::input(format!(
            "{source}: expected a JSON object of arguments, got {}",
            other.describe()
        ))),
        Err(error) => Err(CliError::input(format!("{source} is not JSON: {error}"))),
    }
}

fn encode<'a>(
    function: &str,
    shape: Shape<'_>,
    pairs: impl Iterator<Item = (&'a str, Given<'a>)>,
) -> Result<Vec<u8>, CliError> {
    let params = shape.params();
    let mut entries: Vec<(Value, Value)> = Vec::new();
    let mut mistakes = Vec::new();
    for (key, given) in pairs {
        let name = match &params {
            Some(params) => match params.iter().find(|(name, _)| same(name, key)) {
                Some((name, _)) => *name,
                None => return Err(unknown(function, key, params)),
            },
            None => key,
        };
        if entries.iter().any(|(known, _)| known.as_text() == Some(name)) {
            return Err(CliError::input(format!("argument `{key}` is given twice")));
        }
        let value = match shape {
            Shape::Plain(ty) => {
                let (_, ty) = ty.params.iter().find(|(known, _)| known == name).expect("it is one of them");
                typed(name, given, ty)?
            }
            Shape::Portal(signature) => {
                let ty = signature.and_then(|s| s.params.iter().find(|(known, _)| known == name));
                Ok(portal(name, given, ty.map(|(_, ty)| ty.as_str()))?)
            }
        };
        match value {
            Ok(value) => entries.push((Value::Text(name.to_owned()), value)),
            Err(wrong) => {
                entries.push((Value::Text(name.to_owned()), Value::Null));
                mistakes.extend(wrong);
            }
        }
    }
    if let Shape::Plain(ty) = shape {
        for (name, ty) in &ty.params {
            let given = entries.iter().any(|(known, _)| known.as_text() == Some(name));
            if !given && !matches!(ty, ValueType::Option(_)) {
                let what = format!("this argument is missing: {}", ty);
                mistakes.push(Mistake { place: name.clone(), what });
            }
        }
    }
    refuse(function, &mistakes)?;
    let bytes = payload::encode(&Value::Map(entries)).map_err(|error| CliError::input(error.to_string()))?;
    payload::check(&bytes)
        .map_err(|error| CliError::input(format!("the arguments cannot be sent: {error}")))?;
    Ok(bytes)
}

fn unknown(function: &str, key: &str, params: &[(&str, String)]) -> CliError {
    let known: Vec<String> = params.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    let message = format!("`{function}` has no argument `{key}`");
    match known.is_empty() {
        true => CliError::input(message).hint("it takes no arguments"),
        false => CliError::input(message).hint(format!("it takes {}", known.join(", "))),
    }
}

fn refuse(function: &str, mistakes: &[Mistake]) -> Result<(), CliError> {
    let line = |mistake: &Mistake| format!("`{}`: {}", mistake.place, mistake.what);
    match mistakes {
        [] => Ok(()),
        [mistake] => Err(CliError::input(format!("bad argument for `{function}`: {}", line(mistake)))),
        all => {
            let lines: Vec<String> = all.iter().map(|mistake| format!("\n  {}", line(mistake))).collect();
            Err(CliError::input(format!("bad arguments for `{function}`{}", lines.concat())))
        }
    }
}

/// A value whose type is known: WAVE, or JSON, or plain text where it may be nothing else.
fn typed(name: &str, given: Given<'_>, ty: &ValueType) -> Result<Result<Value, Vec<Mistake>>, CliError> {
    let read;
    let text = match given {
        Given::Json(written) => return Ok(fit(&written, ty, name)),
        Given::Argument(text) => match file_of(text) {
            Content::Here(text) => text,
            Content::File(path) if is_bytes(ty) => {
                return Ok(fit(&Written::Bytes(bytes_of(name, path)?), ty, name));
            }
            Content::File(path) if is_text(ty) => {
                return Ok(fit(&Written::Text(text_of(name, path)?), ty, name));
            }
            Content::File(path) => {
                read = text_of(name, path)?;
                read.as_str()
            }
        },
    };
    let mut wrong = None;
    let (wave, json) = (Written::wave(text), Written::json(text));
    for written in [&wave, &json].into_iter().flatten() {
        match fit(written, ty, name) {
            Ok(value) => return Ok(Ok(value)),
            Err(mistakes) => wrong = wrong.or(Some(mistakes)),
        }
    }
    if is_text(ty) {
        return Ok(fit(&Written::Text(text.to_owned()), ty, name));
    }
    Ok(Err(wrong.unwrap_or_else(|| {
        let looks_like_json = text.contains("\":") || text.contains("\" :");
        let reason = match (wave, json) {
            (_, Err(json)) if looks_like_json => format!("this is not JSON: {json}"),
            (Err(wave), _) => format!("this is not WAVE: {wave}"),
            _ => "this is neither WAVE nor JSON".to_owned(),
        };
        vec![Mistake { place: name.to_owned(), what: format!("expected {}; {reason}", ty) }]
    })))
}

fn is_bytes(ty: &ValueType) -> bool {
    match ty {
        ValueType::List(item) => **item == ValueType::U8,
        ValueType::Option(inner) => is_bytes(inner),
        _ => false,
    }
}

/// Whether text without quotes can be meant.
fn is_text(ty: &ValueType) -> bool {
    match ty {
        ValueType::String | ValueType::Char => true,
        ValueType::Option(inner) => is_text(inner),
        _ => false,
    }
}

/// A value for a function of which only its author's words are known: JSON where the text is JSON
/// and the parameter's type is not text; otherwise text. Where all numbers of the type are floats,
/// `3` is `3.0`: CBOR keeps the two apart.
fn portal(name: &str, given: Given<'_>, ty: Option<&str>) -> Result<Value, CliError> {
    let words = words(ty.unwrap_or_default());
    let is_text = matches!(words[..], ["String"] | ["Option", "String"]);
    let floats = ty.is_some_and(all_floats);
    let read;
    let text = match given {
        Given::Json(written) => return Ok(untyped(written, floats)),
        Given::Argument(text) => match file_of(text) {
            Content::Here(text) => text,
            Content::File(path) => {
                if ty.is_none() || words.iter().any(|word| matches!(*word, "u8" | "Bytes" | "ByteBuf")) {
                    return Ok(Value::Bytes(bytes_of(name, path)?));
                }
                read = text_of(name, path)?;
                read.as_str()
            }
        },
    };
    match Written::json(text) {
        Ok(written) if !is_text => Ok(untyped(written, floats)),
        _ => Ok(Value::Text(text.to_owned())),
    }
}

fn words(ty: &str) -> Vec<&str> {
    ty.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect()
}

fn all_floats(ty: &str) -> bool {
    let is_float = |word: &&str| matches!(*word, "f32" | "f64");
    let is_integer = |word: &&str| {
        word.starts_with(['i', 'u']) && word[1..].parse::<u8>().is_ok() || matches!(*word, "isize" | "usize")
    };
    let words = words(ty);
    words.iter().any(is_float) && !words.iter().any(is_integer)
}

/// JSON as CBOR, without a type.
fn untyped(written: Written, floats: bool) -> Value {
    match written {
        Written::Bool(value) => Value::Bool(value),
        Written::Number(digits) => match digits.parse::<i128>().map(ciborium::value::Integer::try_from) {
            Ok(Ok(integer)) if !floats => Value::Integer(integer),
            _ => Value::Float(digits.parse().unwrap_or(f64::NAN)),
        },
        Written::Text(text) => Value::Text(text),
        Written::Bytes(bytes) => Value::Bytes(bytes),
        Written::List(items) => Value::Array(items.into_iter().map(|item| untyped(item, floats)).collect()),
        Written::Fields(fields) => {
            let field = |(key, value)| (Value::Text(key), untyped(value, floats));
            Value::Map(fields.into_iter().map(field).collect())
        }
        // JSON has no more.
        _ => Value::Null,
    }
}

/// Where a value stands.
enum Content<'a> {
    Here(&'a str),
    File(&'a Path),
}

fn file_of(text: &str) -> Content<'_> {
    match text.strip_prefix('@') {
        Some(rest) if rest.starts_with('@') => Content::Here(rest),
        Some(path) => Content::File(Path::new(path)),
        None => Content::Here(text),
    }
}

fn bytes_of(name: &str, path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| {
        CliError::input(format!("`{name}`: cannot read `{}`: {}", path.display(), reason(&error)))
            .hint("a value that begins with `@` names a file; `@@` stands for a plain `@`")
    })
}

fn text_of(name: &str, path: &Path) -> Result<String, CliError> {
    utf8(bytes_of(name, path)?, &format!("`{name}`: `{}`", path.display()))
}

fn text_of_input() -> Result<String, CliError> {
    utf8(bytes_of_input()?, "standard input")
}

fn bytes_of_input() -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| CliError::input(format!("cannot read standard input: {}", reason(&error))))?;
    Ok(bytes)
}

fn utf8(bytes: Vec<u8>, source: &str) -> Result<String, CliError> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CliError::input(format!("{source} is not UTF-8 text: the byte at offset {at} is wrong"))
    })
}

fn cbor(file: &Path) -> Result<Vec<u8>, CliError> {
    let (bytes, source) = match file.to_str() {
        Some("-") => (bytes_of_input()?, "standard input".to_owned()),
        _ => {
            let bytes = std::fs::read(file).map_err(|error| {
                CliError::input(format!("--cbor: cannot read `{}`: {}", file.display(), reason(&error)))
            })?;
            (bytes, format!("`{}`", file.display()))
        }
    };
    payload::arguments(&bytes)
        .map_err(|error| CliError::input(format!("--cbor: {source} holds no arguments: {error}")))?;
    Ok(bytes)
}

/// What the system said, without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &[(&str, ValueType)]) -> ValueType {
        let fields = fields.iter().map(|(name, ty)| ((*name).to_owned(), ty.clone())).collect();
        ValueType::Record { name: Some("point".into()), fields }
    }

    fn list(item: ValueType) -> ValueType {
        ValueType::List(Box::new(item))
    }

    fn option(inner: ValueType) -> ValueType {
        ValueType::Option(Box::new(inner))
    }

    fn shape() -> ValueType {
        let cases =
            vec![("circle".into(), Some(ValueType::F64)), ("dot".into(), None), ("none".into(), None)];
        ValueType::Variant { name: Some("shape".into()), cases }
    }

    /// The value of one argument, or what is said of it.
    fn one(text: &str, ty: ValueType) -> Result<Value, String> {
        let mistakes = |all: Vec<Mistake>| {
            all.into_iter().map(|m| format!("{}: {}", m.place, m.what)).collect::<Vec<_>>().join("\n")
        };
        typed("x", Given::Argument(text), &ty).expect("nothing to read").map_err(mistakes)
    }

    fn map(fields: &[(&str, Value)]) -> Value {
        Value::Map(fields.iter().map(|(key, value)| (Value::from(*key), value.clone())).collect())
    }

    #[test]
    fn every_type_has_a_wave_and_a_json_form() {
        let point = record(&[("x-pos", ValueType::U8), ("label", option(ValueType::String))]);
        let flags = ValueType::Flags { name: None, flags: vec!["read".into(), "write".into()] };
        let colour = ValueType::Enum { name: None, cases: vec!["red".into(), "light-blue".into()] };
        let result =
            ValueType::Result { ok: Some(Box::new(ValueType::U8)), err: Some(Box::new(ValueType::String)) };
        let at = map(&[("x-pos", 1.into()), ("label", "a".into())]);
        let twice = option(option(ValueType::U8));
        let array = |items: &[Value]| Value::Array(items.to_vec());
        for (ty, texts, value) in [
            (ValueType::Bool, &["true"][..], Value::Bool(true)),
            (ValueType::S64, &["-9223372036854775808"], i64::MIN.into()),
            (ValueType::U64, &["18446744073709551615"], u64::MAX.into()),
            (ValueType::F32, &["1.5", "\"1.5\""], Value::Float(1.5)),
            (ValueType::F64, &["3"], Value::Float(3.0)),
            (ValueType::F64, &["-inf", "\"-inf\""], Value::Float(f64::NEG_INFINITY)),
            (ValueType::Char, &["'ä'", "\"ä\"", "ä"], "ä".into()),
            (ValueType::String, &["\"a b\"", "a b"], "a b".into()),
            (ValueType::String, &["12"], "12".into()),
            (list(ValueType::U16), &["[1, 2]", "[1,2]"], array(&[1.into(), 2.into()])),
            (list(ValueType::U8), &["[1, 255]", "\"Af8=\""], Value::Bytes(vec![1, 255])),
            (
                ValueType::Tuple(vec![ValueType::U8, ValueType::String]),
                &["(1, \"a\")", "[1, \"a\"]"],
                array(&[1.into(), "a".into()]),
            ),
            (point, &["{x-pos: 1, label: \"a\"}", "{\"x_pos\": 1, \"label\": \"a\"}"], at),
            (shape(), &["circle(2.5)", "{\"circle\": 2.5}"], map(&[("circle", Value::Float(2.5))])),
            (shape(), &["dot", "\"dot\"", "{\"dot\": null}"], "dot".into()),
            (shape(), &["%none", "none", "\"none\""], "none".into()),
            (colour, &["light-blue", "\"light_blue\""], "light-blue".into()),
            (flags, &["{write, read}", "[\"write\", \"read\"]"], array(&["read".into(), "write".into()])),
            (option(ValueType::U8), &["none", "null"], Value::Null),
            (option(ValueType::U8), &["some(1)", "1"], 1.into()),
            (option(ValueType::String), &["some(\"a\")", "\"a\"", "a"], "a".into()),
            (twice.clone(), &["none", "null"], Value::Null),
            (twice.clone(), &["some(none)", "[null]"], array(&[Value::Null])),
            (twice, &["some(some(1))", "[1]", "some(1)"], array(&[1.into()])),
            (result.clone(), &["ok(1)", "{\"ok\": 1}"], map(&[("ok", 1.into())])),
            (result, &["err(\"no\")", "{\"err\": \"no\"}"], map(&[("err", "no".into())])),
        ] {
            for text in texts {
                assert_eq!(one(text, ty.clone()), Ok(value.clone()), "{text} as {ty}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let deep = record(&[("coords", list(ValueType::U8)), ("next", option(list(shape())))]);
        for (text, ty, says) in [
            ("300", ValueType::U8, "x: expected u8, got 300: out of range 0..=255"),
            ("1.5", ValueType::U8, "x: expected u8, got 1.5, which is no integer"),
            ("yes", ValueType::Bool, "x: expected bool, got `yes`"),
            ("{coords: [1, 2, 3, 256]}", deep.clone(), {
                "x.coords[3]: expected u8, got 256: out of range 0..=255"
            }),
            ("{coords: [1], next: [dot, circle(a)]}", deep.clone(), {
                "x.next[1].circle: expected f64, got `a`"
            }),
            ("{next: none}", deep.clone(), "x: the field `coords: list<u8>` is missing"),
            ("{coords: [], colour: 1}", deep.clone(), {
                "x: point has no field `colour`; it has `coords`, `next`"
            }),
            ("{\"coords\": [1,]}", deep, "x: expected point; this is not JSON: trailing comma"),
            ("square(1)", shape(), "x: shape has no case `square`; it has `circle`, `dot`, `none`"),
            ("circle", shape(), "x: the case `circle` lacks its value: f64"),
            ("dot(1)", shape(), "x: the case `dot` carries no value"),
            ("[1", list(ValueType::U16), "x: expected list<u16>; this is not WAVE: "),
            ("5", option(option(ValueType::U8)), "x: expected option<option<u8>>, written some(value)"),
        ] {
            let said = one(text, ty).expect_err(text);
            assert!(said.starts_with(says), "{text}: {said}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let ty = list(ValueType::U8);
        let said = one("[1, 256, \"a\", 3]", ty).expect_err("two are wrong");
        assert_eq!(said.lines().count(), 2, "{said}");
    }

    #[test]
    fn the_words_of_an_author_decide_where_the_text_does_not() {
        let value = |text: &str, ty: &str| {
            portal("x", Given::Argument(text), Some(ty).filter(|ty| !ty.is_empty())).expect("no file")
        };
        assert_eq!(value("12", ""), Value::from(12));
        assert_eq!(value("12", "String"), Value::Text("12".into()));
        assert_eq!(value("12", "Option < String >"), Value::Text("12".into()));
        assert_eq!(value("plain", "Kind"), Value::Text("plain".into()));
        assert_eq!(value("@@home", "String"), Value::Text("@home".into()));
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
