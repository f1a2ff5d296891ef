//! SIGKILL, at any moment, to any process of a tree.
//!
//! Owns: how soon calls end then, with what, and what is left. The moments are random, drawn from
//! fixed seeds.

use std::time::{Duration, Instant};

use greenroom::{Limits, RemoteError};
use greenroom_tests::kind::{ActorDied, Exit};
use greenroom_tests::{
    Begun, Command, Options, Place, Signal, World, actors, alone, kill, undisturbed, until, until_now,
};
use serde_json::json;

use crate::metronome::Metronome;

/// How often each kind of process is killed.
const KILLS: u32 = 100;

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
    let what = format!("`{victim}`, after {moment:?}: the last open call ended");
    metronome.assert_soon(last.duration_since(killed), &what);
    let errors = ends.into_iter().map(|(error, _)| error).chain([refused]);
    // One that began after the death may find that its callee has been taken off the stage.
    for error in errors.filter(|error| !error.message.starts_with("there is no child")) {
        assert_died(&error, name);
    }
}

/// One whose actors may be started as fast as they are killed.
async fn world(place: &Place) -> World {
    let limits = Limits { spawn_rate: 1000, ..Limits::default() };
    World::with(place, Options { limits, ..Options::default() }).await
}

#[test]
fn c6_calls_end_when_a_leaf_is_killed() {
    undisturbed(async |place| {
        let (world, metronome, mut random) = (world(place).await, Metronome::start(), Random(0x1eaf));
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
        let (world, metronome, mut random) = (world(place).await, Metronome::start(), Random(0x3_1dd1e));
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
            let world = world(place).await;
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

/// Whether an actor has raised its last wall: it is past its first instructions then.
fn has_walls(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains("Seccomp:\t2"))
}

#[test]
fn a3_an_actor_that_is_stopped_does_not_outlive_its_broker() {
    alone(async |place| {
        place.adopt();
        let command = Command::run(place, "faults", &["function=wait"]);
        until_now("root, middle and leaf are there", Duration::from_secs(10), || {
            let actors = command.actors();
            (actors.len() == 3 && actors.iter().all(|(_, pid)| has_walls(*pid))).then_some(())
        });
        // What is stopped reads nothing, and so does not come to the end of anything.
        for (_, pid) in command.actors() {
            kill(pid, Signal::STOP);
        }
        let tree = command.tree().to_owned();
        command.signal(Signal::KILL);
        assert_eq!(command.finish(Duration::from_secs(1)).signal, Some(9));
        until_now("every actor is gone", Duration::from_secs(1), || actors(&tree).is_empty().then_some(()));
    });
}

#[test]
fn a3_nothing_outlives_an_actor_that_is_killed_while_it_starts_others() {
    undisturbed(async |place| {
        let (world, mut random) = (world(place).await, Random(0x57a7));
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
        let world = world(place).await;
        let middle = world.keep(&[], "middle").await;
        let leaf = world.keep(&["middle"], "leaf").await;
        let tree = world.processes();
        assert_eq!(tree.len(), 3, "{tree:?}");
        // Without a word to anybody: the sweep looks for what is left.
        drop((world, middle, leaf));
    });
}
