//! Limits: what an actor may take, and what happens where it takes more.
//!
//! Owns: clause F2.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use greenroom::{Limit, Limits, RemoteError, Report, SpawnSpec, payload};
use greenroom_tests::kind::{LimitExceeded, PermissionDenied, SpawnFailed};
use greenroom_tests::{Begun, Options, Place, Signal, World, alone, guest, kill, until};
use serde_bytes::ByteBuf;
use serde_json::{Value, json};

/// Soon enough for what is to happen at once, on a machine that does much else.
const SOON: Duration = Duration::from_secs(5);

const MIB: u64 = 1 << 20;

/// A world in which nobody may have more than that.
async fn within(place: &Place, limits: Limits) -> World {
    World::with(place, Options { limits, ..Options::default() }).await
}

/// A child with the modules that misbehave, with less of these limits than the root.
async fn child(world: &World, limits: &[(&str, u64)]) -> Result<Begun<()>, Box<RemoteError>> {
    let kwargs = json!({"name": "child", "modules": ["faults", "greed", "stage", "talk"], "limits": limits});
    let mut keeper = world.call(&[], "stage:keep", &kwargs);
    let ready = world.call::<Value>(&[], "stage:ready", &json!({"name": "child"}));
    tokio::select! {
        ended = &mut keeper => Err(ended.expect_err("it keeps the child until it is dropped")),
        ready = ready => ready.map(|_| keeper),
    }
}

/// Calls what is to run into a limit, and requires that it does, that the actor still answers, and so
/// does the root beside it.
async fn runs_into(world: &World, path: &[&str], function: &str, kwargs: Value, limit: Limit, value: u64) {
    let error = world.call::<Value>(path, function, &kwargs).await.expect_err("there is a limit");
    let expected = LimitExceeded { limit: limit.name().to_owned(), value };
    assert_eq!(error.downcast(), Some(expected), "{function}: {error:?}");
    let echoed = world.call::<Value>(path, "faults:optional", &json!({"x": 3})).await;
    assert_eq!(echoed.expect("the actor goes on"), json!(3));
    world.call::<Value>(&[], "faults:optional", &json!({})).await.expect("and so does its parent");
}

#[test]
fn f2_memory_is_bounded_over_all_that_an_actor_does() {
    alone(async |place| {
        let world = within(place, Limits { memory: 32 * MIB, ..Limits::default() }).await;
        runs_into(&world, &[], "faults:oom", json!({}), Limit::Memory, 32 * MIB).await;
        let few = world.call::<u32>(&[], "faults:allocate", &json!({"mib": 8})).await;
        assert_eq!(few, Ok(8), "what the lost instance had is free again");
        let _child = child(&world, &[("memory", 16 * MIB)]).await.expect("it starts");
        runs_into(&world, &["child"], "faults:oom", json!({}), Limit::Memory, 16 * MIB).await;
        let many = world.call::<u32>(&[], "faults:allocate", &json!({"mib": 16})).await;
        assert_eq!(many, Ok(16), "the child's limit is the child's");
        world.end().await;
    });
}

#[test]
fn f2_a_call_that_runs_into_its_limit_leaves_others_of_its_actor_alone() {
    alone(async |place| {
        let world = within(place, Limits { memory: 32 * MIB, ..Limits::default() }).await;
        // In another instance of the same actor.
        let sleeping = world.call::<u64>(&[], "talk:probe", &json!({"key": "x"}));
        let held = world.call::<()>(&[], "stage:hold", &json!({"key": "y"}));
        runs_into(&world, &[], "faults:oom", json!({}), Limit::Memory, 32 * MIB).await;
        assert_eq!(sleeping.await, Ok(0));
        assert_eq!(world.call::<u32>(&[], "stage:probe", &json!({"key": "y"})).await, Ok(1));
        drop(held);
        world.end().await;
    });
}

#[test]
fn f2_processor_time_of_a_call_is_bounded() {
    alone(async |place| {
        let cpu = Duration::from_millis(300);
        let world = within(place, Limits { cpu, ..Limits::default() }).await;
        let nanos = 300_000_000;
        let began = Instant::now();
        runs_into(&world, &[], "faults:spin", json!({}), Limit::Cpu, nanos).await;
        let took = began.elapsed();
        assert!(took >= cpu && took < SOON, "{took:?}");
        // Many that use less are many calls, and time that is waited is not used.
        for _ in 0..4 {
            assert_eq!(world.call::<u64>(&[], "faults:burn", &json!({"ms": 100})).await, Ok(100));
        }
        assert_eq!(world.call::<u64>(&[], "faults:sleep_ms", &json!({"ms": 600})).await, Ok(600));
        // The one that ran for too long went with its instance, and not with its process.
        assert_eq!(world.processes().len(), 1);
        let _child = child(&world, &[("cpu", 50_000_000)]).await.expect("it starts");
        runs_into(&world, &["child"], "faults:burn", json!({"ms": 10_000}), Limit::Cpu, 50_000_000).await;
        world.end().await;
    });
}

#[test]
fn f2_the_time_of_a_call_is_bounded() {
    alone(async |place| {
        let wall = Duration::from_millis(400);
        let world = World::empty(place, Options::default());
        let modules = ["faults/faults", "faults/stage"].map(str::to_owned).to_vec();
        let limits = vec![("wall".to_owned(), 400_000_000)];
        let spec = SpawnSpec { name: "short".to_owned(), modules, limits, ..SpawnSpec::default() };
        let portal = world.host().nursery().start(spec, None).await.expect("it starts");
        let began = Instant::now();
        for function in ["faults/faults:wait", "faults/faults:spin"] {
            let ended = portal.call(function, payload::encode(&json!({})).expect("encodes").into()).await;
            let expected = LimitExceeded { limit: "wall".to_owned(), value: 400_000_000 };
            assert_eq!(ended.expect_err("it takes too long").downcast(), Some(expected));
        }
        let took = began.elapsed();
        assert!(took >= wall * 2 && took < SOON, "{took:?}");
        let kwargs = payload::encode(&json!({"ms": 10})).expect("encodes");
        portal.call("faults/faults:sleep_ms", kwargs.into()).await.expect("the actor goes on");
        drop(portal);
        world.end().await;
    });
}

#[test]
fn f2_resources_are_bounded() {
    alone(async |place| {
        let world = within(place, Limits { resources: 500, ..Limits::default() }).await;
        runs_into(&world, &[], "greed:nurseries", json!({"count": 600}), Limit::Resources, 500).await;
        assert_eq!(world.call::<u32>(&[], "greed:nurseries", &json!({"count": 400})).await, Ok(400));
        world.end().await;
    });
}

#[test]
fn f2_what_the_host_copies_at_once_is_bounded() {
    alone(async |place| {
        let limits = Limits { copy: MIB, payload: 2 * MIB, ..Limits::default() };
        let world = within(place, limits).await;
        runs_into(&world, &[], "greed:log_bytes", json!({"bytes": 2 * MIB}), Limit::Copy, MIB).await;
        runs_into(&world, &[], "greed:give", json!({"bytes": 2 * MIB}), Limit::Copy, MIB).await;
        world.call::<Value>(&[], "greed:log_bytes", &json!({"bytes": MIB / 2})).await.expect("it is half");
        world.end().await;
    });
}

#[test]
fn f2_payloads_are_bounded() {
    alone(async |place| {
        let world = within(place, Limits { payload: MIB, ..Limits::default() }).await;
        runs_into(&world, &[], "greed:give", json!({"bytes": MIB}), Limit::Payload, MIB).await;
        world.call::<ByteBuf>(&[], "greed:give", &json!({"bytes": MIB / 2})).await.expect("it is half");
        let _child = child(&world, &[]).await.expect("it starts");
        let call = json!({"with": "child", "count": 1, "bytes": MIB});
        runs_into(&world, &[], "greed:call", call, Limit::Payload, MIB).await;
        world.end().await;
    });
}

#[test]
fn f2_what_waits_to_be_sent_is_bounded() {
    alone(async |place| {
        let world = within(place, Limits { queue: 4 * MIB, ..Limits::default() }).await;
        let _child = child(&world, &[]).await.expect("it starts");
        kill(world.pid("root/child"), Signal::STOP);
        let call = json!({"with": "child", "count": 30, "bytes": MIB / 2});
        runs_into(&world, &[], "greed:call", call, Limit::Queue, 4 * MIB).await;
        kill(world.pid("root/child"), Signal::CONT);
        until("there is room again", SOON, async || {
            let echo =
                json!({"path": ["child"], "function": "faults:count", "kwargs": ByteBuf::from([0xa0])});
            world.call::<ByteBuf>(&[], "stage:pass", &echo).await.ok()
        })
        .await;
        world.end().await;
    });
}

#[test]
fn f2_open_streams_are_bounded() {
    alone(async |place| {
        let world = within(place, Limits { streams: 10, ..Limits::default() }).await;
        let _child = child(&world, &[]).await.expect("it starts");
        runs_into(&world, &[], "greed:stream", json!({"with": "child", "count": 11}), Limit::Streams, 10)
            .await;
        until("those that were open are closed", SOON, async || {
            world.call::<u32>(&[], "greed:stream", &json!({"with": "child", "count": 10})).await.ok()
        })
        .await;
        world.end().await;
    });
}

#[test]
fn f2_children_are_started_only_so_fast() {
    alone(async |place| {
        let limits = Limits { spawn_rate: 2, children: 3, ..Limits::default() };
        let world = within(place, limits).await;
        runs_into(&world, &[], "greed:spawn", json!({"count": 20}), Limit::SpawnRate, 2).await;
        until("another may be started", SOON, async || {
            world.call::<u32>(&[], "greed:spawn", &json!({"count": 1})).await.ok()
        })
        .await;
        world.end().await;
    });
}

#[test]
fn f2_tasks_children_and_finds_are_bounded() {
    alone(async |place| {
        let limits = Limits { tasks: 8, finds: 4, ..Limits::default() };
        let world = within(place, limits).await;
        let _child = child(&world, &[("tasks", 3)]).await.expect("it starts");
        let call = json!({"with": "child", "count": 5, "bytes": 1});
        runs_into(&world, &[], "greed:call", call, Limit::Tasks, 3).await;
        let wait = json!({"name": "nobody", "ms": 10_000});
        let waiting: Vec<_> = (0..4).map(|_| world.call::<Value>(&[], "seek:wait", &wait)).collect();
        runs_into(&world, &[], "seek:wait", wait.clone(), Limit::Finds, 4).await;
        drop(waiting);
        world.end().await;
    });
}

#[test]
fn f2_lines_of_the_log_are_bounded_in_number_and_length() {
    alone(async |place| {
        let limits = Limits { log_rate: 50, log_line: 1000, ..Limits::default() };
        let world = within(place, limits).await;
        world.call::<Value>(&[], "faults:flood_log", &json!({"lines": 5000})).await.expect("it is heard out");
        tokio::time::sleep(Duration::from_millis(1100)).await;
        world.call::<Value>(&[], "greed:log_bytes", &json!({"bytes": 4000})).await.expect("it is logged");
        let long = until("it is there", SOON, async || {
            world.logged().into_iter().find(|line| line.starts_with("xxx"))
        })
        .await;
        assert!(long.len() <= 1000 && long.ends_with("(shortened)"), "{} bytes", long.len());
        // What was dropped is told before the next line.
        let told = world.logged();
        let passed = told.iter().filter(|line| line.starts_with("flood: line")).count();
        let dropped =
            told.iter().filter_map(|line| line.split_once(" lines dropped: limit `log-rate` of 50 reached"));
        let dropped: usize = dropped.filter_map(|(count, _)| count.parse::<usize>().ok()).sum();
        assert_eq!(passed + dropped, 5000, "nothing is lost without a word");
        assert!(passed <= 50 * 20, "{passed} lines of 5000 went through");
        world.end().await;
    });
}

#[test]
fn f2_what_is_written_waits_and_is_not_lost() {
    alone(async |place| {
        let world = within(place, Limits { output_rate: 50, ..Limits::default() }).await;
        let text = (0..150).map(|line| format!("line {line}\n")).collect::<String>();
        let began = Instant::now();
        world.call::<Value>(&[], "greed:print", &json!({"text": text})).await.expect("it is written");
        let written = || {
            let reports = world.reports().into_iter();
            reports.filter(|it| matches!(it, Report::Output { line, .. } if line.starts_with("line"))).count()
        };
        until("all is there", SOON, async || (written() == 150).then_some(())).await;
        // A second's worth at once, and the others in two seconds.
        assert!(began.elapsed() > Duration::from_millis(1900), "{:?}", began.elapsed());
        world.end().await;
    });
}

#[test]
fn f2_a_childs_limits_are_at_most_its_parents() {
    alone(async |place| {
        let world = within(place, Limits { memory: 32 * MIB, ..Limits::default() }).await;
        for limit in Limit::ALL {
            let value = world_limit(*limit) + 1;
            let error = child(&world, &[(limit.name(), value)]).await.expect_err("more than there is");
            let PermissionDenied { right } =
                error.downcast().unwrap_or_else(|| panic!("{limit:?}: {error:?}"));
            assert!(right.contains(&format!("`{}`", limit.name())), "{right}");
        }
        for (name, value, reason) in [
            ("memroy", 1, "there is no limit `memroy`; did you mean `memory`?"),
            ("memory", 1, "limit `memory` may be from 1048576 to"),
        ] {
            let error = child(&world, &[(name, value)]).await.expect_err("it makes no sense");
            let SpawnFailed { reason: told, .. } = error.downcast().expect("it is not started");
            assert!(told.contains(reason), "{told}");
        }
        world.end().await;
    });
}

/// What the root has in the world above.
fn world_limit(limit: Limit) -> u64 {
    if limit == Limit::Memory { 32 * MIB } else { limit.default() }
}

#[test]
fn f2_what_is_written_cannot_command_a_terminal() {
    alone(async |place| {
        let world = World::new(place).await;
        let text = "a\u{1b}[31mred\u{1b}]0;title\u{7}\u{202e}drow\tend";
        world.call::<Value>(&[], "greed:print", &json!({"text": text})).await.expect("it is written");
        let line = until("it is there", SOON, async || {
            world.reports().into_iter().find_map(|report| match report {
                Report::Output { line, .. } if line.starts_with('a') => Some(line),
                _ => None,
            })
        })
        .await;
        assert_eq!(line, "a\\u{1b}[31mred\\u{1b}]0;title\\u{7}\\u{202e}drow\tend");
        world.end().await;
    });
}

#[test]
fn f2_instances_of_plain_functions_are_bounded() {
    alone(async |place| {
        let components = vec![("plain".to_owned(), guest("plain"))];
        let limits = Limits { instances: 4, ..Limits::default() };
        let world = World::empty(place, Options { components, limits, ..Options::default() });
        let modules = vec!["plain".to_owned()];
        let spec = SpawnSpec { name: "leaf".to_owned(), modules, ..SpawnSpec::default() };
        let portal = world.host().nursery().start(spec, None).await.expect("it starts");
        let nothing = || payload::encode(&json!({})).expect("encodes").into();
        let mut calls: FuturesUnordered<_> = (0..12).map(|_| portal.call("plain:wait", nothing())).collect();
        // The instance that showed that the module can be started is there beside those.
        for _ in 0..12 - 4 - 1 {
            let refused = calls.next().await.expect("there are more").expect_err("there is a limit");
            let expected = LimitExceeded { limit: "instances".to_owned(), value: 4 };
            assert_eq!(refused.downcast(), Some(expected), "{refused:?}");
        }
        drop(calls);
        until("there is room again", SOON, async || portal.call("plain:count", nothing()).await.ok()).await;
        drop(portal);
        world.end().await;
    });
}
