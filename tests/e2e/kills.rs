//! SIGKILL, at any moment, to any process of a tree.
//!
//! Owns: how soon calls end then, with what, and what is left. The moments are random, drawn from
//! fixed seeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use greenroom::RemoteError;
use greenroom_tests::kind::{ActorDied, Exit};
use greenroom_tests::{Begun, Command, Signal, World, actors, kill, undisturbed, until, until_now};
use serde_json::json;

/// How often each kind of process is killed.
const KILLS: u32 = 100;

/// How long an open call may outlive its callee.
const BOUND: Duration = Duration::from_millis(100);

/// How many processes take part in telling the operator: broker, middle, root, this one.
const HOPS: u32 = 4;

/// A small generator (Marsaglia's xorshift), so that a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let nanoseconds = u64::try_from(limit.as_nanos()).expect("a short time");
        Duration::from_nanos(self.0 % nanoseconds)
    }
}

/// Measures how long this machine keeps a process that wants to run from running: what it takes
/// from each hop is not the broker's doing.
struct Metronome {
    worst: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Metronome {
    const BEAT: Duration = Duration::from_millis(1);
    /// What a machine with nothing else to do takes.
    const USUAL: Duration = Duration::from_millis(4);

    fn start() -> Self {
        let (worst, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, stopped) = (worst.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                std::thread::sleep(Self::BEAT);
                let late = began.elapsed().saturating_sub(Self::BEAT + Self::USUAL);
                seen.fetch_max(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { worst, stop, thread: Some(thread) }
    }

    /// The longest delay since it was last asked.
    fn stall(&self) -> Duration {
        Duration::from_nanos(self.worst.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the metronome only counts");
        }
    }
}

fn assert_soon(took: Duration, metronome: &Metronome, what: &str) {
    let allowed = BOUND + metronome.stall() * HOPS;
    assert!(
        took <= allowed,
        "{what}: the last open call ended {took:?} after the kill, not within {allowed:?}"
    );
}

fn assert_died(error: &RemoteError, name: &str) {
    let died: ActorDied = error.downcast().unwrap_or_else(|| panic!("not a death: {error}"));
    assert_eq!((died.actor.name.as_str(), died.exit), (name, Exit::Signal(9)));
}

/// Has calls under way at the end of a path, kills a process at a random moment, and gives how
/// long after that the last call ended. Each must end with the death of `victim`.
async fn kill_during_calls(
    world: &World,
    path: &[&str],
    victim: &str,
    random: &mut Random,
    metronome: &Metronome,
) {
    let pid = world.pid(victim);
    let name = victim.rsplit('/').next().expect("a path has a last part");
    let holds: Vec<Begun<()>> =
        (0..3).map(|n| world.call(path, "faults:hold", &json!({"key": format!("{n}")}))).collect();
    let busy = async {
        loop {
            if let Err(error) = world.call::<u64>(path, "faults:sleep_ms", &json!({"ms": 0})).await {
                break error;
            }
        }
    };
    let moment = random.below(Duration::from_millis(8));
    let murder = async {
        // The moment is what is tested; nothing waits for it.
        tokio::time::sleep(moment).await;
        metronome.stall();
        let killed = Instant::now();
        kill(pid, Signal::KILL);
        killed
    };
    let held = async {
        let mut ends = Vec::new();
        for call in holds {
            let error = call.await.expect_err("its callee is dead");
            ends.push((error, Instant::now()));
        }
        ends
    };
    let (killed, refused, ends) = tokio::join!(murder, busy, held);
    let last = ends.iter().map(|(_, end)| *end).max().expect("there were calls");
    assert_soon(last.duration_since(killed), metronome, &format!("`{victim}`, after {moment:?}"));
    for (error, _) in ends {
        assert_died(&error, name);
    }
    // One that began after the death may find that its callee has been taken off the stage.
    if !refused.message.starts_with("there is no child") {
        assert_died(&refused, name);
    }
}

#[test]
fn c6_calls_end_when_a_leaf_is_killed() {
    undisturbed(async |place| {
        let (world, metronome, mut random) = (World::new(place).await, Metronome::start(), Random(0x1eaf));
        let _middle = world.keep(&[], "middle").await;
        for _ in 0..KILLS {
            let leaf = world.keep(&["middle"], "leaf").await;
            kill_during_calls(&world, &["middle", "leaf"], "root/middle/leaf", &mut random, &metronome).await;
            assert_died(&leaf.await.expect_err("its keeper is told"), "leaf");
        }
        world.end().await;
    });
}

#[test]
fn c6_calls_end_when_a_middle_actor_is_killed() {
    undisturbed(async |place| {
        let (world, metronome, mut random) = (World::new(place).await, Metronome::start(), Random(0x3_1dd1e));
        for _ in 0..KILLS {
            let middle = world.keep(&[], "middle").await;
            let leaf = world.keep(&["middle"], "leaf").await;
            kill_during_calls(&world, &["middle", "leaf"], "root/middle", &mut random, &metronome).await;
            assert_died(&leaf.await.expect_err("its keeper died"), "middle");
            assert_died(&middle.await.expect_err("its keeper is told"), "middle");
            until("the leaf is gone too", Duration::from_secs(1), async || {
                (world.processes().into_keys().eq(["root".to_owned()])).then_some(())
            })
            .await;
        }
        world.end().await;
    });
}

#[test]
fn c6_calls_end_when_a_root_is_killed() {
    undisturbed(async |place| {
        let (metronome, mut random) = (Metronome::start(), Random(0x7007));
        for _ in 0..KILLS {
            let world = World::new(place).await;
            let middle = world.keep(&[], "middle").await;
            kill_during_calls(&world, &["middle"], "root", &mut random, &metronome).await;
            assert_died(&middle.await.expect_err("its keeper died"), "root");
            until("everything is gone", Duration::from_secs(1), async || {
                world.processes().is_empty().then_some(())
            })
            .await;
            world.end().await;
        }
    });
}

#[test]
fn a3_nothing_outlives_a_killed_broker() {
    undisturbed(async |place| {
        place.adopt();
        let mut random = Random(0x00b2_073e);
        for round in 0..KILLS {
            let command = Command::run(place, "faults", &["function=wait"]);
            // Every other time the tree is complete and calls are open; else it may be anywhere.
            if round % 2 == 0 {
                until_now("root, middle and leaf are there", Duration::from_secs(10), || {
                    (command.actors().len() == 3).then_some(())
                });
            }
            std::thread::sleep(random.below(Duration::from_millis(60)));
            let (tree, killed) = (command.tree().to_owned(), Instant::now());
            command.signal(Signal::KILL);
            let done = command.finish(Duration::from_secs(1));
            assert_eq!(done.signal, Some(9));
            until_now("every actor is gone", Duration::from_secs(1).saturating_sub(killed.elapsed()), || {
                actors(&tree).is_empty().then_some(())
            });
        }
    });
}

#[test]
fn a3_nothing_outlives_an_actor_that_is_killed_while_it_starts_others() {
    undisturbed(async |place| {
        let (world, mut random) = (World::new(place).await, Random(0x57a7));
        for _ in 0..KILLS / 5 {
            let middle = world.keep(&[], "middle").await;
            // Six more actors, two levels of them.
            let tree = json!({"depth": 2, "fanout": 2});
            let starting = world.call::<()>(&["middle"], "faults:spawn_tree", &tree);
            tokio::time::sleep(random.below(Duration::from_millis(80))).await;
            kill(world.pid("root/middle"), Signal::KILL);
            assert_died(&starting.await.expect_err("its callee is dead"), "middle");
            assert_died(&middle.await.expect_err("its keeper is told"), "middle");
            until("all that it started is gone", Duration::from_secs(1), async || {
                (world.processes().into_keys().eq(["root".to_owned()])).then_some(())
            })
            .await;
        }
        world.end().await;
    });
}

#[test]
fn a3_nothing_outlives_an_embedding_program_that_drops_its_host() {
    undisturbed(async |place| {
        let world = World::new(place).await;
        let middle = world.keep(&[], "middle").await;
        let leaf = world.keep(&["middle"], "leaf").await;
        let tree = world.processes();
        assert_eq!(tree.len(), 3, "{tree:?}");
        // Without a word to anybody: the sweep looks for what is left.
        drop((world, middle, leaf));
    });
}
