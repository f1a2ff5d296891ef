//! One contract in four languages.
//!
//! Owns: a tree with a leaf in each, from its root in Rust to the shell.

use std::time::Duration;

use greenroom::{RemoteError, Rights, SpawnSpec, payload};
use greenroom_tests::kind::{BadArguments, Trap};
use greenroom_tests::{Command, Options, World, alone, compile, foreign};
use serde_json::{Value, json};

use crate::LANGUAGES;

const LONG: Duration = Duration::from_secs(120);

/// Sees to it that no test waits for the compiler.
fn compile_all() {
    LANGUAGES.map(foreign).iter().for_each(|component| compile(component));
}

#[test]
fn four_leaves_in_four_languages_keep_one_contract_under_one_root() {
    compile_all();
    alone(async |place| {
        let modules = LANGUAGES.map(|name| format!("{name}={}", foreign(name).display()));
        let arguments: Vec<&str> = modules.iter().flat_map(|module| ["--module", module]).collect();
        let done = Command::run(place, "languages", &arguments).finish(LONG);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let kept = LANGUAGES.map(|name| format!("{name}: all came back; refusal: not today"));
        let broke = LANGUAGES.map(|name| format!("{name}: broke down, alone, and goes on"));
        let expected: Vec<String> = kept.into_iter().chain(broke).collect();
        assert_eq!(done.stdout.lines().collect::<Vec<_>>(), expected, "{}", done.stderr);
    });
}

#[test]
fn each_language_is_called_with_its_own_types_from_a_program() {
    compile_all();
    alone(async |place| {
        let components = LANGUAGES.map(|name| (name.to_owned(), foreign(name))).to_vec();
        let world = World::with(place, Options { components, ..Options::default() }).await;
        for name in LANGUAGES {
            let spec = SpawnSpec {
                name: name.to_owned(),
                modules: vec![format!("{name}/shapes")],
                rights: Rights::all(),
                ..SpawnSpec::default()
            };
            let leaf = world.host().nursery().start(spec, None).await.expect("the leaf starts");
            let call = async |function: &str, kwargs: Value| -> Result<Value, Box<RemoteError>> {
                let kwargs = payload::encode(&kwargs).expect("it can be encoded");
                let ended = leaf.call(&format!("{name}/shapes:{function}"), kwargs.into()).await?;
                Ok(payload::decode(&ended).expect("any CBOR of these types is JSON"))
            };
            let shape = json!({"circle": [{"x": 1.0, "y": -2.5}, 0.25]});
            assert_eq!(call("echo-variant", json!({"value": shape})).await.as_ref(), Ok(&shape), "{name}");

            let wrong = json!({"value": {"circle": [{"x": 1.0, "y": "two"}, 0.25]}});
            let error = call("echo-variant", wrong).await.expect_err("it is ill-typed");
            assert!(error.is::<BadArguments>() && error.message.contains("f64"), "{name}: {error}");

            let refused = call("fail", json!({"code": 7, "message": "no"})).await.expect_err("it refuses");
            let value = refused.downcast_as("refusal");
            assert_eq!(value, Some(json!({"code": 7, "message": "no"})), "{name}: {refused}");
            assert_eq!(refused.message, "no", "{name}");

            let broken = call("trap", json!({})).await.expect_err("it breaks down");
            assert!(broken.is::<Trap>(), "{name}: {broken}");
            assert_eq!(call("echo-option", json!({"value": null})).await, Ok(Value::Null), "{name}");
        }
        world.end().await;
    });
}
