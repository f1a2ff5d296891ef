//! Deadlines: inherited, shortened, and the end of the task.
//!
//! Owns: C9. Must not know: how the wire tells the time that is left. Invariant of what is
//! tested: past its deadline a call has ended at its caller, and its task soon after.

use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{ContextCancelled, DeadlineExceeded};
use tokio::time::Instant;

use super::kit::*;
use crate::{CallOptions, Portal, Task};

const SECOND: Duration = Duration::from_secs(1);

fn within(timeout: Duration) -> CallOptions<'static> {
    CallOptions { timeout: Some(timeout), within: None }
}

fn library(journal: &Journal) -> Library {
    let [left, ended] = [(); 2].map(|()| journal.clone());
    Library::default()
        .with("leaf:wait", move |task, _| {
            let ended = ended.clone();
            async move {
                let outcome = forever(task.clone()).await;
                ended.note(format!("cancelled by {}", task.canceller().expect("it was").name));
                outcome
            }
        })
        .with("leaf:left", move |task, _| {
            let left = left.clone();
            async move {
                left.note(format!("{:?}", task.remaining()));
                value(())
            }
        })
        .with("mid:call", |task, kwargs| async move {
            let below = task.open_nursery().start(spec("below", &["leaf"]), None).await?;
            tokio::time::sleep(SECOND / 4).await;
            let (function, timeout): (String, Option<Duration>) = arguments(&kwargs);
            below.call_with(&function, Bytes::new(), CallOptions { timeout, within: Some(&task) }).await
        })
}

async fn call(middle: &Portal, function: &str, inner: Option<Duration>, outer: Duration) -> crate::Outcome {
    middle.call_with("mid:call", kwargs("call", (function, inner)), within(outer)).await
}

#[tokio::test(start_paused = true)]
async fn c9_past_the_deadline_the_caller_is_told_and_the_task_cancelled() {
    let journal = Journal::default();
    let world = World::new(library(&journal));
    let leaf = world.daemon("leaf", &["leaf"]).await;
    let asked = Instant::now();
    let error = leaf.call_with("leaf:wait", Bytes::new(), within(SECOND)).await.expect_err("too long");
    assert_eq!(
        error.kind::<DeadlineExceeded>(),
        Some(DeadlineExceeded { function: "leaf:wait".to_owned(), limit_ms: 1000 })
    );
    assert!((SECOND..=SECOND + Duration::from_millis(2)).contains(&asked.elapsed()), "{:?}", asked.elapsed());
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(
        (journal.lines(), world.actor(&leaf).task_count()),
        (vec!["cancelled by operator".to_owned()], 0)
    );
    // One that is met changes nothing.
    leaf.call_with("leaf:left", Bytes::new(), within(SECOND)).await.expect("in time");
}

#[tokio::test(start_paused = true)]
async fn c9_a_deadline_is_inherited_and_shortened() {
    let journal = Journal::default();
    let world = World::new(library(&journal));
    let middle = world.daemon("middle", &["mid", "leaf"]).await;
    let left = |journal: &Journal| journal.lines().last().expect("a line").clone();
    call(&middle, "leaf:left", None, 4 * SECOND).await.expect("in time");
    let inherited = left(&journal);
    assert!(inherited.starts_with("Some(3.7"), "{inherited}");
    call(&middle, "leaf:left", Some(SECOND), 4 * SECOND).await.expect("in time");
    assert!(left(&journal).starts_with("Some(99") || left(&journal) == "Some(1s)", "{}", left(&journal));
    call(&middle, "leaf:left", Some(9 * SECOND), 4 * SECOND).await.expect("in time");
    assert!(left(&journal).starts_with("Some(3.7"), "{}", left(&journal));
    middle.call("mid:call", kwargs("call", ("leaf:left", None::<Duration>))).await.expect("no deadline");
    assert_eq!(left(&journal), "None");
}

#[tokio::test(start_paused = true)]
async fn c9_an_inherited_deadline_ends_the_whole_chain() {
    let journal = Journal::default();
    let world = World::new(library(&journal));
    let middle = world.daemon("middle", &["mid", "leaf"]).await;
    let error = call(&middle, "leaf:wait", None, SECOND).await.expect_err("too long");
    assert!(error.is::<DeadlineExceeded>(), "{error}");
    tokio::time::sleep(SECOND).await;
    assert_eq!(world.actor(&middle).task_count(), 0);
    assert!(journal.lines()[0].starts_with("cancelled by middle"), "{:?}", journal.lines());
}

#[tokio::test(start_paused = true)]
async fn c9_a_deadline_is_for_the_whole_context() {
    let journal = Journal::default();
    let world = World::new(library(&journal).with("leaf:talk", |task: Task, _| async move {
        task.started(value(())?)?;
        forever(task).await
    }));
    let leaf = world.daemon("leaf", &["leaf"]).await;
    let (context, _) =
        leaf.open_context("leaf:talk", Bytes::new(), within(SECOND)).await.expect("starts at once");
    let error = context.wait_for_result().await.expect_err("too long");
    assert!(error.is::<DeadlineExceeded>(), "{error}");
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(world.actor(&leaf).task_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn c9_a_task_past_its_deadline_says_so_itself() {
    let journal = Journal::default();
    let world = World::new(library(&journal));
    let leaf = world.daemon("leaf", &["leaf"]).await;
    // The callee keeps the time as well: a caller that is stopped cannot.
    let call = leaf.call_with("leaf:wait", Bytes::new(), within(SECOND));
    tokio::time::sleep(SECOND / 2).await;
    world.broker.stop(&leaf.peer());
    tokio::time::sleep(SECOND).await;
    assert_eq!(journal.lines(), ["cancelled by operator"]);
    let error = call.await.expect_err("too long");
    assert!(error.is::<DeadlineExceeded>() && !error.is::<ContextCancelled>());
}
