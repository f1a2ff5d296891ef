//! Contexts: how they start and end, and who is told of a cancellation.
//!
//! Owns: clauses D1 to D4, D10, and what C8 says of contexts.

use std::time::{Duration, Instant};

use greenroom::{CallOptions, RemoteError};
use greenroom_tests::kind::{ContextCancelled, ContextProtocol, InstanceLost, PermissionDenied};
use greenroom_tests::{Signal, World, alone, kill, undisturbed, until};
use serde_json::{Value, json};

use crate::talk::{Note, SOON, code, enclose, held, notes, open, open_as_host, party, probe, signal};

const CALLEE: &[&str] = &["callee"];

/// Who asked for the end of a cancelled context.
#[track_caller]
fn canceller(error: &RemoteError) -> &str {
    assert!(error.is::<ContextCancelled>(), "{error}");
    &error.canceller.as_ref().expect("somebody asked").name
}

#[test]
fn d1_a_context_begins_with_the_callees_first_value() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let seen = open(&world, &[], "callee", &json!([{"Start": 7}]), &json!(["Outcome", "Outcome"])).await;
        let outcome = Note::Outcome(vec![Note::Done]);
        assert_eq!(seen, Ok(vec![Note::Began(7), outcome.clone(), outcome]), "the same each time");

        // It is opened when the callee says so, and not before.
        let there = json!([{"Await": "go"}, {"Start": 8}, {"Hold": "k"}]);
        let mut opening = open(&world, &[], "callee", &there, &json!([]));
        let early = tokio::select! {
            biased;
            opened = &mut opening => Some(opened),
            _ = world.call::<u32>(CALLEE, "talk:drops", &json!({})) => None,
        };
        assert_eq!(early, None);
        signal(&world, CALLEE, "talk", "go").await;
        assert_eq!(opening.await, Ok(vec![Note::Began(8)]));

        let (context, first) =
            open_as_host(&world, &json!([{"Start": 9}]), CallOptions::default()).await.expect("it starts");
        assert_eq!(first, 9);
        assert_eq!(notes(&context.wait_for_result().await.expect("it ends well")), [Note::Done]);
        world.end().await;
    });
}

#[test]
fn d1_what_keeps_a_context_from_starting_is_raised_where_it_is_opened() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let failing = json!([{"Fail": 3}]);
        let error = open(&world, &[], "callee", &failing, &json!([])).await.expect_err("it fails first");
        assert_eq!(code(&error), 3);
        assert_eq!(error.src_actor.expect("it has an origin").name, "callee");
        let error = enclose(&world, "callee", &failing, &json!([])).await.expect_err("it fails first");
        assert_eq!(code(&error), 3);
        let error = open_as_host(&world, &failing, CallOptions::default()).await.expect_err("it fails first");
        assert_eq!(code(&error), 3);

        let error = open(&world, &[], "callee", &json!([]), &json!([])).await.expect_err("it never starts");
        assert!(error.is::<ContextProtocol>(), "{error}");
        let error = open_as_host(&world, &json!([]), CallOptions::default()).await.expect_err("nor here");
        assert!(error.is::<ContextProtocol>(), "{error}");
        world.end().await;
    });
}

#[test]
fn d1_starting_twice_or_out_of_order_is_an_error() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let there = json!([{"Open": [0, "Wait"]}, {"Start": 1}, {"Start": 2}]);
        let seen = open(&world, &[], "callee", &there, &json!(["Outcome"])).await.expect("it starts");
        let [Note::Began(1), Note::Outcome(callee)] = seen.as_slice() else { panic!("{seen:?}") };
        let [too_early, Note::Done, twice] = callee.as_slice() else { panic!("{callee:?}") };
        assert!(too_early.failure().is::<ContextProtocol>(), "{too_early:?}");
        assert!(twice.failure().is::<ContextProtocol>(), "{twice:?}");

        // A plain call has nobody to start for.
        let steps = json!({"steps": [{"Start": 1}]});
        let called: Vec<Note> = world.call(CALLEE, "talk:play", &steps).await.expect("it runs all the same");
        assert!(called[0].failure().is::<ContextProtocol>(), "{called:?}");
        world.end().await;
    });
}

#[test]
fn d2_the_end_waits_for_the_callee_and_drains_what_it_streams() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        // Far more than the caller has room for, and nobody receives it.
        let there = json!([{"Start": 1}, {"Open": [0, "Wait"]}, {"Count": 3000}]);
        let callee = vec![Note::Done; 3];
        for here in [json!([]), json!([{"Open": [4, "Wait"]}]), json!([{"Open": [4, "Wait"]}, "Receive"])] {
            let (_, there) = enclose(&world, "callee", &there, &here).await.expect("both end well");
            assert_eq!(there, Some(callee.clone()), "{here}");
        }
        let here = json!([{"Open": [4, "Wait"]}, "Outcome"]);
        let seen = open(&world, &[], "callee", &there, &here).await;
        assert_eq!(seen, Ok(vec![Note::Began(1), Note::Done, Note::Outcome(callee.clone())]));

        let (context, _) = open_as_host(&world, &there, CallOptions::default()).await.expect("it starts");
        assert_eq!(notes(&context.wait_for_result().await.expect("it ends well")), callee);
        world.end().await;
    });
}

#[test]
fn d2_an_error_in_the_scope_cancels_the_callee_and_is_raised_again() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let there = json!([{"Start": 1}, {"Guard": 30}, {"Hold": "k"}]);
        let error = enclose(&world, "callee", &there, &json!([{"Fail": 4}])).await.expect_err("it fails");
        assert_eq!(code(&error), 4);
        // At once: the scope was left when the callee's task had ended.
        assert_eq!(probe(&world, CALLEE, "talk", "k").await, 0);
        assert_eq!(world.call(CALLEE, "talk:drops", &json!({})).await, Ok(1));
        world.end().await;
    });
}

#[test]
fn d2_an_error_of_the_callee_cancels_the_scope_and_is_raised_from_it() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let there = json!([{"Start": 1}, {"Await": "go"}, {"Fail": 5}]);
        let scope = enclose(&world, "callee", &there, &json!([{"Hold": "scope"}]));
        held(&world, &[], "stage", "scope", 1).await;
        signal(&world, CALLEE, "talk", "go").await;
        let error = scope.await.expect_err("the callee failed");
        assert_eq!(code(&error), 5);
        assert_eq!(error.src_actor.expect("it has an origin").name, "callee");
        assert_eq!(probe(&world, &[], "stage", "scope").await, 0, "the scope was dropped");
        world.end().await;
    });
}

#[test]
fn d3_cancel_ends_its_task_alone_and_returns_when_that_has_ended() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let pid = world.pid("root/callee");
        let kept = open(&world, &[], "callee", &json!([{"Start": 1}, {"Hold": "kept"}]), &json!(["Outcome"]));
        held(&world, CALLEE, "talk", "kept", 1).await;

        let there = json!([{"Start": 1}, {"Guard": 50}, {"Hold": "cancelled"}]);
        let seen =
            open(&world, &[], "callee", &there, &json!(["Cancel", "Outcome"])).await.expect("it starts");
        let [Note::Began(1), Note::Done, outcome] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!(canceller(outcome.failure()), "root");
        // At once: destructors have run, and the other task goes on.
        assert_eq!(world.call(CALLEE, "talk:drops", &json!({})).await, Ok(1));
        assert_eq!(probe(&world, CALLEE, "talk", "cancelled").await, 0);
        assert_eq!(probe(&world, CALLEE, "talk", "kept").await, 1);
        assert_eq!(world.pid("root/callee"), pid);

        let there = json!([{"Start": 1}, {"Guard": 50}, {"Hold": "k"}]);
        let (context, _) = open_as_host(&world, &there, CallOptions::default()).await.expect("it starts");
        context.cancel().await.expect("it is absorbed");
        assert_eq!(world.call(&[], "talk:drops", &json!({})).await, Ok(1));
        let error = context.wait_for_result().await.expect_err("it was cancelled");
        assert_eq!(canceller(&error), "operator");
        drop(kept);
        held(&world, CALLEE, "talk", "kept", 0).await;
        world.end().await;
    });
}

#[test]
fn d3_a_task_that_will_not_yield_is_stopped_and_its_instance_replaced() {
    undisturbed(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let pid = world.pid("root/callee");
        let sibling = open(&world, &[], "callee", &json!([{"Start": 1}, {"Hold": "k"}]), &json!(["Outcome"]));
        held(&world, CALLEE, "talk", "k", 1).await;
        let here = json!([{"Hold": "started"}]);
        let held_open = open(&world, &[], "callee", &json!([{"Start": 2}, "Spin"]), &here);
        held(&world, &[], "stage", "started", 1).await;
        drop(held_open);
        let seen = sibling.await.expect("it had started");
        let [Note::Began(1), lost] = seen.as_slice() else { panic!("{seen:?}") };
        assert!(lost.failure().is::<InstanceLost>(), "{lost:?}");

        // The same, with somebody who waits for it.
        let spinning =
            open(&world, &[], "callee", &json!([{"Start": 2}, "Spin"]), &json!([{"Await": "go"}, "Cancel"]));
        signal(&world, &[], "stage", "go").await;
        let began = Instant::now();
        assert_eq!(spinning.await, Ok(vec![Note::Began(2), Note::Done]));
        let took = began.elapsed();
        assert!(took > Duration::from_millis(200) && took < Duration::from_secs(2), "{took:?}");
        let seen = open(&world, &[], "callee", &json!([{"Start": 3}]), &json!(["Outcome"])).await;
        assert_eq!(seen, Ok(vec![Note::Began(3), Note::Outcome(vec![Note::Done])]), "a fresh instance");
        assert_eq!(world.pid("root/callee"), pid, "in the same process");
        world.end().await;
    });
}

#[test]
fn d3_cancel_actor_ends_the_whole_actor_and_is_its_owners() {
    alone(async |place| {
        let world = World::new(place).await;
        let callee = party(&world, "callee").await;
        let _other = party(&world, "other").await;
        let there = json!([{"Start": 1}, {"Hold": "k"}]);
        let here = json!(["CancelActor", {"Await": "go"}, "Outcome"]);
        let open_too = open(&world, &["other"], "callee", &there, &here);
        held(&world, CALLEE, "talk", "k", 1).await;
        // It has asked while there was an actor to be ended.
        signal(&world, &["other"], "stage", "go").await;
        let seen =
            open(&world, &[], "callee", &there, &json!(["CancelActor", "Outcome"])).await.expect("it starts");
        // At once.
        assert_eq!(world.processes().into_keys().collect::<Vec<_>>(), ["root", "root/other"]);
        let [Note::Began(1), Note::Done, outcome] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!(canceller(outcome.failure()), "root");
        let seen = open_too.await.expect("it starts");
        let [Note::Began(1), denied, outcome] = seen.as_slice() else { panic!("{seen:?}") };
        assert!(denied.failure().is::<PermissionDenied>(), "{denied:?}");
        assert_eq!(canceller(outcome.failure()), "root");
        assert_eq!(callee.await, Ok(()), "its owner asked for it");
        world.end().await;
    });
}

/// Three actors with a context each in a fourth, which the root cancels; what each of the three
/// fails with. The first may have asked for its own context's end before.
async fn cancelled_by_a_fourth(world: &World, own: bool) -> [Vec<Note>; 2] {
    let _three = [party(world, "a").await, party(world, "b").await, party(world, "c").await];
    let fourth = party(world, "fourth").await;
    let there = json!([{"Start": 1}, {"Guard": if own { 150 } else { 0 }}, {"Hold": "k"}]);
    let others = json!([{"Start": 1}, {"Hold": "k"}]);
    let here = if own { json!([{"Await": "go"}, "Cancel", "Outcome"]) } else { json!(["Outcome"]) };
    let a = open(world, &["a"], "fourth", &there, &here);
    let b = open(world, &["b"], "fourth", &others, &json!([{"Open": [0, "Wait"]}, "ReceiveAll", "Outcome"]));
    let kwargs = json!({"with": "fourth", "there": others, "here": [{"Hold": "scope"}]});
    let c = world.call::<Value>(&["c"], "stage:enclose", &kwargs);
    held(world, &["fourth"], "talk", "k", 3).await;
    held(world, &["c"], "stage", "scope", 1).await;
    if own {
        signal(world, &["a"], "stage", "go").await;
        until("the first is being cancelled", SOON, async || {
            world.logged().iter().any(|line| line == "slow drop: begun").then_some(())
        })
        .await;
    }
    assert_eq!(world.call(&[], "stage:cancel", &json!({"name": "fourth"})).await, Ok(()));
    let raised = c.await.expect_err("the scope is left by it");
    assert_eq!(canceller(&raised), "root");
    let way: Vec<&str> = raised.relay_path.iter().map(|actor| actor.name.as_str()).collect();
    assert_eq!(way, ["fourth", "c", "root"]);
    assert_eq!(probe(world, &["c"], "stage", "scope").await, 0);
    assert_eq!(fourth.await, Ok(()));
    [a.await.expect("it had started"), b.await.expect("it had started")]
}

#[test]
fn d4_a_third_partys_cancel_is_raised_by_all_with_the_right_canceller() {
    alone(async |place| {
        let world = World::new(place).await;
        let [a, b] = cancelled_by_a_fourth(&world, false).await;
        let [Note::Began(1), outcome] = a.as_slice() else { panic!("{a:?}") };
        assert_eq!(canceller(outcome.failure()), "root");
        let [Note::Began(1), Note::Done, received, outcome] = b.as_slice() else { panic!("{b:?}") };
        assert_eq!(canceller(received.failure()), "root");
        assert_eq!(canceller(outcome.failure()), "root");
        world.end().await;
    });
}

#[test]
fn d4_whoever_asked_for_its_own_cancel_absorbs_it() {
    alone(async |place| {
        let world = World::new(place).await;
        let [a, b] = cancelled_by_a_fourth(&world, true).await;
        let [Note::Began(1), Note::Done, outcome] = a.as_slice() else { panic!("{a:?}") };
        assert_eq!(canceller(outcome.failure()), "a", "only the first asker counts");
        assert_eq!(canceller(b.last().expect("notes").failure()), "root");
        world.end().await;
    });
}

#[test]
fn c8_dropping_a_context_cancels_its_task() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let there = json!([{"Start": 1}, {"Hold": "k"}]);
        let (context, _) = open_as_host(&world, &there, CallOptions::default()).await.expect("it starts");
        held(&world, &[], "talk", "k", 1).await;
        drop(context);
        held(&world, &[], "talk", "k", 0).await;

        // A guest's: the task that opened it returns, and is cancelled.
        assert_eq!(open(&world, &[], "callee", &there, &json!([])).await, Ok(vec![Note::Began(1)]));
        held(&world, CALLEE, "talk", "k", 0).await;
        let waiting = open(&world, &[], "callee", &there, &json!(["Outcome"]));
        held(&world, CALLEE, "talk", "k", 1).await;
        drop(waiting);
        held(&world, CALLEE, "talk", "k", 0).await;
        // One that is not yet open.
        let opening = open(&world, &[], "callee", &json!([{"Hold": "k"}]), &json!([]));
        held(&world, CALLEE, "talk", "k", 1).await;
        drop(opening);
        held(&world, CALLEE, "talk", "k", 0).await;
        world.end().await;
    });
}

#[test]
fn c8_the_death_of_a_caller_cancels_the_tasks_of_its_contexts() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let caller = party(&world, "caller").await;
        let there = json!([{"Start": 1}, {"Guard": 10}, {"Hold": "k"}]);
        let open = open(&world, &["caller"], "callee", &there, &json!(["Outcome"]));
        held(&world, CALLEE, "talk", "k", 1).await;
        kill(world.pid("root/caller"), Signal::KILL);
        held(&world, CALLEE, "talk", "k", 0).await;
        assert_eq!(world.call(CALLEE, "talk:drops", &json!({})).await, Ok(1));
        open.await.expect_err("it died");
        caller.await.expect_err("its keeper is told");
        world.end().await;
    });
}

#[test]
fn d10_contexts_and_calls_share_a_link_and_fail_alone() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let exchange = json!([{"Open": [4, "Wait"]}, {"Exchange": 50}, "Outcome"]);
        let answer = json!([{"Start": 1}, {"Open": [4, "Wait"]}, {"Exchange": 50}]);
        let exchanged = [Note::Done, Note::Done, Note::got(0..50), Note::End];
        let (mut talks, mut calls, mut failing, mut cancelled) = (vec![], vec![], vec![], vec![]);
        for n in 0..30 {
            talks.push(open(&world, &[], "callee", &answer, &exchange));
            calls.push(world.call::<u64>(CALLEE, "faults:sleep_ms", &json!({"ms": n % 5})));
            let there = json!([{"Start": 1}, {"Open": [4, "Wait"]}, "Receive", {"Fail": n}]);
            failing.push(open(
                &world,
                &[],
                "callee",
                &there,
                &json!([{"Open": [0, "Wait"]}, {"Send": 1}, "Outcome"]),
            ));
            let there = json!([{"Start": 1}, {"Hold": "k"}]);
            cancelled.push(open(&world, &[], "callee", &there, &json!(["Cancel"])));
        }
        let callee = [&[Note::Done][..], &exchanged].concat();
        let caller = [&[Note::Began(1)][..], &exchanged, &[Note::Outcome(callee)]].concat();
        for talk in talks {
            assert_eq!(talk.await.as_ref(), Ok(&caller));
        }
        for (n, call) in (0..30).zip(calls) {
            assert_eq!(call.await, Ok(n % 5));
        }
        for (n, failing) in (0..30).zip(failing) {
            let seen = failing.await.expect("it starts");
            assert_eq!(code(seen.last().expect("notes").failure()), n);
        }
        for cancelled in cancelled {
            assert_eq!(cancelled.await, Ok(vec![Note::Began(1), Note::Done]));
        }
        assert_eq!(probe(&world, CALLEE, "talk", "k").await, 0);
        world.end().await;
    });
}
