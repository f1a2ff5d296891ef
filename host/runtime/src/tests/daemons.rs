//! Daemons: what their ends mean to the nursery they were started in.
//!
//! Owns: B5, and B6 as far as it concerns daemons. Must not know: one-shots. Invariant of what
//! is tested: only an end that nobody asked for is a failure.

use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{ActorDied, ContextCancelled, Exit};

use super::kit::*;

fn library() -> Library {
    Library::default()
        .with("leaf:wait", |task, _| forever(task))
        .with("leaf:fail", |_, _| async { failure("no") })
}

#[tokio::test(start_paused = true)]
async fn joining_waits_for_daemons() {
    let world = World::new(library());
    let nursery = world.nursery();
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    tokio::time::timeout(Duration::from_secs(3600), nursery.join()).await.expect_err("it lives");
    leaf.call("self:cancel", Bytes::new()).await.expect("may");
    tokio::time::timeout(Duration::from_secs(1), nursery.join()).await.expect("it ends").expect("gracefully");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_daemons_and_the_calls_in_them() {
    let world = World::new(library());
    let nursery = world.nursery();
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    let call = leaf.call("leaf:wait", Bytes::new());
    tokio::time::sleep(Duration::from_millis(200)).await;
    nursery.cancel().await.expect("no failure");
    let error = call.await.expect_err("cancelled");
    assert!(error.is::<ContextCancelled>(), "{error}");
    assert_eq!(error.canceller, Some(id("operator")));
    assert_eq!(died(&leaf.call("leaf:wait", Bytes::new()).await), Some(Exit::Code(0)));
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_nursery_ends_its_daemons() {
    let world = World::new(library());
    let nursery = world.nursery();
    let _leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    nursery.abandon();
    world.settle().await;
    nursery.join().await.expect("no failure");
}

#[tokio::test(start_paused = true)]
async fn a_daemons_death_fails_the_nursery_and_ends_the_rest() {
    let world = World::new(library());
    let nursery = world.nursery();
    let one = nursery.start(spec("one", &["leaf"]), None).await.expect("starts");
    let two = nursery.start(spec("two", &["leaf"]), None).await.expect("starts");
    world.broker.kill(&one.peer(), Exit::Signal(6));
    let error = nursery.join().await.expect_err("a death");
    assert_eq!(error.kind(), Some(ActorDied { actor: one.peer(), exit: Exit::Signal(6) }));
    assert_eq!(died(&two.call("leaf:wait", Bytes::new()).await), Some(Exit::Code(0)), "cancelled with it");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn ending_a_daemon_through_its_portal_is_no_failure() {
    let world = World::new(library());
    let nursery = world.nursery();
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    let stopped = nursery.start(spec("stopped", &["leaf"]), None).await.expect("starts");
    world.broker.stop(&stopped.peer());
    leaf.cancel_actor().await.expect("is gone");
    stopped.cancel_actor().await.expect("is killed");
    assert_eq!(died(&stopped.call("leaf:wait", Bytes::new()).await), Some(Exit::Signal(9)));
    nursery.join().await.expect("no failure");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn an_error_in_a_daemons_task_is_its_callers_alone() {
    let world = World::new(library());
    let nursery = world.nursery();
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    for _ in 0..3 {
        assert_eq!(leaf.call("leaf:fail", Bytes::new()).await.expect_err("fails").message, "no");
    }
    assert_eq!(world.broker.alive(), 1);
    nursery.cancel().await.expect("no failure of the nursery");
}
