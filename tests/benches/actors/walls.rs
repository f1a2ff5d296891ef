//! What the walls around actors cost.
//!
//! Owns: starts and calls with all walls and with none, in pairs, in one run. Must not
//! know: what a wall is.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Result;
use crate::figure::{Figure, Times, Unit};
use crate::stage::{self, Stage};

/// Pairs of starts, one with walls and one without; the first of them warm up.
const PAIRS: usize = 620;
const WARM: usize = 20;

/// How often there are calls in a pair (odd, so that neither side is always the first), and how many to each of its two actors.
const EVERY: usize = 11;
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
    let (mut with, mut without, mut added) = (Side::default(), Side::default(), Vec::new());
    for pair in 0..PAIRS {
        // Neither is always the first.
        let (longer, shorter) = if pair.is_multiple_of(2) {
            let longer = one(walled, &mut with, pair).await?;
            (longer, one(open, &mut without, pair).await?)
        } else {
            let shorter = one(open, &mut without, pair).await?;
            (one(walled, &mut with, pair).await?, shorter)
        };
        if pair >= WARM {
            added.push((longer.as_secs_f64() - shorter.as_secs_f64()) * 1e3);
        }
    }
    let median = |times: &Times| times.percentile(50.0);
    added.sort_by(f64::total_cmp);
    let ratio = median(&with.calls) / median(&without.calls);
    let (added, starts, calls) = (added[added.len() / 2], added.len(), with.calls.count());
    Ok(vec![
        without.starts.figure("start without walls", Unit::Milliseconds),
        with.starts.figure("start with all walls", Unit::Milliseconds),
        Figure::plain("walls, added to a start", "p50", added, "ms", starts).at_most(MAX_START),
        Figure::plain("call with walls / without", "ratio", ratio, "×", calls).at_most(MAX_CALL),
    ])
}

/// One start and its first call, and now and then many calls.
async fn one(stage: &Stage, side: &mut Side, pair: usize) -> Result<Duration> {
    let kwargs = stage::arguments(&Square { x: 3 })?;
    let start = Instant::now();
    let portal = stage.start("walled").await?;
    let _nine: i64 = stage::call(&portal, "square", kwargs.clone()).await?;
    let took = start.elapsed();
    if pair >= WARM {
        side.starts.add(took);
    }
    for _ in 0..if pair.is_multiple_of(EVERY) { CALLS } else { 0 } {
        let start = Instant::now();
        let _nine: i64 = stage::call(&portal, "square", kwargs.clone()).await?;
        side.calls.add(start.elapsed());
    }
    portal.cancel_actor().await.map_err(stage::failed)?;
    Ok(took)
}
