//! Nurseries: who waits for whom, and what several failures come to.
//!
//! Owns: clauses B1 and B3 to B6.

use std::time::Duration;

use greenroom::{OneShot, RemoteError, SpawnSpec, payload};
use greenroom_tests::kind::{ActorDied, ContextCancelled, Exit, NoResult, NurseryError, Trap};
use greenroom_tests::{Begun, Signal, World, alone, kill, until};
use serde::Deserialize;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(5);

#[derive(Debug, PartialEq, Deserialize)]
struct MyError {
    code: u32,
    text: String,
}

/// A scope in the root: daemons, one-shots, and how it ends. See `stage:scope`.
fn scope(world: &World, daemons: u32, shots: &Value, at_once: bool, end: &str) -> Begun<()> {
    let kwargs = json!({"daemons": daemons, "shots": shots, "at_once": at_once, "end": end});
    world.call(&[], "stage:scope", &kwargs)
}

fn code(error: &RemoteError) -> u32 {
    assert_eq!(error.src_type, "faults::errors::MyError", "{error}");
    let value: MyError = payload::decode(error.value.as_deref().expect("a value")).expect("its type");
    value.code
}

fn children(world: &World) -> Vec<String> {
    world.processes().into_keys().filter_map(|path| Some(path.strip_prefix("root/")?.to_owned())).collect()
}

/// Waits until the scope has started all its children.
async fn ready(world: &World) {
    until("the scope is ready", SOON, async || {
        world.logged().iter().any(|line| line == "scope: ready").then_some(())
    })
    .await;
}

#[test]
fn b1_children_are_reaped_before_the_outcome_is_relayed() {
    alone(async |place| {
        for end in ["Return", "Leak", "Error", "Panic", "Trap"] {
            let world = World::new(place).await;
            let outcome = scope(&world, 2, &json!(["Hold"]), true, end).await;
            // At once, without waiting for anything.
            assert_eq!(children(&world), [""; 0], "{end}");
            match (end, outcome) {
                ("Return" | "Leak", outcome) => assert_eq!(outcome, Ok(()), "{end}"),
                ("Trap", Err(error)) => assert!(error.is::<Trap>(), "{error}"),
                ("Panic", Err(error)) => assert_eq!(error.message, "the scope was left by a panic"),
                ("Error", Err(error)) => assert_eq!(error.message, "the scope was left by an error"),
                other => panic!("{other:?}"),
            }
            // That there were children is told apart from the outcome.
            ready(&world).await;
            world.end().await;
        }
    });
}

#[test]
fn b1_children_are_reaped_when_their_task_is_cancelled() {
    alone(async |place| {
        let world = World::new(place).await;
        let middle = world.keep(&[], "middle").await;
        let kwargs = json!({"daemons": 2, "shots": ["Hold"], "at_once": true, "end": "Wait"});
        let open = world.call::<()>(&["middle"], "stage:scope", &kwargs);
        ready(&world).await;
        assert_eq!(world.processes().len(), 5, "{:?}", world.processes());
        assert_eq!(world.call(&[], "stage:cancel", &json!({"name": "middle"})).await, Ok(()));
        assert_eq!(world.processes().len(), 1, "{:?}", world.processes());
        let error = open.await.expect_err("it was cancelled");
        assert!(error.is::<ContextCancelled>(), "{error}");
        assert_eq!(middle.await, Ok(()));
        world.end().await;
    });
}

#[test]
fn b3_a_one_shot_takes_its_functions_name_and_ends_with_its_task() {
    alone(async |place| {
        let world = World::new(place).await;
        let waiting = scope(&world, 0, &json!(["Hold"]), true, "Wait");
        ready(&world).await;
        assert_eq!(children(&world), ["hold"], "it goes by its function's name");
        drop(waiting);
        until("it is gone", SOON, async || children(&world).is_empty().then_some(())).await;

        let waiting = scope(&world, 0, &json!([{"Sleep": 1}]), true, "Wait");
        until("it came", SOON, async || {
            let ready = world.logged().iter().filter(|line| *line == "scope: ready").count();
            (ready == 2 && children(&world).is_empty()).then_some(())
        })
        .await;
        drop(waiting);
        world.end().await;
    });
}

#[test]
fn b4_a_result_is_the_same_each_time() {
    alone(async |place| {
        let world = World::new(place).await;
        let results: Vec<Result<u64, RemoteError>> =
            world.call(&[], "stage:results", &json!({"fail": false})).await.expect("they come");
        assert_eq!(results, vec![Ok(4); 3], "twice while the nursery is open, once after");
        let results: Vec<Result<u64, RemoteError>> =
            world.call(&[], "stage:results", &json!({"fail": true})).await.expect("they come");
        let errors: Vec<RemoteError> =
            results.into_iter().map(|result| result.expect_err("it failed")).collect();
        assert_eq!(errors.len(), 3);
        assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
        assert_eq!(code(&errors[0]), 4);
        world.end().await;
    });
}

#[test]
fn b4_the_operator_waits_for_results_too() {
    alone(async |place| {
        let world = World::new(place).await;
        let kwargs = payload::encode(&json!({"ms": 3})).expect("it can be encoded");
        let function = "faults:sleep_ms".to_owned();
        let spec = SpawnSpec { name: "shot".into(), modules: vec!["faults".into()], ..SpawnSpec::default() };
        let shot = OneShot { function, kwargs: kwargs.into() };
        let shot = world.host().nursery().start(spec, Some(shot)).await.expect("it starts");
        for _ in 0..2 {
            let result = shot.wait_for_result().await.expect("it succeeds");
            assert_eq!(payload::decode::<u64>(&result), Ok(3));
        }
        world.host().nursery().cancel().await.expect("nothing failed");
        assert!(shot.wait_for_result().await.is_ok(), "also after the nursery has closed");
        world.end().await;
    });
}

#[test]
fn b4_a_daemon_has_no_result() {
    alone(async |place| {
        let world = World::new(place).await;
        let error =
            world.call::<u64>(&[], "stage:daemon_result", &json!({})).await.expect_err("there is none");
        let none: NoResult = error.downcast().expect("its own kind");
        assert_eq!(none.actor.name, "daemon");
        world.end().await;
    });
}

#[test]
fn b5_join_waits_for_one_shots_and_daemons() {
    alone(async |place| {
        let world = World::new(place).await;
        assert_eq!(scope(&world, 0, &json!([{"Sleep": 1}, {"Sleep": 20}]), true, "Join").await, Ok(()));
        assert_eq!(children(&world), [""; 0]);

        let mut joining = scope(&world, 1, &json!([{"Sleep": 1}]), true, "Join");
        until("the one-shot is gone, the daemon is not", SOON, async || {
            (children(&world) == ["daemon_0"] && world.logged().len() == 2).then_some(())
        })
        .await;
        let still = tokio::select! {
            biased;
            outcome = &mut joining => Err(outcome),
            answer = world.call::<u32>(&[], "faults:count", &json!({})) => Ok(answer),
        };
        assert_eq!(still, Ok(Ok(1)), "it waits for the daemon");
        drop(joining);
        until("the daemon is gone", SOON, async || children(&world).is_empty().then_some(())).await;
        world.end().await;
    });
}

#[test]
fn b5_cancel_ends_all_and_is_no_failure() {
    alone(async |place| {
        let world = World::new(place).await;
        assert_eq!(scope(&world, 2, &json!(["Hold", "Hold"]), true, "Cancel").await, Ok(()));
        assert_eq!(children(&world), [""; 0]);
        world.end().await;
    });
}

#[test]
fn b5_dropping_a_nursery_cancels_it() {
    alone(async |place| {
        let world = World::new(place).await;
        let lives_on = scope(&world, 2, &json!(["Hold"]), true, "Drop");
        ready(&world).await;
        until("the children are gone", SOON, async || children(&world).is_empty().then_some(())).await;
        let mut lives_on = std::pin::pin!(lives_on);
        let ended = tokio::select! {
            biased;
            outcome = &mut lives_on => Some(outcome),
            _ = world.call::<u32>(&[], "faults:count", &json!({})) => None,
        };
        assert_eq!(ended, None, "the task that dropped it goes on");
        world.end().await;
    });
}

#[test]
fn b6_one_failure_cancels_the_rest_and_is_raised_alone() {
    alone(async |place| {
        let world = World::new(place).await;
        let error =
            scope(&world, 1, &json!(["Hold", {"Error": 5}]), true, "Join").await.expect_err("one failed");
        assert_eq!(code(&error), 5);
        assert_eq!(children(&world), [""; 0]);
        let error = scope(&world, 1, &json!(["Panic"]), true, "Join").await.expect_err("one panicked");
        assert_eq!((error.src_type.as_str(), error.message.as_str()), ("panic", "shot_0"));
        let path: Vec<&str> = error.relay_path.iter().map(|actor| actor.name.as_str()).collect();
        assert_eq!(path, ["shot_0", "root"]);
        world.end().await;
    });
}

#[test]
fn b6_a_child_that_dies_cancels_the_rest() {
    alone(async |place| {
        let world = World::new(place).await;
        let joining = scope(&world, 2, &json!(["Hold"]), true, "Join");
        ready(&world).await;
        kill(world.pid("root/daemon_1"), Signal::KILL);
        let error = joining.await.expect_err("a child died");
        let died: ActorDied = error.downcast().expect("alone: what was cancelled has not failed");
        assert_eq!((died.actor.name.as_str(), died.exit), ("daemon_1", Exit::Signal(9)));
        assert_eq!(children(&world), [""; 0]);
        world.end().await;
    });
}

#[test]
fn b6_an_error_in_a_daemons_task_goes_to_its_caller_only() {
    alone(async |place| {
        let world = World::new(place).await;
        let mut keeper = world.keep(&[], "daemon").await;
        for n in 1..=3 {
            let kwargs = json!({"code": n, "text": ""});
            let error = world.call::<()>(&["daemon"], "faults:error", &kwargs).await.expect_err("it fails");
            assert_eq!(code(&error), n);
            assert_eq!(world.call(&["daemon"], "faults:count", &json!({})).await, Ok(n), "it lives on");
        }
        let ended = tokio::select! {
            biased;
            outcome = &mut keeper => Some(outcome),
            _ = world.call::<u32>(&[], "faults:count", &json!({})) => None,
        };
        assert_eq!(ended, None, "its nursery was not told");
        world.end().await;
    });
}

/// 25 one-shots that all fail, and what the nursery makes of it.
async fn fail_25(world: &World, at_once: bool) -> Vec<u32> {
    let shots: Vec<Value> = (0..25).map(|n| json!({"Error": n})).collect();
    let error = scope(world, 0, &json!(shots), at_once, "Join").await.expect_err("all failed");
    let NurseryError { errors } = error.downcast().unwrap_or_else(|| panic!("not one for all: {error}"));
    assert_eq!(children(world), [""; 0]);
    errors.iter().map(code).collect()
}

#[test]
fn b6_25_children_that_fail_while_being_started_at_once_are_25_errors() {
    alone(async |place| {
        let world = World::new(place).await;
        let mut codes = fail_25(&world, true).await;
        codes.sort_unstable();
        assert!(codes.iter().copied().eq(0..25), "each once: {codes:?}");
        world.end().await;
    });
}

#[test]
fn b6_25_children_that_fail_while_being_started_in_turn_are_25_errors() {
    alone(async |place| {
        let world = World::new(place).await;
        let mut codes = fail_25(&world, false).await;
        codes.sort_unstable();
        assert!(codes.iter().copied().eq(0..25), "each once: {codes:?}");
        world.end().await;
    });
}

#[test]
fn b6_nested_failures_keep_their_level() {
    alone(async |place| {
        let world = World::new(place).await;
        // A nursery with three failures, and one failure beside it, asked for when it has failed.
        let shots = json!([{"Scope": [0, 3]}, {"Error": 6}]);
        let error = scope(&world, 0, &shots, false, "Join").await.expect_err("all failed");
        let NurseryError { errors } = error.downcast().unwrap_or_else(|| panic!("two failed: {error}"));
        assert_eq!(errors.len(), 2, "{error}");
        let NurseryError { errors: inner } =
            errors[0].downcast().unwrap_or_else(|| panic!("three failed: {error}"));
        let mut codes: Vec<u32> = inner.iter().map(code).collect();
        codes.sort_unstable();
        assert_eq!((codes, code(&errors[1])), (vec![0, 1, 2], 6), "in order, and nested by level");
        world.end().await;
    });
}

#[test]
fn b6_a_nested_nursery_stands_as_one_error() {
    alone(async |place| {
        let world = World::new(place).await;
        let error =
            scope(&world, 0, &json!([{"Scope": [0, 3]}]), true, "Join").await.expect_err("all failed");
        // One child failed, with an error that holds three.
        let NurseryError { errors } = error.downcast().unwrap_or_else(|| panic!("three failed: {error}"));
        let mut codes: Vec<u32> = errors.iter().map(code).collect();
        codes.sort_unstable();
        assert_eq!(codes, [0, 1, 2]);
        let path: Vec<&str> = error.relay_path.iter().map(|actor| actor.name.as_str()).collect();
        assert_eq!(path, ["shot_0", "root"]);
        let path: Vec<&str> = errors[0].relay_path.iter().map(|actor| actor.name.as_str()).collect();
        assert!(path[0].starts_with("shot_"), "its own way ends where it was gathered: {path:?}");
        assert_eq!(path.len(), 1, "{path:?}");
        world.end().await;
    });
}
