//! Actors that look for each other, in one tree and across programs.
//!
//! Owns: E1, E2 and E3, as guests see them. Must not know: how a registry keeps what it knows.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use greenroom::{ActorId, Directory, Limits, Registry, RemoteError, Rights, payload};
use greenroom_tests::kind::{ActorDied, DeadlineExceeded, Exit, NameTaken, PermissionDenied, SpawnFailed};
use greenroom_tests::{Begun, Options, Place, Signal, World, alone, kill, undisturbed, until};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::{Value, json};

use crate::metronome::Metronome;
use crate::talk::{Note, SOON, open};

/// What children are started with.
const MODULES: [&str; 4] = ["faults", "stage", "talk", "seek"];

/// What an actor was told of another.
#[derive(Debug, PartialEq, Deserialize)]
struct Told {
    name: String,
    uuid: String,
    tree: String,
    path: Vec<String>,
    pid: i32,
    started: u64,
    published: bool,
}

/// What came of many searches at once.
#[derive(Debug, Deserialize)]
struct Flood {
    found: u32,
    nobody: u32,
    failed: std::collections::BTreeMap<String, u32>,
}

/// For `stage:timed`.
#[derive(Serialize)]
struct Timed<'a> {
    path: [&'a str; 1],
    function: &'a str,
    kwargs: ByteBuf,
    ms: u64,
}

/// For `seek:call`.
#[derive(Serialize)]
struct Call<'a> {
    name: &'a str,
    function: &'a str,
    kwargs: ByteBuf,
}

/// For `faults:echo`.
#[derive(Serialize)]
struct Echo<'a> {
    bytes: &'a ByteBuf,
}

/// Starts a child; `beyond` is what it is to other programs.
async fn keep(
    world: &World,
    path: &[&str],
    name: &str,
    beyond: &[&str],
) -> Result<Begun<()>, Box<RemoteError>> {
    let child = json!({"name": name, "modules": MODULES, "beyond": beyond});
    let mut keeper = world.call(path, "stage:keep", &child);
    let ready = world.call::<ActorId>(path, "stage:ready", &json!({"name": name}));
    tokio::select! {
        ended = &mut keeper => Err(ended.expect_err("it keeps the child until it is dropped")),
        ready = ready => ready.map(|_| keeper),
    }
}

async fn child(world: &World, name: &str, beyond: &[&str]) -> Begun<()> {
    keep(world, &[], name, beyond).await.unwrap_or_else(|error| panic!("`{name}` does not start: {error}"))
}

fn find(world: &World, path: &[&str], name: &str) -> Begun<Option<ActorId>> {
    world.call(path, "seek:find", &json!({"name": name}))
}

fn wait(world: &World, path: &[&str], name: &str, ms: Option<u64>) -> Begun<Option<ActorId>> {
    world.call(path, "seek:wait", &json!({"name": name, "ms": ms}))
}

async fn query(world: &World, path: &[&str], name: &str) -> Option<Told> {
    world.call(path, "seek:query", &json!({"name": name})).await.expect("it is told")
}

async fn list(world: &World, path: &[&str]) -> Vec<Told> {
    world.call(path, "seek:list", &json!({})).await.expect("it is told")
}

fn named(found: Option<ActorId>) -> Option<String> {
    found.map(|actor| actor.name)
}

/// Has an actor find another and call it.
async fn call<T: DeserializeOwned>(
    world: &World,
    name: &str,
    function: &str,
    kwargs: &impl Serialize,
) -> Result<T, Box<RemoteError>> {
    let kwargs = ByteBuf::from(payload::encode(kwargs).expect("it can be encoded"));
    let result: ByteBuf = world.call(&[], "seek:call", &Call { name, function, kwargs }).await?;
    Ok(payload::decode(&result).expect("of that type"))
}

#[test]
fn e2_a_sibling_is_waited_for_before_it_is_started() {
    alone(async |place| {
        let world = World::new(place).await;
        let _one = child(&world, "one", &[]).await;
        assert_eq!(find(&world, &["one"], "two").await, Ok(None));
        let began = Instant::now();
        assert_eq!(wait(&world, &["one"], "two", Some(300)).await, Ok(None), "nobody comes");
        let waited = began.elapsed();
        assert!(waited >= Duration::from_millis(300) && waited < SOON, "{waited:?}");

        let waiting = [wait(&world, &["one"], "two", None), wait(&world, &["one"], "two", Some(20_000))];
        tokio::time::sleep(Duration::from_millis(100)).await;
        let _two = child(&world, "two", &[]).await;
        for waiting in waiting {
            assert_eq!(waiting.await.map(named), Ok(Some("two".to_owned())));
        }
        // Who is there is waited for no longer.
        assert_eq!(wait(&world, &["one"], "root", None).await.map(named), Ok(Some("root".to_owned())));
        world.end().await;
    });
}

#[test]
fn e2_a_wait_is_given_up_with_its_task() {
    alone(async |place| {
        let world = World::new(place).await;
        // Far more than may be open at once: none of them is.
        for round in 0..20 {
            let waits: Vec<_> = (0..10).map(|_| wait(&world, &[], "nobody", None)).collect();
            let found = find(&world, &[], "root").await;
            assert_eq!(found, Ok(None), "round {round}: it does not find itself");
            drop(waits);
        }
        until("all waits are forgotten", SOON, async || {
            let flood: Flood =
                world.call(&[], "seek:flood", &json!({"name": "x", "times": 60, "keep_ms": 0})).await.ok()?;
            (flood.nobody == 60).then_some(())
        })
        .await;
        // A deadline ends one too.
        let _one = child(&world, "one", &[]).await;
        let kwargs = ByteBuf::from(payload::encode(&json!({"name": "nobody"})).expect("it can be encoded"));
        let timed = Timed { path: ["one"], function: "seek:wait", kwargs, ms: 200 };
        let late = world.call::<ByteBuf>(&[], "stage:timed", &timed).await.expect_err("nobody comes");
        assert!(late.is::<DeadlineExceeded>(), "{late}");
        world.end().await;
    });
}

#[test]
fn e1_those_who_can_be_called_are_told_of() {
    alone(async |place| {
        let world = World::new(place).await;
        let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let _one = child(&world, "one", &[]).await;
        let _two = child(&world, "two", &[]).await;
        let _below = keep(&world, &["two"], "one", &[]).await.expect("it starts");
        let all = list(&world, &["two"]).await;
        let paths: Vec<_> = all.iter().map(|told| told.path.join("/")).collect();
        assert_eq!(paths, ["root", "root/one", "root/two", "root/two/one"], "in their order");
        for told in &all {
            let path = told.path.join("/");
            assert_eq!(told.pid, world.pid(&path), "{path}");
            assert_eq!(Some(&told.name), told.path.last());
            assert!(!told.published && all.iter().all(|other| other.tree == told.tree), "{path}");
        }
        assert!(u128::from(all[1].started) >= before.as_millis() && all[1].started <= all[2].started);
        assert_eq!(query(&world, &[], "one").await.as_ref(), Some(&all[1]), "the first of that name");
        assert_eq!(query(&world, &["one"], "one").await.as_ref(), Some(&all[3]), "it does not find itself");
        assert_eq!(query(&world, &[], "three").await, None);
        // Whoever has died is not told of any more.
        kill(world.pid("root/one"), Signal::KILL);
        until("it is gone", SOON, async || (list(&world, &["two"]).await.len() == 3).then_some(())).await;
        world.end().await;
    });
}

#[test]
fn e2_a_unique_name_has_one_holder() {
    alone(async |place| {
        let world = World::new(place).await;
        let _only = child(&world, "only", &["unique"]).await;
        let _middle = child(&world, "middle", &[]).await;
        let taken = |refused: Result<Begun<()>, Box<RemoteError>>| {
            let error = refused.expect_err("the name is taken");
            let taken: NameTaken = error.downcast().unwrap_or_else(|| panic!("{error}"));
            assert_eq!((taken.name.as_str(), taken.by.name.as_str()), ("only", "only"));
        };
        taken(keep(&world, &["middle"], "only", &["unique"]).await);
        taken(keep(&world, &["middle"], "only", &[]).await);
        // Nor may one become it where others have the name.
        let error = keep(&world, &["middle"], "middle", &["unique"]).await.expect_err("there is one");
        assert!(error.is::<NameTaken>(), "{error}");
        assert_eq!(world.processes().len(), 3, "nothing was started");

        // Of many that are started at once there is one in the end.
        kill(world.pid("root/only"), Signal::KILL);
        until("it is gone", SOON, async || (find(&world, &[], "only").await == Ok(None)).then_some(())).await;
        let several = (0..4).map(|n| {
            let world = &world;
            async move {
                let path: &[&str] = if n % 2 == 0 { &[] } else { &["middle"] };
                let child = json!({"name": "only", "modules": MODULES, "beyond": ["unique"]});
                world.call::<()>(path, "stage:keep", &child).await
            }
        });
        let mut several: Vec<_> = several.map(Box::pin).collect();
        for _ in 0..3 {
            let (ended, _, left) = futures_util::future::select_all(several).await;
            let error = ended.expect_err("another has it");
            assert!(error.is::<NameTaken>(), "{error}");
            several = left;
        }
        let named = list(&world, &[]).await.into_iter().filter(|told| told.name == "only");
        assert_eq!(named.count(), 1);
        drop(several);
        world.end().await;
    });
}

#[test]
fn e1_rights_beyond_the_tree_only_shrink() {
    alone(async |place| {
        let rights = Rights { spawn: true, discover: true, ..Rights::default() };
        let world = World::with(place, Options { rights, ..Options::default() }).await;
        let held = async |path: &[&str]| world.call(path, "seek:rights", &json!({})).await;
        assert_eq!(held(&[]).await, Ok((true, false)));
        for (beyond, right) in [("publish", "`publish`"), ("may publish", "`publish`")] {
            let error = keep(&world, &[], "child", &[beyond]).await.expect_err("it is denied");
            let denied: PermissionDenied = error.downcast().unwrap_or_else(|| panic!("{error}"));
            assert!(denied.right.contains(right) && denied.right.contains("`root`"), "{}", denied.right);
        }
        let _child = child(&world, "child", &[]).await;
        assert_eq!(held(&["child"]).await, Ok((false, false)), "nothing that it was not given");
        let error = keep(&world, &["child"], "leaf", &["may discover"]).await.expect_err("it is denied");
        let denied: PermissionDenied = error.downcast().unwrap_or_else(|| panic!("{error}"));
        assert!(denied.right.contains("`discover`") && denied.right.contains("`child`"), "{}", denied.right);
        let _scout = child(&world, "scout", &["may discover"]).await;
        assert_eq!(held(&["scout"]).await, Ok((true, false)));
        world.end().await;

        // The right is no use where there is nothing to be published in.
        let world = World::with(place, Options { rights: Rights::all(), ..Options::default() }).await;
        let error = keep(&world, &[], "child", &["publish"]).await.expect_err("it cannot");
        assert!(error.is::<SpawnFailed>() && error.message.contains("published"), "{error}");
        world.end().await;
    });
}

#[test]
fn e2_searches_for_a_stopped_actor_are_bounded() {
    alone(async |place| {
        let limits = Limits { start: Duration::from_millis(500), ..Limits::default() };
        let world = World::with(place, Options { limits, ..Options::default() }).await;
        let _one = child(&world, "one", &[]).await;
        let _two = child(&world, "two", &[]).await;
        let descriptors = || fs::read_dir("/proc/self/fd").expect("Linux shows them").count();
        let before = descriptors();
        kill(world.pid("root/two"), Signal::STOP);
        let mut found = 0;
        for round in 0..10 {
            let flood: Flood = world
                .call(&["one"], "seek:flood", &json!({"name": "two", "times": 100, "keep_ms": 0}))
                .await
                .expect("it is told");
            found += flood.found;
            let failed: u32 = flood.failed.values().sum();
            assert_eq!((flood.nobody, flood.found + failed), (0, 100), "round {round}: {flood:?}");
            for kind in flood.failed.keys() {
                assert!(["LimitExceeded", "IntroductionFailed"].contains(&kind.as_str()), "{flood:?}");
            }
            assert!(descriptors() < before + 100, "round {round}: {} open", descriptors());
        }
        assert!((1..=64).contains(&found), "{found} were found");
        // All others can still be found and called, and this one once it goes on.
        assert_eq!(find(&world, &["one"], "root").await.map(named), Ok(Some("root".to_owned())));
        kill(world.pid("root/two"), Signal::CONT);
        until("it can be found again", SOON, async || {
            (call::<i64>(&world, "two", "faults:optional", &json!({})).await == Ok(-1)).then_some(())
        })
        .await;
        world.end().await;
    });
}

/// Two programs that share a registry. The first has a published actor `counter`; the second may
/// look for others, and has a child that may not.
async fn programs(place: &Place) -> (World, World, [Begun<()>; 2]) {
    let registry = Directory::at(&place.folder().join("registry")).expect("a folder for it");
    let registry: Arc<dyn Registry> = Arc::new(registry);
    let options = |rights| Options { rights, registry: Some(registry.clone()), ..Options::default() };
    let service =
        World::with(place, options(Rights { spawn: true, publish: true, ..Rights::default() })).await;
    let client =
        World::with(place, options(Rights { spawn: true, discover: true, ..Rights::default() })).await;
    let counter = child(&service, "counter", &["publish"]).await;
    let plain = child(&client, "plain", &[]).await;
    (service, client, [counter, plain])
}

#[test]
fn e1_a_published_actor_of_another_program_is_found_called_and_streamed_with() {
    alone(async |place| {
        let (service, client, kept) = programs(place).await;
        assert_eq!(find(&client, &[], "counter").await.map(named), Ok(Some("counter".to_owned())));
        let caller: ActorId =
            call(&client, "counter", "faults:caller", &json!({})).await.expect("it answers");
        assert_eq!(caller, client.root().peer(), "it is told who calls");
        let bytes = ByteBuf::from(vec![7u8; 1 << 20]);
        let echo = Echo { bytes: &bytes };
        assert_eq!(call::<ByteBuf>(&client, "counter", "faults:echo", &echo).await.as_ref(), Ok(&bytes));
        let there =
            json!([{"Start": 7}, {"Open": [0, "Wait"]}, {"Send": 0}, {"Send": 1}, {"Send": 2}, "Close"]);
        let here = json!([{"Open": [0, "Wait"]}, "ReceiveAll", "Outcome"]);
        let notes = open(&client, &[], "counter", &there, &here).await;
        let notes = notes.expect("the dialog ends well");
        assert!(notes.contains(&Note::Began(7)) && notes.contains(&Note::got(0..3)), "{notes:?}");

        // It is a stranger: nobody here may end it.
        let denied = client.call::<()>(&[], "seek:cancel", &json!({"name": "counter"})).await;
        assert!(denied.as_ref().is_err_and(|error| error.is::<PermissionDenied>()), "{denied:?}");

        // The own tree comes first, then the published in their order.
        let all = list(&client, &[]).await;
        let names: Vec<_> = all.iter().map(|told| told.name.as_str()).collect();
        assert_eq!(names, ["root", "plain", "root", "counter"]);
        let counter = query(&client, &[], "counter").await.expect("it is told of");
        assert_eq!(counter, all[3]);
        assert_eq!((counter.pid, counter.published), (service.pid("root/counter"), true));
        assert!(counter.tree != all[0].tree && counter.path == ["root", "counter"], "{counter:?}");

        // Without the right there is the own tree and nothing else, on either side.
        assert_eq!(find(&client, &["plain"], "counter").await, Ok(None));
        assert_eq!(wait(&client, &["plain"], "counter", Some(100)).await, Ok(None));
        assert_eq!(query(&client, &["plain"], "counter").await, None);
        assert_eq!(list(&client, &["plain"]).await.len(), 2);
        assert_eq!(find(&service, &[], "plain").await, Ok(None));
        assert_eq!(list(&service, &[]).await.len(), 2);

        drop(kept);
        client.end().await;
        service.end().await;
    });
}

#[test]
fn e2_an_actor_of_another_program_is_waited_for() {
    alone(async |place| {
        let (service, client, kept) = programs(place).await;
        let waiting = [wait(&client, &[], "late", None), wait(&client, &[], "late", Some(20_000))];
        assert_eq!(wait(&client, &[], "late", Some(100)).await, Ok(None));
        // One that is not published does not count.
        let hidden = child(&service, "late", &[]).await;
        assert_eq!(wait(&client, &[], "late", Some(200)).await, Ok(None));
        drop(hidden);
        let late = child(&service, "late", &["publish"]).await;
        for waiting in waiting {
            assert_eq!(waiting.await.map(named), Ok(Some("late".to_owned())));
        }
        // One of the own tree ends a wait as well.
        let waiting = wait(&client, &[], "own", None);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let own = child(&client, "own", &[]).await;
        assert_eq!(waiting.await.map(named), Ok(Some("own".to_owned())));
        drop((late, own, kept));
        client.end().await;
        service.end().await;
    });
}

#[test]
fn e2_a_unique_name_is_unique_among_programs() {
    alone(async |place| {
        let (service, client, kept) = programs(place).await;
        let only = child(&service, "only", &["publish", "unique"]).await;
        let registry = Directory::at(&place.folder().join("registry")).expect("it is there");
        let options =
            Options { rights: Rights::all(), registry: Some(Arc::new(registry)), ..Options::default() };
        let other = World::with(place, options).await;
        for beyond in [&["publish", "unique"][..], &["publish"]] {
            let error = keep(&other, &[], "only", beyond).await.expect_err("the name is taken");
            let taken: NameTaken = error.downcast().unwrap_or_else(|| panic!("{error}"));
            assert_eq!(taken.name, "only");
        }
        // One that is not published concerns nobody there; and the dead have no name.
        drop(child(&other, "only", &["unique"]).await);
        kill(service.pid("root/only"), Signal::KILL);
        only.await.expect_err("its keeper is told");
        let _again = until("the name is free", SOON, async || {
            keep(&other, &[], "only", &["publish", "unique"]).await.ok()
        })
        .await;
        drop(kept);
        for world in [other, client, service] {
            world.end().await;
        }
    });
}

#[test]
fn e3_the_death_of_a_published_actor_ends_calls_and_its_entry() {
    undisturbed(async |place| {
        let (service, client, kept) = programs(place).await;
        let metronome = Metronome::start();
        for round in 0..5 {
            let victim = child(&service, "victim", &["publish"]).await;
            let key = json!({"key": "k"});
            let held = call::<Value>(&client, "victim", "faults:hold", &key);
            let closed = client.call::<Exit>(&[], "seek:closed", &json!({"name": "victim"}));
            let killed = async {
                until("the call runs", SOON, async || {
                    let held = service.call::<u32>(&["victim"], "faults:probe", &key).await;
                    (held == Ok(1)).then_some(())
                })
                .await;
                metronome.stall();
                kill(service.pid("root/victim"), Signal::KILL);
                Instant::now()
            };
            let (ended, killed) = tokio::join!(async { (held.await, Instant::now()) }, killed);
            metronome.assert_soon(ended.1.duration_since(killed), &format!("round {round}: the call ended"));
            let error = ended.0.expect_err("its callee is dead");
            let died: ActorDied = error.downcast().unwrap_or_else(|| panic!("{error}"));
            assert_eq!((died.actor.name.as_str(), died.exit), ("victim", Exit::Unknown));
            assert_eq!(closed.await, Ok(Exit::Unknown));
            victim.await.expect_err("its keeper is told");
            assert_eq!(find(&client, &[], "victim").await, Ok(None), "round {round}");
            assert_eq!(query(&client, &[], "victim").await, None);
        }
        drop(kept);
        client.end().await;
        service.end().await;
    });
}
