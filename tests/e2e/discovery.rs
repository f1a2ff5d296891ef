//! Programs that find each other on the machine.
//!
//! Owns: E1, E3, E4 and E5 for a program that is in no tree. The hosts are `greenroom run`; the test
//! itself is the other program.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use greenroom::{
    ActorId, ActorStage, CallOptions, Directory, LogRecord, Machine, Portal, RegistryError, RemoteError,
    SpawnSpec, StreamOptions, Target, payload,
};
use greenroom_tests::kind::{ActorDied, ModuleNotExposed, PermissionDenied};
use greenroom_tests::{Command, Options, Signal, World, alone, kill, undisturbed, until};
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use serde_json::{Value, json};

use crate::metronome::Metronome;
use crate::talk::SOON;

/// What a machine that is busy may take for a host to start.
const LONG: Duration = Duration::from_secs(30);

/// How many programs start at the same moment.
const PROGRAMS: usize = 10;

/// How often the client is killed.
const KILLS: u32 = 10;

/// Tells this test program whom it is to call as the client of a test.
const CLIENT: &str = "GREENROOM_E2E_TARGET";

fn encode(value: &Value) -> Bytes {
    payload::encode(value).expect("it can be encoded").into()
}

async fn call<T: DeserializeOwned>(
    portal: &Portal,
    function: &str,
    kwargs: &Value,
) -> Result<T, Box<RemoteError>> {
    let ended = portal.call(function, encode(kwargs)).await?;
    payload::decode(&ended).map_err(|error| Box::new(RemoteError::of(&error)))
}

fn machine() -> Machine {
    Machine::open().expect("the test's own registry")
}

fn target(text: &str) -> Target {
    text.parse().expect("a target")
}

/// A host whose tree is complete: root, middle and leaf.
async fn host(place: &greenroom_tests::Place) -> Command {
    let command = Command::run(place, "faults", &["function=wait"]);
    let known = machine().wait(command.tree(), Some(LONG)).await.expect("a registry");
    known.unwrap_or_else(|| panic!("it is not known: {}", command.stderr()));
    let leaf = target(&format!("{}/middle/leaf", command.tree()));
    // A process is there before it can be called.
    until("the tree is complete", LONG, async || machine().connect(&leaf, "early").await.ok()).await;
    command
}

/// What is in the registry's folder.
fn files() -> Vec<String> {
    let folder = Directory::open().expect("the test's own registry").path().to_owned();
    let entries = fs::read_dir(folder).expect("it is there");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn e4_another_program_finds_calls_streams_with_and_ends_an_actor() {
    alone(async |place| {
        let machine = machine();
        assert!(machine.list().expect("a registry").is_empty());
        assert_eq!(machine.wait("nobody", Some(Duration::from_millis(60))).await.expect("a registry"), None);
        let host = host(place).await;
        let tree = host.tree().to_owned();
        let entry = machine.query(&tree).expect("a registry").expect("it is known");
        assert_eq!((entry.id.name.as_str(), entry.path.join("/")), (tree.as_str(), tree.clone()));
        let all = machine.list().expect("a registry");
        assert_eq!(all, std::slice::from_ref(&entry), "nobody but the root is published");

        // A call, straight to the actor.
        let root = machine.connect(&target(&tree), "visitor").await.expect("it is let in");
        assert_eq!(root.peer(), entry.id);
        let caller: ActorId =
            call(&root, &format!("{tree}/faults:caller"), &json!({})).await.expect("it can tell");
        assert_eq!(caller.name, "visitor");
        let denied = root.cancel_actor().await.expect_err("a portal to another tree ends nobody");
        assert!(denied.is::<PermissionDenied>(), "{denied}");

        // A stream.
        let gulp = format!("{tree}/flood:gulp");
        let (context, _) =
            root.open_context(&gulp, encode(&json!({})), CallOptions::default()).await.expect("a dialog");
        let stream = context.open_stream(StreamOptions::default()).expect("a stream");
        for _ in 0..10 {
            let bytes = payload::encode(&ByteBuf::from(vec![7; 1000])).expect("it can be encoded");
            stream.send(bytes.into()).await.expect("it is sent");
        }
        stream.close();
        let length = context.wait_for_result().await.expect("it has an end");
        assert_eq!(payload::decode::<usize>(&length), Ok(10_000));

        // Those below it, by their path or a part of their uuid.
        let below = target(&format!("{tree}/middle/leaf"));
        let let_in = async || machine.connect(&below, "visitor").await.ok();
        let leaf = until("the leaf has started and lets in", LONG, let_in).await;
        let caller: ActorId = call(&leaf, "faults:caller", &json!({})).await.expect("it can tell");
        assert_eq!(caller.name, "visitor");
        let part = target(&leaf.peer().uuid[..13]);
        assert_eq!(machine.connect(&part, "again").await.expect("it is let in").peer(), leaf.peer());
        let missing =
            machine.connect(&target(&format!("{tree}/nobody")), "visitor").await.expect_err("nobody");
        assert!(missing.to_string().contains("has no child `nobody`"), "{missing}");
        let missing = machine.connect(&target(&format!("{tree}x")), "visitor").await.expect_err("nobody");
        let near = matches!(&missing, RegistryError::NotFound { near, .. } if near.iter().eq([&tree]));
        assert!(near, "{missing}");
        let unnamed = machine.connect(&target(&tree), "a/b").await.expect_err("no name");
        assert!(unnamed.to_string().contains("no `/`"), "{unnamed}");

        // What it can be called for, and what not.
        let functions = machine.describe(&target(&tree)).await.expect("it is told");
        let names: BTreeSet<_> = functions.into_iter().map(|function| function.name).collect();
        assert!(names.contains(&gulp) && names.contains(&format!("{tree}/faults:echo")), "{names:?}");
        let refused = call::<Value>(&leaf, "stage:pass", &json!({})).await.expect_err("not enabled there");
        assert!(refused.is::<ModuleNotExposed>(), "{refused}");

        // How its tree is.
        let status = machine.status(&entry).await.expect("it is told");
        assert_eq!((status.tree.as_str(), status.host_pid), (tree.as_str(), entry.host_pid));
        let paths: Vec<_> = status.actors.iter().map(|actor| actor.path.join("/")).collect();
        assert_eq!(paths, [tree.clone(), format!("{tree}/middle"), format!("{tree}/middle/leaf")]);
        for (actor, (_, pid)) in status.actors.iter().zip(host.actors()) {
            assert_eq!((actor.stage, actor.pid.cast_signed()), (ActorStage::Ready, pid));
            assert!(actor.memory.is_some_and(|bytes| bytes > 100_000) && actor.cpu_ms.is_some(), "{actor:?}");
            assert_eq!(actor.tasks, Some(1), "{actor:?}");
        }
        assert_eq!(status.actors.iter().filter(|actor| actor.published).count(), 1);
        assert!(status.actors[2].modules == ["faults"] && status.actors[0].uptime_ms > 0, "{status:?}");

        // Its end, which is the end of its host.
        machine.cancel(&target(&tree)).await.expect("it is ended");
        assert_eq!(machine.query(&tree).expect("a registry"), None);
        let done = host.finish(SOON);
        assert_eq!(done.signal, None, "{}", done.stderr);
        assert!(files().is_empty(), "{:?}", files());
        let gone = machine.status(&entry).await.expect_err("it is gone");
        assert!(gone.to_string().contains("it has just ended"), "{gone}");
        let closed = call::<Value>(&root, &format!("{tree}/faults:count"), &json!({})).await;
        assert!(closed.expect_err("it is gone").is::<ActorDied>());
    });
}

#[test]
fn e3_nobody_is_found_of_a_killed_host_and_nothing_is_left() {
    undisturbed(async |place| {
        place.adopt();
        let machine = machine();
        for _ in 0..5 {
            let host = host(place).await;
            let tree = host.tree().to_owned();
            let portal = machine.connect(&target(&tree), "visitor").await.expect("it is let in");
            host.signal(Signal::KILL);
            assert_eq!(host.finish(SOON).signal, Some(9));
            assert_eq!(machine.query(&tree).expect("a registry"), None, "at once");
            assert!(files().is_empty(), "{:?}", files());
            let died = call::<Value>(&portal, &format!("{tree}/faults:wait"), &json!({})).await;
            assert!(died.expect_err("it is dead").is::<ActorDied>());
        }
    });
}

#[test]
fn e3_a_stopped_host_is_told_of_and_does_not_hold_others_up() {
    alone(async |place| {
        let (machine, stopped, other) = (machine(), host(place).await, host(place).await);
        stopped.signal(Signal::STOP);
        let began = Instant::now();
        let silent = machine.cancel(&target(stopped.tree())).await.expect_err("it cannot answer");
        assert!(silent.to_string().contains("is it stopped?"), "{silent}");
        assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
        machine.connect(&target(other.tree()), "visitor").await.expect("it is let in");
        stopped.signal(Signal::CONT);
        // What was asked while it could not hear is done now: the visitor had its reasons.
        stopped.finish(SOON);
        machine.cancel(&target(other.tree())).await.expect("it is ended");
        other.finish(SOON);
    });
}

#[test]
fn e5_ten_programs_that_start_at_once_are_all_found_and_lose_nothing_with_the_first() {
    undisturbed(async |place| {
        place.adopt();
        let machine = machine();
        let started: Vec<_> =
            (0..PROGRAMS).map(|_| Command::run(place, "faults", &["function=wait"])).collect();
        let names: BTreeSet<_> = started.iter().map(|host| host.tree().to_owned()).collect();
        let known = || {
            let all = machine.list().expect("a registry");
            all.into_iter().map(|entry| entry.id.name).collect::<Vec<_>>()
        };
        until("all are known", LONG * 2, async || {
            (known().into_iter().collect::<BTreeSet<_>>() == names).then_some(())
        })
        .await;
        let order = known();
        let (first, others): (Vec<_>, Vec<_>) = started.into_iter().partition(|host| host.tree() == order[0]);
        for host in first {
            host.signal(Signal::KILL);
            assert_eq!(host.finish(SOON).signal, Some(9));
        }
        assert_eq!(known(), order[1..], "the others keep their order");
        for host in others {
            let portal = machine.connect(&target(host.tree()), "visitor").await.expect("it is let in");
            let function = format!("{}/faults:count", host.tree());
            assert_eq!(call::<u32>(&portal, &function, &json!({})).await, Ok(1));
            machine.cancel(&target(host.tree())).await.expect("it is ended");
            assert_eq!(host.finish(LONG).signal, None);
        }
        assert!(known().is_empty() && files().is_empty(), "{:?}", files());
    });
}

/// A tree in this process that is known to others.
async fn world(place: &greenroom_tests::Place) -> World {
    let registry = std::sync::Arc::new(Directory::open().expect("the test's own registry"));
    World::with(place, Options { registry: Some(registry), ..Options::default() }).await
}

#[test]
fn e2_of_two_of_one_name_the_first_is_found_as_long_as_it_lives() {
    alone(async |place| {
        let machine = machine();
        let first = world(place).await;
        let second = world(place).await;
        let peers = [first.root().peer(), second.root().peer()];
        assert_ne!(peers[0], peers[1]);
        let found = async || Some(machine.connect(&target("root"), "visitor").await.ok()?.peer());
        assert_eq!(found().await.as_ref(), Some(&peers[0]));
        let ids: Vec<_> = machine.list().expect("a registry").into_iter().map(|entry| entry.id).collect();
        assert_eq!(ids, peers);
        kill(first.pid("root"), Signal::KILL);
        until("the dead one is forgotten", SOON, async || {
            (found().await.as_ref() == Some(&peers[1])).then_some(())
        })
        .await;
        first.end().await;
        second.end().await;
        assert!(machine.list().expect("a registry").is_empty());
    });
}

#[test]
fn e1_only_roots_and_the_published_are_known_beyond_their_tree() {
    alone(async |place| {
        let (machine, world) = (machine(), world(place).await);
        let hidden = world.keep(&[], "hidden").await;
        let start = |name: &str, publish| {
            let modules = vec!["faults/faults".to_owned()];
            let spec = SpawnSpec { name: name.to_owned(), modules, publish, ..SpawnSpec::default() };
            world.host().nursery().start(spec, None)
        };
        start("service", true).await.expect("it starts");
        let names = || {
            let all = machine.list().expect("a registry");
            all.into_iter().map(|entry| entry.id.name).collect::<Vec<_>>()
        };
        assert_eq!(names(), ["root", "service"]);
        machine.connect(&target("root/hidden"), "visitor").await.expect("a path leads there");

        // A host that keeps to itself publishes nobody.
        let alone = World::empty(place, Options::default());
        let spec = SpawnSpec { name: "lonely".to_owned(), publish: true, ..SpawnSpec::default() };
        let refused = alone.host().nursery().start(spec, None).await.expect_err("there is no registry");
        assert!(refused.message.contains("its host keeps to itself"), "{refused}");
        drop(hidden);
        alone.end().await;
        world.end().await;
        assert!(names().is_empty());
    });
}

#[test]
fn e4_lines_of_an_actor_are_told_and_followed() {
    alone(async |place| {
        let (machine, world) = (machine(), world(place).await);
        let child = world.keep(&[], "child").await;
        let log = async |path: &[&str], lines: u32| {
            world.call::<()>(path, "faults:flood_log", &json!({"lines": lines})).await.expect("it logs");
        };
        log(&[], 3).await;
        log(&["child"], 1).await;
        let mut lines = machine.logs(&target("root/child"), true).await.expect("it is told");
        let mut next = async || match lines.next().await.expect("it is understood").expect("there is more") {
            LogRecord::Line(line) => format!("{} {}", line.actor, line.text),
            LogRecord::Missed(count) => panic!("{count} lines are missing"),
        };
        assert_eq!(next().await, "child flood: line 0");
        log(&[], 1).await;
        log(&["child"], 2).await;
        assert_eq!([next().await, next().await], ["child flood: line 0", "child flood: line 1"]);
        // What actors log comes to their host beside what they answer.
        until("all lines of the tree are told", SOON, async || {
            let mut all = machine.logs(&target("root"), false).await.expect("it is told");
            let (mut root, mut child) = (0, 0);
            while let Some(record) = all.next().await.expect("it is understood") {
                let LogRecord::Line(line) = record else { panic!("nothing is missing") };
                root += u32::from(line.actor.name == "root");
                child += u32::from(line.actor.name == "child");
            }
            ((root, child) == (4, 3)).then_some(())
        })
        .await;
        drop((child, lines));
        world.end().await;
    });
}

/// Starts this program again, as a client of the root.
fn start_client() -> Child {
    std::process::Command::new(std::env::current_exe().expect("a running test has a path"))
        .args([CLIENT_TEST, "--exact", "--nocapture", "--test-threads=1"])
        .env(CLIENT, "root")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("this program can be started again")
}

/// The test that starts a client, which is the test's own program once more.
const CLIENT_TEST: &str = "discovery::c8_a_client_that_is_killed_takes_its_call_along";

/// What the client does: it finds, calls, and waits for what never comes.
fn be_client(name: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ended = runtime.block_on(async {
        let portal = machine().connect(&target(name), "client").await.expect("it is let in");
        call::<()>(&portal, "faults/faults:hold", &json!({"key": "client"})).await
    });
    panic!("it is held until the client is killed, and not {ended:?}");
}

#[test]
fn c8_a_client_that_is_killed_takes_its_call_along() {
    if let Some(name) = std::env::var_os(CLIENT) {
        return be_client(&name.to_string_lossy());
    }
    undisturbed(async |place| {
        let (world, metronome) = (world(place).await, Metronome::start());
        let held = async || {
            let count = world.call::<u32>(&[], "faults:probe", &json!({"key": "client"})).await;
            count.expect("it counts")
        };
        for round in 0..KILLS {
            let mut client = start_client();
            until("the client's task runs", LONG, async || (held().await == 1).then_some(())).await;
            metronome.stall();
            kill(client.id().cast_signed(), Signal::KILL);
            let killed = Instant::now();
            until("the client's task is cancelled", SOON, async || (held().await == 0).then_some(())).await;
            metronome.assert_soon(killed.elapsed(), &format!("round {round}: the task was cancelled"));
            client.wait().expect("it is this process's child");
        }
        world.end().await;
    });
}
