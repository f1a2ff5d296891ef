//! The end of an actor's loop.
//!
//! Owns: why it ends, and that it does so only when nothing runs any more. Must not know: what
//! the tasks do. Invariant of what is tested: a cancelled actor starts nothing new.

use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{ContextCancelled, Exit};
use greenroom_transport::{memory_channel, memory_pipe};
use greenroom_wire::Role;
use greenroom_wire::control::{self, Limits, ToActor, ToBroker};
use tokio::time::Instant;

use super::kit::*;
use crate::context::CallOptions;
use crate::link::Owner;
use crate::{Actor, End, Idle, Nursery, broker_gone};

/// An actor whose broker is played by the test; it says one thing and then nothing.
async fn told(message: Option<ToActor>) -> End {
    let (actor, outbox) = Actor::new(identity("leaf"), Limits::default(), Box::new(Idle));
    let (ours, theirs) = memory_channel();
    if let Some(message) = message {
        ours.send(packet(&message, Vec::new())).await.expect("sends");
        let ended = tokio::time::timeout(Duration::from_secs(1), actor.run(theirs, outbox)).await;
        drop(ours);
        ended.expect("ends")
    } else {
        drop(ours);
        actor.run(theirs, outbox).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_broker_decides_how_an_idle_actor_ends() {
    assert_eq!(told(Some(ToActor::Cancel { by: id("parent") })).await, End::Cancelled);
    assert_eq!(told(Some(ToActor::Exit)).await, End::Ordered);
    assert_eq!(told(None).await, End::BrokerGone);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_ends_it_too() {
    let (actor, outbox) = Actor::new(identity("leaf"), Limits::default(), Box::new(Idle));
    let (ours, theirs) = memory_channel();
    ours.send(packet(&"nonsense", Vec::new())).await.expect("sends");
    assert_eq!(actor.run(theirs, outbox).await, End::BrokerGone);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_actor_ends_after_its_last_task_and_refuses_new_ones() {
    let pause = Duration::from_millis(200);
    let world = World::new(
        Library::default()
            .with("leaf:tidy", move |task, _| async move {
                task.cancelled().await;
                tokio::time::sleep(pause).await;
                value("tidied up")
            })
            .with("leaf:seven", |_, _| async { value(7) }),
    );
    let leaf = world.daemon("leaf", &["leaf"]).await;
    let calls: Vec<_> = (0..3).map(|_| leaf.call("leaf:tidy", Bytes::new())).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let cancelled = Instant::now();
    leaf.call("self:cancel", Bytes::new()).await.expect("an owner may");
    for name in ["leaf:seven", "self:describe", "self:cancel"] {
        let error = leaf.call(name, Bytes::new()).await.expect_err("takes no more");
        assert!(error.is::<ContextCancelled>(), "{name}: {error}");
        assert_eq!(error.canceller, Some(id("operator")));
    }
    assert_eq!(world.broker.alive(), 1);
    for outcome in futures_util::future::join_all(calls).await {
        assert_eq!(outcome, value("tidied up"), "what a task ends with is told before the actor leaves");
    }
    world.settle().await;
    assert!(cancelled.elapsed() >= pause);
    assert_eq!(died(&leaf.call("leaf:seven", Bytes::new()).await), Some(Exit::Code(0)));
}

#[tokio::test(start_paused = true)]
async fn a_large_outcome_is_delivered_before_the_actor_leaves() {
    let world = World::new(Library::default().with("leaf:tidy", |task, _| async move {
        task.cancelled().await;
        Ok(Bytes::from(vec![0x41; 3 << 20]))
    }));
    let leaf = world.daemon("leaf", &["leaf"]).await;
    let call = leaf.call("leaf:tidy", Bytes::new());
    tokio::time::sleep(Duration::from_millis(200)).await;
    leaf.cancel_actor().await.expect("ends");
    assert_eq!(call.await.expect("a value").len(), 3 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_cannot_keep_an_actor() {
    let world = World::new(Library::default().with("leaf:tidy", |task, _| async move {
        task.cancelled().await;
        Ok(Bytes::from(vec![0x41; 8 << 20]))
    }));
    let leaf = world.daemon("leaf", &["leaf"]).await;
    let actor = world.actor(&leaf);
    let (cable, near, far) = Cable::lay();
    let (out, back) = (world.operator.watch_peer(&id("leaf")), actor.watch_peer(&id("stranger")));
    let stranger = world.operator.link(id("leaf"), near, out, Role::Initiator, Owner::Us).expect("links");
    actor.link(id("stranger"), far, back, Role::Acceptor, Owner::Us).expect("links");
    let _stuck = stranger.call("leaf:tidy", Bytes::new(), CallOptions::default());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(actor.task_count(), 1);
    cable.hold();
    let cancelled = Instant::now();
    leaf.cancel_actor().await.expect("ends");
    let limits = Limits::default();
    assert!(cancelled.elapsed() >= limits.grace, "it had nothing to wait for");
    assert!(cancelled.elapsed() < limits.ask, "it had to be ordered, after {:?}", cancelled.elapsed());
}

#[tokio::test(start_paused = true)]
async fn when_the_broker_is_gone_nothing_waits_for_it() {
    let (actor, outbox) = Actor::new(identity("operator"), Limits::default(), Box::new(Idle));
    let (ours, theirs) = memory_channel();
    let running = actor.clone();
    let ended = tokio::spawn(async move { running.run(theirs, outbox).await });
    let [daemons, starting] = [Nursery::open(&actor), Nursery::open(&actor)];
    let (near, _far) = memory_pipe();
    let answer = async {
        let asked = ours.receive().await.expect("receives").expect("a message");
        let ToBroker::Spawn { request, .. } = control::decode(&asked.bytes).expect("a request") else {
            panic!("a spawn")
        };
        let spawned = ToActor::Spawned { request, result: Ok(id("leaf")) };
        ours.send(packet(&spawned, vec![near])).await.expect("sends");
    };
    let (leaf, ()) = tokio::join!(daemons.start(spec("leaf", &["leaf"]), None), answer);
    let leaf = leaf.expect("starts");
    let other = starting.clone();
    let start = tokio::spawn(async move { other.start(spec("late", &["leaf"]), None).await });
    let cancel = tokio::spawn(async move { leaf.cancel_actor().await });
    tokio::time::sleep(Duration::from_secs(1)).await;

    let lost = Instant::now();
    drop(ours);
    let all = async {
        assert_eq!(ended.await.expect("no panic"), End::BrokerGone);
        assert_eq!(start.await.expect("no panic").expect_err("not answered"), Box::new(broker_gone()));
        assert_eq!(cancel.await.expect("no panic").expect_err("not answered"), Box::new(broker_gone()));
        daemons.join().await.expect("its end was asked for");
        starting.join().await.expect("told already");
        let late = Nursery::open(&actor).start(spec("later", &["leaf"]), None).await;
        assert_eq!(late.expect_err("nobody hears it"), Box::new(broker_gone()));
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("nothing waits");
    assert_eq!(lost.elapsed(), Duration::ZERO);
}
