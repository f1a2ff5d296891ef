//! Calls: concurrent tasks, one outcome each, whatever dies.
//!
//! Owns: C1, C4, C6, C8, C10 and the bounds on tasks. Must not know: nurseries beyond the one
//! that starts the callee. Invariant of what is tested: a call ends once, in bounded time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{
    ContextCancelled, DecodeError, Exit, FunctionNotFound, LimitExceeded, ModuleNotExposed,
};
use greenroom_wire::control::Limits;
use tokio::sync::{Barrier, Notify};
use tokio::time::Instant;

use super::kit::*;

fn squares() -> Library {
    Library::default()
        .with("math:square", |_, kwargs| async move {
            let x: i64 = arguments(&kwargs);
            value(x * x)
        })
        .with("math:fail", |_, _| async { failure("no") })
        .with("math:wait", |task, _| forever(task))
}

#[tokio::test(start_paused = true)]
async fn two_calls_are_two_concurrent_tasks() {
    let meeting = Arc::new(Barrier::new(2));
    let world = World::new(Library::default().with("meet:here", move |task, _| {
        let meeting = meeting.clone();
        async move {
            meeting.wait().await;
            value(task.id())
        }
    }));
    let leaf = world.daemon("leaf", &["meet"]).await;
    let both =
        async { tokio::join!(leaf.call("meet:here", Bytes::new()), leaf.call("meet:here", Bytes::new())) };
    let (one, two) = tokio::time::timeout(Duration::from_secs(1), both).await.expect("they meet");
    assert_ne!(one.expect("a task"), two.expect("another"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_called_is_an_error_to_that_call_only() {
    let world = World::new(squares().with("text:upper", |_, _| async { value(()) }));
    let leaf = world.daemon("leaf", &["math"]).await;
    let error = leaf.call("text:upper", Bytes::new()).await.expect_err("not enabled");
    let kind = error.kind::<ModuleNotExposed>().expect("its kind");
    assert_eq!((kind.module.as_str(), &kind.actor), ("text", &leaf.peer()));
    assert_eq!(kind.exposed, ["math:fail", "math:square", "math:wait"]);
    assert_eq!(error.relay_path, [leaf.peer().clone()]);

    let error = leaf.call("math:cube", Bytes::new()).await.expect_err("not exported");
    assert_eq!(error.kind::<FunctionNotFound>().expect("its kind").function, "cube");

    for name in ["", "square", ":square", "math:"] {
        let error = leaf.call(name, Bytes::new()).await.expect_err("no name");
        assert!(error.is::<DecodeError>(), "{name:?}: {error}");
    }
    assert_eq!(leaf.call("math:square", kwargs("x", 3)).await, value(9));
}

#[tokio::test(start_paused = true)]
async fn a_callees_death_ends_its_open_calls_with_how_it_died() {
    let world = World::new(squares());
    let leaf = world.daemon("leaf", &["math"]).await;
    let calls: Vec<_> = (0..50).map(|_| leaf.call("math:wait", Bytes::new())).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;

    let killed = Instant::now();
    world.broker.kill(&leaf.peer(), Exit::Signal(9));
    for outcome in futures_util::future::join_all(calls).await {
        assert_eq!(died(&outcome), Some(Exit::Signal(9)));
    }
    assert!(killed.elapsed() <= Limits::default().obituary, "{:?}", killed.elapsed());
    assert_eq!(died(&leaf.call("math:square", kwargs("x", 3)).await), Some(Exit::Signal(9)));
    assert!(killed.elapsed() <= Limits::default().obituary, "a new call does not fail at once");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn the_exit_notice_may_come_late_or_not_at_all() {
    let obituary = Limits::default().obituary;
    for (notice, told) in [
        (Notice::Late(obituary / 2), Exit::Code(3)),
        (Notice::Late(obituary * 2), Exit::Unknown),
        (Notice::Never, Exit::Unknown),
    ] {
        let world = World::new(squares());
        world.broker.set_notice(notice);
        let leaf = world.daemon("leaf", &["math"]).await;
        let call = leaf.call("math:wait", Bytes::new());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let killed = Instant::now();
        world.broker.kill(&leaf.peer(), Exit::Code(3));
        assert_eq!(died(&call.await), Some(told));
        // The timer counts whole milliseconds.
        assert!(killed.elapsed() <= obituary + Duration::from_millis(1), "{:?}", killed.elapsed());
        let called = Instant::now();
        assert!(died(&leaf.call("math:wait", Bytes::new()).await).is_some());
        assert_eq!(called.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_cancels_its_task_and_no_other() {
    let (ended, journal) = (Arc::new(Notify::new()), Journal::default());
    let (notify, notes) = (ended.clone(), journal.clone());
    let world = World::new(squares().with("math:witness", move |task, _| {
        let (ended, journal) = (notify.clone(), notes.clone());
        async move {
            let by = task.cancelled().await;
            journal.note(format!("cancelled by {by}"));
            ended.notify_one();
            value(())
        }
    }));
    let leaf = world.daemon("leaf", &["math"]).await;
    let kept = leaf.call("math:wait", Bytes::new());
    let dropped = leaf.call("math:witness", Bytes::new());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.actor(&leaf).task_count(), 2);
    drop(dropped);
    tokio::time::timeout(Duration::from_secs(1), ended.notified()).await.expect("is cancelled");
    assert_eq!(journal.lines(), ["cancelled by operator"]);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(world.actor(&leaf).task_count(), 1);
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_has_ended_is_forgotten() {
    let world = World::new(squares());
    let leaf = world.daemon("leaf", &["math"]).await;
    let before = world.actor(&leaf).handles();
    for x in 0..100 {
        assert_eq!(leaf.call("math:square", kwargs("x", x)).await, value(x * x));
    }
    assert_eq!(world.actor(&leaf).handles(), before);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_at_once_never_runs_on() {
    let world = World::new(squares());
    let leaf = world.daemon("leaf", &["math"]).await;
    drop(leaf.call("math:wait", Bytes::new()));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(world.actor(&leaf).task_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_cancels_the_tasks_that_came_through_it() {
    let world = World::new(squares());
    let leaf = world.daemon("leaf", &["math"]).await;
    let call = leaf.call("math:wait", Bytes::new());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let actor = world.actor(&leaf);
    assert_eq!(actor.task_count(), 1);
    world.broker.cut(&leaf.peer());
    assert_eq!(died(&call.await), Some(Exit::Unknown));
    assert_eq!(actor.task_count(), 0);
    assert_eq!(actor.open_links(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_error_tells_the_way_it_came() {
    let library = squares().with("mid:relay", |task, _| async move {
        let nursery = task.open_nursery();
        let leaf = nursery.start(spec("leaf", &["math"]), None).await?;
        leaf.call("math:fail", Bytes::new()).await
    });
    let world = World::new(library);
    let mid = world.daemon("mid", &["mid"]).await;
    let error = mid.call("mid:relay", Bytes::new()).await.expect_err("fails");
    assert_eq!((error.src_type.as_str(), error.message.as_str()), ("Oops", "no"));
    let names: Vec<_> = error.relay_path.iter().map(|actor| actor.name.as_str()).collect();
    assert_eq!(names, ["leaf", "mid"]);
    assert_eq!(error.src_actor.as_ref(), error.relay_path.first());
    assert_eq!(world.broker.names(), ["mid", "operator"], "the leaf has gone with its task");
}

#[tokio::test(start_paused = true)]
async fn the_limit_on_tasks_refuses_one_call_and_frees_with_the_next_end() {
    let world = World::within(squares(), Limits { tasks: 2, ..Limits::default() });
    let leaf = world.daemon("leaf", &["math"]).await;
    let (one, two) = (leaf.call("math:wait", Bytes::new()), leaf.call("math:wait", Bytes::new()));
    let error = leaf.call("math:square", kwargs("x", 2)).await.expect_err("the third");
    assert_eq!(error.kind(), Some(LimitExceeded { limit: "tasks".to_owned(), value: 2 }));
    assert!(leaf.call("self:describe", Bytes::new()).await.is_ok(), "the runtime itself is no task");
    drop(one);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(leaf.call("math:square", kwargs("x", 2)).await, value(4));
    drop(two);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_will_not_end_loses_its_instance_after_the_grace() {
    let library = squares().with("stuck:stay", |_, _| std::future::pending());
    let world = World::new(library.clone());
    let leaf = world.daemon("leaf", &["stuck"]).await;
    let call = leaf.call("stuck:stay", Bytes::new());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let cancelled = Instant::now();
    world.actor(&leaf).cancel(&id("operator"));
    let error = call.await.expect_err("cancelled");
    let grace = Limits::default().grace;
    assert!(cancelled.elapsed() >= grace && cancelled.elapsed() < grace * 2, "{:?}", cancelled.elapsed());
    assert!(error.is::<ContextCancelled>());
    assert_eq!(error.canceller, Some(id("operator")));
    assert_eq!(library.discarded(), ["stuck:stay"]);
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_task_only() {
    let world = World::new(squares().with("bad:panic", |_, _| async { panic!("out of {}", "luck") }));
    let leaf = world.daemon("leaf", &["bad", "math"]).await;
    let other = leaf.call("math:wait", Bytes::new());
    let error = leaf.call("bad:panic", Bytes::new()).await.expect_err("panics");
    assert_eq!((error.src_type.as_str(), error.message.as_str()), ("panic", "out of luck"));
    assert_eq!(leaf.call("math:square", kwargs("x", 3)).await, value(9));
    assert_eq!(world.actor(&leaf).task_count(), 1);
    leaf.cancel_actor().await.expect("ends");
    assert!(other.await.expect_err("cancelled").is::<ContextCancelled>());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_reading_holds_up_nobody_for_ever() {
    let world = World::new(squares());
    let leaf = world.daemon("leaf", &["math"]).await;
    world.broker.stop(&leaf.peer());
    let started = Instant::now();
    let large = Bytes::from(vec![0x00; 4 << 20]);
    let calls = (0..4).map(|_| leaf.call("math:square", large.clone()));
    for outcome in futures_util::future::join_all(calls).await {
        assert_eq!(outcome.expect_err("no answer").src_type, "StartTimeout");
    }
    assert!(started.elapsed() <= Limits::default().start * 2 + Duration::from_millis(1));
    let cancelled = Instant::now();
    leaf.cancel_actor().await.expect("is killed");
    assert!(cancelled.elapsed() < Duration::from_secs(2), "{:?}", cancelled.elapsed());
    world.settle().await;
}

/// As many as may keep a driver from being told of its own timer.
#[tokio::test(start_paused = true)]
async fn a_burst_of_calls_to_a_peer_that_hangs_ends_in_time() {
    let world = World::new(squares());
    let leaf = world.daemon("leaf", &["math"]).await;
    assert_eq!(leaf.call("math:square", kwargs("x", 2)).await, value(4));
    // The timer that was set for that call has gone off.
    tokio::time::sleep(Limits::default().start * 2).await;
    world.broker.stop(&leaf.peer());
    let calls = futures_util::future::join_all((0..500).map(|x| leaf.call("math:square", kwargs("x", x))));
    let outcomes = tokio::time::timeout(Limits::default().start * 2, calls).await.expect("in time");
    assert!(
        outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|error| error.src_type == "StartTimeout"))
    );
    leaf.cancel_actor().await.expect("is killed");
    world.settle().await;
}
