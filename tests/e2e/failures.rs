//! Failures of functions, called in a leaf from the root through a middle actor.
//!
//! Owns: what each way to fail looks like at the operator, and that nothing else is harmed.

use std::time::Duration;

use greenroom::{RemoteError, payload};
use greenroom_tests::kind::{
    BadArguments, EncodeError, FunctionNotFound, InstanceLost, LimitExceeded, ModuleNotExposed, Trap,
};
use greenroom_tests::{Command, World, alone};
use serde::Deserialize;
use serde_json::{Value, json};

const LEAF: &[&str] = &["middle", "leaf"];

/// One way to fail, and what must arrive.
struct Case {
    function: &'static str,
    kwargs: Value,
    src_type: &'static str,
    /// Part of the message, and of the trace.
    says: [&'static str; 2],
    /// Whether the tasks beside it in the instance are lost with it.
    costs_instance: bool,
    /// What more must be true of it.
    value: fn(&RemoteError) -> bool,
}

#[derive(Debug, PartialEq, Deserialize)]
struct MyError {
    code: u32,
    text: String,
}

fn is_trap(error: &RemoteError, code: &str) -> bool {
    error.downcast::<Trap>().is_some_and(|trap| trap.code.contains(code))
}

fn arguments(error: &RemoteError) -> (Vec<String>, Vec<String>, Vec<String>) {
    let bad = error.downcast::<BadArguments>().expect("the value of the error");
    (bad.unknown, bad.missing, bad.ill_typed.into_iter().map(|(name, _)| name).collect())
}

fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

/// Puts up root, middle and leaf, and has the leaf fail in each way, twice.
async fn fail_in_leaf(world: &World, cases: Vec<Case>) {
    let _middle = world.keep(&[], "middle").await;
    let _leaf = world.keep(&["middle"], "leaf").await;
    let pid = world.pid("root/middle/leaf");
    for case in cases.iter().flat_map(|case| [case, case]) {
        let Case { function, kwargs, src_type, says, costs_instance, value } = case;
        let sibling = world.call::<i64>(LEAF, "faults:await_signal", &json!({"key": "sibling"}));
        let error = world.call::<Value>(LEAF, function, kwargs).await.expect_err(function);

        assert_eq!(error.src_type, *src_type, "{function}: {error}");
        assert_eq!(error.boxed_type, "RemoteActorError", "{function}: it was passed on twice");
        assert_eq!(error.src_actor.as_ref().map(|actor| actor.name.as_str()), Some("leaf"), "{function}");
        let path: Vec<&str> = error.relay_path.iter().map(|actor| actor.name.as_str()).collect();
        assert_eq!(path, ["leaf", "middle", "root"], "{function}: origin first");
        assert_eq!(error.canceller, None, "{function}");
        assert!(error.message.contains(says[0]), "{function}: {}", error.message);
        assert!(error.trace.contains(says[1]), "{function}: {}", error.trace);
        assert!(value(&error), "{function}: {error:?}");

        if *costs_instance {
            let lost = sibling.await.expect_err("the instance went, and the sibling with it");
            assert_eq!(lost.downcast(), Some(InstanceLost { module: "faults".into() }), "{function}");
        } else {
            let signal = json!({"key": "sibling", "value": 7});
            assert_eq!(world.call(LEAF, "faults:send_signal", &signal).await, Ok(true), "{function}");
            assert_eq!(sibling.await, Ok(7), "{function}: the sibling is unharmed");
        }
        let typed = world.call(LEAF, "faults:typed", &json!({"x": 1, "name": "a"})).await;
        assert_eq!(typed, Ok("a=1".to_owned()), "{function}: the leaf goes on serving");
        assert_eq!(world.pid("root/middle/leaf"), pid, "{function}: in the same process");
    }
}

#[test]
fn c10_an_error_keeps_its_origin_its_path_and_its_value() {
    alone(async |place| {
        let world = World::new(place).await;
        let value = |error: &RemoteError| {
            let value = payload::decode(error.value.as_deref().expect("a value"));
            value == Ok(MyError { code: 7, text: "seven".into() })
        };
        fail_in_leaf(
            &world,
            vec![Case {
                function: "faults:error",
                kwargs: json!({"code": 7, "text": "seven"}),
                src_type: "faults::errors::MyError",
                says: ["seven (7)", ""],
                costs_instance: false,
                value,
            }],
        )
        .await;
        world.end().await;
    });
}

#[test]
fn c10_downcast_gives_back_the_original_at_the_root() {
    alone(async |place| {
        let cases = [
            ("error", "a bank error: `ada` is short of 30"),
            ("panic", "panic: the vault is empty"),
            ("oob", "a trap: out of bounds memory access"),
            ("unreachable", "a trap: "),
            ("unknown-function", "no function `withdrew`; near: withdraw"),
            ("not-enabled", "module `middle` is not enabled; enabled: bank"),
            ("bad-arguments", "bad arguments; unknown: currency; missing: account; ill-typed: amount"),
            ("unencodable", "a result that cannot be encoded: a ledger of 0 entries does not balance"),
        ];
        for (kind, report) in cases {
            let command = Command::run(place, "failing", &[&format!("kind={kind}"), "report=true"]);
            let done = command.finish(Duration::from_secs(20));
            assert_eq!(done.code, Some(0), "{kind}: {}", done.stderr);
            assert!(done.stdout.starts_with(report), "{kind}: {}", done.stdout);
            assert!(
                done.stdout.contains("boxed as RemoteActorError, came by leaf > middle"),
                "{kind}: {}",
                done.stdout
            );
        }
    });
}

#[test]
fn c11_a_panic_ends_only_its_task() {
    alone(async |place| {
        let world = World::new(place).await;
        let panic = |function, kwargs| Case {
            function,
            kwargs,
            src_type: "panic",
            says: ["oh no", "tests/guests/faults/src/panics.rs:"],
            costs_instance: false,
            value: |error| error.value.is_none(),
        };
        let cases = vec![
            panic("faults:panic", json!({"msg": "oh no"})),
            panic("faults:panic_nested", json!({"msg": "oh no"})),
            panic("faults:panic_later", json!({"msg": "oh no", "ms": 1})),
        ];
        fail_in_leaf(&world, cases).await;
        world.end().await;
    });
}

#[test]
fn c12_a_trap_ends_its_instance_and_not_its_process() {
    alone(async |place| {
        let world = World::new(place).await;
        fn trap(function: &'static str, trace: &'static str, value: fn(&RemoteError) -> bool) -> Case {
            let kwargs = if function == "faults:divide" { json!({"by": 0}) } else { json!({}) };
            Case {
                function,
                kwargs,
                src_type: "trap",
                says: ["wasm trap: ", trace],
                costs_instance: true,
                value,
            }
        }
        let cases = vec![
            trap("faults:oob", "faults::oob", |error| is_trap(error, "out of bounds memory access")),
            trap("faults:unreachable", "faults::unreachable", |error| is_trap(error, "unreachable")),
            trap("faults:divide", "faults::divide", |error| is_trap(error, "integer divide by zero")),
            trap("faults:call_stack_overflow", "overflow_call_stack", |error| {
                is_trap(error, "call stack exhausted")
            }),
            // A guest keeps part of its stack in its memory: beyond that there is none.
            trap("faults:stack_overflow", "overflow_stack", |error| {
                is_trap(error, "out of bounds memory access")
            }),
            Case {
                src_type: "LimitExceeded",
                says: ["limit `memory` of 67108864 reached", "in "],
                ..trap("faults:oom", "in ", |error| error.is::<LimitExceeded>())
            },
        ];
        fail_in_leaf(&world, cases).await;
        world.end().await;
    });
}

#[test]
fn c12_the_next_call_gets_a_fresh_instance() {
    alone(async |place| {
        let world = World::new(place).await;
        let none = json!({});
        assert_eq!(world.call(&[], "faults:count", &none).await, Ok(1));
        assert_eq!(world.call(&[], "faults:count", &none).await, Ok(2));
        world.call::<u8>(&[], "faults:oob", &none).await.expect_err("it traps");
        assert_eq!(world.call(&[], "faults:count", &none).await, Ok(1), "nothing of the old one is left");
        world.end().await;
    });
}

#[test]
fn c3_arguments_that_do_not_fit_are_all_named() {
    alone(async |place| {
        let world = World::new(place).await;
        fn bad(kwargs: Value, says: &'static str, value: fn(&RemoteError) -> bool) -> Case {
            let (function, src_type) = ("faults:typed", "BadArguments");
            Case { function, kwargs, src_type, says: [says, ""], costs_instance: false, value }
        }
        let cases = vec![
            bad(json!({"x": "two", "name": "a"}), "`x`", |e| arguments(e) == (vec![], vec![], names(["x"]))),
            bad(json!({"x": 2}), "missing: `name`", |e| arguments(e) == (vec![], names(["name"]), vec![])),
            bad(json!({"x": 2, "name": "a", "y": 1}), "unknown: `y`", |e| {
                arguments(e) == (names(["y"]), vec![], vec![])
            }),
            bad(json!({"x": 2.5, "y": 1}), "bad arguments for `faults:typed`", |e| {
                arguments(e) == (names(["y"]), names(["name"]), names(["x"]))
            }),
        ];
        fail_in_leaf(&world, cases).await;
        assert_eq!(world.call(&[], "faults:optional", &json!({})).await, Ok(-1), "it may be left out");
        assert_eq!(world.call(&[], "faults:optional", &json!({"x": 3})).await, Ok(3));
        world.end().await;
    });
}

#[test]
fn c4_what_is_not_enabled_or_not_there_is_named() {
    alone(async |place| {
        let world = World::new(place).await;
        let cases = vec![
            Case {
                function: "middle:relay",
                kwargs: json!({}),
                src_type: "ModuleNotExposed",
                says: [
                    "module `middle` is not enabled in actor `leaf`, which exposes `faults` and `stage`",
                    "",
                ],
                costs_instance: false,
                value: |error| {
                    error.downcast::<ModuleNotExposed>().is_some_and(|error| {
                        error.module == "middle"
                            && error.actor.name == "leaf"
                            && error.exposed == names(["faults", "stage"])
                    })
                },
            },
            Case {
                function: "faults:ecco",
                kwargs: json!({}),
                src_type: "FunctionNotFound",
                says: ["module `faults` has no callable function `ecco`; did you mean `echo`", ""],
                costs_instance: false,
                value: |error| {
                    error
                        .downcast::<FunctionNotFound>()
                        .is_some_and(|error| error.near.first().is_some_and(|name| name == "echo"))
                },
            },
        ];
        fail_in_leaf(&world, cases).await;
        world.end().await;
    });
}

#[test]
fn c7_a_result_that_cannot_be_encoded_fails_its_call_only() {
    alone(async |place| {
        let world = World::new(place).await;
        let case = Case {
            function: "faults:unencodable",
            kwargs: json!({}),
            src_type: "EncodeError",
            says: ["this value cannot be encoded", ""],
            costs_instance: false,
            value: |error| {
                error
                    .downcast::<EncodeError>()
                    .is_some_and(|error| error.reason.contains("cannot be encoded"))
            },
        };
        fail_in_leaf(&world, vec![case]).await;
        world.end().await;
    });
}
