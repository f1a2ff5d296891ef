//! Calls: by function and by name, their order, their end, their cancellation.
//!
//! Owns: clauses A6, C1, C2, C4 to C6, C8 and the order of C13.

use std::time::{Duration, Instant};

use greenroom::{ActorId, RemoteError};
use greenroom_tests::kind::{
    ActorDied, BadArguments, ContextCancelled, Exit, FunctionNotFound, ModuleNotExposed, SpawnFailed,
};
use greenroom_tests::{Signal, World, alone, kill, until};
use serde::Deserialize;
use serde_json::{Value, json};

const LEAF: &[&str] = &["middle", "leaf"];

const SOON: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
struct Whoami {
    name: String,
    uuid: String,
    path: Vec<String>,
    pid: i32,
    is_root: bool,
    function: String,
    caller: ActorId,
    task_id: u64,
}

/// Waits until this many tasks hold a key in the actor.
async fn held(world: &World, path: &[&str], key: &str, count: u32) {
    until(&format!("{count} tasks hold `{key}`"), SOON, async || {
        let held = world.call::<u32>(path, "faults:probe", &json!({"key": key})).await;
        (held == Ok(count)).then_some(())
    })
    .await;
}

#[test]
fn a6_a_task_knows_its_actor_and_itself() {
    alone(async |place| {
        let world = World::new(place).await;
        let _middle = world.keep(&[], "middle").await;
        let _leaf = world.keep(&["middle"], "leaf").await;
        let root: Whoami = world.call(&[], "stage:whoami", &json!({})).await.expect("it can tell");
        assert_eq!((root.name.as_str(), root.is_root), ("root", true));
        assert_eq!(root.caller.name, "operator");
        let leaf: Whoami = world.call(LEAF, "stage:whoami", &json!({})).await.expect("it can tell");
        assert_eq!((leaf.name.as_str(), leaf.is_root), ("leaf", false));
        assert_eq!(leaf.path, ["root", "middle", "leaf"]);
        assert_eq!(leaf.pid, world.pid("root/middle/leaf"));
        assert_eq!(leaf.function, "stage:whoami");
        assert_eq!(leaf.caller.name, "middle");
        assert!(leaf.uuid != root.uuid && !leaf.uuid.is_empty());
        let again: Whoami = world.call(LEAF, "stage:whoami", &json!({})).await.expect("it can tell");
        assert_eq!(again.uuid, leaf.uuid);
        assert!(again.task_id > leaf.task_id, "every call is a task of its own");
        world.end().await;
    });
}

#[test]
fn c1_two_calls_are_two_concurrent_tasks() {
    alone(async |place| {
        let world = World::new(place).await;
        let _leaf = world.keep(&[], "leaf").await;
        // Neither can end without the other: the first waits for what the second sends.
        let waiting = world.call::<i64>(&["leaf"], "faults:await_signal", &json!({"key": "k"}));
        let signal = json!({"key": "k", "value": 3});
        until("the first call waits", SOON, async || {
            (world.call(&["leaf"], "faults:send_signal", &signal).await == Ok(true)).then_some(())
        })
        .await;
        assert_eq!(waiting.await, Ok(3));
        world.end().await;
    });
}

#[test]
fn c2_a_function_is_found_by_every_name_it_has() {
    alone(async |place| {
        let world = World::new(place).await;
        // The operator names the component, as it has none of its own; a child of the root may
        // name an interface of the root's component.
        let _plain = world.keep(&[], "plain").await;
        let modules = ["faults/faults", "stage"];
        let _full = world.keep_with(&[], "full", &modules, &[], &[]).await.expect("it starts");
        let typed = json!({"x": 1, "name": "a"});
        for (path, function) in [
            ("plain", "faults:typed"),
            ("full", "faults/faults:typed"),
            ("plain", "faults:await_signal"),
            ("plain", "faults:await-signal"),
        ] {
            let found = match function {
                "faults:typed" | "faults/faults:typed" => {
                    world.call::<String>(&[path], function, &typed).await.map(drop)
                }
                _ => {
                    let wrong: Result<i64, _> = world.call(&[path], function, &json!({})).await;
                    // Found, as it says what is missing.
                    let error = wrong.expect_err("an argument is missing");
                    assert!(error.is::<BadArguments>(), "{error}");
                    Ok(())
                }
            };
            assert_eq!(found, Ok(()), "{function} in {path}");
        }
        world.end().await;
    });
}

#[test]
fn c4_an_entry_may_name_single_functions() {
    alone(async |place| {
        let world = World::new(place).await;
        let modules = ["faults:typed", "faults:count"];
        let _child = world.keep_with(&[], "child", &modules, &[], &[]).await.expect("it starts");
        assert_eq!(world.call(&["child"], "faults:count", &json!({})).await, Ok(1));
        let refused =
            world.call::<u32>(&["child"], "faults:drops", &json!({})).await.expect_err("not enabled");
        let refused: FunctionNotFound = refused.downcast().expect("its own kind");
        assert_eq!(refused.function, "drops");
        let refused =
            world.call::<Value>(&["child"], "stage:whoami", &json!({})).await.expect_err("not enabled");
        let refused: ModuleNotExposed = refused.downcast().expect("its own kind");
        assert_eq!(refused.exposed, ["faults"]);
        assert_eq!(world.call(&["child"], "faults:count", &json!({})).await, Ok(2), "it goes on");
        world.end().await;
    });
}

#[test]
fn c5_the_namespace_self_is_the_runtime() {
    alone(async |place| {
        let world = World::new(place).await;
        let child = world.keep_with(&[], "child", &["faults:typed"], &[], &[]).await.expect("it starts");
        let exposed: Vec<String> =
            world.call(&["child"], "self:describe", &json!({})).await.expect("it can tell");
        assert_eq!(exposed, ["faults:typed"]);
        let unknown = world.call::<Value>(&["child"], "self:destroy", &json!({})).await.expect_err("unknown");
        assert!(unknown.is::<FunctionNotFound>(), "{unknown}");
        let extra =
            world.call::<Value>(&["child"], "self:cancel", &json!({"x": 1})).await.expect_err("extra");
        assert!(extra.is::<BadArguments>(), "{extra}");
        let taken = world.keep_with(&[], "other", &["self"], &[], &[]).await.expect_err("the name is taken");
        assert!(taken.is::<SpawnFailed>(), "{taken}");
        // An owner may: the child leaves by itself, with status 0, which is no failure.
        assert_eq!(world.call(&["child"], "self:cancel", &json!({})).await, Ok(()));
        assert_eq!(child.await, Ok(()));
        world.end().await;
    });
}

#[test]
fn c6_new_calls_on_a_dead_portal_fail_at_once() {
    alone(async |place| {
        let world = World::new(place).await;
        kill(world.pid("root"), Signal::KILL);
        let died = world.call::<Value>(&[], "faults:wait", &json!({})).await.expect_err("it died");
        for _ in 0..3 {
            let began = Instant::now();
            let error = world.call::<u32>(&[], "faults:count", &json!({})).await.expect_err("it is dead");
            let again: ActorDied = error.downcast().expect("its own kind");
            assert_eq!(again.exit, Exit::Signal(9));
            assert_eq!(Some(again), died.downcast());
            assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
        }
        world.end().await;
    });
}

#[test]
fn c6_a_call_runs_once() {
    alone(async |place| {
        let world = World::new(place).await;
        let _leaf = world.keep(&[], "leaf").await;
        let none = json!({});
        let mut counts = Vec::new();
        for call in (0..50).map(|_| world.call::<u32>(&["leaf"], "faults:count", &none)).collect::<Vec<_>>() {
            counts.push(call.await.expect("it counts"));
        }
        counts.sort_unstable();
        assert!(counts.into_iter().eq(1..=50), "each call counted once");
        world.end().await;
    });
}

#[test]
fn c8_dropping_a_call_cancels_the_remote_task() {
    alone(async |place| {
        let world = World::new(place).await;
        let _middle = world.keep(&[], "middle").await;
        let _leaf = world.keep(&["middle"], "leaf").await;
        let kept = world.call::<()>(LEAF, "faults:hold", &json!({"key": "a"}));
        let dropped = world.call::<()>(LEAF, "faults:hold", &json!({"key": "a"}));
        held(&world, LEAF, "a", 2).await;
        drop(dropped);
        held(&world, LEAF, "a", 1).await;
        drop(kept);
        held(&world, LEAF, "a", 0).await;
        world.end().await;
    });
}

#[test]
fn c8_the_destructors_of_a_cancelled_task_run() {
    alone(async |place| {
        let world = World::new(place).await;
        let _leaf = world.keep(&[], "leaf").await;
        let call = world.call::<()>(&["leaf"], "faults:slow_drop", &json!({"ms": 20}));
        // The next call is behind it on the same link: once it is answered, the first has begun.
        assert_eq!(world.call(&["leaf"], "faults:drops", &json!({})).await, Ok(0));
        drop(call);
        until("the destructor has run", SOON, async || {
            (world.call(&["leaf"], "faults:drops", &json!({})).await == Ok(1)).then_some(())
        })
        .await;
        until("it has told so", SOON, async || {
            world.logged().iter().any(|line| line == "slow drop: done").then_some(())
        })
        .await;
        world.end().await;
    });
}

#[test]
fn c8_a_task_that_ends_takes_its_calls_along() {
    alone(async |place| {
        let world = World::new(place).await;
        let middle = world.keep(&[], "middle").await;
        let leaf = world.keep(&["middle"], "leaf").await;
        let call = world.call::<()>(LEAF, "faults:hold", &json!({"key": "a"}));
        held(&world, LEAF, "a", 1).await;
        // The operator's calls for these two end, and with them the tasks in the root.
        drop((leaf, middle));
        let error = call.await.expect_err("its callee is ended with its owner");
        assert!(error.is::<ContextCancelled>() || error.is::<ActorDied>(), "{error}");
        until("middle and leaf are gone", SOON, async || (world.processes().len() == 1).then_some(())).await;
        world.end().await;
    });
}

#[test]
fn c10_a_cancellation_names_who_asked() {
    alone(async |place| {
        let world = World::new(place).await;
        let _middle = world.keep(&[], "middle").await;
        let leaf = world.keep(&["middle"], "leaf").await;
        let call = world.call::<()>(LEAF, "faults:hold", &json!({"key": "a"}));
        held(&world, LEAF, "a", 1).await;
        assert_eq!(world.call(&["middle"], "stage:cancel", &json!({"name": "leaf"})).await, Ok(()));
        let error: Box<RemoteError> = call.await.expect_err("it was cancelled");
        assert_eq!(error.downcast(), Some(ContextCancelled { function: "faults:hold".into() }));
        assert_eq!(error.canceller.map(|actor| actor.name).as_deref(), Some("middle"));
        assert_eq!(error.src_actor.map(|actor| actor.name).as_deref(), Some("leaf"));
        assert_eq!(leaf.await, Ok(()), "an owner's cancel is no failure of the nursery");
        world.end().await;
    });
}

#[test]
fn c13_calls_keep_their_order() {
    alone(async |place| {
        let world = World::new(place).await;
        let _leaf = world.keep(&[], "leaf").await;
        let none = json!({});
        let calls: Vec<_> = (0..100).map(|_| world.call::<u32>(&["leaf"], "faults:count", &none)).collect();
        for (place, call) in (1..).zip(calls) {
            assert_eq!(call.await, Ok(place), "they began in the order in which they were made");
        }
        world.end().await;
    });
}
