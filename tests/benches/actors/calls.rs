//! Calls between actors, beside bare round trips.
//!
//! Owns: latency, throughput and their ratio. Must not know: how actors live. Invariant: bare
//! trips and calls alternate in short rounds, so that a busy machine slows both.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use greenroom::Portal;
use serde::Serialize;

use crate::Result;
use crate::echo::Echo;
use crate::figure::{Figure, Rate, Times, Unit};
use crate::machine::Cores;
use crate::stage::{self, Stage};

/// How often bare trips and calls take turns.
const ROUNDS: usize = 20;

/// Bare trips in a round, and calls: in all enough for fifty beyond the 99.9th percentile.
const CALLS: usize = 2500;

/// Calls before the first that counts, so that all code is loaded and all buffers have grown.
const WARM_UP: usize = 1000;

/// Calls of one guest to another in a round, to a leaf that is started for it, and those of them
/// that come before the first that counts.
const GUEST_CALLS: u32 = 1000;
const GUEST_WARM_UP: u32 = 200;

/// Calls on their way at once, where more than one is.
const FLYING: usize = 64;

/// How long that many are kept on their way in each round of each kind.
const FLOOD: Duration = Duration::from_millis(100);

/// How long calls are repeated for a profiler.
const PROFILED: Duration = Duration::from_secs(10);

/// What a call may cost in bare round trips, on one core: on several, the kernel may place the ends
/// of the one together and those of the other apart, which is nothing that a limit could judge.
const MAX_RATIO: f64 = 4.0;

#[derive(Serialize)]
struct Square {
    x: i64,
}

#[derive(Serialize)]
struct CallLeaf {
    warm_up: u32,
    calls: u32,
}

/// All figures for one choice of cores.
pub(crate) async fn measure(stage: &Stage, cores: Cores) -> Result<Vec<Figure>> {
    let mut echo = Echo::start()?;
    let (portal, middle) = (stage.start("leaf").await?, stage.start("caller").await?);
    let kwargs = stage::arguments(&Square { x: 12 })?;
    let order = stage::arguments(&CallLeaf { warm_up: GUEST_WARM_UP, calls: GUEST_CALLS })?;
    let nothing = &mut Times::default();
    echo.round_trips(WARM_UP, nothing).await?;
    round_trips(&portal, &kwargs, WARM_UP, nothing).await?;

    let (mut bare, mut calls, mut between) = (Times::default(), Times::default(), Times::default());
    let (mut bare_rate, mut call_rate) = (Rate::default(), Rate::default());
    for _ in 0..ROUNDS {
        echo.round_trips(CALLS, &mut bare).await?;
        round_trips(&portal, &kwargs, CALLS, &mut calls).await?;
        between.extend(stage::call::<Vec<u64>>(&middle, "call_leaf", order.clone()).await?);
        let start = Instant::now();
        bare_rate.add(echo.flood(FLYING, FLOOD).await?, start.elapsed());
        let start = Instant::now();
        call_rate.add(flood(&portal, &kwargs).await?, start.elapsed());
    }
    echo.stop()?;
    portal.cancel_actor().await.map_err(stage::failed)?;
    middle.cancel_actor().await.map_err(stage::failed)?;

    let on = cores.name();
    let ratio = |times: &Times, what: &str| {
        let ratio = times.percentile(50.0) / bare.percentile(50.0);
        Figure::plain(format!("{what} / bare echo, {on}"), "ratio", ratio, "×", times.count())
    };
    Ok(vec![
        bare.figure(format!("bare echo, {on}"), Unit::Microseconds),
        calls.figure(format!("call, {on}"), Unit::Microseconds),
        between.figure(format!("guest's call of a guest, {on}"), Unit::Microseconds),
        match cores {
            Cores::One => ratio(&calls, "call").at_most(MAX_RATIO),
            Cores::All => ratio(&calls, "call"),
        },
        ratio(&between, "guest's call"),
        bare_rate.figure(format!("bare echo, {FLYING} in flight, {on}")),
        call_rate.figure(format!("call, {FLYING} in flight, {on}")),
    ])
}

/// Who calls, where one thing only is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller {
    Operator,
    Guest,
}

/// Nothing but calls for ten seconds.
pub(crate) async fn repeat(stage: &Stage, caller: Caller) -> Result<Figure> {
    let mut times = Times::default();
    let end = Instant::now() + PROFILED;
    match caller {
        Caller::Operator => {
            let portal = stage.start("leaf").await?;
            let kwargs = stage::arguments(&Square { x: 12 })?;
            while Instant::now() < end {
                round_trips(&portal, &kwargs, CALLS, &mut times).await?;
            }
        }
        Caller::Guest => {
            let middle = stage.start("caller").await?;
            let order = stage::arguments(&CallLeaf { warm_up: 0, calls: 40 * GUEST_CALLS })?;
            while Instant::now() < end {
                times.extend(stage::call::<Vec<u64>>(&middle, "call_leaf", order.clone()).await?);
            }
        }
    }
    Ok(times.figure("call, one core", Unit::Microseconds))
}

async fn round_trips(portal: &Portal, kwargs: &Bytes, count: usize, times: &mut Times) -> Result<()> {
    for _ in 0..count {
        let start = Instant::now();
        square(portal, kwargs).await?;
        times.add(start.elapsed());
    }
    Ok(())
}

async fn flood(portal: &Portal, kwargs: &Bytes) -> Result<usize> {
    let end = Instant::now() + FLOOD;
    let mut flying: FuturesUnordered<_> = (0..FLYING).map(|_| square(portal, kwargs)).collect();
    let mut count = 0;
    while let Some(done) = flying.next().await {
        done?;
        count += 1;
        if Instant::now() < end {
            flying.push(square(portal, kwargs));
        }
    }
    Ok(count)
}

async fn square(portal: &Portal, kwargs: &Bytes) -> Result<()> {
    portal.call("bench:square", kwargs.clone()).await.map(drop).map_err(stage::failed)
}
