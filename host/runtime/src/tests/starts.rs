//! Starting children, and giving up on it.
//!
//! Owns: B2, B3, B4 and what a dropped or abandoned start leaves: nothing. Must not know:
//! failures of running children. Invariant of what is tested: whoever is started is held by
//! somebody or ended.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{NoResult, NurseryClosed, SpawnFailed};

use super::kit::*;

fn library() -> Library {
    Library::default()
        .with("leaf:wait", |task, _| forever(task))
        .with("leaf:fail", |_, _| async { failure("no") })
        .with("leaf:seven", |_, _| async { value(7) })
}

#[tokio::test(start_paused = true)]
async fn a_child_without_its_module_is_an_error_and_no_actor() {
    let world = World::new(library());
    let nursery = world.nursery();
    let error = nursery.start(spec("leaf", &["nothing"]), None).await.expect_err("no such module");
    assert_eq!(error.kind::<SpawnFailed>().expect("its kind").name, "leaf");
    nursery.join().await.expect("a daemon that could not be started is its starter's affair");
    let nursery = world.nursery();
    let error = nursery.start(spec("leaf", &["nothing"]), one_shot("nothing:f")).await.expect_err("likewise");
    let joined = nursery.join().await.expect_err("a task that could not be done has failed");
    assert_eq!(joined, error);
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_one_shot_ends_with_its_task_and_keeps_its_result() {
    let world = World::new(library());
    let nursery = world.nursery();
    let seven = nursery.start(spec("seven", &["leaf"]), one_shot("leaf:seven")).await.expect("starts");
    assert_eq!(seven.wait_for_result().await, value(7));
    nursery.join().await.expect("well");
    world.settle().await;
    assert_eq!(seven.wait_for_result().await, value(7), "also after the nursery's end");
    assert_eq!(seven.clone().wait_for_result().await, value(7));

    let nursery = world.nursery();
    let fails = nursery.start(spec("fails", &["leaf"]), one_shot("leaf:fail")).await.expect("starts");
    let first = fails.wait_for_result().await;
    assert_eq!(first.as_ref().expect_err("fails").message, "no");
    assert_eq!(nursery.join().await.expect_err("the same"), first.clone().expect_err("fails"));
    assert_eq!(fails.wait_for_result().await, first);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_has_no_result() {
    let world = World::new(library());
    let leaf = world.daemon("leaf", &["leaf"]).await;
    let error = leaf.wait_for_result().await.expect_err("none");
    assert_eq!(&error.kind::<NoResult>().expect("its kind").actor, &leaf.peer());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_start_cancels_the_child() {
    for one in [None, one_shot("leaf:wait")] {
        let world = World::new(library());
        world.broker.set_startup(Duration::from_millis(100));
        let nursery = world.nursery();
        let start = nursery.start(spec("leaf", &["leaf"]), one);
        tokio::time::timeout(Duration::from_millis(50), start).await.expect_err("still starting");
        tokio::time::timeout(Duration::from_secs(2), nursery.join())
            .await
            .expect("ends")
            .expect("no failure");
        world.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_dropped_with_its_portal_unseen_cancels_the_child() {
    for one in [None, one_shot("leaf:wait")] {
        let world = World::new(library());
        let nursery = world.nursery();
        {
            let mut start = pin!(nursery.start(spec("leaf", &["leaf"]), one));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(matches!(start.as_mut().poll(&mut cx), Poll::Pending));
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_eq!(world.broker.alive(), 1, "it is up, and its portal waits to be taken");
        }
        tokio::time::timeout(Duration::from_secs(2), nursery.join())
            .await
            .expect("ends")
            .expect("no failure");
        world.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn abandoning_a_nursery_gives_up_the_child_that_is_starting() {
    for one in [None, one_shot("leaf:wait")] {
        let world = World::new(library());
        world.broker.set_startup(Duration::from_millis(100));
        let nursery = world.nursery();
        let other = nursery.clone();
        let start = tokio::spawn(async move { other.start(spec("leaf", &["leaf"]), one).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        nursery.abandon();
        let error = start.await.expect("no panic").expect_err("given up");
        assert!(error.is::<SpawnFailed>(), "{error}");
        assert!(world.broker.journal().lines().contains(&"abandoned leaf".to_owned()));
        nursery.join().await.expect("giving up is no failure");
        world.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_dies_while_starting_is_told_with_its_exit() {
    let world = World::new(library());
    world.broker.set_startup(Duration::from_millis(100));
    let nursery = world.nursery();
    let other = nursery.clone();
    let start = tokio::spawn(async move { other.start(spec("leaf", &["leaf"]), None).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let leaf = world.broker.named("leaf").remove(0);
    world.broker.kill(&leaf, greenroom_abi::kind::Exit::Signal(11));
    let error = start.await.expect("no panic").expect_err("died");
    assert_eq!(
        error.kind::<SpawnFailed>().expect("its kind").exit,
        Some(greenroom_abi::kind::Exit::Signal(11))
    );
    nursery.join().await.expect("told already");
}

#[tokio::test(start_paused = true)]
async fn a_closed_nursery_starts_nothing() {
    let world = World::new(library());
    let nursery = world.nursery();
    nursery.join().await.expect("empty");
    for one in [None, one_shot("leaf:seven")] {
        let error = nursery.start(spec("leaf", &["leaf"]), one).await.expect_err("closed");
        assert!(error.is::<NurseryClosed>(), "{error}");
    }
    assert!(world.broker.journal().lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_nursery_of_a_stopped_one_shot_takes_no_longer_than_the_ladder() {
    let world = World::new(library());
    world.broker.set_startup(Duration::from_millis(100));
    let nursery = world.nursery();
    let other = nursery.clone();
    let start =
        tokio::spawn(async move { other.start(spec("stopped", &["leaf"]), one_shot("leaf:wait")).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let bad = nursery.start(spec("bad", &["nothing"]), one_shot("nothing:f")).await;
    assert!(bad.is_err(), "the nursery fails from here on");
    let portal = start.await.expect("no panic").expect("starts");
    world.broker.stop(&portal.peer());
    tokio::time::sleep(Duration::from_millis(1)).await;
    let error = tokio::time::timeout(Duration::from_secs(2), nursery.cancel()).await.expect("in time");
    assert!(error.expect_err("the bad one").is::<SpawnFailed>());
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_through_a_one_shots_portal_is_one_more_task() {
    let world = World::new(library());
    let nursery = world.nursery();
    let leaf = nursery.start(spec("leaf", &["leaf"]), one_shot("leaf:wait")).await.expect("starts");
    assert_eq!(leaf.call("leaf:seven", Bytes::new()).await, value(7));
    nursery.cancel().await.expect("its own doing");
}
