//! The same with several threads, where two things really happen at once.
//!
//! Owns: the moments that one thread cannot show: a start beside a close, a call beside a
//! cancellation, an end beside another, all of them beside a restart. Must not know: virtual time, which one thread needs.
//! Invariant of what is tested: either comes first, and nothing is lost between them.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{ActorDied, ContextCancelled, Exit, NurseryClosed, SpawnFailed};
use tokio::runtime::{Builder, Runtime};

use super::kit::*;
use crate::Supervision;

/// How often each moment is tried for.
const TRIES: usize = 200;

fn threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(4).enable_time().build().expect("threads")
}

#[test]
fn a_start_beside_a_close_is_either_refused_or_ended() {
    threads().block_on(async {
        let world = World::new(Library::default().with("leaf:wait", |task, _| forever(task)));
        for _ in 0..TRIES {
            let nursery = world.nursery();
            let (one, two) = (nursery.clone(), nursery.clone());
            let together = Arc::new(Barrier::new(2));
            let other = together.clone();
            let start = tokio::spawn(async move {
                together.wait();
                one.start(spec("leaf", &["leaf"]), None).await
            });
            let close = tokio::spawn(async move {
                other.wait();
                two.close().await;
            });
            close.await.expect("no panic");
            let journal = world.broker.journal().lines().len();
            if let Err(error) = start.await.expect("no panic") {
                assert!(error.is::<NurseryClosed>() || error.is::<SpawnFailed>(), "{error}");
            }
            assert_eq!(world.broker.alive(), 0, "a closed nursery has a child");
            assert_eq!(world.broker.journal().lines().len(), journal, "a child came after the close");
        }
    });
}

#[test]
fn a_call_beside_a_cancellation_ends_and_so_does_the_actor() {
    let library = Library::default().with("leaf:wait", |task, _| forever(task));
    threads().block_on(async {
        let world = World::new(library);
        for _ in 0..TRIES {
            let leaf = world.daemon("leaf", &["leaf"]).await;
            let actor = world.actor(&leaf);
            let calls: Vec<_> = (0..4).map(|_| tokio::spawn(leaf.call("leaf:wait", Bytes::new()))).collect();
            let cancel = tokio::spawn(async move { actor.cancel(&id("operator")) });
            for call in calls {
                let error = call.await.expect("no panic").expect_err("it waits until it is cancelled");
                assert!(error.is::<ContextCancelled>() || error.is::<ActorDied>(), "{error}");
            }
            cancel.await.expect("no panic");
        }
        world.settle().await;
    });
}

#[test]
fn what_the_last_task_gives_is_told_before_the_link_closes() {
    let library = Library::default().with("leaf:tidy", |task, _| async move {
        task.cancelled().await;
        value("tidied up")
    });
    threads().block_on(async {
        let world = World::new(library);
        for _ in 0..TRIES {
            let leaf = world.daemon("leaf", &["leaf"]).await;
            let actor = world.actor(&leaf);
            let calls: Vec<_> = (0..4).map(|_| leaf.call("leaf:tidy", Bytes::new())).collect();
            while actor.task_count() < calls.len() {
                tokio::task::yield_now().await;
            }
            actor.cancel(&id("operator"));
            for outcome in futures_util::future::join_all(calls).await {
                assert_eq!(outcome, value("tidied up"));
            }
        }
        world.settle().await;
    });
}

#[test]
fn calls_and_a_dismissal_beside_a_restart_end_and_nothing_comes_back() {
    let library = Library::default().with("leaf:who", |task, _| async move { value(task.actor().id()) });
    threads().block_on(async {
        let world = World::new(library);
        for number in 0..TRIES {
            let nursery = world.supervised(Supervision { backoff: Duration::ZERO, ..Supervision::default() });
            let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
            world.broker.kill(&leaf.peer(), Exit::Signal(9));
            let calls = (0..4).map(|_| {
                let leaf = leaf.clone();
                tokio::spawn(async move { leaf.call("leaf:who", Bytes::new()).await })
            });
            let calls: Vec<_> = calls.collect();
            if number % 2 == 0 {
                leaf.closed().await;
            }
            let all = async {
                leaf.cancel_actor().await.expect("may");
                for call in calls {
                    if let Err(error) = call.await.expect("no panic") {
                        assert!(error.is::<ActorDied>() || error.is::<ContextCancelled>(), "{error}");
                    }
                }
                nursery.join().await.expect("it was not given up");
            };
            tokio::time::timeout(Duration::from_secs(20), all).await.expect("nothing hangs");
            assert_eq!(world.broker.alive(), 0, "it has come back");
        }
        world.settle().await;
    });
}
