//! The lives of actors: how fast they come and go.
//!
//! Owns: start, the end of a tree, what an instance of its own costs a task. Must not know: small calls.
//! Invariant: a tree counts only if every actor of it left gracefully.

use std::process::Command;
use std::time::{Duration, Instant};

use greenroom_tests::Exits;
use serde::Serialize;

use crate::Result;
use crate::figure::{Figure, Section, Times, Unit};
use crate::stage::{self, ALONE, Square, Stage};

/// Starts that count, and those before them.
const STARTS: usize = 100;
const FIRST_STARTS: usize = 5;

/// What a start shall take, in milliseconds.
const START_AIM: f64 = 1.0;

/// Trees that are grown and cancelled: one root with `FANOUT` actors below, each with as many.
const TREES: usize = 20;
const DEPTH: u32 = 2;
const FANOUT: u32 = 4;
const TREE_ACTORS: usize = 1 + 4 + 16;

/// How long a tree may take to grow.
const GROWTH: Duration = Duration::from_secs(10);

/// What cancelling a tree may take, in milliseconds, until its last process is gone.
const MAX_REAP: f64 = 100.0;
const REAP_AIM: f64 = 20.0;

/// What makes this program one that starts a single actor.
pub(crate) const COLD: &str = "--cold";
const COLD_STARTS: usize = 15;

/// Calls in a round to an actor that keeps its instance and one that does not.
const ISOLATED: usize = 200;
const ISOLATED_ROUNDS: usize = 5;

/// The arguments of the function that grows a tree.
#[derive(Serialize)]
pub(crate) struct Grow {
    pub(crate) depth: u32,
    pub(crate) fanout: u32,
}

/// All figures of this kind.
pub(crate) async fn measure(stage: &Stage, exits: &Exits) -> Result<[Section; 3]> {
    let mut starting = cold()?;
    starting.extend(starts(stage).await?);
    Ok([
        Section::new("Starting an actor", starting),
        Section::new("Trees", trees(stage, exits).await?),
        Section::new("Instances", isolation(stage).await?),
    ])
}

/// From the order to start an actor until it is ready, and until its first reply.
async fn starts(stage: &Stage) -> Result<[Figure; 2]> {
    let [mut ready, mut replied] = std::array::from_fn(|_| Times::default());
    let kwargs = stage::arguments(&Square { x: 3 })?;
    for number in 0..FIRST_STARTS + STARTS {
        let start = Instant::now();
        let portal = stage.start("started").await?;
        let until_ready = start.elapsed();
        let nine: i64 = stage::call(&portal, "square", kwargs.clone()).await?;
        let took = start.elapsed();
        if nine != 9 {
            return Err("the actor cannot square".into());
        }
        if number >= FIRST_STARTS {
            ready.add(until_ready);
            replied.add(took);
        }
        portal.cancel_actor().await.map_err(stage::failed)?;
    }
    Ok([
        ready.figure("start of an actor until it is ready", Unit::Milliseconds).aims_at_most(START_AIM),
        replied.figure("start of an actor until its first reply", Unit::Milliseconds),
    ])
}

/// The first actor of a fresh program, which has to load all that actors share.
fn cold() -> Result<Vec<Figure>> {
    let [mut program, mut first] = std::array::from_fn(|_| Times::default());
    for _ in 0..COLD_STARTS {
        let start = Instant::now();
        let output = Command::new(std::env::current_exe()?).arg(COLD).output()?;
        let (line, took) = (String::from_utf8(output.stdout)?, start.elapsed());
        first.extend([line.trim().parse::<u64>().map_err(|_| String::from_utf8_lossy(&output.stderr))?]);
        program.add(took);
    }
    Ok(vec![
        first.figure("start of the first actor of a program, with its host", Unit::Milliseconds),
        program.figure("a program that starts an actor, calls it and ends", Unit::Milliseconds),
    ])
}

/// What a fresh program does to be measured: prints how long its first actor took, in nanoseconds.
pub(crate) async fn be_cold() -> Result<()> {
    let start = Instant::now();
    let stage = Stage::open()?;
    let portal = stage.start("cold").await?;
    stage::square(&portal).await?;
    println!("{}", start.elapsed().as_nanos());
    stage.close().await
}

/// A call that finds an instance, beside one that is given an instance of its own.
async fn isolation(stage: &Stage) -> Result<Vec<Figure>> {
    let (resident, alone) = (stage.start("resident").await?, stage.start_as(ALONE, "alone").await?);
    let kwargs = stage::arguments(&Square { x: 12 })?;
    let own = format!("{ALONE}:square");
    let (mut shared, mut fresh) = (Times::default(), Times::default());
    for round in 0..=ISOLATED_ROUNDS {
        for _ in 0..ISOLATED {
            let start = Instant::now();
            resident.call("bench:square", kwargs.clone()).await.map_err(stage::failed)?;
            let between = Instant::now();
            alone.call(&own, kwargs.clone()).await.map_err(stage::failed)?;
            if round > 0 {
                shared.add(between - start);
                fresh.add(between.elapsed());
            }
        }
    }
    resident.cancel_actor().await.map_err(stage::failed)?;
    alone.cancel_actor().await.map_err(stage::failed)?;
    let ratio = fresh.percentile(50.0) / shared.percentile(50.0);
    Ok(vec![
        shared.figure("call, resident instance", Unit::Microseconds),
        fresh.figure("call, an instance for each task", Unit::Microseconds),
        Figure::plain("call, an instance for each / resident", "ratio", ratio, "×", fresh.count()),
    ])
}

/// From the order to cancel the root until the last process below it is reaped.
async fn trees(stage: &Stage, exits: &Exits) -> Result<[Figure; 2]> {
    let (mut growth, mut reap) = (Times::default(), Times::default());
    let mut ready = stage.ready();
    for _ in 0..TREES {
        let before = *ready.borrow_and_update();
        let start = Instant::now();
        let root = stage.start("root").await?;
        let kwargs = stage::arguments(&Grow { depth: DEPTH, fanout: FANOUT })?;
        let growing = stage::call::<()>(&root, "grow", kwargs);
        let mut growing = std::pin::pin!(growing);
        let all_ready = ready.wait_for(|count| *count == before + TREE_ACTORS);
        tokio::select! {
            grown = &mut growing => return Err(format!("the tree stopped growing: {grown:?}").into()),
            all = tokio::time::timeout(GROWTH, all_ready) => drop(all??),
        }
        growth.add(start.elapsed());
        exits.take();
        let start = Instant::now();
        root.cancel_actor().await.map_err(stage::failed)?;
        reap.add(start.elapsed());
        let left = exits.take();
        if let Some(bad) = left.iter().find(|left| !left.is_graceful()) {
            return Err(format!("an actor did not leave gracefully: {}", bad.words()).into());
        }
        let processes = stage::actors().len();
        if left.len() != TREE_ACTORS || processes != 0 {
            let count = left.len();
            return Err(format!("of {TREE_ACTORS} actors {count} left; {processes} processes remain").into());
        }
        // The main call of a cancelled tree fails, and says so.
        if growing.await.is_ok() {
            return Err("a tree ended before it was cancelled".into());
        }
    }
    Ok([
        growth.figure("growth of a tree 1→4→16", Unit::Milliseconds),
        reap.figure("cancel and reap of a tree 1→4→16, all leaving gracefully", Unit::Milliseconds)
            .at_most(MAX_REAP)
            .aims_at_most(REAP_AIM),
    ])
}
