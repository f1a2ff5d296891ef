//! What the benches call: functions that do next to nothing, so that what is measured is the way
//! there and back.

mod contexts;
mod load;
mod streams;

use greenroom_guest::prelude::*;

pub use contexts::held;
pub use load::work;
pub use streams::{drain, source};

/// Ends at once.
#[module]
pub mod leaf {
    use greenroom_guest::prelude::*;

    /// Squares a number: a call that is all way and no work.
    pub async fn square(x: i64) -> i64 {
        x.wrapping_mul(x)
    }

    /// Gives back what it was given.
    pub async fn echo(bytes: ByteBuf) -> ByteBuf {
        bytes
    }
}

/// Calls others.
#[module]
pub mod caller {
    use super::leaf;
    use greenroom_guest::prelude::*;

    /// Calls a leaf of its own, one call after the other, and gives how long each took, in
    /// nanoseconds. The first `warm_up` calls are not counted.
    pub async fn call_leaf(warm_up: u32, calls: u32) -> Result<Vec<u64>, Fault> {
        let nursery = Nursery::open();
        let portal = nursery.start_actor("leaf", [leaf::MODULE]).await?;
        for x in 0..warm_up {
            portal.run(leaf::square { x: i64::from(x) }).await?;
        }
        let mut took = Vec::new();
        let mut before = monotonic_now();
        for x in 0..calls {
            portal.run(leaf::square { x: i64::from(x) }).await?;
            let after = monotonic_now();
            took.push(u64::try_from((after - before).as_nanos()).unwrap_or(u64::MAX));
            before = after;
        }
        portal.cancel_actor().await?;
        Ok(took)
    }

    /// Keeps `flying` calls of a leaf of its own on their way until there were `calls`, and gives how
    /// long that took, in nanoseconds.
    pub async fn flood_leaf(flying: u32, calls: u32) -> Result<u64, Fault> {
        let nursery = Nursery::open();
        let portal = nursery.start_actor("leaf", [leaf::MODULE]).await?;
        let portal = &portal;
        let began = monotonic_now();
        let lanes = (0..flying).map(async |_| {
            for x in 0..calls / flying {
                portal.run(leaf::square { x: i64::from(x) }).await?;
            }
            Ok::<_, Fault>(())
        });
        try_join_all(lanes).await?;
        let took = super::nanoseconds(began);
        portal.cancel_actor().await?;
        Ok(took)
    }
}

/// Stands in a tree.
#[module]
pub mod node {
    use greenroom_guest::prelude::*;

    /// Starts `fanout` actors below this one, each of which does the same down to `depth` levels,
    /// logs `ready` once it has, and waits for ever.
    pub async fn grow(depth: u32, fanout: u32) -> Result<(), Fault> {
        let nursery = Nursery::open();
        let children = if depth == 0 { 0 } else { fanout };
        let options = SpawnOptions::new().grant_spawn();
        let node = |n| nursery.start_actor(format!("node_{depth}_{n}"), [MODULE]);
        let start = |n| node(n).with(options.clone()).into_future();
        let portals = try_join_all((0..children).map(start)).await?;
        log::info!("ready");
        let below = portals.iter().map(|child| child.run(grow { depth: depth - 1, fanout }));
        try_join_all(below).await?;
        std::future::pending().await
    }
}

/// How long it has been, in nanoseconds.
fn nanoseconds(since: std::time::Duration) -> u64 {
    u64::try_from((monotonic_now() - since).as_nanos()).unwrap_or(u64::MAX)
}
