//! Starting actors: what they are, how starting fails, how many there may be.
//!
//! Owns: clauses A2, A4, B2 and B9.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use greenroom::{Cache, Catalogue, Engine, Limits, LoadError, ModuleOptions, RemoteError, SpawnSpec};
use greenroom_tests::kind::{Exit, LimitExceeded, SpawnFailed};
use greenroom_tests::{Options, Place, Signal, World, alone, kill, until};
use serde_json::json;

const SOON: Duration = Duration::from_secs(5);

/// A component around a core module whose start function is `body`, an expression in WebAssembly's
/// binary form.
pub(crate) fn with_start(body: &[u8]) -> Vec<u8> {
    let section = |id: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).expect("a short section");
        assert!(length < 128, "its length takes one byte");
        [&[id, length], content].concat()
    };
    let code = [&[1, u8::try_from(body.len() + 2).expect("short"), 0], body, &[0x0b]].concat();
    let core = [
        b"\0asm\x01\0\0\0".to_vec(),
        // One type, of a function from nothing to nothing; one function of it; the start is it.
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[1, 0]),
        section(8, &[0]),
        section(10, &code),
    ];
    // The component holds the module, and instantiates it without arguments.
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &core.concat()), section(2, &[1, 0, 0, 0])].concat()
}

/// A component that imports a function which no host offers.
fn with_import(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("a short name");
    let import = [&[1, 0, length][..], name.as_bytes(), &[1, 0]].concat();
    let import = [&[10, u8::try_from(import.len()).expect("short")][..], &import].concat();
    [&b"\0asm\x0d\0\x01\0"[..], &[7, 5, 1, 0x40, 0, 1, 0], &import].concat()
}

pub(crate) fn component(place: &Place, name: &str, bytes: &[u8]) -> (String, PathBuf) {
    let file = place.folder().join(format!("{name}.wasm"));
    fs::write(&file, bytes).expect("a file for the component");
    (name.to_owned(), file)
}

/// A program that actors are to execute, as a script.
fn script(place: &Place, lines: &str) -> PathBuf {
    let file = place.folder().join("program");
    fs::write(&file, format!("#!/bin/sh\n{lines}\n")).expect("a file for the script");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it may be executed");
    file
}

fn spec(name: &str, module: &str) -> SpawnSpec {
    SpawnSpec { name: name.into(), modules: vec![module.into()], ..SpawnSpec::default() }
}

fn failed(error: &RemoteError) -> SpawnFailed {
    error.downcast().unwrap_or_else(|| panic!("another failure: {error}"))
}

#[test]
fn a2_every_actor_is_a_process_whose_title_tells_its_place() {
    alone(async |place| {
        let world = World::new(place).await;
        let _middle = world.keep(&[], "middle").await;
        let _left = world.keep(&["middle"], "left").await;
        let _right = world.keep(&["middle"], "right").await;
        let titles: Vec<String> = world.processes().into_keys().collect();
        assert_eq!(titles, ["root", "root/middle", "root/middle/left", "root/middle/right"]);
        let pids = world.processes().into_values().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(pids.len(), 4);
        world.end().await;
    });
}

#[test]
fn b2_a_module_that_does_not_exist_is_named_and_leaves_no_process() {
    alone(async |place| {
        let world = World::new(place).await;
        let error = world.keep_with(&[], "child", &["fualts"], &[], &[]).await.expect_err("no such module");
        let SpawnFailed { name, reason, exit, .. } = failed(&error);
        assert_eq!((name.as_str(), exit), ("child", None), "no process was started");
        assert!(
            reason.contains("`fualts`") && reason.contains("known here: ") && reason.contains("`faults`"),
            "{reason}"
        );
        let error =
            world.keep_with(&[], "child", &["faults:ecco"], &[], &[]).await.expect_err("no such function");
        assert!(failed(&error).reason.contains("`ecco`"), "{error}");
        assert_eq!(world.processes().len(), 1);
        world.end().await;
    });
}

#[test]
fn b2_an_import_that_no_host_offers_is_named_before_anything_is_started() {
    alone(async |place| {
        let (name, file) = component(place, "needy", &with_import("missing"));
        let engine = Engine::new().expect("an engine");
        let cache =
            Cache::open_default(greenroom::ExecCompiler::new(greenroom_tests::program())).expect("a cache");
        let error = Catalogue::default()
            .add(&cache, &engine, &name, &file, ModuleOptions::default())
            .expect_err("it cannot be linked");
        assert!(matches!(&error, LoadError::Compile { reason, .. } if reason.contains("missing")), "{error}");
    });
}

#[test]
fn b2_a_start_function_that_traps_is_told_with_its_exit() {
    alone(async |place| {
        let components = vec![component(place, "trapping", &with_start(&[0x00]))];
        let world = World::with(place, Options { components, ..Options::default() }).await;
        let error = world.keep_with(&[], "child", &["trapping"], &[], &[]).await.expect_err("it traps");
        let SpawnFailed { reason, exit, .. } = failed(&error);
        assert!(
            reason.contains("module `trapping` cannot be started") && reason.contains("unreachable"),
            "{reason}"
        );
        assert!(exit.is_some(), "there was a process, which is gone");
        assert_eq!(world.processes().len(), 1);
        world.end().await;
    });
}

#[test]
fn b2_a_start_function_that_spins_ends_with_the_spawn_bound() {
    alone(async |place| {
        // `loop (br 0)`.
        let components = vec![component(place, "spinning", &with_start(&[0x03, 0x40, 0x0c, 0, 0x0b]))];
        let limits = Limits { spawn: Duration::from_millis(700), ..Limits::default() };
        let world = World::with(place, Options { components, limits, ..Options::default() }).await;
        let began = Instant::now();
        let error = world.keep_with(&[], "child", &["spinning"], &[], &[]).await.expect_err("it spins");
        let took = began.elapsed();
        let SpawnFailed { reason, exit, .. } = failed(&error);
        assert_eq!((reason.as_str(), exit), ("it was not ready within 700ms", Some(Exit::Signal(9))));
        assert!(took >= Duration::from_millis(700) && took < Duration::from_secs(2), "{took:?}");
        assert_eq!(world.processes().len(), 1);
        world.end().await;
    });
}

#[test]
fn b2_a_start_that_is_cancelled_is_over_at_once() {
    alone(async |place| {
        let components = vec![component(place, "spinning", &with_start(&[0x03, 0x40, 0x0c, 0, 0x0b]))];
        let world = World::with(place, Options { components, ..Options::default() }).await;
        let keep = json!({"name": "child", "modules": ["spinning"]});
        let starting = world.call::<()>(&[], "stage:keep", &keep);
        until("its process is there", SOON, async || (world.processes().len() == 2).then_some(())).await;
        drop(starting);
        until("it is gone", Duration::from_secs(2), async || (world.processes().len() == 1).then_some(()))
            .await;
        world.end().await;
    });
}

#[test]
fn b2_a_child_that_dies_while_it_starts_is_told_with_its_last_words() {
    alone(async |place| {
        let program = script(place, "echo first >&2\necho last >&2\nexit 7");
        let world = World::empty(place, Options { program: Some(program), ..Options::default() });
        // Before it is told who it is, and after that.
        for _ in 0..30 {
            let error =
                world.host().nursery().start(spec("child", "faults"), None).await.expect_err("it dies");
            let SpawnFailed { reason, exit, stderr, .. } = failed(&error);
            assert_eq!(reason, "it ended before it was ready");
            assert_eq!(exit, Some(Exit::Code(7)));
            assert_eq!(stderr, ["first", "last"]);
            assert!(error.message.ends_with("(exit status 7)\n  | first\n  | last"), "{}", error.message);
        }
        world.end().await;
    });
}

#[test]
fn a4_a_child_that_stalls_is_given_up_after_the_spawn_bound() {
    alone(async |place| {
        let program = script(place, "echo thinking >&2\nexec tail -f /dev/null");
        let limits = Limits { spawn: Duration::from_millis(300), ..Limits::default() };
        let world = World::empty(place, Options { program: Some(program), limits, ..Options::default() });
        let began = Instant::now();
        let error = world.host().nursery().start(spec("child", "faults"), None).await.expect_err("it stalls");
        let SpawnFailed { exit, stderr, .. } = failed(&error);
        assert_eq!((exit, stderr), (Some(Exit::Signal(9)), vec!["thinking".to_owned()]));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        world.end().await;
    });
}

#[test]
fn a4_a_call_that_is_not_acknowledged_is_given_up_after_the_start_bound() {
    alone(async |place| {
        let limits = Limits { start: Duration::from_millis(300), ..Limits::default() };
        let world = World::with(place, Options { limits, ..Options::default() }).await;
        assert_eq!(world.call(&[], "faults:count", &json!({})).await, Ok(1));
        kill(world.pid("root"), Signal::STOP);
        let began = Instant::now();
        let error = world.call::<u32>(&[], "faults:count", &json!({})).await.expect_err("nobody answers");
        let took = began.elapsed();
        let timeout: greenroom_tests::kind::StartTimeout = error.downcast().expect("its own kind");
        assert_eq!(timeout.waited_ms, 300);
        assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(2), "{took:?}");
        assert!(world.end().await < Duration::from_secs(2));
    });
}

#[test]
fn b9_trees_nest_down_to_the_depth_limit() {
    alone(async |place| {
        let limits = Limits { depth: 4, ..Limits::default() };
        let world = World::with(place, Options { limits, ..Options::default() }).await;
        let deep = world.call::<()>(&[], "faults:spawn_tree", &json!({"depth": 4, "fanout": 1}));
        until("four levels are there", SOON, async || {
            (world.logged().iter().filter(|line| *line == "tree: ready").count() == 5).then_some(())
        })
        .await;
        assert_eq!(world.processes().keys().last().map(|path| path.split('/').count()), Some(5));
        drop(deep);
        until("they are gone", SOON, async || (world.processes().len() == 1).then_some(())).await;

        let deeper = world.call::<()>(&[], "faults:spawn_tree", &json!({"depth": 5, "fanout": 1})).await;
        let error = deeper.expect_err("one level too many");
        assert_eq!(error.downcast(), Some(LimitExceeded { limit: "depth".into(), value: 4 }), "{error}");
        world.end().await;
    });
}

#[test]
fn b9_a_limit_that_is_reached_is_named() {
    alone(async |place| {
        for (limits, limit, value) in [
            (Limits { children: 3, ..Limits::default() }, "children", 3),
            (Limits { actors: 4, ..Limits::default() }, "actors", 4),
        ] {
            let world = World::with(place, Options { limits, ..Options::default() }).await;
            let kept = [world.keep(&[], "a").await, world.keep(&[], "b").await, world.keep(&[], "c").await];
            let error = world.keep_with(&[], "d", &["faults"], &[], &[]).await.expect_err("one too many");
            assert_eq!(error.downcast(), Some(LimitExceeded { limit: limit.into(), value }), "{error}");
            assert_eq!(world.call(&["a"], "faults:count", &json!({})).await, Ok(1), "the others go on");
            drop(kept);
            world.end().await;
        }
    });
}
