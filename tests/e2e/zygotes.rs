//! Actors that are forked off a zygote.
//!
//! Owns: that nobody can tell one from an executed actor but by how soon it is there, and what becomes
//! of actors when their zygote is killed or stopped. Must not know: how zygotes are talked to.
//!
//! The other tests of the suite start actors both ways: the third of a kind is forked, if its zygote
//! is ready by then.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use greenroom::{Limits, Rights, SpawnSpec, payload};
use greenroom_tests::{
    Begun, Options, Place, Signal, World, alone, guest, is_forked, kill, spares, until, zygotes,
};
use serde_json::json;

/// What a busy machine may take for a zygote to be ready.
const SOON: Duration = Duration::from_secs(20);

/// An actor of a world, started by its root.
struct Child {
    name: String,
    pid: i32,
    keeper: Begun<()>,
}

/// Starts children of one kind until one is forked; gives an executed one, too, and that.
async fn pair(world: &World, env: &[(&str, &str)]) -> [Child; 2] {
    let executed = start(world, "executed", env).await;
    assert!(!is_forked(executed.pid), "the first of its kind");
    [executed, forked(world, "forked", env).await]
}

async fn start(world: &World, name: &str, env: &[(&str, &str)]) -> Child {
    let keeper = world.keep_with(&[], name, &["faults", "stage"], &[], env).await.expect("it starts");
    Child { name: name.to_owned(), pid: world.pid(&format!("root/{name}")), keeper }
}

async fn forked(world: &World, prefix: &str, env: &[(&str, &str)]) -> Child {
    let end = Instant::now() + SOON;
    for number in 0.. {
        let child = start(world, &format!("{prefix}{number}"), env).await;
        if is_forked(child.pid) {
            return child;
        }
        assert!(Instant::now() < end, "none is forked within {SOON:?}");
        let place = format!("root/{}", child.name);
        drop(child);
        until("it is gone", SOON, async || (!world.processes().contains_key(&place)).then_some(())).await;
    }
    unreachable!("there are numbers enough")
}

async fn world(place: &Place) -> World {
    let limits = Limits { spawn_rate: 1000, ..Limits::default() };
    World::with(place, Options { limits, ..Options::default() }).await
}

fn read(pid: i32, what: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{what}")).expect("the process is there")
}

/// What of a process's state does not depend on which process it is.
fn state(pid: i32) -> BTreeSet<String> {
    const SAME: [&str; 13] = [
        "Umask:",
        "PPid:",
        "TracerPid:",
        "Uid:",
        "Gid:",
        "Groups:",
        "Threads:",
        "SigBlk:",
        "SigIgn:",
        "CapInh:",
        "CapEff:",
        "NoNewPrivs:",
        "Seccomp",
    ];
    let status = read(pid, "status");
    let lines = status.lines().filter(|line| SAME.iter().any(|key| line.starts_with(key))).map(str::to_owned);
    lines.chain([read(pid, "limits"), read(pid, "environ"), read(pid, "oom_score_adj")]).collect()
}

/// The open descriptors of a process, as their kinds and what they lead to.
fn descriptors(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there");
    let targets =
        entries.filter_map(|entry| Some(fs::read_link(entry.ok()?.path()).ok()?.display().to_string()));
    let mut targets: Vec<_> = targets.collect();
    targets.sort();
    targets
}

/// Of those, what there is one of in the machine.
fn unique(pid: i32) -> BTreeSet<String> {
    let all = descriptors(pid).into_iter();
    all.filter(|target| target.starts_with("socket:") || target.starts_with("pipe:")).collect()
}

/// How many descriptors there are of each kind.
fn kinds(pid: i32) -> Vec<String> {
    let kind = |target: String| target.split('[').next().unwrap_or_default().to_owned();
    let mut kinds: Vec<_> = descriptors(pid).into_iter().map(kind).collect();
    kinds.sort();
    kinds
}

/// Whether some bytes are in the memory of a process.
fn holds(pid: i32, bytes: &[u8]) -> bool {
    let memory = File::open(format!("/proc/{pid}/mem")).expect("its owner may look");
    let maps = read(pid, "maps");
    maps.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { return false };
        let (from, to) = range.split_once('-').expect("a range");
        let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).expect("an address"));
        if !rights.starts_with("rw") {
            return false;
        }
        let mut content = vec![0; usize::try_from(to - from).expect("it fits")];
        let read = memory.read_at(&mut content, from).unwrap_or(0);
        content[..read].windows(bytes.len()).any(|window| window == bytes)
    })
}

/// The group of a process.
fn group(pid: i32) -> i32 {
    let stat = read(pid, "stat");
    let fields = &stat[stat.rfind(')').expect("a name") + 2..];
    fields.split(' ').nth(2).and_then(|field| field.parse().ok()).expect("a group")
}

#[test]
fn a_forked_actor_is_as_an_executed_one() {
    alone(async |place| {
        let world = world(place).await;
        let [executed, forked] = pair(&world, &[("MOOD", "good")]).await;
        assert_eq!(state(executed.pid), state(forked.pid));
        assert!(state(forked.pid).contains("Seccomp:\t2"), "{:?}", state(forked.pid));
        assert!(state(forked.pid).contains("NoNewPrivs:\t1"));
        let ours = format!("PPid:\t{}", std::process::id());
        assert!(state(forked.pid).contains(&ours), "the broker is its parent");
        assert_eq!(group(forked.pid), forked.pid);
        for child in [&executed, &forked] {
            let line = read(child.pid, "cmdline");
            let words: Vec<_> = line.trim_end_matches('\0').split('\0').collect();
            let [title, "actor"] = words[..] else { panic!("{words:?}") };
            assert!(title.ends_with(&format!("/root/{}", child.name)), "{title}");
            assert_eq!(read(child.pid, "comm").trim_end(), child.name);
        }
        world.end().await;
    });
}

#[test]
fn a_forked_actor_has_nothing_of_its_siblings() {
    alone(async |place| {
        let world = world(place).await;
        let secret = format!("secret-{}", std::process::id());
        let [executed, first] = pair(&world, &[("SECRET", &secret)]).await;
        let [second, third] = [forked(&world, "second", &[]).await, forked(&world, "third", &[]).await];
        let all = [&executed, &first, &second, &third];
        let zygotes = zygotes();
        let &[zygote] = zygotes.as_slice() else { panic!("one kind, and {zygotes:?}") };
        let spare = until("the next copy is there", SOON, async || spares().pop()).await;

        // Each has the same kinds of descriptors, and none that another has.
        for child in [&first, &second, &third] {
            assert_eq!(kinds(child.pid), kinds(executed.pid), "{}", child.name);
        }
        let mut seen = unique(zygote);
        for child in all {
            let own = unique(child.pid);
            assert!(own.is_disjoint(&seen), "{}: {own:?}", child.name);
            seen.extend(own);
        }
        for pid in [zygote, spare] {
            let kept = descriptors(pid);
            assert!(
                !kept.iter().any(|target| target.contains("pidfd") || target.starts_with("pipe:")),
                "{kept:?}"
            );
        }
        let own = unique(spare);
        assert!(own.is_disjoint(&seen), "{own:?}");

        // What one was given is in its own memory, and in no other's.
        assert!(holds(executed.pid, secret.as_bytes()) && holds(first.pid, secret.as_bytes()));
        let spare = until("the next copy is there", SOON, async || spares().pop()).await;
        for pid in [second.pid, third.pid, zygote, spare] {
            assert!(!holds(pid, secret.as_bytes()), "{pid}");
        }
        // A zygote does not even know what they are called.
        assert!(holds(third.pid, b"/third") && !holds(zygote, b"/third"));
        // Nor can one write where another reads: it shares its pipe's memory with its parent alone.
        let mut seen = BTreeSet::new();
        for child in all {
            let own = shared(child.pid);
            assert!(own.len() == 1 && own[0].ends_with("/memfd:greenroom-pipe (deleted)"), "{own:?}");
            assert!(seen.insert(own[0].clone()), "{}: {own:?}", child.name);
        }
        for pid in [zygote, spare] {
            assert_eq!(shared(pid), [""; 0]);
        }
        world.end().await;
    });
}

/// The memory that a process shares with others: the file's number, and what it is.
fn shared(pid: i32) -> Vec<String> {
    let maps = read(pid, "maps");
    let shared =
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.ends_with('s')));
    shared.map(|line| line.split(' ').skip(4).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn an_idle_actor_has_one_thread_which_sleeps() {
    // A turn that a busy machine holds up counts as a long one, for which there is a second thread.
    const ATTEMPTS: usize = 8;
    alone(async |place| {
        let mut seen = Vec::new();
        for _ in 0..ATTEMPTS {
            let world = world(place).await;
            let mut single = true;
            for child in pair(&world, &[]).await {
                let path = [child.name.as_str()];
                world.call::<u64>(&path, "faults:sleep_ms", &json!({"ms": 0})).await.expect("it lives");
                let switches = || -> Vec<String> {
                    let status = read(child.pid, "status");
                    status.lines().filter(|line| line.contains("ctxt_switches")).map(str::to_owned).collect()
                };
                until("it does nothing for a third of a second", SOON, async || {
                    let before = switches();
                    tokio::time::sleep(Duration::from_millis(330)).await;
                    (switches() == before).then_some(())
                })
                .await;
                let state = state(child.pid);
                single &= state.contains("Threads:\t1");
                seen.push((child.name.clone(), state));
            }
            world.end().await;
            if single {
                return;
            }
        }
        panic!("none of {ATTEMPTS} pairs: {seen:?}");
    });
}

#[test]
fn what_is_random_is_so_in_each_forked_actor() {
    alone(async |place| {
        let components = vec![("machine".to_owned(), guest("machine"))];
        let limits = Limits { spawn_rate: 1000, ..Limits::default() };
        let world = World::empty(place, Options { components, limits, ..Options::default() });
        let mut seen = Vec::new();
        let (mut count, end) = (0, Instant::now() + SOON);
        while count < 3 {
            assert!(Instant::now() < end, "{count} forked within {SOON:?}");
            let spec = SpawnSpec {
                name: "asker".to_owned(),
                modules: vec!["machine/asks".to_owned()],
                rights: Rights { random: true, ..Rights::default() },
                ..SpawnSpec::default()
            };
            let actor = world.host().nursery().start(spec, None).await.expect("it starts");
            count += usize::from(is_forked(world.pid("asker")));
            for function in ["random", "random3", "insecure", "insecure3", "seed"] {
                let kwargs = payload::encode(&json!({})).expect("no arguments");
                let said =
                    actor.call(&format!("machine/asks:{function}"), kwargs.into()).await.expect("it may");
                assert!(!seen.contains(&said), "{function} of actor {count}");
                seen.push(said);
            }
            actor.cancel_actor().await.expect("it ends");
        }
        world.end().await;
    });
}

#[test]
fn actors_outlive_their_zygote_which_is_replaced() {
    alone(async |place| {
        let world = world(place).await;
        let [_executed, child] = pair(&world, &[]).await;
        let killed = zygotes();
        killed.iter().for_each(|zygote| kill(*zygote, Signal::KILL));
        until("it is collected, and its copy, with nobody asking for another", SOON, async || {
            (zygotes().is_empty() && spares().is_empty()).then_some(())
        })
        .await;
        let path = [child.name.as_str()];
        world.call::<u64>(&path, "faults:sleep_ms", &json!({"ms": 0})).await.expect("its actor lives");
        let next = forked(&world, "next", &[]).await;
        assert!(zygotes().iter().all(|zygote| !killed.contains(zygote)));
        world.call::<u64>(&path, "faults:sleep_ms", &json!({"ms": 0})).await.expect("it lives still");
        world.call::<u64>(&[&next.name], "faults:sleep_ms", &json!({"ms": 0})).await.expect("so does that");
        drop(child.keeper);
        world.end().await;
    });
}

#[test]
fn a_stopped_zygote_holds_up_nobody() {
    alone(async |place| {
        let world = world(place).await;
        let [_executed, child] = pair(&world, &[]).await;
        let stopped = zygotes();
        stopped.iter().for_each(|zygote| kill(*zygote, Signal::STOP));
        let began = Instant::now();
        // There may be one copy that was made before.
        let last = start(&world, "last", &[]).await;
        let other = start(&world, "other", &[]).await;
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert!(!is_forked(other.pid), "off whom?");
        let left: Vec<_> = zygotes().into_iter().filter(|zygote| stopped.contains(zygote)).collect();
        assert_eq!(left, [] as [i32; 0], "it is given up");
        for name in [&child.name, &last.name, &other.name] {
            world.call::<u64>(&[name], "faults:sleep_ms", &json!({"ms": 0})).await.expect("it lives");
        }
        forked(&world, "next", &[]).await;
        world.end().await;
    });
}

#[test]
fn few_zygotes_live_at_once() {
    alone(async |place| {
        let world = world(place).await;
        // Each is a kind of its own, by what may be called in it.
        let modules = ["faults", "stage", "talk", "seek", "flood", "quick", "branches", "greed"];
        let mut most = 0;
        for first in 0..modules.len() {
            for number in 0..3 {
                let name = format!("of_{first}_{number}");
                let modules: Vec<_> = modules[first..].iter().chain(["stage"].iter()).copied().collect();
                let _child = world.keep_with(&[], &name, &modules, &[], &[]).await.expect("it starts");
                most = most.max(zygotes().len());
            }
            for number in 0..3 {
                let name = format!("again_{first}_{number}");
                let modules = [modules[first], "stage", "stage:keep"];
                let _child = world.keep_with(&[], &name, &modules, &[], &[]).await.expect("it starts");
                most = most.max(zygotes().len());
                assert!(spares().len() <= 8, "{:?}", spares());
            }
        }
        assert_eq!(most, 8);
        world.end().await;
    });
}
