//! Waiting for the end of a process, and clusters.
//!
//! Owns: `closed`, and B9 as far as it concerns clusters. Must not know: how children are
//! restarted. Invariant of what is tested: a monitor speaks of one process, a cluster is all or
//! nothing.

use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{Exit, SpawnFailed};
use tokio::time::Instant;

use super::kit::*;
use crate::Supervision;

const MS: Duration = Duration::from_millis(1);

fn library() -> Library {
    Library::default().with("leaf:who", |task, _| async move { value(task.actor().id()) })
}

#[tokio::test(start_paused = true)]
async fn b7_a_monitor_tells_how_the_process_ended() {
    let world = World::new(library());
    let leaf = world.daemon("leaf", &["leaf"]).await;
    let closed = leaf.closed();
    tokio::time::timeout(Duration::from_secs(3600), leaf.closed()).await.expect_err("it lives");
    world.broker.kill(&leaf.peer(), Exit::Code(3));
    assert_eq!(closed.await, Exit::Code(3));
    assert_eq!(tokio::time::timeout(Duration::ZERO, leaf.closed()).await, Ok(Exit::Code(3)), "at once");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b7_a_monitor_speaks_of_the_process_of_its_time() {
    let world = World::new(library());
    let nursery = world.supervised(Supervision::default());
    let leaf = nursery.start(spec("leaf", &["leaf"]), None).await.expect("starts");
    let first = leaf.closed();
    world.broker.kill(&leaf.peer(), Exit::Signal(1));
    tokio::time::sleep(MS).await;
    let awaited = leaf.closed();
    leaf.call("leaf:who", Bytes::new()).await.expect("the next is up");
    let second = leaf.closed();
    world.broker.kill(&leaf.peer(), Exit::Signal(2));
    assert_eq!(second.await, Exit::Signal(2));
    assert_eq!((first.await, awaited.await), (Exit::Signal(1), Exit::Signal(1)));
    nursery.cancel().await.expect("well");
    assert_eq!(tokio::time::timeout(MS, leaf.closed()).await, Ok(Exit::Signal(2)), "there was no third");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn b9_a_cluster_is_named_in_order_and_started_at_once() {
    for supervised in [false, true] {
        let world = World::new(library());
        world.broker.set_startup(MS * 100);
        let nursery = if supervised { world.supervised(Supervision::default()) } else { world.nursery() };
        let begun = Instant::now();
        let portals = nursery.open_actor_cluster("pool", spec("", &["leaf"]), 5).await.expect("starts");
        assert!(begun.elapsed() < MS * 200, "one after the other: {:?}", begun.elapsed());
        assert_eq!(portals.len(), 5);
        for (number, portal) in portals.iter().enumerate() {
            assert_eq!(portal.peer().name, format!("pool.worker_{number}"));
            assert_eq!(portal.call("leaf:who", Bytes::new()).await, value(portal.peer()));
        }
        nursery.cancel().await.expect("well");
        world.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn b9_a_cluster_of_none_is_empty() {
    let world = World::new(library());
    assert!(
        world.nursery().open_actor_cluster("pool", spec("", &["leaf"]), 0).await.expect("well").is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn b9_a_cluster_that_cannot_be_whole_leaves_nothing() {
    for (supervised, startup) in [(false, 0), (false, 100), (true, 0), (true, 100)] {
        let world = World::new(library());
        let nursery = if supervised { world.supervised(Supervision::default()) } else { world.nursery() };
        let before = nursery.start(spec("before", &["leaf"]), None).await.expect("starts");
        world.broker.set_startup(MS * startup);
        world.broker.refuse_next("pool.worker_3", 1);
        let begun = Instant::now();
        let error = nursery.open_actor_cluster("pool", spec("", &["leaf"]), 5).await.expect_err("refused");
        assert_eq!(error.kind::<SpawnFailed>().expect("its kind").name, "pool.worker_3");
        assert!(begun.elapsed() < MS * 50, "the others are not waited for: {:?}", begun.elapsed());
        tokio::time::sleep(MS * 10).await;
        assert_eq!(world.broker.names().len(), 2, "{:?}", world.broker.names());
        before.call("leaf:who", Bytes::new()).await.expect("goes on");
        nursery.cancel().await.expect("a start is its caller's affair");
        world.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn b9_a_cluster_whose_start_is_dropped_leaves_nothing() {
    for supervised in [false, true] {
        let world = World::new(library());
        let nursery = if supervised { world.supervised(Supervision::default()) } else { world.nursery() };
        let mut start = Box::pin(nursery.open_actor_cluster("pool", spec("", &["leaf"]), 3));
        assert!(futures_util::poll!(start.as_mut()).is_pending());
        world.broker.set_startup(MS * 100);
        let late = nursery.start(spec("late", &["leaf"]), None);
        tokio::time::timeout(MS * 50, futures_util::future::join(&mut start, late)).await.expect_err("late");
        drop(start);
        tokio::time::timeout(MS * 100, nursery.join()).await.expect("all are gone").expect("no failure");
        world.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn b9_the_order_of_a_cluster_is_that_of_its_numbers() {
    let world = World::new(library());
    let nursery =
        world.supervised(Supervision { strategy: crate::Strategy::RestForOne, ..Supervision::default() });
    let workers = nursery.open_actor_cluster("pool", spec("", &["leaf"]), 4).await.expect("starts");
    let before = world.broker.journal().lines().len();
    world.broker.kill(&workers[1].peer(), Exit::Signal(9));
    workers[1].closed().await;
    workers[3].call("leaf:who", Bytes::new()).await.expect("the last to be up again");
    let lines = world.broker.journal().lines().split_off(before);
    let wanted =
        ["exited 1", "asked 3", "exited 3", "asked 2", "exited 2", "started 1", "started 2", "started 3"];
    let wanted = wanted.map(|line| line.replace(' ', " pool.worker_"));
    assert_eq!(lines, wanted);
    nursery.cancel().await.expect("well");
}
