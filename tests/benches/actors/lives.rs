//! The lives of actors: how fast they come and go, and what they hold meanwhile.
//!
//! Owns: start, private memory, the end of a tree, large payloads. Must not know: small calls.
//! Invariant: a tree counts only if every actor of it left gracefully.

use std::fs;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use greenroom_tests::{Exits, Memory, zygotes};
use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::Result;
use crate::figure::{Figure, Times, Unit};
use crate::stage::{self, Stage};

/// Starts that count, and those before them.
const STARTS: usize = 100;
const FIRST_STARTS: usize = 5;

/// Idle actors whose memory is looked at, alive at the same time.
const IDLE: usize = 32;

/// Trees that are grown and cancelled: one root with `FANOUT` actors below, each with as many.
const TREES: usize = 20;
const DEPTH: u32 = 2;
const FANOUT: u32 = 4;
const TREE_ACTORS: usize = 1 + 4 + 16;

/// How long a tree may take to grow.
const GROWTH: Duration = Duration::from_secs(10);

/// What cancelling a tree may take, in milliseconds, until its last process is gone.
const MAX_REAP: f64 = 100.0;

/// The size of a large payload, and how many go there and back.
const LARGE: usize = 1 << 20;
const LARGE_CALLS: usize = 300;

#[derive(Serialize)]
struct Square {
    x: i64,
}

#[derive(Serialize)]
struct Grow {
    depth: u32,
    fanout: u32,
}

#[derive(Serialize)]
struct Echo {
    bytes: ByteBuf,
}

/// All figures of this kind.
pub(crate) async fn measure(stage: &Stage, exits: &Exits) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    figures.push(starts(stage).await?);
    figures.extend(memory(stage).await?);
    figures.extend(trees(stage, exits).await?);
    figures.push(large(stage).await?);
    Ok(figures)
}

/// From the order to start an actor until its first reply.
async fn starts(stage: &Stage) -> Result<Figure> {
    let mut times = Times::default();
    let kwargs = stage::arguments(&Square { x: 3 })?;
    for number in 0..FIRST_STARTS + STARTS {
        let start = Instant::now();
        let portal = stage.start("started").await?;
        let nine: i64 = stage::call(&portal, "square", kwargs.clone()).await?;
        let took = start.elapsed();
        if nine != 9 {
            return Err("the actor cannot square".into());
        }
        if number >= FIRST_STARTS {
            times.add(took);
        }
        portal.cancel_actor().await.map_err(stage::failed)?;
    }
    Ok(times.figure("start of an actor until its first reply", Unit::Milliseconds))
}

/// What actors that do nothing hold for themselves alone.
async fn memory(stage: &Stage) -> Result<[Figure; 2]> {
    let mut portals = Vec::new();
    for number in 0..IDLE {
        portals.push(stage.start(&format!("idle_{number}")).await?);
    }
    let pids = children()?;
    if pids.len() != IDLE {
        return Err(format!("{} processes for {IDLE} actors", pids.len()).into());
    }
    let (mut private, mut proportional) = (0, 0);
    for pid in &pids {
        let memory = Memory::of(*pid).ok_or("an actor is gone")?;
        private += memory.private;
        proportional += memory.proportional;
    }
    try_join_all(portals.iter().map(|portal| portal.cancel_actor())).await.map_err(stage::failed)?;
    let mean = |sum: u64| sum as f64 / IDLE as f64 / f64::from(1 << 20);
    Ok([
        Figure::plain("private memory of an idle actor", "mean", mean(private), "MiB", IDLE),
        Figure::plain("with its share of what is shared", "mean", mean(proportional), "MiB", IDLE),
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
        let processes = children()?.len();
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
            .at_most(MAX_REAP),
    ])
}

/// Large payloads, one after the other, there and back.
async fn large(stage: &Stage) -> Result<Figure> {
    let portal = stage.start("echo").await?;
    let kwargs = stage::arguments(&Echo { bytes: ByteBuf::from(vec![7; LARGE]) })?;
    let mut times = Times::default();
    for number in 0..LARGE_CALLS + 10 {
        let start = Instant::now();
        let value = portal.call("bench:echo", kwargs.clone()).await.map_err(stage::failed)?;
        if number >= 10 {
            times.add(start.elapsed());
        }
        if value.len() < LARGE {
            return Err("the echo is shorter than the call".into());
        }
    }
    portal.cancel_actor().await.map_err(stage::failed)?;
    let rate = 1.0 / times.percentile(50.0);
    Ok(Figure::plain("echo of 1 MiB, each counted once", "p50", rate, "MiB/s", LARGE_CALLS))
}

/// The processes that this one has started and that are still there, but for those that actors are
/// forked off.
fn children() -> Result<Vec<i32>> {
    let zygotes = zygotes();
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Another process may end while the folder is read.
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        if parent.is_some_and(|parent| parent.trim() == own) && !zygotes.contains(&pid) {
            found.push(pid);
        }
    }
    Ok(found)
}
