//! Actors that are left to the host to reap.

use greenroom_guest::prelude::*;

use crate::faults;

/// A tree that waits for ever. Returns only with an error.
pub(crate) async fn spawn(depth: u32, fanout: u32) -> Result<(), Fault> {
    let nursery = Nursery::open();
    let children = if depth == 0 { 0 } else { fanout };
    let options = SpawnOptions::new().grant_spawn();
    let node = |n| nursery.start_actor(format!("node_{depth}_{n}"), [faults::MODULE]);
    let start = |n| node(n).with(options.clone()).into_future();
    let portals = try_join_all((0..children).map(start)).await?;
    log::info!("tree: ready");
    let below = portals.iter().map(|node| node.run(faults::spawn_tree { depth: depth - 1, fanout }));
    try_join_all(below).await?;
    std::future::pending().await
}

/// Fails with children still running.
pub(crate) async fn abandon(children: u32, panic: bool) -> Result<(), Fault> {
    let nursery = Nursery::open();
    let start = |n| nursery.start_actor(format!("abandoned_{n}"), [faults::MODULE]).into_future();
    let _portals = try_join_all((0..children).map(start)).await?;
    if panic {
        panic!("left the children behind");
    }
    fault!("left the children behind");
}
