//! A task and the nurseries it opened.
//!
//! Owns: B1, and what becomes of errors that nobody was told of. Must not know: how children
//! are started. Invariant of what is tested: no child outlives the task that started it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{ContextCancelled, NurseryClosed, NurseryError};

use super::kit::*;
use crate::Task;

/// A leaf that waits and one that fails; `mid:main` comes from the test.
fn leaves() -> Library {
    Library::default()
        .with("leaf:wait", |task, _| forever(task))
        .with("leaf:fail", |task, _| async move { failure(&format!("{} fails", task.actor().id())) })
}

#[tokio::test(start_paused = true)]
async fn children_are_gone_before_the_outcome_is_told() {
    let journal = Arc::new(Mutex::new(None::<Journal>));
    let notes = journal.clone();
    let world = World::new(leaves().with("mid:main", move |task, kwargs| {
        let journal = notes.lock().expect("not poisoned").clone().expect("is set");
        async move {
            let nursery = task.open_nursery();
            nursery.start(spec("daemon", &["leaf"]), None).await?;
            nursery.start(spec("one", &["leaf"]), one_shot("leaf:wait")).await?;
            journal.note("returns");
            if arguments(&kwargs) { value(()) } else { failure("on purpose") }
        }
    }));
    *journal.lock().expect("not poisoned") = Some(world.broker.journal().clone());
    for well in [true, false] {
        let journal = world.broker.journal();
        let before = journal.lines().len();
        let mid = world.daemon("mid", &["mid"]).await;
        let outcome = mid.call("mid:main", kwargs("well", well)).await;
        journal.note("told");
        assert_eq!(outcome.is_ok(), well, "{outcome:?}");
        let lines = journal.lines().split_off(before);
        let place = |line: &str| lines.iter().position(|found| found == line).expect(line);
        assert!(place("returns") < place("exited daemon"), "{lines:?}");
        assert!(place("exited daemon") < place("told"), "{lines:?}");
        assert!(place("exited one") < place("told"), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_takes_its_children_with_it() {
    let world = World::new(leaves().with("mid:main", |task, _| async move {
        task.open_nursery().start(spec("leaf", &["leaf"]), None).await?;
        forever(task).await
    }));
    let mid = world.daemon("mid", &["mid"]).await;
    let call = mid.call("mid:main", Bytes::new());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.broker.alive(), 2);
    drop(call);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.broker.names(), ["mid", "operator"]);
    assert_eq!(world.actor(&mid).task_count(), 0);
    assert_eq!(world.actor(&mid).open_links(), 1, "only the one to its parent");
}

#[tokio::test(start_paused = true)]
async fn failures_nobody_was_told_of_are_raised_by_the_task() {
    let world = World::new(leaves().with("mid:main", |task, kwargs| async move {
        let nursery = task.open_nursery();
        let one = nursery.start(spec("one", &["leaf"]), one_shot("leaf:fail")).await?;
        let error = one.wait_for_result().await.expect_err("fails");
        match arguments::<String>(&kwargs).as_str() {
            "value" => value(()),
            "other" => failure("its own"),
            "same" => Err(error),
            "joined" => {
                nursery.join().await.expect_err("the same");
                value(())
            }
            _ => unreachable!("not asked for"),
        }
    }));
    let mid = world.daemon("mid", &["mid"]).await;
    let call = async |how: &str| mid.call("mid:main", kwargs("how", how)).await;

    let error = call("value").await.expect_err("the child's failure");
    assert_eq!(error.message, "one fails");
    let error = call("same").await.expect_err("the child's failure, once");
    assert_eq!((error.src_type.as_str(), error.message.as_str()), ("Oops", "one fails"));
    let error = call("other").await.expect_err("both");
    let both = error.kind::<NurseryError>().expect("several").errors;
    assert_eq!(both.iter().map(|error| error.message.as_str()).collect::<Vec<_>>(), ["its own", "one fails"]);
    assert_eq!(call("joined").await, value(()), "it was told and dealt with it");
}

#[tokio::test(start_paused = true)]
async fn a_long_task_forgets_the_nurseries_it_is_done_with() {
    let world = World::new(leaves().with("mid:main", |task, _| async move {
        let before = task.actor().handles();
        for _ in 0..100 {
            task.open_nursery().join().await?;
        }
        value(task.actor().handles() - before)
    }));
    let mid = world.daemon("mid", &["mid"]).await;
    assert_eq!(mid.call("mid:main", Bytes::new()).await, value(1), "the last one is not yet looked at");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_has_ended_can_open_nothing() {
    let kept: Arc<Mutex<Option<Task>>> = Arc::default();
    let keep = kept.clone();
    let world = World::new(leaves().with("mid:main", move |task, _| {
        *keep.lock().expect("not poisoned") = Some(task);
        async { value(()) }
    }));
    let mid = world.daemon("mid", &["mid"]).await;
    mid.call("mid:main", Bytes::new()).await.expect("ends");
    let task = kept.lock().expect("not poisoned").take().expect("was kept");
    let error = task.open_nursery().start(spec("late", &["leaf"]), None).await.expect_err("too late");
    assert!(error.is::<NurseryClosed>(), "{error}");
    assert_eq!(world.broker.names(), ["mid", "operator"]);
}

#[tokio::test(start_paused = true)]
async fn a_stubborn_task_takes_its_children_with_it_too() {
    let library = leaves().with("mid:main", |task, _| async move {
        task.open_nursery().start(spec("leaf", &["leaf"]), None).await?;
        std::future::pending().await
    });
    let world = World::new(library.clone());
    let mid = world.daemon("mid", &["mid"]).await;
    let call = mid.call("mid:main", Bytes::new());
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.actor(&mid).cancel(&id("operator"));
    let error = call.await.expect_err("cancelled");
    assert!(error.is::<ContextCancelled>(), "{error}");
    assert_eq!(library.discarded(), ["mid:main"]);
    let journal = world.broker.journal();
    world.settle().await;
    assert!(journal.place("exited leaf") < journal.place("exited mid"), "{:?}", journal.lines());
}
