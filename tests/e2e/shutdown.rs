//! Ending trees whose actors are all talking.
//!
//! Owns: how soon C8 and D7 end a tree with open streams, and in which order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use greenroom::{CallOptions, Context, StreamOptions, payload};
use greenroom_tests::{Exits, Left, World, say, undisturbed, until};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::metronome::Metronome;

/// The tree: a root, `FANOUT` actors below it, and as many below each of those.
const DEPTH: u32 = 2;
const FANOUT: usize = 4;

/// How many streams it has: one to each actor but the root, and one from the operator to that.
const STREAMS: usize = 1 + FANOUT + FANOUT * FANOUT;

/// What ending it may take, until the last process is gone.
const BOUND: Duration = Duration::from_millis(100);

/// How often it is ended each way within the bound, and how often it may take longer: a machine that
/// has other work keeps twenty processes from running. A host that is slow is always slow.
const ROUNDS: usize = 10;
const DISTURBED: usize = 10;

/// How long between two messages in each direction of each stream.
const PAUSE: Duration = Duration::from_micros(1000);

/// A tree all of whose streams flow, and the operator's context with its root.
struct Tree {
    context: Context,
    flows: [JoinHandle<()>; 2],
}

impl Tree {
    async fn grow(world: &World) -> Self {
        let flowing = || world.logged().iter().filter(|line| *line == "branch: flowing").count();
        let before = flowing();
        let branch = json!({"depth": DEPTH, "fanout": FANOUT, "pause_us": PAUSE.as_micros()});
        let kwargs = payload::encode(&branch).expect("it can be encoded").into();
        let opened = world.root().open_context("faults/branches:branch", kwargs, CallOptions::default());
        let (context, _) = opened.await.expect("it starts");
        let stream = Arc::new(context.open_stream(StreamOptions::default()).expect("the first time"));
        let (sender, receiver) = (stream.clone(), stream);
        let number: Bytes = payload::encode(&3_u64).expect("it can be encoded").into();
        let send = tokio::spawn(async move {
            while sender.send(number.clone()).await.is_ok() {
                tokio::time::sleep(PAUSE).await;
            }
        });
        let receive =
            tokio::spawn(async move { while receiver.receive().await.is_ok_and(|some| some.is_some()) {} });
        // Both ends of all of them have received, but the operator's, which logs nothing.
        until("all streams flow", Duration::from_secs(10), async || {
            (flowing() == before + 2 * STREAMS - 1).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        Self { context, flows: [send, receive] }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.flows.iter().for_each(JoinHandle::abort);
    }
}

/// Each left by itself, and after all below it, whose names begin with its own.
fn assert_in_order(gone: &[Left]) {
    for (number, left) in gone.iter().enumerate() {
        assert!(left.is_graceful(), "{}", left.words());
        let below = format!("{}_", left.actor());
        let later = gone[number..].iter().find(|later| later.actor().starts_with(&below));
        assert!(later.is_none(), "`{}` left before `{}`", left.actor(), later.map_or("", Left::actor));
    }
}

/// Ends a tree, and gives how long that took until the last process was gone, and until the
/// operator was told.
async fn end(
    exits: &Exits,
    metronome: &Metronome,
    processes: usize,
    end: impl Future<Output = ()>,
) -> Duration {
    assert!(exits.take().iter().all(Left::is_graceful), "nobody has left before");
    metronome.stall();
    let began = Instant::now();
    end.await;
    let told = began.elapsed();
    until("all are gone", Duration::from_secs(5), async || (exits.count() >= processes).then_some(())).await;
    let gone = exits.take();
    let last = gone.iter().map(Left::at).max().expect("some were there").saturating_duration_since(began);
    say(&format!(
        "{} processes were gone after {last:?}, which was told after {told:?}; the machine stalled for {:?}",
        gone.len(),
        metronome.stall(),
    ));
    assert_eq!(gone.len(), processes);
    assert_in_order(&gone);
    last.max(told)
}

/// How long each end took, until there are enough within the bound.
#[derive(Debug, Default)]
struct Rounds(Vec<Duration>);

impl Rounds {
    fn go_on(&self) -> bool {
        let slow = self.0.iter().filter(|took| **took > BOUND).count();
        assert!(slow <= DISTURBED, "{slow} times not within {BOUND:?}: {:?}", self.0);
        self.0.len() - slow < ROUNDS
    }
}

#[test]
fn c8_cancelling_the_root_call_ends_a_tree_with_open_streams() {
    undisturbed(async |place| {
        let (exits, metronome, world) = (Exits::record(), Metronome::start(), World::new(place).await);
        let mut rounds = Rounds::default();
        while rounds.go_on() {
            let tree = Tree::grow(&world).await;
            let cancelled = async { tree.context.cancel().await.expect("the call can be cancelled") };
            // The root itself was not started by the call, and goes on.
            rounds.0.push(end(&exits, &metronome, STREAMS - 1, cancelled).await);
            assert!(world.processes().into_keys().eq(["root".to_owned()]));
        }
        world.end().await;
    });
}

#[test]
fn d7_cancelling_the_root_ends_a_tree_with_open_streams() {
    undisturbed(async |place| {
        let (exits, metronome) = (Exits::record(), Metronome::start());
        let mut rounds = Rounds::default();
        while rounds.go_on() {
            let world = World::new(place).await;
            let tree = Tree::grow(&world).await;
            let cancelled = async { world.root().cancel_actor().await.expect("the root can be cancelled") };
            rounds.0.push(end(&exits, &metronome, STREAMS, cancelled).await);
            assert!(world.processes().is_empty());
            drop(tree);
            world.end().await;
        }
    });
}
