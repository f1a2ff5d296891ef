//! One cancels all: failures of one-shots, alone and many.
//!
//! Owns: B6 for one-shots. Must not know: daemons. Invariant of what is tested: every failure
//! is raised once, and no cancellation is mistaken for one.

use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::RemoteError;
use greenroom_abi::kind::{ContextCancelled, NurseryClosed, NurseryError, SpawnFailed};
use tokio::time::Instant;

use super::kit::*;
use crate::{Nursery, Task};

fn library() -> Library {
    Library::default()
        .with("leaf:wait", |task, _| forever(task))
        .with("leaf:seven", |_, _| async { value(7) })
        .with("leaf:fail", |task, _| async move { failure(&format!("{} fails", task.actor().id())) })
        .with("leaf:fail_later", |_, _| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            failure("late")
        })
}

fn messages(error: &RemoteError) -> Vec<String> {
    let errors = error.kind::<NurseryError>().expect("several").errors;
    errors.into_iter().map(|error| error.message).collect()
}

#[tokio::test(start_paused = true)]
async fn one_failure_cancels_the_others_and_stands_alone() {
    let world = World::new(library());
    let nursery = world.nursery();
    let waits = nursery.start(spec("waits", &["leaf"]), one_shot("leaf:wait")).await.expect("starts");
    let _fails = nursery.start(spec("fails", &["leaf"]), one_shot("leaf:fail_later")).await.expect("starts");
    let begun = Instant::now();
    let error = nursery.join().await.expect_err("one fails");
    assert_eq!(error.message, "late");
    assert!(begun.elapsed() < Duration::from_secs(2));
    let cancelled = waits.wait_for_result().await.expect_err("cancelled");
    assert!(cancelled.is::<ContextCancelled>());
    assert_eq!(cancelled.canceller, Some(id("operator")));
    assert_eq!(nursery.join().await.expect_err("the same each time"), error);
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn all_well_is_well() {
    let world = World::new(library());
    let nursery = world.nursery();
    for number in 0..5 {
        nursery
            .start(spec(&format!("leaf_{number}"), &["leaf"]), one_shot("leaf:seven"))
            .await
            .expect("starts");
    }
    nursery.join().await.expect("well");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_nursery_takes_no_more_daemons() {
    let world = World::new(library());
    let nursery = world.nursery();
    let fails = nursery.start(spec("fails", &["leaf"]), one_shot("leaf:fail")).await.expect("starts");
    fails.wait_for_result().await.expect_err("fails");
    let error = nursery.start(spec("late", &["leaf"]), None).await.expect_err("is failing");
    assert!(error.is::<NurseryClosed>(), "{error}");
    nursery.join().await.expect_err("failed");
}

#[tokio::test(start_paused = true)]
async fn a_failing_nursery_gives_up_the_daemon_that_is_starting() {
    let world = World::new(library());
    let nursery = world.nursery();
    let _fails = nursery.start(spec("fails", &["leaf"]), one_shot("leaf:fail_later")).await.expect("starts");
    world.broker.set_startup(Duration::from_secs(5));
    let begun = Instant::now();
    let error = nursery.start(spec("late", &["leaf"]), None).await.expect_err("is given up");
    assert!(error.is::<SpawnFailed>(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(nursery.join().await.expect_err("the one failure").message, "late");
    assert!(world.broker.journal().lines().contains(&"abandoned late".to_owned()));
    world.settle().await;
}

async fn twenty_five(nursery: &Nursery, at_once: bool) -> RemoteError {
    let starts = (0..25)
        .map(|number| nursery.start(spec(&format!("leaf_{number:02}"), &["leaf"]), one_shot("leaf:fail")));
    if at_once {
        for started in futures_util::future::join_all(starts).await {
            started.expect("starts");
        }
    } else {
        for start in starts {
            start.await.expect("starts, though others have failed");
        }
    }
    *nursery.join().await.expect_err("all fail")
}

#[tokio::test(start_paused = true)]
async fn twenty_five_that_fail_while_being_started_are_twenty_five_failures() {
    for at_once in [true, false] {
        for startup in [0, 30] {
            let world = World::new(library());
            world.broker.set_startup(Duration::from_millis(startup));
            let error = twenty_five(&world.nursery(), at_once).await;
            let mut found = messages(&error);
            found.sort();
            let wanted: Vec<_> = (0..25).map(|number| format!("leaf_{number:02} fails")).collect();
            assert_eq!(found, wanted, "at once: {at_once}, startup: {startup} ms");
            world.settle().await;
        }
    }
}

/// Starts two failing children, named after their level, and raises what they come to.
async fn two_below(task: Task, module: &'static str, function: &'static str) -> crate::Outcome {
    let nursery = task.open_nursery();
    for side in ["left", "right"] {
        nursery.start(spec(side, &[module]), one_shot(function)).await?;
    }
    nursery.join().await?;
    value(())
}

#[tokio::test(start_paused = true)]
async fn nested_failures_keep_their_levels() {
    let world = World::new(
        library()
            .with("mid:main", |task, _| two_below(task, "leaf", "leaf:fail"))
            .with("top:main", |task, _| two_below(task, "mid", "mid:main")),
    );
    let top = world.daemon("top", &["top"]).await;
    let error = top.call("top:main", Bytes::new()).await.expect_err("fails");
    let mids = error.kind::<NurseryError>().expect("two mids").errors;
    assert_eq!(mids.len(), 2, "{error}");
    for mid in mids {
        assert_eq!(messages(&mid), ["left fails", "right fails"]);
        assert_eq!(mid.relay_path.len(), 1, "raised by the one that ran the nursery");
        for leaf in mid.kind::<NurseryError>().expect("two leaves").errors {
            assert_eq!(leaf.relay_path.len(), 1, "{leaf}");
        }
    }
    assert_eq!(world.broker.names(), ["top", "operator"]);
}

#[tokio::test(start_paused = true)]
async fn cancelling_raises_failures_but_not_its_own_doing() {
    let world = World::new(library().with("leaf:spite", |task, _| async move {
        task.cancelled().await;
        failure("out of spite")
    }));
    let nursery = world.nursery();
    for function in ["leaf:wait", "leaf:spite", "leaf:wait"] {
        nursery.start(spec("leaf", &["leaf"]), one_shot(function)).await.expect("starts");
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(nursery.cancel().await.expect_err("one fails").message, "out of spite");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_one_shots_cancellation_by_another_is_a_failure() {
    let world = World::new(library());
    let nursery = world.nursery();
    let leaf = nursery.start(spec("leaf", &["leaf"]), one_shot("leaf:wait")).await.expect("starts");
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.actor(&leaf).cancel(&id("stranger"));
    let error = nursery.join().await.expect_err("not asked for by the nursery's owner");
    assert!(error.is::<ContextCancelled>());
    assert_eq!(error.canceller, Some(id("stranger")));
}
