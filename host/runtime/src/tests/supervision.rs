//! Supervised nurseries.
//!
//! Owns: B7 beyond the matrix: pauses, intensity, portals that follow, ends in the middle of a
//! restart. Must not know: which strategy restarts whom. Invariant of what is tested: whoever
//! waits for a child that is started again gets an answer, and nothing is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{
    ActorDied, ContextCancelled, Exit, LimitExceeded, NoResult, RestartIntensityExceeded, SpawnFailed,
};
use tokio::time::Instant;

use super::kit::*;
use crate::{CallOptions, Portal, Restart, Strategy, Supervision};

fn library() -> Library {
    Library::default()
        .with("leaf:wait", |task, _| forever(task))
        .with("leaf:who", |task, _| async move { value(task.actor().id()) })
        .with("leaf:fail", |_, _| async { failure("no") })
}

#[tokio::test(start_paused = true)]
async fn b7_past_the_intensity_the_nursery_fails_with_the_history() {
    let world = World::new(library());
    let nursery = world.supervised(Supervision::default());
    let other = nursery.start(spec("other", &["leaf"]), None).await.expect("starts");
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    let mut deaths = Vec::new();
    for signal in 1..=4 {
        let (actor, exit) = (leaf.peer(), Exit::Signal(signal));
        world.broker.kill(&actor, exit.clone());
        deaths.push(ActorDied { actor, exit });
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let error = nursery.join().await.expect_err("too often");
    let exceeded = error.kind::<RestartIntensityExceeded>().expect("its kind");
    assert_eq!((exceeded.child.as_str(), exceeded.restarts, exceeded.within_ms), ("leaf", 3, 5000));
    let history: Vec<_> =
        exceeded.history.iter().map(|error| error.kind::<ActorDied>().expect("a death")).collect();
    assert_eq!(history, deaths);
    for portal in [other, leaf] {
        assert!(died(&portal.call("leaf:who", Bytes::new()).await).is_some());
    }
    world.settle().await;
}

const MS: Duration = Duration::from_millis(1);

/// Long pauses, so that something can happen in them.
fn slow() -> Supervision {
    Supervision { backoff: MS * 400, ..Supervision::default() }
}

async fn who(portal: &Portal) -> crate::Outcome {
    portal.call("leaf:who", Bytes::new()).await
}

#[tokio::test(start_paused = true)]
async fn b7_pauses_double_up_to_the_longest() {
    let world = World::new(library());
    let rules =
        Supervision { intensity: 6, within: MS * 60_000, max_backoff: MS * 100, ..Supervision::default() };
    let nursery = world.supervised(rules);
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    for pause in [10, 20, 40, 80, 100, 100] {
        let former = leaf.peer();
        world.broker.kill(&former, Exit::Signal(9));
        let killed = Instant::now();
        leaf.closed().await;
        who(&leaf).await.expect("waits for the next");
        let waited = killed.elapsed();
        assert!(waited >= MS * pause && waited <= MS * (pause + 2), "{waited:?} instead of {pause} ms");
        assert_ne!(leaf.peer(), former);
    }
    nursery.cancel().await.expect("well");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_a_portal_follows_and_only_calls_in_flight_fail() {
    let world = World::new(library());
    let nursery = world.supervised(slow());
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    let (clone, former) = (leaf.clone(), leaf.peer());
    let in_flight = leaf.call("leaf:wait", Bytes::new());
    tokio::time::sleep(MS).await;
    world.broker.kill(&former, Exit::Signal(9));
    assert_eq!(died(&in_flight.await), Some(Exit::Signal(9)));

    let called = Instant::now();
    let [first, second] = [&leaf, &clone].map(|portal| portal.call("leaf:who", Bytes::new()));
    assert_eq!(leaf.peer(), former, "until there is another");
    let (first, second) = tokio::join!(first, second);
    assert!(called.elapsed() >= MS * 400, "{:?}", called.elapsed());
    assert_eq!((&first, &second), (&value(leaf.peer()), &value(clone.peer())));
    assert_ne!(leaf.peer(), former);

    nursery.cancel().await.expect("well");
    let late = tokio::time::timeout(MS, who(&clone)).await.expect("at once");
    assert_eq!(died(&late), Some(Exit::Code(0)));
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_calls_in_flight_to_those_ended_with_another_fail_as_its_do() {
    for notice in [Notice::AtOnce, Notice::Late(MS * 20)] {
        let world = World::new(library().with("leaf:tidy", |task, _| async move {
            task.cancelled().await;
            value("tidied up")
        }));
        world.broker.set_notice(notice);
        let nursery =
            world.supervised(Supervision { strategy: Strategy::OneForAll, ..Supervision::default() });
        let one = nursery.start(spec("one", &["leaf"]), None).await.expect("starts");
        let two = nursery.start(spec("two", &["leaf"]), None).await.expect("starts");
        let [cancelled, tidied] = ["leaf:wait", "leaf:tidy"].map(|name| two.call(name, Bytes::new()));
        tokio::time::sleep(MS).await;
        world.broker.kill(&one.peer(), Exit::Signal(9));
        let (cancelled, tidied) = tokio::join!(cancelled, tidied);
        assert_eq!(died(&cancelled), Some(Exit::Code(0)), "nobody who called it has cancelled it");
        assert_eq!(tidied, value("tidied up"), "what it came to is told");
        assert_eq!(who(&two).await, value(two.peer()));
        nursery.cancel().await.expect("well");
        world.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn b7_whoever_ends_by_itself_while_others_are_ended_is_done() {
    let world = World::new(library().with("leaf:soon", |_, _| async {
        tokio::time::sleep(MS * 300).await;
        value("done")
    }));
    let nursery = world.supervised(Supervision { strategy: Strategy::OneForAll, ..Supervision::default() });
    let one = nursery.start(spec("one", &["leaf"]), None).await.expect("starts");
    let soon = nursery.start(spec("soon", &["leaf"]), one_shot("leaf:soon")).await.expect("starts");
    let stubborn = nursery.start(spec("stubborn", &["leaf"]), None).await.expect("starts");
    world.broker.stop(&stubborn.peer());
    world.broker.kill(&one.peer(), Exit::Signal(9));
    assert_eq!(soon.wait_for_result().await, value("done"));
    assert_eq!(who(&stubborn).await, value(stubborn.peer()), "it took the ladder to end it");
    let lines = world.broker.journal().lines();
    assert_eq!(lines.iter().filter(|line| *line == "started soon").count(), 1, "{lines:?}");
    nursery.cancel().await.expect("well");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_calls_to_whoever_is_on_the_way_out_for_good_do_not_wait() {
    let world = World::new(library());
    let nursery = world.supervised(Supervision::default());
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    world.broker.stop(&leaf.peer());
    let ending = leaf.clone();
    let ending = tokio::spawn(async move { ending.cancel_actor().await });
    tokio::time::sleep(MS).await;
    world.broker.cut(&leaf.peer());
    tokio::time::sleep(MS).await;
    assert!(died(&tokio::time::timeout(MS, who(&leaf)).await.expect("at once")).is_some());
    ending.await.expect("no panic").expect("may");
    nursery.join().await.expect("no failure");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_a_call_dropped_while_it_waits_is_not_made() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let world = World::new(library().with("leaf:count", move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { value(()) }
    }));
    let nursery = world.supervised(slow());
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    world.broker.kill(&leaf.peer(), Exit::Signal(9));
    leaf.closed().await;
    let [dropped, kept] = [(), ()].map(|()| leaf.call("leaf:count", Bytes::new()));
    drop(dropped);
    kept.await.expect("is made");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    nursery.cancel().await.expect("well");
}

#[tokio::test(start_paused = true)]
async fn b7_a_nursery_that_closes_cuts_the_pause_and_ends_those_who_wait() {
    for abandoned in [false, true] {
        let world = World::new(library());
        let nursery =
            world.supervised(Supervision { backoff: MS * 60_000, max_backoff: MS * 60_000, ..slow() });
        let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
        let main = nursery.start(spec("main", &["leaf"]), one_shot("leaf:wait")).await.expect("starts");
        world.broker.kill(&leaf.peer(), Exit::Signal(9));
        leaf.closed().await;
        let waits = leaf.call("leaf:who", Bytes::new());
        tokio::time::sleep(MS * 100).await;
        let closing = Instant::now();
        if abandoned {
            nursery.abandon();
        } else {
            nursery.cancel().await.expect("its failure was being dealt with");
        }
        assert_eq!(died(&waits.await), Some(Exit::Signal(9)));
        assert!(main.wait_for_result().await.expect_err("cancelled").is::<ContextCancelled>());
        world.settle().await;
        assert!(closing.elapsed() < MS * 2000, "{:?}", closing.elapsed());
        assert_eq!(world.broker.journal().lines().iter().filter(|line| *line == "started leaf").count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn b7_a_nursery_that_closes_gives_up_the_start_in_the_middle_of_a_group() {
    let world = World::new(library());
    // One failure more would be too many: giving up a start is none.
    let nursery = world.supervised(Supervision { strategy: Strategy::OneForAll, intensity: 1, ..slow() });
    let mut portals = Vec::new();
    for name in ["one", "two", "three"] {
        portals.push(nursery.start(spec(name, &["leaf"]), None).await.expect("starts"));
    }
    world.broker.set_startup(MS * 100);
    world.broker.kill(&portals[1].peer(), Exit::Signal(9));
    portals[1].closed().await;
    // Past the pause and the start of the first, in the start of the second.
    tokio::time::sleep(MS * 550).await;
    nursery.cancel().await.expect("well");
    let lines = world.broker.journal().lines();
    assert!(lines.contains(&"abandoned two".to_owned()), "{lines:?}");
    assert!(!lines.contains(&"abandoned three".to_owned()), "not even asked for: {lines:?}");
    for portal in &portals {
        assert!(died(&tokio::time::timeout(MS, who(portal)).await.expect("at once")).is_some());
    }
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_a_restart_that_fails_counts_as_a_failure() {
    let world = World::new(library());
    let nursery = world.supervised(Supervision::default());
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    world.broker.refuse_next("leaf", 2);
    world.broker.kill(&leaf.peer(), Exit::Signal(9));
    leaf.closed().await;
    let killed = Instant::now();
    assert_eq!(who(&leaf).await, value(leaf.peer()), "the third start succeeds");
    assert!(killed.elapsed() >= MS * (10 + 20 + 40), "{:?}", killed.elapsed());

    world.broker.kill(&leaf.peer(), Exit::Signal(6));
    let error = nursery.join().await.expect_err("the fourth");
    let history = error.kind::<RestartIntensityExceeded>().expect("its kind").history;
    let kinds: Vec<_> = history.iter().map(|error| error.src_type.as_str()).collect();
    assert_eq!(kinds, ["ActorDied", "SpawnFailed", "SpawnFailed", "ActorDied"]);
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_a_restart_that_always_fails_ends_the_calls_that_wait() {
    let world = World::new(library());
    let nursery = world.supervised(Supervision { strategy: Strategy::RestForOne, ..Supervision::default() });
    let mut portals = Vec::new();
    for name in ["one", "two", "three"] {
        portals.push(nursery.start(spec(name, &["leaf"]), None).await.expect("starts"));
    }
    world.broker.refuse_next("two", usize::MAX);
    world.broker.kill(&portals[0].peer(), Exit::Signal(9));
    portals[0].closed().await;
    let waits = portals.iter().map(|portal| portal.call("leaf:wait", Bytes::new()));
    let waits: Vec<_> = waits.collect();
    let error = nursery.join().await.expect_err("too often");
    assert_eq!(error.kind::<RestartIntensityExceeded>().expect("its kind").child, "two");
    let outcomes = futures_util::future::join_all(waits).await;
    assert!(outcomes[0].as_ref().is_err_and(|error| error.is::<ContextCancelled>()), "it was up again");
    assert_eq!(died(&outcomes[1]), Some(Exit::Code(0)), "its last process had been ended");
    assert_eq!(died(&outcomes[2]), Some(Exit::Code(0)));
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_the_first_start_is_its_callers_affair() {
    let world = World::new(library());
    let nursery = world.supervised(Supervision::default());
    world.broker.refuse_next("leaf", 2);
    for main in [None, one_shot("leaf:wait")] {
        let error = nursery.start(spec("leaf", &["leaf"]), main).await.expect_err("refused");
        assert!(error.is::<SpawnFailed>(), "{error}");
    }
    nursery.start(spec("leaf", &["leaf"]), None).await.expect("the nursery is still open");
    nursery.cancel().await.expect("no failure");
}

#[tokio::test(start_paused = true)]
async fn b7_joining_waits_for_the_last_run_and_its_result() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let world = World::new(library().with("leaf:third", move |_, _| {
        let run = counted.fetch_add(1, Ordering::Relaxed) + 1;
        async move { if run == 3 { value(run) } else { failure("not yet") } }
    }));
    let nursery = world.supervised(Supervision::default());
    let third = nursery.start(spec("third", &["leaf"]), one_shot("leaf:third")).await.expect("starts");
    let daemon = nursery.start_with(spec("daemon", &["leaf"]), None, Some(Restart::Transient)).await;
    let daemon = daemon.expect("starts");
    assert_eq!(third.wait_for_result().await, value(3));
    assert!(daemon.wait_for_result().await.expect_err("none").is::<NoResult>());
    world.actor(&daemon).cancel(&id("stranger"));
    nursery.join().await.expect("well");
    assert_eq!(third.wait_for_result().await, value(3), "the same each time");
    world.settle().await;

    let nursery = world.supervised(Supervision::default());
    let fails = nursery.start(spec("fails", &["leaf"]), one_shot("leaf:fail")).await.expect("starts");
    let waits = nursery.start(spec("waits", &["leaf"]), one_shot("leaf:wait")).await.expect("starts");
    assert_eq!(fails.wait_for_result().await.expect_err("of the last run").message, "no");
    assert!(waits.wait_for_result().await.expect_err("given up with it").is::<ContextCancelled>());
    let error = nursery.join().await.expect_err("too often");
    assert_eq!(error.kind::<RestartIntensityExceeded>().expect("its kind").history.len(), 4);
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_whoever_is_ended_through_its_portal_stays_so() {
    for after in [None, Some(MS * 200), Some(MS * 450)] {
        let world = World::new(library());
        let nursery = world.supervised(slow());
        let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
        world.broker.set_startup(MS * 100);
        if let Some(after) = after {
            // In the pause, then in the start.
            world.broker.kill(&leaf.peer(), Exit::Signal(9));
            tokio::time::sleep(after).await;
        }
        let called = leaf.call("leaf:wait", Bytes::new());
        let asked = Instant::now();
        leaf.cancel_actor().await.expect("may");
        assert!(asked.elapsed() < MS * 5, "{:?} {after:?}", asked.elapsed());
        assert_eq!(world.broker.alive(), 0, "{after:?}");
        assert!(called.await.is_err());
        assert!(died(&tokio::time::timeout(MS, who(&leaf)).await.expect("at once")).is_some());
        tokio::time::timeout(MS, nursery.join()).await.expect("it was the only one").expect("no failure");
        world.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn b7_an_inner_nursery_that_gives_up_is_started_again_by_the_outer() {
    let world = World::new(library().with("mid:main", |task, _| async move {
        let inner = task.open_supervised_nursery(Supervision { intensity: 1, ..Supervision::default() });
        inner.start(spec("leaf", &["leaf"]), one_shot("leaf:fail")).await?;
        inner.join().await?;
        value(())
    }));
    let nursery = world.supervised(Supervision { intensity: 2, ..Supervision::default() });
    let mid = nursery.start(spec("mid", &["mid", "leaf"]), one_shot("mid:main")).await.expect("starts");
    let error = nursery.join().await.expect_err("gives up as well");
    let exceeded = error.kind::<RestartIntensityExceeded>().expect("its kind");
    assert_eq!((exceeded.child.as_str(), exceeded.history.len()), ("mid", 3));
    for inner in &exceeded.history {
        let inner = inner.kind::<RestartIntensityExceeded>().expect("the inner one's");
        let messages: Vec<_> = inner.history.iter().map(|error| error.message.as_str()).collect();
        assert_eq!((inner.child.as_str(), messages), ("leaf", vec!["no", "no"]));
    }
    assert!(mid.wait_for_result().await.expect_err("the last").is::<RestartIntensityExceeded>());
    let lines = world.broker.journal().lines();
    let started = |line: &str| lines.iter().filter(|found| *found == line).count();
    assert_eq!((started("started mid"), started("started leaf")), (3, 6));
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_whoever_can_not_be_called_any_more_is_started_again() {
    let world = World::new(library());
    let nursery = world.supervised(Supervision::default());
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    let former = leaf.peer();
    world.broker.cut(&former);
    tokio::time::sleep(MS).await;
    assert_eq!(who(&leaf).await, value(leaf.peer()));
    assert_ne!(leaf.peer(), former);
    assert_eq!(world.broker.named("leaf").len(), 1, "the former was ended first");
    nursery.cancel().await.expect("well");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_a_dropped_start_leaves_nothing_to_supervise() {
    for one in [None, one_shot("leaf:wait")] {
        let world = World::new(library());
        world.broker.set_startup(MS * 100);
        let nursery = world.supervised(Supervision::default());
        tokio::time::timeout(MS * 50, nursery.start(spec("leaf", &["leaf"]), one))
            .await
            .expect_err("starting");
        tokio::time::timeout(MS * 100, nursery.join()).await.expect("ends").expect("no failure");
        world.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn b7_a_failure_while_the_nursery_closes_is_raised() {
    let world = World::new(library().with("leaf:spite", |task, _| async move {
        task.cancelled().await;
        failure("out of spite")
    }));
    let nursery = world.supervised(Supervision::default());
    for (restart, name) in
        [(None, "leaf:spite"), (Some(Restart::Temporary), "leaf:spite"), (None, "leaf:wait")]
    {
        nursery.start_with(spec("leaf", &["leaf"]), one_shot(name), restart).await.expect("starts");
    }
    tokio::time::sleep(MS * 100).await;
    assert_eq!(nursery.cancel().await.expect_err("one concerns others").message, "out of spite");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_a_supervised_nursery_is_forgotten_with_its_last_handle() {
    let world = World::new(library());
    let before = world.operator.handles();
    for closed in [true, false] {
        let nursery = world.supervised(Supervision::default());
        let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
        world.broker.kill(&leaf.peer(), Exit::Signal(9));
        leaf.closed().await;
        who(&leaf).await.expect("is up again");
        if closed {
            nursery.cancel().await.expect("well");
        }
        drop(nursery);
        tokio::time::sleep(MS * 100).await;
        assert_eq!(world.broker.alive(), usize::from(!closed), "it is closed, not dropped");
        leaf.cancel_actor().await.expect("may");
        drop(leaf);
        tokio::time::sleep(MS * 100).await;
        assert_eq!(world.operator.handles(), before);
    }
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_what_becomes_of_whoever_is_ended_through_its_portal_concerns_nobody() {
    let world = World::new(library().with("leaf:spite", |task, _| async move {
        task.cancelled().await;
        failure("out of spite")
    }));
    let nursery = world.supervised(Supervision { intensity: 0, ..Supervision::default() });
    let leaf = nursery.start(spec("leaf", &["leaf"]), one_shot("leaf:spite")).await.expect("starts");
    tokio::time::sleep(MS).await;
    leaf.cancel_actor().await.expect("may");
    assert_eq!(leaf.wait_for_result().await.expect_err("it failed").message, "out of spite");
    nursery.join().await.expect("it is not supervised any more");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_what_is_cancelled_while_it_waits_for_a_restart_ends_at_once() {
    let world = World::new(library());
    let nursery = world.supervised(slow());
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    world.broker.kill(&leaf.peer(), Exit::Signal(9));
    leaf.closed().await;
    let kwargs = Bytes::from(vec![0; 1000]);
    let mut call = Box::pin(leaf.open_context("leaf:wait", kwargs.clone(), CallOptions::default()));
    assert!(futures_util::poll!(&mut call).is_pending());
    assert!(!kwargs.is_unique());
    drop(call);
    assert!(kwargs.is_unique(), "nothing is kept of it");
    assert_eq!(who(&leaf).await, value(leaf.peer()), "the others are not");
    nursery.cancel().await.expect("well");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_only_so_many_calls_wait_for_a_restart() {
    let world = World::new(library());
    let nursery = world.supervised(slow());
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    world.broker.kill(&leaf.peer(), Exit::Signal(9));
    leaf.closed().await;
    for _ in 0..greenroom_wire::Config::default().max_contexts {
        drop(leaf.call("leaf:who", Bytes::new()));
    }
    let error = who(&leaf).await.expect_err("one too many");
    assert!(error.is::<LimitExceeded>(), "{error}");
    tokio::time::sleep(MS * 500).await;
    assert_eq!(who(&leaf).await, value(leaf.peer()), "it is there again");
    nursery.cancel().await.expect("well");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_a_portal_that_its_owner_has_found_follows_as_well() {
    let world = World::new(library());
    let nursery = world.supervised(slow());
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    for _ in 0..2 {
        let found = world.operator.find_actor("leaf").await.expect("asks").expect("is there");
        world.broker.kill(&found.peer(), Exit::Signal(9));
        found.closed().await;
        assert_eq!(who(&found).await, value(leaf.peer()));
    }
    let found = world.operator.find_actor("leaf").await.expect("asks").expect("is there");
    found.cancel_actor().await.expect("is ours");
    nursery.join().await.expect("it gets no successor");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn d4_a_context_that_was_cancelled_is_absorbed_also_when_its_actor_is_ended_meanwhile() {
    let world = World::new(library().with("leaf:slow", |task, _| async move {
        task.started(Bytes::new())?;
        let outcome = forever(task).await;
        tokio::time::sleep(MS * 100).await;
        outcome
    }));
    let nursery = world.supervised(Supervision { strategy: Strategy::OneForAll, ..Supervision::default() });
    let one = nursery.start(spec("one", &["leaf"]), None).await.expect("starts");
    let two = nursery.start(spec("two", &["leaf"]), None).await.expect("starts");
    let opened = two.open_context("leaf:slow", Bytes::new(), CallOptions::default()).await;
    let (asked, _) = opened.expect("opens");
    let opened = two.open_context("leaf:slow", Bytes::new(), CallOptions::default()).await;
    let (other, _) = opened.expect("opens");
    let (cancelled, died_of, ()) = tokio::join!(asked.cancel(), other.wait_for_result(), async {
        world.broker.kill(&one.peer(), Exit::Signal(9));
    });
    cancelled.expect("is what was asked for");
    assert!(died(&died_of).is_some(), "nobody asked for that");
    nursery.cancel().await.expect("well");
    world.settle().await;
}
