//! Values on their way into a component.
//!
//! Owns: checking an item against a type and turning it into what wasmtime takes, and what is said
//! of one that does not fit. Must not know: instances. Invariant: a value that passes fits its type
//! in every part; of one that does not, every mistake is told with its place.

use std::fmt;

use wasmtime::component::Val;

use super::item::Item;
use super::types::ValueType;
use crate::inspect::same_name;

/// How many mistakes are told.
const MAX_MISTAKES: usize = 16;

/// How much of a type's text an error shows.
const SHOWN: usize = 120;

/// How many names an error offers.
const MAX_NAMES: usize = 12;

/// How like an existing name another must be to be taken for a slip.
const LIKENESS: f64 = 0.7;

/// Where in the arguments a value stands, such as `point.coords[3]`.
pub(crate) struct Place<'a> {
    within: Option<&'a Place<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

impl<'a> Place<'a> {
    /// The place of an argument.
    pub(crate) fn argument(name: &'a str) -> Self {
        Self { within: None, step: Step::Name(name) }
    }

    fn field(&'a self, name: &'a str) -> Self {
        Self { within: Some(self), step: Step::Name(name) }
    }

    fn index(&'a self, index: usize) -> Self {
        Self { within: Some(self), step: Step::Index(index) }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(within) = self.within {
            within.fmt(f)?;
        }
        match (self.step, self.within) {
            (Step::Index(index), _) => write!(f, "[{index}]"),
            (Step::Name(name), Some(_)) => write!(f, ".{name}"),
            (Step::Name(name), None) => f.write_str(name),
        }
    }
}

/// What is wrong with some values, each with its place.
#[derive(Debug, Default)]
pub(crate) struct Mistakes {
    told: Vec<(String, String)>,
    untold: usize,
}

impl Mistakes {
    /// Notes one; what is wrong is put into words only if it will be told.
    pub(crate) fn add(&mut self, place: &Place<'_>, what: impl fmt::Display) {
        if self.told.len() < MAX_MISTAKES {
            self.told.push((place.to_string(), what.to_string()));
        } else {
            self.untold += 1;
        }
    }

    /// That a value is not of its type, and why.
    fn misfit(&mut self, place: &Place<'_>, ty: &ValueType, item: &Item<'_>, reason: impl fmt::Display) {
        self.add(place, format_args!("expected {}, got {item}: {reason}", Shown(ty)));
    }

    /// All of them, each a place and what is wrong there.
    pub(crate) fn into_lines(mut self) -> Vec<(String, String)> {
        if let (Some((_, last)), 1..) = (self.told.last_mut(), self.untold) {
            last.push_str(&format!(" (and {} mistakes more)", self.untold));
        }
        self.told
    }
}

/// A type as an error shows it.
struct Shown<'a>(&'a ValueType);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{}…", &text[..end]),
            None => f.write_str(&text),
        }
    }
}

/// Turns an item into a value of a type; none if there are mistakes, which are then noted.
pub(crate) fn lower(
    ty: &ValueType,
    item: &Item<'_>,
    place: &Place<'_>,
    mistakes: &mut Mistakes,
) -> Option<Val> {
    let value = match (ty, item) {
        (ValueType::Bool, Item::Bool(value)) => Val::Bool(*value),
        (ValueType::S8, Item::Integer(value)) => {
            Val::S8(ranged(ty, *value, i8::MIN, i8::MAX, place, mistakes)?)
        }
        (ValueType::U8, Item::Integer(value)) => {
            Val::U8(ranged(ty, *value, u8::MIN, u8::MAX, place, mistakes)?)
        }
        (ValueType::S16, Item::Integer(value)) => {
            Val::S16(ranged(ty, *value, i16::MIN, i16::MAX, place, mistakes)?)
        }
        (ValueType::U16, Item::Integer(value)) => {
            Val::U16(ranged(ty, *value, u16::MIN, u16::MAX, place, mistakes)?)
        }
        (ValueType::S32, Item::Integer(value)) => {
            Val::S32(ranged(ty, *value, i32::MIN, i32::MAX, place, mistakes)?)
        }
        (ValueType::U32, Item::Integer(value)) => {
            Val::U32(ranged(ty, *value, u32::MIN, u32::MAX, place, mistakes)?)
        }
        (ValueType::S64, Item::Integer(value)) => {
            Val::S64(ranged(ty, *value, i64::MIN, i64::MAX, place, mistakes)?)
        }
        (ValueType::U64, Item::Integer(value)) => {
            Val::U64(ranged(ty, *value, u64::MIN, u64::MAX, place, mistakes)?)
        }
        (ValueType::F32, Item::Float(value)) => Val::Float32(*value as f32),
        (ValueType::F64, Item::Float(value)) => Val::Float64(*value),
        (ValueType::F32, Item::Integer(value)) if *value as f32 as i128 == *value => {
            Val::Float32(*value as f32)
        }
        (ValueType::F64, Item::Integer(value)) if *value as f64 as i128 == *value => {
            Val::Float64(*value as f64)
        }
        (ValueType::F32 | ValueType::F64, Item::Integer(_)) => {
            mistakes.misfit(place, ty, item, "it cannot hold this integer exactly");
            return None;
        }
        (ValueType::Char, Item::Text(text)) => {
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(value), None) => Val::Char(value),
                _ => {
                    mistakes.misfit(place, ty, item, "it must be a text of one character");
                    return None;
                }
            }
        }
        (ValueType::String, Item::Text(text)) => Val::String(text.to_string()),
        (ValueType::List(inner), Item::Bytes(bytes)) if **inner == ValueType::U8 => {
            Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect())
        }
        (ValueType::List(inner), Item::Array(items)) => Val::List(all(items
            .iter()
            .enumerate()
            .map(|(index, item)| lower(inner, item, &place.index(index), mistakes)))?),
        (ValueType::Tuple(types), Item::Array(items)) if types.len() == items.len() => {
            Val::Tuple(all(types
                .iter()
                .zip(items)
                .enumerate()
                .map(|(index, (ty, item))| lower(ty, item, &place.index(index), mistakes)))?)
        }
        (ValueType::Tuple(types), Item::Array(_)) => {
            mistakes.misfit(place, ty, item, format_args!("it must have {}", types.len()));
            return None;
        }
        (ValueType::Record { fields, .. }, Item::Map(entries)) => {
            Val::Record(record(fields, entries, place, mistakes)?)
        }
        (ValueType::Variant { cases, .. }, Item::Text(_) | Item::Map(_)) => {
            let (case, payload) = chosen(ty, item, place, mistakes)?;
            let (name, inner) = find(cases, |(name, _)| name, case, ty, item, place, mistakes)?;
            let value = match (inner, payload) {
                (None, None | Some(Item::Null)) => None,
                (Some(inner), Some(payload)) => {
                    Some(Box::new(lower(inner, payload, &place.field(name), mistakes)?))
                }
                (Some(inner), None) => {
                    let needs = format_args!("write {{\"{name}\": …}}, for `{name}` holds {}", Shown(inner));
                    mistakes.misfit(place, ty, item, needs);
                    return None;
                }
                (None, Some(payload)) => {
                    mistakes.add(&place.field(name), format_args!("expected nothing, got {payload}"));
                    return None;
                }
            };
            Val::Variant(name.clone(), value)
        }
        (ValueType::Enum { cases, .. }, Item::Text(case)) => {
            Val::Enum(find(cases, |name| name, case, ty, item, place, mistakes)?.clone())
        }
        (ValueType::Flags { flags, .. }, Item::Array(items)) => {
            Val::Flags(raised(ty, flags, items, place, mistakes)?)
        }
        (ValueType::Option(_), Item::Null) => Val::Option(None),
        (ValueType::Option(inner), item) if inner.is_nullable() => match item {
            Item::Array(items) if items.len() == 1 => {
                Val::Option(Some(Box::new(lower(inner, &items[0], &place.index(0), mistakes)?)))
            }
            _ => {
                let needs = "an option in an option is null, or an array that holds the inner one";
                mistakes.misfit(place, ty, item, needs);
                return None;
            }
        },
        (ValueType::Option(inner), item) => Val::Option(Some(Box::new(lower(inner, item, place, mistakes)?))),
        (ValueType::Result { ok, err }, Item::Map(_)) => {
            let (case, payload) = chosen(ty, item, place, mistakes)?;
            let inner = match case {
                "ok" => ok,
                "err" => err,
                _ => {
                    mistakes.misfit(place, ty, item, "its key must be `ok` or `err`");
                    return None;
                }
            };
            let payload = payload.unwrap_or(&Item::Null);
            let value = match (inner, payload) {
                (None, Item::Null) => None,
                (None, payload) => {
                    mistakes.add(&place.field(case), format_args!("expected null, got {payload}"));
                    return None;
                }
                (Some(inner), payload) => {
                    Some(Box::new(lower(inner, payload, &place.field(case), mistakes)?))
                }
            };
            Val::Result(if case == "ok" { Ok(value) } else { Err(value) })
        }
        (ty, item) => {
            match form(ty) {
                "" => mistakes.add(place, format_args!("expected {}, got {item}", Shown(ty))),
                form => mistakes.misfit(place, ty, item, form),
            }
            return None;
        }
    };
    Some(value)
}

/// How values of a type are written, where its name does not say so.
fn form(ty: &ValueType) -> &'static str {
    match ty {
        ValueType::Tuple(_) => "a tuple is an array",
        ValueType::Record { .. } => "a record is a map from its fields' names",
        ValueType::Variant { .. } => "a variant is a case's name, or a map from that to what it holds",
        ValueType::Enum { .. } => "an enum is a case's name",
        ValueType::Flags { .. } => "flags are an array of names",
        ValueType::Result { .. } => "a result is a map from `ok` or `err` to what it holds",
        _ => "",
    }
}

/// All values, looking at each even after one has failed.
fn all<T>(values: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let mut found = Some(Vec::new());
    for value in values {
        match (&mut found, value) {
            (Some(found), Some(value)) => found.push(value),
            _ => found = None,
        }
    }
    found
}

fn ranged<T: TryFrom<i128> + fmt::Display>(
    ty: &ValueType,
    value: i128,
    min: T,
    max: T,
    place: &Place<'_>,
    mistakes: &mut Mistakes,
) -> Option<T> {
    T::try_from(value)
        .map_err(|_| {
            let reason = format_args!("out of range {min}..={max}");
            mistakes.misfit(place, ty, &Item::Integer(value), reason);
        })
        .ok()
}

fn record(
    fields: &[(String, ValueType)],
    entries: &[(Item<'_>, Item<'_>)],
    place: &Place<'_>,
    mistakes: &mut Mistakes,
) -> Option<Vec<(String, Val)>> {
    let mut given: Vec<Option<&Item<'_>>> = vec![None; fields.len()];
    let mut whole = true;
    for (key, item) in entries {
        let Item::Text(key) = key else {
            mistakes.add(place, format_args!("its keys must be texts, got the key {key}"));
            whole = false;
            continue;
        };
        let at = place.field(key);
        match fields.iter().position(|(name, _)| same_name(name, key)) {
            Some(number) if given[number].is_none() => given[number] = Some(item),
            Some(_) => {
                mistakes.add(&at, "it is given twice");
                whole = false;
            }
            None => {
                let known = Meant(key, fields.iter().map(|(name, _)| name.as_str()));
                mistakes.add(&at, format_args!("there is no such field{known}"));
                whole = false;
            }
        }
    }
    let values = all(fields.iter().zip(given).map(|((name, ty), item)| {
        let at = place.field(name);
        let value = match (item, ty) {
            (Some(item), ty) => lower(ty, item, &at, mistakes)?,
            (None, ValueType::Option(_)) => Val::Option(None),
            (None, ty) => {
                mistakes.add(&at, format_args!("expected {}, got nothing: the field is missing", Shown(ty)));
                return None;
            }
        };
        Some((name.clone(), value))
    }));
    values.filter(|_| whole)
}

/// The case that an item names, and what it holds.
fn chosen<'a>(
    ty: &ValueType,
    item: &'a Item<'a>,
    place: &Place<'_>,
    mistakes: &mut Mistakes,
) -> Option<(&'a str, Option<&'a Item<'a>>)> {
    match item {
        Item::Text(case) => Some((case, None)),
        Item::Map(entries) => match &entries[..] {
            [(Item::Text(case), payload)] => Some((case, Some(payload))),
            _ => {
                mistakes.misfit(
                    place,
                    ty,
                    item,
                    "it must have one entry, from a case's name to what it holds",
                );
                None
            }
        },
        _ => None,
    }
}

/// The case or flag of a name.
fn find<'t, T>(
    known: &'t [T],
    name: impl Fn(&T) -> &String,
    wanted: &str,
    ty: &ValueType,
    item: &Item<'_>,
    place: &Place<'_>,
    mistakes: &mut Mistakes,
) -> Option<&'t T> {
    let found = known.iter().find(|one| same_name(name(one), wanted));
    if found.is_none() {
        let meant = Meant(wanted, known.iter().map(|one| name(one).as_str()));
        mistakes.misfit(place, ty, item, format_args!("there is no `{wanted}`{meant}"));
    }
    found
}

/// The flags that are raised, in the order of their declaration.
fn raised(
    ty: &ValueType,
    flags: &[String],
    items: &[Item<'_>],
    place: &Place<'_>,
    mistakes: &mut Mistakes,
) -> Option<Vec<String>> {
    let mut up = vec![false; flags.len()];
    let mut whole = true;
    for (index, item) in items.iter().enumerate() {
        let at = place.index(index);
        let number = match item {
            Item::Text(wanted) => {
                let found = flags.iter().position(|flag| same_name(flag, wanted));
                if found.is_none() {
                    let meant = Meant(wanted, flags.iter().map(String::as_str));
                    mistakes.add(&at, format_args!("there is no flag `{wanted}`{meant}"));
                }
                found
            }
            _ => {
                mistakes.add(&at, format_args!("expected a flag's name, got {item}: {}", form(ty)));
                None
            }
        };
        match number {
            Some(number) if !up[number] => up[number] = true,
            Some(_) => {
                mistakes.add(&at, format_args!("{item} is given twice"));
                whole = false;
            }
            None => whole = false,
        }
    }
    let names = flags.iter().zip(up).filter(|(_, up)| *up).map(|(flag, _)| flag.clone()).collect();
    whole.then_some(names)
}

/// The name that was probably meant, or else those there are.
struct Meant<'a, I>(&'a str, I);

impl<'a, I: Iterator<Item = &'a str> + Clone> fmt::Display for Meant<'_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let likeness = |name: &str| strsim::jaro_winkler(name, self.0);
        let near = self.1.clone().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        if let Some(name) = near.filter(|name| likeness(name) > LIKENESS) {
            return write!(f, "; did you mean `{name}`?");
        }
        let mut separator = "; there is ";
        for name in self.1.clone().take(MAX_NAMES) {
            write!(f, "{separator}`{name}`")?;
            separator = ", ";
        }
        if self.1.clone().nth(MAX_NAMES).is_some() { f.write_str(", …") } else { Ok(()) }
    }
}
