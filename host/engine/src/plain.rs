//! Plain functions: of value types only, written for nobody in particular.
//!
//! Owns: the arguments of a call, checked against the function's own parameters, and what its
//! result comes to. Must not know: instances, how it is called. Invariant: what is wrong with
//! arguments is told to the caller, all of it at once, and the guest sees none of them.

use bytes::Bytes;
use greenroom_abi::kind::{BadArguments, DecodeError, EncodeError};
use greenroom_abi::{RemoteError, payload};
use greenroom_runtime::Outcome;
use wasmtime::component::Val;

use crate::inspect::same_name;
use crate::value::item::{self, Item};
use crate::value::{FunctionType, Mistakes, Place, ValueType, lift_some, lower, text};

/// The type of an error that has no name of its own.
const UNNAMED_ERROR: &str = "error";

/// The longest head of an item.
const MAX_HEAD: usize = 9;

/// The field of an error record that is its message.
const MESSAGE: &str = "message";

/// A plain function as a caller must know it.
#[derive(Debug)]
pub(crate) struct PlainFunction {
    pub(crate) ty: FunctionType,
    /// The name of the error that it returns, if its component gave it one.
    pub(crate) error: Option<String>,
}

/// An argument that fits its parameter.
#[derive(Debug)]
pub(crate) enum Argument {
    /// Of a parameter of type `list<u8>`, as it came.
    Bytes(Bytes),
    Value(Val),
}

impl From<Argument> for Val {
    fn from(argument: Argument) -> Self {
        match argument {
            Argument::Bytes(bytes) => Self::List(bytes.iter().map(|byte| Self::U8(*byte)).collect()),
            Argument::Value(value) => value,
        }
    }
}

impl PlainFunction {
    /// Checks the arguments of a call; `function` is its name as it was called.
    ///
    /// # Errors
    /// `DecodeError` if they are no arguments at all, `BadArguments` with all that is wrong.
    pub(crate) fn arguments(
        &self,
        function: &str,
        kwargs: &Bytes,
    ) -> Result<Vec<Argument>, Box<RemoteError>> {
        let malformed = |reason: String| Box::new(RemoteError::of(&DecodeError { reason }));
        let given = payload::arguments(kwargs).map_err(|error| malformed(error.to_string()))?;
        let mut bad = BadArguments {
            function: function.to_owned(),
            unknown: Vec::new(),
            missing: Vec::new(),
            ill_typed: Vec::new(),
        };
        let mut mistakes = Mistakes::default();
        let mut taken: Vec<Option<Argument>> = self.ty.params.iter().map(|_| None).collect();
        let mut seen = vec![false; taken.len()];
        for (key, item) in given {
            let Some(number) = self.ty.params.iter().position(|(name, _)| same_name(name, key)) else {
                bad.unknown.push(key.to_owned());
                continue;
            };
            let (name, ty) = &self.ty.params[number];
            let place = Place::argument(name);
            if std::mem::replace(&mut seen[number], true) {
                mistakes.add(&place, "it is given twice");
                continue;
            }
            let item = Item::read(item).ok_or_else(|| malformed(format!("`{name}` is no item")))?;
            taken[number] = argument(ty, item, kwargs, &place, &mut mistakes);
        }
        for (number, (name, ty)) in self.ty.params.iter().enumerate().filter(|(number, _)| !seen[*number]) {
            match ty {
                ValueType::Option(_) => taken[number] = Some(Argument::Value(Val::Option(None))),
                _ => bad.missing.push(name.clone()),
            }
        }
        bad.ill_typed = mistakes.into_lines();
        match taken.into_iter().collect::<Option<Vec<_>>>() {
            Some(arguments) if bad.unknown.is_empty() && bad.ill_typed.is_empty() => Ok(arguments),
            _ => Err(Box::new(RemoteError::of(&bad))),
        }
    }

    /// What a returned value comes to: an error, if the function returns one as its result.
    pub(crate) fn outcome(&self, returned: Option<&Val>) -> Outcome {
        let mut out = Vec::new();
        let written = match (&self.ty.result, returned) {
            (Some(ValueType::Result { ok, .. }), Some(Val::Result(Ok(value)))) => {
                lift_some(ok.as_deref(), value.as_deref(), &mut out)
            }
            (Some(ValueType::Result { err, .. }), Some(Val::Result(Err(value)))) => {
                return Err(Box::new(self.failure(err.as_deref(), value.as_deref())));
            }
            (ty, value) => lift_some(ty.as_ref(), value, &mut out),
        };
        if written.is_err() {
            return unencodable("it is not of the function's type");
        }
        match payload::check(&out) {
            Ok(()) => Ok(out.into()),
            Err(error) => unencodable(&format!("as a payload, it {error}")),
        }
    }

    /// What returned bytes come to, which need no type to be written.
    pub(crate) fn bytes(bytes: &[u8]) -> Outcome {
        let mut out = Vec::with_capacity(bytes.len() + MAX_HEAD);
        item::bytes(&mut out, bytes);
        Ok(out.into())
    }

    /// What an exit with status 0 comes to, where that is a way to return: of a function that says
    /// no more than whether it went well.
    pub(crate) fn exit(&self) -> Option<Outcome> {
        match &self.ty.result {
            Some(ValueType::Result { ok: None, .. }) => Some(self.outcome(Some(&Val::Result(Ok(None))))),
            _ => None,
        }
    }

    fn failure(&self, ty: Option<&ValueType>, value: Option<&Val>) -> RemoteError {
        let name = self.error.as_deref().unwrap_or(UNNAMED_ERROR);
        let message = match value {
            None => "the function failed, and says no more".to_owned(),
            Some(Val::String(text)) => text.clone(),
            Some(Val::Variant(case, Some(payload))) => match &**payload {
                Val::String(text) => format!("{case}: {text}"),
                payload => format!("{case}: {}", text(payload)),
            },
            Some(Val::Record(fields)) => match fields.iter().find(|(name, _)| name == MESSAGE) {
                Some((_, Val::String(text))) => text.clone(),
                _ => text(&Val::Record(fields.clone())),
            },
            Some(value) => text(value),
        };
        let mut out = Vec::new();
        // An error is told also where its value is too large to go with it.
        let written = lift_some(ty, value, &mut out).is_ok() && payload::check(&out).is_ok();
        RemoteError { value: written.then_some(out), ..RemoteError::new(name, message) }
    }
}

/// One argument; bytes stay what they are.
fn argument(
    ty: &ValueType,
    item: Item<'_>,
    kwargs: &Bytes,
    place: &Place<'_>,
    mistakes: &mut Mistakes,
) -> Option<Argument> {
    match (ty.is_bytes(), item) {
        (true, Item::Bytes(std::borrow::Cow::Borrowed(bytes))) => {
            Some(Argument::Bytes(kwargs.slice_ref(bytes)))
        }
        (true, Item::Bytes(std::borrow::Cow::Owned(bytes))) => Some(Argument::Bytes(bytes.into())),
        (_, item) => lower(ty, &item, place, mistakes).map(Argument::Value),
    }
}

fn unencodable(reason: &str) -> Outcome {
    let reason = format!("the result: {reason}");
    Err(Box::new(RemoteError::of(&EncodeError { reason })))
}
