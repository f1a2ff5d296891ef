//! A tree three levels deep: the root starts a supervisor, the supervisor starts leaves and fans
//! the values out over them.
//!
//! `greenroom run squares.wasm --allow spawn 'vals=[1,2,3,4]' leaves=2`

use greenroom_guest::prelude::*;

/// What a leaf serves.
#[module]
pub mod math {
    /// Squares a number.
    pub async fn square(x: i64) -> Result<i64, greenroom_guest::Fault> {
        x.checked_mul(x).ok_or_else(|| greenroom_guest::Fault::msg(format!("{x} squared is too large")))
    }
}

/// What the supervisor serves.
#[module]
pub mod supervisor {
    use super::math;
    use greenroom_guest::prelude::*;

    /// Squares the values in `leaves` actors of its own, and gives them in the same order.
    pub async fn squares(vals: Vec<i64>, leaves: u32) -> Result<Vec<i64>, Fault> {
        if leaves == 0 {
            fault!("there is nothing to square with: `leaves` is 0");
        }
        let nursery = Nursery::open();
        let start = |n| nursery.start_actor(format!("leaf_{n}"), [math::MODULE]).into_future();
        let portals = try_join_all((0..leaves).map(start)).await?;

        let calls =
            vals.into_iter().zip(portals.iter().cycle()).map(|(x, leaf)| leaf.run(math::square { x }));
        let squares = try_join_all(calls).await?;

        try_join_all(portals.iter().map(Portal::cancel_actor)).await?;
        Ok(squares)
    }
}

/// Squares the values in a tree of actors.
#[greenroom_guest::main]
async fn main(vals: Vec<i64>, leaves: u32) -> Result<Vec<i64>, Fault> {
    let nursery = Nursery::open();
    // The supervisor enables `math` too: what a child may serve, its parent must have.
    let modules = [supervisor::MODULE, math::MODULE];
    let may_spawn = SpawnOptions::new().grant_spawn();
    let supervisor = nursery.start_actor("supervisor", modules).with(may_spawn).await?;
    let squares = supervisor.run(supervisor::squares { vals, leaves }).await?;
    supervisor.cancel_actor().await?;
    Ok(squares)
}

#[cfg(test)]
mod tests {
    use super::math;
    use futures_util::FutureExt as _;

    #[test]
    fn squares_without_a_host() {
        let nine = math::square(3).now_or_never().expect("it waits for nothing");
        assert_eq!(nine.expect("it fits"), 9);
        let too_large = math::square(i64::MAX).now_or_never().expect("it waits for nothing");
        assert!(too_large.is_err());
    }
}
