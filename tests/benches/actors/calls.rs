//! Calls between actors, beside bare round trips.
//!
//! Owns: latency, throughput and their ratio. Must not know: how actors live. Invariant: bare
//! trips and calls alternate in short rounds, so that a busy machine slows both.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use greenroom::{Portal, RemoteError};
use serde::Serialize;

use crate::Result;
use crate::blocking::Blocking;
use crate::echo::Echo;
use crate::figure::{Figure, Rate, Times, Unit};
use crate::machine::{self, Cores};
use crate::stage::{self, Square, Stage};

/// How often bare trips and calls take turns.
const ROUNDS: usize = 15;

/// Bare trips in a round, and calls: in all enough for twenty beyond the 99.9th percentile.
const CALLS: usize = 1500;

/// Calls before the first that counts, so that all code is loaded and all buffers have grown.
const WARM_UP: usize = 1000;

/// Calls of one guest to another in a round, to a leaf that is started for it, and those of them
/// that come before the first that counts.
const GUEST_CALLS: u32 = 700;
const GUEST_WARM_UP: u32 = 200;

/// Calls on their way at once, and frames, where more than one is.
const FLYING: [usize; 4] = [1, 8, 64, 512];
const BARE_FLYING: usize = 64;

/// How long that many are kept on their way in each round of each kind, and how many rounds there are.
const FLOOD: Duration = Duration::from_millis(100);
const FLOODS: usize = 5;

/// How long calls are repeated for a profiler.
const PROFILED: Duration = Duration::from_secs(10);

/// What a call may cost in bare round trips, on one core: on several, the kernel may place the ends
/// of the one together and those of the other apart, which is nothing that a limit could judge.
const MAX_RATIO: f64 = 2.0;

/// What it shall cost, on one core and on two.
const RATIO_AIM: f64 = 1.35;
const FREE_RATIO_AIM: f64 = 1.0;
const LATE_RATIO_AIM: f64 = 2.0;

/// How many thousand calls there shall be in a second, so many at once.
const RATE_AIM: (usize, f64) = (64, 230.0);

#[derive(Serialize)]
struct CallLeaf {
    warm_up: u32,
    calls: u32,
}

/// What a call gives, as it can be sent between threads.
type Called<T> = std::result::Result<T, Box<RemoteError>>;

/// All figures for one choice of cores.
pub(crate) async fn measure(stage: &Stage, cores: Cores, far: Option<usize>) -> Result<Vec<Figure>> {
    let (mut echo, mut blocking) = machine::at(far, || Ok((Echo::start()?, Blocking::start()?)))?;
    let (portal, middle) = (stage.start("leaf").await?, stage.start("caller").await?);
    let kwargs = stage::arguments(&Square { x: 12 })?;
    let order = stage::arguments(&CallLeaf { warm_up: GUEST_WARM_UP, calls: GUEST_CALLS })?;
    let nothing = &mut Times::default();
    echo.round_trips(WARM_UP, nothing).await?;
    blocking.round_trips(WARM_UP, nothing)?;
    round_trips(&portal, &kwargs, WARM_UP, nothing).await?;

    let [mut system, mut bare, mut calls, mut between] = std::array::from_fn(|_| Times::default());
    for _ in 0..ROUNDS {
        blocking.round_trips(CALLS, &mut system)?;
        echo.round_trips(CALLS, &mut bare).await?;
        round_trips(&portal, &kwargs, CALLS, &mut calls).await?;
        between.extend(stage::call::<Vec<u64>>(&middle, "call_leaf", order.clone()).await?);
    }
    let (mut bare_rate, mut rates) = (Rate::default(), FLYING.map(|flying| (flying, Rate::default())));
    for _ in 0..FLOODS {
        let start = Instant::now();
        bare_rate.add(echo.flood(BARE_FLYING, FLOOD).await?, start.elapsed());
        for (flying, rate) in &mut rates {
            let start = Instant::now();
            rate.add(flood(&portal, &kwargs, *flying, FLOOD).await?, start.elapsed());
        }
    }
    echo.stop()?;
    blocking.stop()?;
    portal.cancel_actor().await.map_err(stage::failed)?;
    middle.cancel_actor().await.map_err(stage::failed)?;

    let on = cores.name();
    let ratio = |times: &Times, what: &str| {
        let ratio = times.percentile(50.0) / bare.percentile(50.0);
        Figure::plain(format!("{what} / bare echo, {on}"), "ratio", ratio, "×", times.count())
    };
    let call_ratio = ratio(&calls, "call");
    let late = calls.percentile(99.0) / bare.percentile(99.0);
    let mut figures = vec![
        system.figure(format!("blocking echo, {on}"), Unit::Microseconds),
        bare.figure(format!("bare echo, {on}"), Unit::Microseconds),
        calls.figure(format!("call, {on}"), Unit::Microseconds),
        match cores {
            Cores::One => call_ratio.at_most(MAX_RATIO).aims_at_most(RATIO_AIM),
            Cores::Two => call_ratio,
            Cores::Free => call_ratio.aims_at_most(FREE_RATIO_AIM),
        },
        Figure::plain(format!("call / bare echo, 99th percentiles, {on}"), "ratio", late, "×", calls.count())
            .aims_at_most(LATE_RATIO_AIM),
    ];
    // Both ends of a guest's call are far ends: on two cores there is no such figure.
    if cores != Cores::Two {
        figures.push(between.figure(format!("guest's call of a guest, {on}"), Unit::Microseconds));
        figures.push(ratio(&between, "guest's call"));
    }
    figures.push(bare_rate.figure(format!("bare echo, {BARE_FLYING} in flight, {on}")));
    for (flying, rate) in &rates {
        let figure = rate.figure(format!("call, {flying} in flight, {on}"));
        figures.push(match RATE_AIM {
            (number, aim) if number == *flying => figure.aims_at_least(aim),
            _ => figure,
        });
    }
    Ok(figures)
}

/// Who calls, where one thing only is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller {
    Operator,
    /// With many calls on their way.
    Crowd,
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
        Caller::Crowd => {
            let portal = stage.start("leaf").await?;
            let kwargs = stage::arguments(&Square { x: 12 })?;
            while Instant::now() < end {
                let before = Instant::now();
                let count = flood(&portal, &kwargs, RATE_AIM.0, FLOOD).await?;
                times.add(before.elapsed() / u32::try_from(count)?);
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
    Ok(times.figure("call", Unit::Microseconds))
}

/// Calls of one guest to another.
pub(crate) async fn between_guests(middle: &Portal, warm_up: u32, calls: u32) -> Result<Vec<u64>> {
    stage::call(middle, "call_leaf", stage::arguments(&CallLeaf { warm_up, calls })?).await
}

/// Calls that square a number, one after the other.
pub(crate) async fn round_trips(
    portal: &Portal,
    kwargs: &Bytes,
    count: usize,
    times: &mut Times,
) -> Result<()> {
    let (portal, kwargs) = (portal.clone(), kwargs.clone());
    let taken = as_task(async move {
        let mut taken = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            square(&portal, &kwargs).await?;
            taken.push(start.elapsed());
        }
        Ok(taken)
    });
    taken.await?.into_iter().for_each(|time| times.add(time));
    Ok(())
}

/// Keeps so many calls on their way for a while; gives how many were answered.
pub(crate) async fn flood(
    portal: &Portal,
    kwargs: &Bytes,
    flying: usize,
    lasting: Duration,
) -> Result<usize> {
    let (portal, kwargs) = (portal.clone(), kwargs.clone());
    as_task(async move {
        let end = Instant::now() + lasting;
        let mut flying: FuturesUnordered<_> = (0..flying).map(|_| square(&portal, &kwargs)).collect();
        let mut count = 0;
        while let Some(done) = flying.next().await {
            done?;
            count += 1;
            if Instant::now() < end {
                flying.push(square(&portal, &kwargs));
            }
        }
        Ok(count)
    })
    .await
}

/// Runs as what calls are made from: a task. What a runtime waits for itself it asks the kernel for once
/// more each time that it was woken.
async fn as_task<T: Send + 'static>(work: impl Future<Output = Called<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work).await?.map_err(stage::failed)
}

async fn square(portal: &Portal, kwargs: &Bytes) -> Called<()> {
    portal.call("bench:square", kwargs.clone()).await.map(drop)
}
