//! Children that are started again, and children in numbers.
//!
//! Owns: clause B7, and what B9 says of clusters.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use greenroom::{Limits, RemoteError};
use greenroom_tests::kind::{ActorDied, Exit, RestartIntensityExceeded};
use greenroom_tests::{Begun, Options, Signal, World, alone, kill, until};
use serde_json::{Value, json};

use crate::spawns::{component, with_start};
use crate::talk::{SOON, code};

/// A nursery in the root that starts its children again.
fn supervise(world: &World, children: &Value, strategy: &str, restarts: u32) -> Begun<()> {
    let rules = json!({"strategy": strategy, "restarts": restarts, "within_ms": 60_000, "pause_ms": 20});
    world.call(&[], "stage:supervise", &json!({"children": children, "rules": rules}))
}

/// Waits until a child can be called.
async fn ready(world: &World, name: &str) {
    world.call::<Value>(&[], "stage:ready", &json!({"name": name})).await.expect("it is started");
}

fn pids(world: &World) -> BTreeMap<String, i32> {
    let below = |(path, pid): (String, i32)| Some((path.strip_prefix("root/")?.to_owned(), pid));
    world.processes().into_iter().filter_map(below).collect()
}

/// Waits until so many children can be called of which none is one of `before`.
async fn restarted(world: &World, names: &[&str], before: &BTreeMap<String, i32>) {
    for name in names {
        until(&format!("`{name}` runs again"), SOON, async || {
            let now = pids(world).get(*name).copied()?;
            if now == before[*name] {
                return None;
            }
            world.call::<u32>(&[name], "faults:count", &json!({})).await.ok().map(drop)
        })
        .await;
    }
}

#[track_caller]
fn assert_killed(error: &RemoteError, name: &str) {
    let died: ActorDied = error.downcast().unwrap_or_else(|| panic!("not a death: {error}"));
    assert_eq!((died.actor.name.as_str(), died.exit), (name, Exit::Signal(9)));
}

#[test]
fn b7_a_killed_child_is_started_again_and_its_portal_follows() {
    alone(async |place| {
        let world = World::new(place).await;
        let mut keeper = supervise(&world, &json!([["worker", null]]), "OneForOne", 5);
        ready(&world, "worker").await;
        assert_eq!(world.call(&["worker"], "faults:count", &json!({})).await, Ok(1));
        let first: Value = world.call(&["worker"], "stage:whoami", &json!({})).await.expect("it can tell");
        for _ in 0..2 {
            let before = pids(&world);
            let in_flight = world.call::<()>(&["worker"], "faults:hold", &json!({"key": "k"}));
            let closed = world.call::<Exit>(&[], "stage:closed", &json!({"name": "worker"}));
            // Both are under way once what was asked for after them is answered.
            assert!(world.call::<u32>(&["worker"], "faults:probe", &json!({"key": "k"})).await.is_ok());
            kill(before["worker"], Signal::KILL);
            assert_killed(&in_flight.await.expect_err("its callee is dead"), "worker");
            assert_eq!(closed.await, Ok(Exit::Signal(9)));
            restarted(&world, &["worker"], &before).await;
            let count: u32 = world.call(&["worker"], "faults:count", &json!({})).await.expect("it answers");
            assert!(count < 50, "it began anew: {count}");
        }
        let last: Value = world.call(&["worker"], "stage:whoami", &json!({})).await.expect("it can tell");
        assert_eq!((&first["name"], &first["path"]), (&last["name"], &last["path"]));
        assert_ne!(first["uuid"], last["uuid"], "each process is an actor of its own");
        let ended = tokio::select! {
            biased;
            outcome = &mut keeper => Some(outcome),
            _ = world.call::<u32>(&[], "faults:count", &json!({})) => None,
        };
        assert_eq!(ended, None, "the nursery goes on");
        world.end().await;
    });
}

#[test]
fn b7_each_strategy_starts_again_whom_it_says() {
    alone(async |place| {
        let world = World::new(place).await;
        for (strategy, again, kept) in [
            ("OneForOne", &["b"][..], &["a", "c"][..]),
            ("RestForOne", &["b", "c"], &["a"]),
            ("OneForAll", &["a", "b", "c"], &[]),
        ] {
            let keeper = supervise(&world, &json!([["a", null], ["b", null], ["c", null]]), strategy, 5);
            ready(&world, "c").await;
            let before = pids(&world);
            kill(before["b"], Signal::KILL);
            restarted(&world, again, &before).await;
            for name in kept {
                assert_eq!(pids(&world).get(*name), before.get(*name), "{strategy}: `{name}` was let be");
            }
            drop(keeper);
            until("all are gone", SOON, async || pids(&world).is_empty().then_some(())).await;
        }
        world.end().await;
    });
}

#[test]
fn b7_each_child_says_when_it_is_started_again() {
    alone(async |place| {
        let world = World::new(place).await;
        let children =
            json!([["permanent", "Permanent"], ["transient", "Transient"], ["temporary", "Temporary"]]);
        let keeper = supervise(&world, &children, "OneForOne", 5);
        ready(&world, "temporary").await;
        // A death is a failure.
        let before = pids(&world);
        for name in ["permanent", "transient", "temporary"] {
            kill(before[name], Signal::KILL);
        }
        restarted(&world, &["permanent", "transient"], &before).await;
        until("the temporary one is gone", SOON, async || {
            pids(&world).keys().eq(["permanent", "transient"]).then_some(())
        })
        .await;
        // Leaving with status 0 is not.
        let before = pids(&world);
        for name in ["transient", "permanent"] {
            assert_eq!(world.call(&[name], "self:cancel", &json!({})).await, Ok(()));
        }
        restarted(&world, &["permanent"], &before).await;
        until("the transient one is gone", SOON, async || {
            pids(&world).keys().eq(["permanent"]).then_some(())
        })
        .await;
        // What its owner has ended is not started again by anybody.
        assert_eq!(world.call(&[], "stage:cancel", &json!({"name": "permanent"})).await, Ok(()));
        assert_eq!(keeper.await, Ok(()), "there is nobody left to wait for, and nobody to complain of");
        assert!(pids(&world).is_empty());
        world.end().await;
    });
}

#[test]
fn b7_too_many_restarts_fail_the_nursery_with_the_history() {
    alone(async |place| {
        let world = World::new(place).await;
        let keeper = supervise(&world, &json!([["worker", null], ["other", null]]), "OneForOne", 2);
        ready(&world, "other").await;
        for _ in 0..2 {
            let before = pids(&world);
            kill(before["worker"], Signal::KILL);
            restarted(&world, &["worker"], &before).await;
        }
        kill(world.pid("root/worker"), Signal::KILL);
        let error = keeper.await.expect_err("that was once too often");
        let exceeded: RestartIntensityExceeded = error.downcast().expect("alone");
        assert_eq!((exceeded.child.as_str(), exceeded.restarts, exceeded.within_ms), ("worker", 2, 60_000));
        assert_eq!(exceeded.history.len(), 3);
        exceeded.history.iter().for_each(|error| assert_killed(error, "worker"));
        assert!(pids(&world).is_empty(), "all are gone before it is told: {:?}", pids(&world));
        world.end().await;
    });
}

#[test]
fn b7_restarts_are_spaced_by_a_pause_that_grows() {
    alone(async |place| {
        let world = World::new(place).await;
        let rules = |restarts: u32, pause: u64| json!({"strategy": "OneForOne", "restarts": restarts, "within_ms": 60_000, "pause_ms": pause});
        let began = Instant::now();
        let failing = json!({"fail": true, "rules": rules(3, 100)});
        let error =
            world.call::<()>(&[], "stage:supervise_shot", &failing).await.expect_err("it always fails");
        let took = began.elapsed();
        let exceeded: RestartIntensityExceeded = error.downcast().expect("alone");
        let codes: Vec<u32> = exceeded.history.iter().map(code).collect();
        assert_eq!((exceeded.child.as_str(), codes), ("shot", vec![7; 4]), "each failure is kept");
        // 100, 200 and 400 ms.
        assert!(took >= Duration::from_millis(700), "{took:?}");
        // A task that has succeeded is not done again.
        let succeeding = json!({"fail": false, "rules": rules(0, 0)});
        assert_eq!(world.call(&[], "stage:supervise_shot", &succeeding).await, Ok(()));
        world.end().await;
    });
}

#[test]
fn b9_a_cluster_has_as_many_workers_as_asked_for() {
    alone(async |place| {
        let world = World::new(place).await;
        let keeper = world.call::<()>(&[], "stage:cluster", &json!({"name": "pool", "count": 5}));
        for n in 0..5 {
            ready(&world, &format!("pool.worker_{n}")).await;
        }
        let names: Vec<String> = pids(&world).into_keys().collect();
        assert_eq!(
            names,
            ["pool.worker_0", "pool.worker_1", "pool.worker_2", "pool.worker_3", "pool.worker_4"]
        );
        assert_eq!(world.call(&["pool.worker_3"], "faults:count", &json!({})).await, Ok(1));
        assert_eq!(world.call(&["pool.worker_4"], "faults:count", &json!({})).await, Ok(1), "each by itself");
        drop(keeper);
        until("all are gone", SOON, async || pids(&world).is_empty().then_some(())).await;
        world.end().await;
    });
}

#[test]
fn b9_the_workers_of_a_cluster_are_started_at_once() {
    alone(async |place| {
        // `loop (br 0)`: no actor that has it is ever ready.
        let components = vec![component(place, "spinning", &with_start(&[0x03, 0x40, 0x0c, 0, 0x0b]))];
        let limits = Limits { spawn: Duration::from_secs(3), ..Limits::default() };
        let world = World::with(place, Options { components, limits, ..Options::default() }).await;
        let kwargs = json!({"name": "pool", "modules": ["spinning"], "count": 4});
        let starting = world.call::<()>(&[], "stage:cluster", &kwargs);
        // None waits until another is ready.
        until("all are being started", SOON, async || (pids(&world).len() == 4).then_some(())).await;
        drop(starting);
        until("all are gone", SOON, async || pids(&world).is_empty().then_some(())).await;
        world.end().await;
    });
}
