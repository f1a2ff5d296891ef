//! Many actors at once.
//!
//! Owns: what it takes to start, hold and end them, and to call among them. Must not know: trees.
//! Invariant: an actor counts once it has answered a call, and as ended once its process is gone.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use greenroom::Portal;
use greenroom_tests::Memory;

use crate::Result;
use crate::calls;
use crate::figure::{Figure, Times};
use crate::growth::Curve;
use crate::lives::Grow;
use crate::stage::{self, Square, Stage};

/// How many there are.
const NUMBERS: [usize; 7] = [1, 3, 10, 30, 100, 300, 1000];

/// Those of which every figure is shown; the others are points of the curves alone.
const SHOWN: [usize; 3] = [1, 100, 1000];

/// What an actor among others shall hold for itself alone, in MiB.
const MEMORY_AIM: f64 = 0.5;

/// How many are being started at once: as many as one actor may start without waiting.
const STARTING: usize = 16;

/// The most that this program starts by itself: it has a pipe to each. Of more, every hundredth starts
/// the others.
const ALONE: usize = 5000;
const PARENTS: usize = 100;

/// How long a parent may take to have its children up.
const GROWTH: Duration = Duration::from_secs(60);

/// How often few are started, so that their times mean something.
const STARTED: usize = 30;

/// Calls to one of them, and those of all in turn.
const CALLS: usize = 1500;

/// What came of one number of actors, of each of them; times in seconds, memory in bytes.
#[derive(Default)]
struct Lot {
    start: f64,
    reap: f64,
    private: f64,
    proportional: f64,
    call_one: f64,
    call_all: f64,
}

/// All figures of this kind, of these numbers and perhaps one more, and the curves.
pub(crate) async fn measure(more: Option<usize>) -> Result<(Vec<Figure>, Vec<Curve>)> {
    let numbers: Vec<usize> = NUMBERS.into_iter().chain(more).collect();
    let (mut figures, mut lots) = (Vec::new(), Vec::new());
    for number in numbers {
        let lot = lot(number).await?;
        if SHOWN.contains(&number) || more == Some(number) {
            figures.extend(shown(number, &lot));
        }
        lots.push((number as f64, lot));
    }
    let curve = |what, unit, scale: f64, of: fn(&Lot) -> f64| {
        let points = lots.iter().map(|(number, lot)| (*number, of(lot) * scale)).collect();
        Curve::new(what, "actors", unit, points)
    };
    let curves = vec![
        curve("starting an actor", "ms", 1e3, |lot| lot.start),
        curve("ending an actor", "ms", 1e3, |lot| lot.reap),
        curve("private memory of an actor", "MiB", 1.0 / f64::from(1 << 20), |lot| lot.private),
        curve("call of one among idle actors", "µs", 1e6, |lot| lot.call_one),
        curve("call of each in turn", "µs", 1e6, |lot| lot.call_all),
    ];
    Ok((figures, curves))
}

fn shown(number: usize, lot: &Lot) -> Vec<Figure> {
    let mebibyte = f64::from(1 << 20);
    let actors = if number == 1 { "1 actor".to_owned() } else { format!("{number} actors") };
    let figure = |what: &str, statistic: &str, value: f64, unit: &str| {
        Figure::plain(format!("{actors}: {what}"), statistic, value, unit, number)
    };
    let all = number as f64;
    let private = figure("private memory of each", "mean", lot.private / mebibyte, "MiB");
    vec![
        figure("started and called", "mean", lot.start * all * 1e3, "ms"),
        figure("each started and called", "mean", lot.start * 1e3, "ms"),
        // One that is alone shares nothing, so that all that it maps is its own.
        if number > 1 { private.aims_at_most(MEMORY_AIM) } else { private },
        figure("memory of each, shared memory divided", "mean", lot.proportional / mebibyte, "MiB"),
        figure("memory of all, shared memory divided", "mean", lot.proportional * all / mebibyte, "MiB"),
        figure("call of one of them", "p50", lot.call_one * 1e6, "µs"),
        figure("call of each in turn", "p50", lot.call_all * 1e6, "µs"),
        figure("ended and gone", "mean", lot.reap * all * 1e3, "ms"),
    ]
}

/// So many actors that have answered a call.
async fn alone(stage: &Stage, number: usize) -> Result<Vec<Portal>> {
    let names: Vec<String> = (0..number).map(|n| format!("one_{n}")).collect();
    let started = names.iter().map(async |name| -> Result<Portal> {
        let portal = stage.start(name).await?;
        stage::square(&portal).await?;
        Ok(portal)
    });
    stream::iter(started).buffered(STARTING).try_collect().await
}

/// So many actors that have answered a call, most of them one of a parent's, which is one of them. Gives
/// the parents.
async fn below(stage: &Stage, number: usize) -> Result<Vec<Portal>> {
    let parents = alone(stage, PARENTS).await?;
    let fanout = u32::try_from(number / PARENTS - 1)?;
    let kwargs = stage::arguments(&Grow { depth: 1, fanout })?;
    let mut ready = stage.ready();
    for parent in &parents {
        // Each of them, and each child that it calls, says so.
        let enough = *ready.borrow_and_update() + fanout as usize + 1;
        let (parent, kwargs) = (parent.clone(), kwargs.clone());
        let mut growing = tokio::spawn(async move { parent.call("bench:grow", kwargs).await });
        tokio::select! {
            grown = &mut growing => return Err(format!("a parent stopped growing: {grown:?}").into()),
            all = tokio::time::timeout(GROWTH, ready.wait_for(|count| *count >= enough)) => drop(all??),
        }
    }
    Ok(parents)
}

async fn lot(number: usize) -> Result<Lot> {
    let stage = Stage::open()?;
    let rounds = (STARTED / number).max(1);
    let (mut starting, mut reaping, mut lot) = (Duration::ZERO, Duration::ZERO, Lot::default());
    let kwargs = stage::arguments(&Square { x: 12 })?;
    // The first of a program costs more, whatever the number is.
    stage.start("first").await?.cancel_actor().await.map_err(stage::failed)?;
    for round in 0..rounds {
        let start = Instant::now();
        let portals =
            if number <= ALONE { alone(&stage, number).await? } else { below(&stage, number).await? };
        starting += start.elapsed();
        if round + 1 == rounds {
            let pids = stage::actors();
            if pids.len() != number {
                return Err(format!("{} processes for {number} actors", pids.len()).into());
            }
            for pid in &pids {
                let memory = Memory::of(*pid).ok_or("an actor is gone")?;
                lot.private += memory.private as f64 / number as f64;
                lot.proportional += memory.proportional as f64 / number as f64;
            }
            let (mut one, mut each) = (Times::default(), Times::default());
            calls::round_trips(&portals[0], &kwargs, CALLS, &mut one).await?;
            for _ in 0..CALLS.div_ceil(number).max(2) {
                for portal in &portals {
                    calls::round_trips(portal, &kwargs, 1, &mut each).await?;
                }
            }
            (lot.call_one, lot.call_all) = (one.percentile(50.0), each.percentile(50.0));
        }
        let start = Instant::now();
        try_join_all(portals.iter().map(Portal::cancel_actor)).await.map_err(stage::failed)?;
        reaping += start.elapsed();
        if !stage::actors().is_empty() {
            return Err("a process is left".into());
        }
    }
    stage.close().await?;
    let each = (rounds * number) as f64;
    (lot.start, lot.reap) = (starting.as_secs_f64() / each, reaping.as_secs_f64() / each);
    Ok(lot)
}
