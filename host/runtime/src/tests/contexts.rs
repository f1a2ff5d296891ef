//! Contexts: a first value, an outcome, cancellation that only the asker absorbs.
//!
//! Owns: D1 to D4 and D10. Must not know: streams beyond that a context has one. Invariant of
//! what is tested: a context ends once, at both sides.

use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{ActorDied, ContextCancelled, ContextProtocol, Exit};
use tokio::time::Instant;

use super::kit::*;
use crate::{CallOptions, Context, Outcome, Portal, Strategy, StreamOptions, Supervision};

type Opened = Result<(Context, Bytes), Box<greenroom_abi::RemoteError>>;

async fn open(portal: &Portal, function: &str) -> Opened {
    portal.open_context(function, Bytes::new(), CallOptions::default()).await
}

/// What a context comes to, whether it fails before or after its first value has come.
async fn outcome(portal: &Portal, function: &str) -> Outcome {
    open(portal, function).await?.0.wait_for_result().await
}

fn protocol(error: &greenroom_abi::RemoteError) -> String {
    error.kind::<ContextProtocol>().unwrap_or_else(|| panic!("not a ContextProtocol: {error}")).reason
}

fn dialogs() -> Library {
    let journal = Journal::default();
    library(&journal)
}

fn library(journal: &Journal) -> Library {
    let ended = journal.clone();
    Library::default()
        .with("talk:sum", |task, _| async move {
            task.started(value("ready")?)?;
            let stream = task.open_stream(StreamOptions::default())?;
            let mut sum = 0;
            while let Some(message) = stream.receive().await? {
                sum += greenroom_abi::payload::decode::<i64>(&message).expect("a number");
            }
            value(sum)
        })
        .with("talk:wait", move |task, _| {
            let ended = ended.clone();
            async move {
                task.started(value(task.id())?)?;
                let outcome = forever(task).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
                ended.note("ended");
                outcome
            }
        })
        .with("talk:fail", |_, _| async { failure("before it started") })
        .with("talk:fail_late", |task, _| async move {
            task.started(value(())?)?;
            tokio::time::sleep(Duration::from_millis(10)).await;
            failure("after it started")
        })
        .with("talk:mute", |_, _| async { value(7) })
        .with("talk:twice", |task, _| async move {
            task.started(value(1)?)?;
            task.started(value(2)?)?;
            value(())
        })
        .with("talk:early", |task, _| async move {
            task.open_stream(StreamOptions::default())?;
            value(())
        })
        .with("talk:reopen", |task, _| async move {
            task.started(value(1)?)?;
            drop(task.open_stream(StreamOptions::default())?);
            task.open_stream(StreamOptions::default())?;
            value(())
        })
        .with("talk:stuck", |task, _| async move {
            task.started(value(())?)?;
            std::future::pending::<Outcome>().await
        })
}

#[tokio::test(start_paused = true)]
async fn d1_a_context_opens_with_the_first_value() {
    let world = World::new(dialogs());
    let leaf = world.daemon("leaf", &["talk"]).await;
    let (context, first) = open(&leaf, "talk:sum").await.expect("opens");
    assert_eq!(first, value("ready").expect("encodes"));
    let stream = context.open_stream(StreamOptions::default()).expect("the first time");
    for number in 1..=4 {
        stream.send(value(number).expect("encodes")).await.expect("is taken");
    }
    stream.close();
    assert_eq!(context.wait_for_result().await, value(10));
    assert_eq!(context.wait_for_result().await, value(10), "the same each time");
}

#[tokio::test(start_paused = true)]
async fn d1_a_callee_that_fails_first_raises_where_it_was_opened() {
    let world = World::new(dialogs());
    let leaf = world.daemon("leaf", &["talk"]).await;
    let error = open(&leaf, "talk:fail").await.expect_err("fails");
    assert_eq!((error.message.as_str(), &*error.relay_path), ("before it started", &[leaf.peer()][..]));
    let error = open(&leaf, "talk:none").await.expect_err("is not there");
    assert_eq!(error.src_type, "FunctionNotFound");
}

#[tokio::test(start_paused = true)]
async fn d1_returning_without_started_and_starting_twice_are_errors() {
    let world = World::new(dialogs());
    let leaf = world.daemon("leaf", &["talk"]).await;
    let error = open(&leaf, "talk:mute").await.expect_err("never started");
    assert!(protocol(&error).contains("without calling `started`"), "{error}");
    let error = outcome(&leaf, "talk:twice").await.expect_err("fails");
    assert!(protocol(&error).contains("twice"), "{error}");
    let error = leaf.call("talk:twice", Bytes::new()).await.expect_err("has no dialog");
    assert!(protocol(&error).contains("`run`"), "{error}");
    let error = open(&leaf, "talk:early").await.expect_err("no stream before `started`");
    assert!(protocol(&error).contains("after `started`"), "{error}");
    let error = outcome(&leaf, "talk:reopen").await.expect_err("fails");
    assert!(protocol(&error).contains("not reopened"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn d2_a_callees_error_ends_the_context_and_its_streams() {
    let world = World::new(dialogs());
    let leaf = world.daemon("leaf", &["talk"]).await;
    let (context, _) = open(&leaf, "talk:fail_late").await.expect("opens");
    let stream = context.open_stream(StreamOptions::default()).expect("opens");
    let error = stream.receive().await.expect_err("its task fails");
    assert_eq!(error.message, "after it started");
    let error = stream.send(Bytes::new()).await.expect_err("nobody is there");
    assert_eq!(error.message, "after it started");
    assert_eq!(context.failed().await.message, "after it started");
}

#[tokio::test(start_paused = true)]
async fn d2_dropping_a_context_cancels_its_task() {
    let journal = Journal::default();
    let world = World::new(library(&journal));
    let leaf = world.daemon("leaf", &["talk"]).await;
    drop(open(&leaf, "talk:wait").await.expect("opens"));
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!((journal.lines(), world.actor(&leaf).task_count()), (vec!["ended".to_owned()], 0));
    // Also before it has started.
    let opening = leaf.open_context("talk:stuck", Bytes::new(), CallOptions::default());
    drop(opening);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.actor(&leaf).task_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn d3_cancel_waits_until_the_task_has_ended() {
    let journal = Journal::default();
    let world = World::new(library(&journal));
    let leaf = world.daemon("leaf", &["talk"]).await;
    let (context, _) = open(&leaf, "talk:wait").await.expect("opens");
    let (other, _) = open(&leaf, "talk:sum").await.expect("opens");
    context.cancel().await.expect("it is absorbed");
    assert_eq!(journal.lines(), ["ended"]);
    let outcome = context.wait_for_result().await.expect_err("there is no value");
    assert!(outcome.is::<ContextCancelled>() && context.absorbs(&outcome));
    // Nothing else in the actor noticed.
    other.open_stream(StreamOptions::default()).expect("opens").close();
    assert_eq!(other.wait_for_result().await, value(0));
}

#[tokio::test(start_paused = true)]
async fn d3_the_wait_for_a_cancel_is_bounded() {
    let world = World::new(dialogs());
    let leaf = world.daemon("leaf", &["talk"]).await;
    // Its instance is given up after the grace.
    let (context, _) = open(&leaf, "talk:stuck").await.expect("opens");
    let asked = Instant::now();
    context.cancel().await.expect("it is absorbed");
    assert!(asked.elapsed() <= Duration::from_millis(301), "{:?}", asked.elapsed());
    // A stopped process answers nothing at all.
    let (context, _) = open(&leaf, "talk:stuck").await.expect("opens");
    world.broker.stop(&leaf.peer());
    let asked = Instant::now();
    let error = context.cancel().await.expect_err("nobody answers");
    assert_eq!(error.src_type, "DeadlineExceeded");
    assert!(asked.elapsed() <= Duration::from_millis(801), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn d4_only_the_asker_absorbs_a_cancellation() {
    let world = World::new(dialogs());
    let leaf = world.daemon("leaf", &["talk"]).await;
    let mut contexts = Vec::new();
    for _ in 0..3 {
        contexts.push(open(&leaf, "talk:wait").await.expect("opens").0);
    }
    contexts[0].cancel().await.expect("its own");
    // Through another way than the context: nothing is absorbed.
    leaf.cancel_actor().await.expect("may");
    for context in &contexts[1..] {
        let error = context.wait_for_result().await.expect_err("is raised");
        assert!(error.is::<ContextCancelled>(), "{error}");
        assert_eq!(error.canceller.as_ref(), Some(world.operator.id()));
        assert!(!context.absorbs(&error));
    }
}

#[tokio::test(start_paused = true)]
async fn d4_a_cancellation_from_further_down_is_not_absorbed() {
    let world = World::new(dialogs().with("mid:pass", |task, _| async move {
        let nursery = task.open_nursery();
        let below = nursery.start(spec("below", &["talk"]), None).await?;
        let (context, _) = below.open_context("talk:wait", Bytes::new(), CallOptions::default()).await?;
        task.started(value(())?)?;
        let by = task.cancelled().await;
        // Passes on the cancellation of its own callee in place of its own.
        let _ = context.cancel().await;
        let mut error = context.wait_for_result().await.expect_err("cancelled");
        error.canceller = Some(by);
        Err(error)
    }));
    let middle = world.daemon("middle", &["mid", "talk"]).await;
    let (context, _) = open(&middle, "mid:pass").await.expect("opens");
    let error = context.cancel().await.expect_err("it is not the direct peer's");
    assert!(error.is::<ContextCancelled>());
    assert_eq!(error.relay_path.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn d10_contexts_and_calls_share_a_link() {
    let world = World::new(dialogs());
    let leaf = world.daemon("leaf", &["talk"]).await;
    let (failing, _) = open(&leaf, "talk:fail_late").await.expect("opens");
    let mut sums = Vec::new();
    for _ in 0..20 {
        let (context, _) = open(&leaf, "talk:sum").await.expect("opens");
        let stream = context.open_stream(StreamOptions::default()).expect("opens");
        sums.push((context, stream));
    }
    assert!(open(&leaf, "talk:mute").await.is_err());
    assert_eq!(failing.wait_for_result().await.expect_err("fails").message, "after it started");
    assert_eq!(leaf.call("talk:mute", Bytes::new()).await, value(7));
    for (number, (context, stream)) in sums.into_iter().enumerate() {
        stream.send(value(number).expect("encodes")).await.expect("is taken");
        stream.close();
        assert_eq!(context.wait_for_result().await, value(number));
    }
    assert_eq!(world.operator.open_links(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_context_ends_with_its_task_before_that_tasks_outcome_leaves() {
    let journal = Journal::default();
    let noted = journal.clone();
    let world = World::new(library(&journal).with("mid:leave", move |task, _| {
        let noted = noted.clone();
        async move {
            let below = task.open_nursery().start(spec("below", &["talk"]), None).await?;
            let options = CallOptions { within: Some(&task), ..CallOptions::default() };
            let opened = below.open_context("talk:wait", Bytes::new(), options).await?;
            // A guest that forgets its handles cannot forget its tasks.
            std::mem::forget(opened);
            noted.note("leaves");
            value(())
        }
    }));
    let middle = world.daemon("middle", &["mid", "talk"]).await;
    middle.call("mid:leave", Bytes::new()).await.expect("returns");
    assert_eq!(journal.lines()[..2], ["leaves", "ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_peer_ends_its_contexts() {
    let world = World::new(dialogs());
    let leaf = world.daemon("leaf", &["talk"]).await;
    let (context, _) = open(&leaf, "talk:sum").await.expect("opens");
    let stream = context.open_stream(StreamOptions::default()).expect("opens");
    world.broker.kill(&leaf.peer(), Exit::Signal(9));
    let error = stream.receive().await.expect_err("it died");
    assert_eq!(error.kind::<ActorDied>().expect("its kind").exit, Exit::Signal(9));
    assert!(context.wait_for_result().await.expect_err("it died").is::<ActorDied>());
    assert!(open(&leaf, "talk:sum").await.expect_err("at once").is::<ActorDied>());
}

#[tokio::test(start_paused = true)]
async fn b7_contexts_of_whoever_is_ended_to_be_started_again_end_with_its_death() {
    let world = World::new(dialogs());
    let nursery = world.supervised(Supervision { strategy: Strategy::OneForAll, ..Supervision::default() });
    let one = nursery.start(spec("one", &["talk"]), None).await.expect("starts");
    let two = nursery.start(spec("two", &["talk"]), None).await.expect("starts");
    let (killed, ended) = (one.peer(), two.peer());
    let mut contexts = Vec::new();
    for portal in [&one, &two] {
        for function in ["talk:sum", "talk:wait", "talk:stuck"] {
            let (context, _) = open(portal, function).await.expect("opens");
            let stream = context.open_stream(StreamOptions::default()).expect("opens");
            contexts.push((context, stream));
        }
    }
    world.broker.kill(&killed, Exit::Signal(9));
    for (number, (context, stream)) in contexts.iter().enumerate() {
        let (actor, exit) = if number < 3 { (&killed, Exit::Signal(9)) } else { (&ended, Exit::Code(0)) };
        let death = ActorDied { actor: actor.clone(), exit };
        for error in [
            context.wait_for_result().await.expect_err("it died"),
            context.failed().await,
            stream.receive().await.expect_err("it died"),
            stream.send(Bytes::new()).await.expect_err("it died"),
            context.cancel().await.expect_err("nobody here has cancelled it"),
        ] {
            assert_eq!(error.kind::<ActorDied>(), Some(death.clone()), "of context {number}");
        }
    }
    // A new one goes to the successor.
    let (context, _) = open(&two, "talk:sum").await.expect("opens");
    assert_ne!(two.peer(), ended);
    context.open_stream(StreamOptions::default()).expect("opens").close();
    assert_eq!(context.wait_for_result().await, value(0));
    nursery.cancel().await.expect("well");
    world.settle().await;
}
