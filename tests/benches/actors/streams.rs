//! Messages of a stream between two guests, beside messages on a bare socket.
//!
//! Owns: how many there are in a second, small ones and large ones. Must not know: calls.
//! Invariant: bare messages and those of streams alternate in short rounds, so that a busy machine
//! slows both.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Result;
use crate::drain::{Drain, Writes};
use crate::figure::{Figure, Rate, Times, Unit};
use crate::machine::{self, Cores};
use crate::stage::{self, Stage};

/// How often bare messages and those of streams take turns.
const ROUNDS: usize = 5;

/// Small messages in a round of each kind: enough for a tenth of a second or more.
const BARE: u32 = 100_000;
const BARE_BATCHED: u32 = 1_000_000;
const NUMBERS: u32 = 100_000;

/// Those of streams that come before, to a stream of their own: far more than the window.
const FIRST_NUMBERS: u32 = 10_000;

/// What a small message of a stream is on the pipe: its length, its header and a number.
const SMALL: usize = 16;

/// The size of a large message, and how many are sent in a round.
const LARGE: usize = 1 << 20;
const BLOCKS: u32 = 600;
const FIRST_BLOCKS: u32 = 100;

/// What there shall be: thousands of small messages in a second, and large ones by bare ones.
const SMALL_AIM: f64 = 2000.0;
const LARGE_AIM: f64 = 0.8;

/// How long one stream is kept going for a profiler.
const PROFILED: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct PourNumbers {
    warm_up: u32,
    messages: u32,
}

/// The arguments of the function that streams byte strings.
#[derive(Serialize)]
pub(crate) struct PourBlocks {
    pub(crate) warm_up: u32,
    pub(crate) messages: u32,
    pub(crate) size: usize,
}

/// All figures for one choice of cores.
pub(crate) async fn measure(stage: &Stage, cores: Cores, far: Option<usize>) -> Result<Vec<Figure>> {
    let (mut drain, source) = (machine::at(far, Drain::start)?, stage.start("source").await?);
    let numbers = stage::arguments(&PourNumbers { warm_up: FIRST_NUMBERS, messages: NUMBERS })?;
    let blocks = stage::arguments(&PourBlocks { warm_up: FIRST_BLOCKS, messages: BLOCKS, size: LARGE })?;
    drain.pour(BARE, SMALL, Writes::Each).await?;

    let [mut bare, mut batched, mut small, mut bare_large, mut large] =
        std::array::from_fn(|_| Rate::default());
    for _ in 0..ROUNDS {
        bare.add(BARE as usize, drain.pour(BARE, SMALL, Writes::Each).await?);
        batched.add(BARE_BATCHED as usize, drain.pour(BARE_BATCHED, SMALL, Writes::Batched).await?);
        let took = stage::call::<u64>(&source, "pour_numbers", numbers.clone()).await?;
        small.add(NUMBERS as usize, Duration::from_nanos(took));
        bare_large.add(BLOCKS as usize, drain.pour(BLOCKS, LARGE, Writes::Each).await?);
        let took = stage::call::<u64>(&source, "pour_blocks", blocks.clone()).await?;
        large.add(BLOCKS as usize, Duration::from_nanos(took));
    }
    drain.stop()?;
    source.cancel_actor().await.map_err(stage::failed)?;

    let on = cores.name();
    Ok(vec![
        bare.figure(format!("bare messages of {SMALL} bytes, a write each, {on}")),
        batched.figure(format!("bare messages of {SMALL} bytes, batched, {on}")),
        small.figure(format!("small messages of a stream, guest to guest, {on}")).aims_at_least(SMALL_AIM),
        bare_large.figure_in("MiB/s", 1.0, format!("bare messages of 1 MiB, {on}")),
        large.figure_in("MiB/s", 1.0, format!("messages of 1 MiB of a stream, guest to guest, {on}")),
        Figure::plain(
            format!("messages of 1 MiB, of a stream / bare, {on}"),
            "ratio",
            large.per_second() / bare_large.per_second(),
            "×",
            ROUNDS * BLOCKS as usize,
        )
        .aims_at_least(LARGE_AIM),
    ])
}

/// What goes through one stream, where one thing only is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flow {
    Numbers,
    Blocks,
}

/// Nothing but one stream after the other for ten seconds.
pub(crate) async fn repeat(stage: &Stage, flow: Flow) -> Result<Figure> {
    let source = stage.start("source").await?;
    let (function, order) = match flow {
        Flow::Numbers => {
            ("pour_numbers", stage::arguments(&PourNumbers { warm_up: 0, messages: 10 * NUMBERS })?)
        }
        Flow::Blocks => {
            let order = PourBlocks { warm_up: 0, messages: 10 * BLOCKS, size: LARGE };
            ("pour_blocks", stage::arguments(&order)?)
        }
    };
    let mut times = Times::default();
    let end = Instant::now() + PROFILED;
    while Instant::now() < end {
        times.extend([stage::call::<u64>(&source, function, order.clone()).await?]);
    }
    source.cancel_actor().await.map_err(stage::failed)?;
    Ok(times.figure(format!("{function}, ten rounds' worth"), Unit::Milliseconds))
}
