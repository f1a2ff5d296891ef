//! What the walls around actors cost.
//!
//! Owns: starts and calls with all walls and with none, in alternating rounds of one run. Must not
//! know: what a wall is.

use std::time::Instant;

use serde::Serialize;

use crate::Result;
use crate::figure::{Figure, Times, Unit};
use crate::stage::{self, Stage};

/// Rounds, and what is done in each with walls and without.
const ROUNDS: usize = 12;
const STARTS: usize = 8;
const CALLS: usize = 500;

/// What all walls may add to a start, in milliseconds.
const MAX_START: f64 = 0.3;

/// What calls behind walls may take of what they take without.
const MAX_CALL: f64 = 1.1;

#[derive(Serialize)]
struct Square {
    x: i64,
}

/// What one side of the comparison came to.
#[derive(Default)]
struct Side {
    starts: Times,
    calls: Times,
}

/// All figures of this kind: of a host whose actors have all walls, and one whose actors have none.
pub(crate) async fn measure(walled: &Stage, open: &Stage) -> Result<Vec<Figure>> {
    let (mut with, mut without) = (Side::default(), Side::default());
    for round in 0..ROUNDS {
        // Neither is always the first.
        if round % 2 == 0 {
            one_round(walled, &mut with, round).await?;
            one_round(open, &mut without, round).await?;
        } else {
            one_round(open, &mut without, round).await?;
            one_round(walled, &mut with, round).await?;
        }
    }
    let median = |times: &Times| times.percentile(50.0);
    let added = (median(&with.starts) - median(&without.starts)) * 1e3;
    let ratio = median(&with.calls) / median(&without.calls);
    let (starts, calls) = (with.starts.count(), with.calls.count());
    Ok(vec![
        without.starts.figure("start without walls", Unit::Milliseconds),
        with.starts.figure("start with all walls", Unit::Milliseconds),
        Figure::plain("walls, added to a start", "p50", added, "ms", starts).at_most(MAX_START),
        Figure::plain("call with walls / without", "ratio", ratio, "×", calls).at_most(MAX_CALL),
    ])
}

async fn one_round(stage: &Stage, side: &mut Side, round: usize) -> Result<()> {
    let kwargs = stage::arguments(&Square { x: 3 })?;
    for number in 0..STARTS {
        let start = Instant::now();
        let portal = stage.start("walled").await?;
        let _nine: i64 = stage::call(&portal, "square", kwargs.clone()).await?;
        if round > 0 {
            side.starts.add(start.elapsed());
        }
        for _ in 0..if number == 0 { CALLS } else { 0 } {
            let start = Instant::now();
            let _nine: i64 = stage::call(&portal, "square", kwargs.clone()).await?;
            side.calls.add(start.elapsed());
        }
        portal.cancel_actor().await.map_err(stage::failed)?;
    }
    Ok(())
}
