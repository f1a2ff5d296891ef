//! Actors.

use greenroom_guest::prelude::*;

use crate::hogs;

/// Starts a child that does the same, again and again, whatever becomes of it.
pub(crate) async fn bomb() -> Result<(), Fault> {
    let nursery = Nursery::open();
    let mut kept = Vec::new();
    for number in 0_u64.. {
        let child = nursery.start_actor(format!("bomb_{number}"), [hogs::MODULE]);
        match child.with(SpawnOptions::new().grant_spawn()).await {
            Ok(child) => kept.push(child.run(hogs::spawns {}).into_future()),
            // There is always a next time.
            Err(_) => sleep(std::time::Duration::from_millis(1)).await,
        }
    }
    Ok(())
}
