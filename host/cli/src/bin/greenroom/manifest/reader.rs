//! Reading TOML values that are to be of a certain kind.
//!
//! Owns: what is said when they are not, and variables in strings. Must not know: what the keys
//! mean. Invariant: a mistake is noted at its place, and reading goes on.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::manifest::variables;
use crate::mistakes::{Mistake, Mistakes, Place};

/// A value in the text.
pub(crate) type Node<'a> = Spanned<DeValue<'a>>;

/// A value, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// A key of a table, with its value.
pub(crate) struct Entry<'a> {
    pub(crate) key: &'a str,
    pub(crate) place: Place,
    pub(crate) value: &'a Node<'a>,
}

/// Notes mistakes while values are read.
pub(crate) struct Reader<'a> {
    pub(crate) text: &'a str,
    pub(crate) variables: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) mistakes: Mistakes,
}

impl<'a> Reader<'a> {
    pub(crate) fn wrong(&mut self, mistake: Mistake) {
        self.mistakes.add(mistake);
    }

    /// That something else was expected at `path`.
    pub(crate) fn unexpected(&mut self, path: &str, expected: &str, found: &Node<'_>) {
        let found_kind = kind(found.get_ref());
        let message = format!("`{path}`: expected {expected}, found {found_kind}");
        self.wrong(Mistake::error(found.span(), message).label(format!("expected {expected}")));
    }

    /// The entries of a table, in the order of the text.
    pub(crate) fn table(&mut self, path: &str, node: &'a Node<'a>) -> Vec<Entry<'a>> {
        match node.get_ref() {
            DeValue::Table(table) => entries(table),
            _ => {
                self.unexpected(path, "a table", node);
                Vec::new()
            }
        }
    }

    /// The entries of a table whose keys are known; others are mistakes.
    pub(crate) fn known(&mut self, path: &str, node: &'a Node<'a>, known: &[&str]) -> Vec<Entry<'a>> {
        let entries = self.table(path, node);
        entries.into_iter().filter(|entry| self.check(path, entry, known)).collect()
    }

    /// Whether a key is one of those that are known.
    pub(crate) fn check(&mut self, path: &str, entry: &Entry<'_>, known: &[&str]) -> bool {
        if known.contains(&entry.key) {
            return true;
        }
        let place = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
        let mistake = Mistake::error(entry.place.clone(), format!("unknown key `{}`{place}", entry.key));
        self.wrong(mistake.label("unknown").help(suggest(entry.key, known)));
        false
    }

    /// A string, its variables replaced.
    pub(crate) fn text(&mut self, path: &str, node: &Node<'_>) -> Option<Placed<String>> {
        let DeValue::String(text) = node.get_ref() else {
            self.unexpected(path, "a string", node);
            return None;
        };
        match variables::interpolate(text, self.variables) {
            Ok(value) => Some(Placed { value, place: node.span() }),
            Err(wrong) => {
                let written = self.text.get(node.span()).unwrap_or_default();
                let place = match written.find(&wrong.part) {
                    Some(start) => {
                        let start = node.span().start + start;
                        start..start + wrong.part.len()
                    }
                    None => node.span(),
                };
                self.wrong(Mistake::error(place, format!("`{path}`: {}", wrong.message)).help(wrong.help));
                None
            }
        }
    }

    /// A string that is one of a few words.
    pub(crate) fn word<T: Copy>(&mut self, path: &str, node: &Node<'_>, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(path, node)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*meaning);
        }
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let expected = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        let message = format!("`{path}`: expected {expected}, found {:?}", text.value);
        self.wrong(Mistake::error(text.place, message).label(format!("expected {expected}")));
        None
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, path: &str, node: &Node<'_>) -> Option<bool> {
        match node.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => {
                self.unexpected(path, "true or false", node);
                None
            }
        }
    }

    /// A list.
    pub(crate) fn list(&mut self, path: &str, node: &'a Node<'a>) -> &'a [Node<'a>] {
        match node.get_ref() {
            DeValue::Array(items) => items,
            _ => {
                self.unexpected(path, "a list", node);
                &[]
            }
        }
    }

    /// Any value, as the JSON of the same meaning.
    pub(crate) fn json(&mut self, path: &str, node: &'a Node<'a>) -> serde_json::Value {
        match node.get_ref() {
            DeValue::String(_) => self.text(path, node).map(|text| text.value).into(),
            DeValue::Boolean(value) => (*value).into(),
            DeValue::Datetime(time) => time.to_string().into(),
            DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(wide) => match (u64::try_from(wide), i64::try_from(wide)) {
                    (Ok(number), _) => number.into(),
                    (_, Ok(number)) => number.into(),
                    _ => self.no_json(path, node, "does not fit 64 bits"),
                },
                Err(_) => self.no_json(path, node, "does not fit 64 bits"),
            },
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() => number.into(),
                _ => self.no_json(path, node, "is not a finite number"),
            },
            DeValue::Array(items) => items.iter().map(|item| self.json(path, item)).collect(),
            DeValue::Table(table) => {
                let entries = entries(table).into_iter();
                let fields = entries.map(|entry| {
                    let path = format!("{path}.{}", entry.key);
                    (entry.key.to_owned(), self.json(&path, entry.value))
                });
                serde_json::Value::Object(fields.collect())
            }
        }
    }

    fn no_json(&mut self, path: &str, node: &Node<'_>, why: &str) -> serde_json::Value {
        self.wrong(Mistake::error(node.span(), format!("`{path}`: this number {why}")));
        serde_json::Value::Null
    }
}

/// The entries of a table, in the order of the text.
pub(crate) fn entries<'a>(table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let entry = |(key, value): (&'a Spanned<_>, &'a Node<'a>)| {
        let text: &'a std::borrow::Cow<'a, str> = key.get_ref();
        Entry { key: text, place: key.span(), value }
    };
    let mut entries: Vec<Entry<'a>> = table.iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.place.start);
    entries
}

/// What to write instead of a word that is not known.
pub(crate) fn suggest(word: &str, known: &[&str]) -> String {
    let likeness = |other: &&str| strsim::jaro_winkler(word, other);
    let nearest = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|nearest| likeness(nearest) > 0.7) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if known.is_empty() => "there is none".to_owned(),
        None => {
            let known: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
            format!("known here: {}", known.join(", "))
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
