//! That values come back as they went, over types and values made up by the hundred.
//!
//! Owns: the properties of both ways together, and what is said of values that do not fit.

use greenroom_abi::payload;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;
use wasmtime::component::Val;

use super::item::Item;
use super::lift::lift;
use super::lower::{Mistakes, Place, lower};
use super::types::ValueType;

/// How deep made-up types nest.
const DEPTH: u32 = 4;

/// How many values a made-up list holds.
const MANY: usize = 4;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("name-{number}")).collect()
}

fn any_type() -> impl Strategy<Value = ValueType> {
    let leaf = prop_oneof![
        Just(ValueType::Bool),
        Just(ValueType::S8),
        Just(ValueType::U8),
        Just(ValueType::S16),
        Just(ValueType::U16),
        Just(ValueType::S32),
        Just(ValueType::U32),
        Just(ValueType::S64),
        Just(ValueType::U64),
        Just(ValueType::F32),
        Just(ValueType::F64),
        Just(ValueType::Char),
        Just(ValueType::String),
        (1..5_usize).prop_map(|count| ValueType::Enum { name: None, cases: names(count) }),
        (0..5_usize).prop_map(|count| ValueType::Flags { name: None, flags: names(count) }),
    ];
    leaf.prop_recursive(DEPTH, 24, 4, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed().prop_map(ValueType::List),
            boxed().prop_map(ValueType::Option),
            vec(inner.clone(), 1..4).prop_map(ValueType::Tuple),
            vec(inner.clone(), 1..4).prop_map(|types| ValueType::Record {
                name: None,
                fields: names(types.len()).into_iter().zip(types).collect(),
            }),
            vec(option::of(inner.clone()), 1..4).prop_map(|types| ValueType::Variant {
                name: None,
                cases: names(types.len()).into_iter().zip(types).collect(),
            }),
            (option::of(boxed()), option::of(boxed())).prop_map(|(ok, err)| ValueType::Result { ok, err }),
        ]
    })
}

/// Any value of a type.
fn any_value(ty: &ValueType) -> BoxedStrategy<Val> {
    let maybe = |ty: Option<&ValueType>| match ty {
        Some(ty) => any_value(ty).prop_map(|value| Some(Box::new(value))).boxed(),
        None => Just(None).boxed(),
    };
    match ty {
        ValueType::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        ValueType::S8 => any::<i8>().prop_map(Val::S8).boxed(),
        ValueType::U8 => any::<u8>().prop_map(Val::U8).boxed(),
        ValueType::S16 => any::<i16>().prop_map(Val::S16).boxed(),
        ValueType::U16 => any::<u16>().prop_map(Val::U16).boxed(),
        ValueType::S32 => any::<i32>().prop_map(Val::S32).boxed(),
        ValueType::U32 => any::<u32>().prop_map(Val::U32).boxed(),
        ValueType::S64 => any::<i64>().prop_map(Val::S64).boxed(),
        ValueType::U64 => any::<u64>().prop_map(Val::U64).boxed(),
        ValueType::F32 => any::<u32>().prop_map(|bits| Val::Float32(f32::from_bits(bits))).boxed(),
        ValueType::F64 => any::<u64>().prop_map(|bits| Val::Float64(f64::from_bits(bits))).boxed(),
        ValueType::Char => any::<char>().prop_map(Val::Char).boxed(),
        ValueType::String => any::<String>().prop_map(Val::String).boxed(),
        ValueType::List(inner) => vec(any_value(inner), 0..MANY).prop_map(Val::List).boxed(),
        ValueType::Tuple(types) => {
            types.iter().map(any_value).collect::<Vec<_>>().prop_map(Val::Tuple).boxed()
        }
        ValueType::Record { fields, .. } => {
            let names: Vec<String> = fields.iter().map(|(name, _)| name.clone()).collect();
            let values: Vec<_> = fields.iter().map(|(_, ty)| any_value(ty)).collect();
            values.prop_map(move |values| Val::Record(names.iter().cloned().zip(values).collect())).boxed()
        }
        ValueType::Variant { cases, .. } => {
            let any_case = cases.iter().map(|(name, ty)| {
                let name = name.clone();
                maybe(ty.as_ref()).prop_map(move |payload| Val::Variant(name.clone(), payload)).boxed()
            });
            proptest::strategy::Union::new(any_case).boxed()
        }
        ValueType::Enum { cases, .. } => proptest::sample::select(cases.clone()).prop_map(Val::Enum).boxed(),
        ValueType::Flags { flags, .. } => {
            subsequence(flags.clone(), 0..=flags.len()).prop_map(Val::Flags).boxed()
        }
        ValueType::Option(inner) => {
            option::of(any_value(inner)).prop_map(|value| Val::Option(value.map(Box::new))).boxed()
        }
        ValueType::Result { ok, err } => prop_oneof![
            maybe(ok.as_deref()).prop_map(|value| Val::Result(Ok(value))),
            maybe(err.as_deref()).prop_map(|value| Val::Result(Err(value))),
        ]
        .boxed(),
    }
}

fn any_typed_value() -> impl Strategy<Value = (ValueType, Val)> {
    any_type().prop_flat_map(|ty| (Just(ty.clone()), any_value(&ty)))
}

fn lifted(ty: &ValueType, value: &Val) -> Vec<u8> {
    let mut out = Vec::new();
    lift(ty, value, &mut out).expect("a value of the type");
    out
}

fn lowered(ty: &ValueType, bytes: &[u8]) -> Result<Val, Vec<(String, String)>> {
    let mut mistakes = Mistakes::default();
    let item = Item::read(bytes).expect("an item");
    lower(ty, &item, &Place::argument("v"), &mut mistakes).ok_or_else(|| mistakes.into_lines())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_comes_out_goes_in_again((ty, value) in any_typed_value()) {
        let bytes = lifted(&ty, &value);
        prop_assert_eq!(payload::check(&bytes), Ok(()));
        let back = lowered(&ty, &bytes);
        prop_assert_eq!(back.as_ref(), Ok(&value), "{}", ty);
        prop_assert_eq!(lifted(&ty, &value), bytes);
    }

    #[test]
    fn another_types_value_fits_or_is_told_apart((_, value) in any_typed_value().prop_flat_map(|(ty, value)| {
        let bytes = lifted(&ty, &value);
        (Just(ty), Just(bytes))
    }), other in any_type()) {
        match lowered(&other, &value) {
            // What was taken is of the type, and stands for itself.
            Ok(taken) => prop_assert_eq!(lowered(&other, &lifted(&other, &taken)), Ok(taken)),
            Err(mistakes) => {
                prop_assert!(!mistakes.is_empty());
                for (place, what) in mistakes {
                    prop_assert!(place.starts_with('v') && !what.is_empty());
                }
            }
        }
    }
}

fn record() -> ValueType {
    ValueType::Record {
        name: None,
        fields: vec![
            ("x-pos".to_owned(), ValueType::U8),
            ("note".to_owned(), ValueType::Option(Box::new(ValueType::String))),
            ("all".to_owned(), ValueType::List(Box::new(ValueType::S8))),
        ],
    }
}

fn variant() -> ValueType {
    ValueType::Variant {
        name: None,
        cases: vec![("none".to_owned(), None), ("full-name".to_owned(), Some(ValueType::String))],
    }
}

fn flags() -> ValueType {
    ValueType::Flags { name: None, flags: vec!["read".to_owned(), "run-it".to_owned()] }
}

fn option(inner: ValueType) -> ValueType {
    ValueType::Option(Box::new(inner))
}

fn result() -> ValueType {
    ValueType::Result { ok: Some(Box::new(ValueType::U8)), err: None }
}

/// The payload of a value, as an encoder of others writes it.
fn cbor(value: impl serde::Serialize) -> Vec<u8> {
    payload::encode(&value).expect("it can be encoded")
}

#[test]
fn each_form_of_a_value_is_taken() {
    let text = |text: &str| Val::String(text.to_owned());
    let some = |value| Val::Option(Some(Box::new(value)));
    let u8s = ValueType::List(Box::new(ValueType::U8));
    let whole = |height| {
        Val::Record(vec![
            ("x-pos".to_owned(), Val::U8(1)),
            ("note".to_owned(), height),
            ("all".to_owned(), Val::List(vec![Val::S8(-1)])),
        ])
    };
    let cases: Vec<(ValueType, Vec<u8>, Val)> = vec![
        (ValueType::U8, cbor(255), Val::U8(255)),
        (ValueType::S64, cbor(i64::MIN), Val::S64(i64::MIN)),
        (ValueType::U64, cbor(u64::MAX), Val::U64(u64::MAX)),
        (ValueType::F32, cbor(0.1_f64), Val::Float32(0.1)),
        (ValueType::F32, cbor(16_777_216), Val::Float32(16_777_216.0)),
        (ValueType::F64, cbor(-3), Val::Float64(-3.0)),
        (ValueType::F64, cbor(f64::NAN), Val::Float64(f64::NAN)),
        (ValueType::F32, cbor(f64::INFINITY), Val::Float32(f32::INFINITY)),
        (ValueType::Char, cbor("ß"), Val::Char('ß')),
        (u8s.clone(), cbor(serde_bytes(b"ab")), Val::List(vec![Val::U8(97), Val::U8(98)])),
        (u8s, cbor([97, 98]), Val::List(vec![Val::U8(97), Val::U8(98)])),
        (record(), cbor(serde_json::json!({"all": [-1], "x_pos": 1})), whole(Val::Option(None))),
        (record(), cbor(serde_json::json!({"x-pos": 1, "note": "n", "all": [-1]})), whole(some(text("n")))),
        (variant(), cbor("none"), Val::Variant("none".to_owned(), None)),
        (variant(), cbor(serde_json::json!({"none": null})), Val::Variant("none".to_owned(), None)),
        (
            variant(),
            cbor(serde_json::json!({"full_name": "n"})),
            Val::Variant("full-name".to_owned(), Some(Box::new(text("n")))),
        ),
        (flags(), cbor(["run_it", "read"]), Val::Flags(vec!["read".to_owned(), "run-it".to_owned()])),
        (option(option(ValueType::U8)), cbor(()), Val::Option(None)),
        (option(option(ValueType::U8)), cbor([()]), some(Val::Option(None))),
        (option(option(ValueType::U8)), cbor([1]), some(some(Val::U8(1)))),
        (result(), cbor(serde_json::json!({"ok": 1})), Val::Result(Ok(Some(Box::new(Val::U8(1)))))),
        (result(), cbor(serde_json::json!({"err": null})), Val::Result(Err(None))),
    ];
    for (ty, bytes, value) in cases {
        assert_eq!(lowered(&ty, &bytes), Ok(value), "{ty}");
    }
}

/// Bytes that are encoded as such.
fn serde_bytes(bytes: &[u8]) -> ciborium::Value {
    ciborium::Value::Bytes(bytes.to_vec())
}

#[test]
fn each_mistake_is_told_with_its_place() {
    let list = |inner| ValueType::List(Box::new(inner));
    let json = |value: serde_json::Value| cbor(value);
    let bignum = b"\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00".to_vec();
    let points = list(record());
    let cases: Vec<(ValueType, Vec<u8>, &[&str])> = vec![
        (ValueType::U8, cbor(300), &["v: expected u8, got 300: out of range 0..=255"]),
        (ValueType::S8, cbor(-129), &["v: expected s8, got -129: out of range -128..=127"]),
        (ValueType::U64, cbor(-1), &["v: expected u64, got -1: out of range 0..=18446744073709551615"]),
        (ValueType::U64, bignum, &["v: expected u64, got an item with tag 2"]),
        (ValueType::U8, cbor(1.0), &["v: expected u8, got 1.0"]),
        (
            ValueType::F32,
            cbor(16_777_217),
            &["v: expected f32, got 16777217: it cannot hold this integer exactly"],
        ),
        (ValueType::Bool, cbor(1), &["v: expected bool, got 1"]),
        (ValueType::String, cbor(()), &["v: expected string, got null"]),
        (ValueType::Char, cbor("ab"), &["v: expected char, got \"ab\": it must be a text of one character"]),
        (list(ValueType::U8), json([1, 256].into()), &["v[1]: expected u8, got 256: out of range 0..=255"]),
        (list(ValueType::U8), cbor("ab"), &["v: expected list<u8>, got \"ab\""]),
        (
            ValueType::Tuple(vec![ValueType::U8, ValueType::Bool]),
            json([1].into()),
            &["v: expected tuple<u8, bool>, got an array of 1: it must have 2"],
        ),
        (
            points,
            json(serde_json::json!([{"x_pos": 1, "all": []}, {"x-pos": true, "all": [1, 200], "nota": "n"}])),
            &[
                "v[1].nota: there is no such field; did you mean `note`?",
                "v[1].x-pos: expected u8, got true",
                "v[1].all[1]: expected s8, got 200: out of range -128..=127",
            ],
        ),
        (
            record(),
            json(serde_json::json!({"x-pos": 1, "x_pos": 1, "zzz": 1})),
            &[
                "v.x_pos: it is given twice",
                "v.zzz: there is no such field; there is `x-pos`, `note`, `all`",
                "v.all: expected list<s8>, got nothing: the field is missing",
            ],
        ),
        (
            record(),
            cbor([1]),
            &["v: expected record { x-pos: u8, note: option<string>, all: list<s8> }, got an array of 1: \
               a record is a map from its fields' names"],
        ),
        (
            variant(),
            cbor("nome"),
            &["v: expected variant { none, full-name(string) }, got \"nome\": there is no `nome`; \
               did you mean `none`?"],
        ),
        (
            variant(),
            cbor("full-name"),
            &["v: expected variant { none, full-name(string) }, got \"full-name\": write \
               {\"full-name\": …}, for `full-name` holds string"],
        ),
        (variant(), json(serde_json::json!({"full-name": 1})), &["v.full-name: expected string, got 1"]),
        (variant(), json(serde_json::json!({"none": 1})), &["v.none: expected nothing, got 1"]),
        (
            variant(),
            json(serde_json::json!({})),
            &["v: expected variant { none, full-name(string) }, got a map of 0: it must have one entry, \
               from a case's name to what it holds"],
        ),
        (flags(), cbor(["read", "read"]), &["v[1]: \"read\" is given twice"]),
        (flags(), cbor(["raed"]), &["v[0]: there is no flag `raed`; did you mean `read`?"]),
        (
            flags(),
            cbor("read"),
            &["v: expected flags { read, run-it }, got \"read\": flags are an array of names"],
        ),
        (option(ValueType::U8), cbor("a"), &["v: expected u8, got \"a\""]),
        (
            option(option(ValueType::U8)),
            cbor(1),
            &["v: expected option<option<u8>>, got 1: an option in an option is null, or an array that \
               holds the inner one"],
        ),
        (
            result(),
            json(serde_json::json!({"ok": 300})),
            &["v.ok: expected u8, got 300: out of range 0..=255"],
        ),
        (
            result(),
            json(serde_json::json!({"no": 1})),
            &["v: expected result<u8>, got a map of 1: its key must be `ok` or `err`"],
        ),
        (result(), json(serde_json::json!({"err": 1})), &["v.err: expected null, got 1"]),
    ];
    for (ty, bytes, told) in cases {
        let mistakes = lowered(&ty, &bytes).expect_err("it does not fit");
        let mistakes: Vec<String> = mistakes.iter().map(|(place, what)| format!("{place}: {what}")).collect();
        assert_eq!(mistakes, told, "{ty}");
    }
}

#[test]
fn of_many_mistakes_some_are_told_and_the_rest_counted() {
    let ty = ValueType::List(Box::new(ValueType::Bool));
    let mistakes = lowered(&ty, &cbor(vec![0; 100])).expect_err("none is a bool");
    assert_eq!(mistakes.len(), 16);
    assert_eq!(mistakes[15], ("v[15]".to_owned(), "expected bool, got 0 (and 84 mistakes more)".to_owned()));
}
