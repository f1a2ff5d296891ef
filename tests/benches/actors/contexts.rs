//! Contexts, and calls beside many that are open.
//!
//! Owns: opening, closing, and how that changes with their number. Must not know: streams. Invariant:
//! every context that is opened ends before the next number is measured.

use std::time::Instant;

use greenroom::{CallOptions, Portal};

use crate::Result;
use crate::calls;
use crate::figure::{Figure, Times, Unit};
use crate::growth::Curve;
use crate::stage::{self, Square, Stage};

/// Contexts that are opened and end, one after the other.
const TOUCHES: usize = 3000;
const FIRST_TOUCHES: usize = 200;

/// How many are open at once, and calls beside them.
const OPEN: [usize; 7] = [1, 3, 10, 30, 100, 300, 1000];
const CALLS: usize = 1500;

/// How often few are opened, so that their times mean something.
const OPENED: usize = 1000;

#[derive(serde::Serialize)]
struct Nothing {}

/// All figures of this kind, and the curves.
pub(crate) async fn measure(stage: &Stage) -> Result<(Vec<Figure>, Vec<Curve>)> {
    let portal = stage.start("held").await?;
    let mut touches = Times::default();
    for number in 0..FIRST_TOUCHES + TOUCHES {
        let start = Instant::now();
        let context = open(&portal, "bench:touch").await?;
        context.wait_for_result().await.map_err(stage::failed)?;
        if number >= FIRST_TOUCHES {
            touches.add(start.elapsed());
        }
    }
    let (mut opened, mut called) = (Vec::new(), Vec::new());
    for open_at_once in OPEN {
        let (each, call) = beside(&portal, open_at_once).await?;
        opened.push((open_at_once as f64, each));
        called.push((open_at_once as f64, call));
    }
    portal.cancel_actor().await.map_err(stage::failed)?;
    let figures = vec![touches.figure("context opened and ended", Unit::Microseconds)];
    let curves = vec![
        Curve::new("opening and cancelling a context", "contexts", "µs", opened),
        Curve::new("call beside open contexts", "contexts", "µs", called),
    ];
    Ok((figures, curves))
}

/// What it takes to open and to cancel each of so many contexts, and to call while they are open.
async fn beside(portal: &Portal, open_at_once: usize) -> Result<(f64, f64)> {
    let (mut lasting, mut calls) = (std::time::Duration::ZERO, Times::default());
    let rounds = OPENED / open_at_once;
    let kwargs = stage::arguments(&Square { x: 12 })?;
    for round in 0..rounds {
        let start = Instant::now();
        let mut contexts = Vec::new();
        for _ in 0..open_at_once {
            contexts.push(open(portal, "bench:hold").await?);
        }
        lasting += start.elapsed();
        if round + 1 == rounds {
            calls::round_trips(portal, &kwargs, CALLS, &mut calls).await?;
        }
        let start = Instant::now();
        for context in &contexts {
            context.abandon();
        }
        for context in &contexts {
            if context.wait_for_result().await.is_ok() {
                return Err("a context ended before it was cancelled".into());
            }
        }
        lasting += start.elapsed();
    }
    let each = lasting.as_secs_f64() * 1e6 / (rounds * open_at_once) as f64;
    Ok((each, calls.percentile(50.0) * 1e6))
}

async fn open(portal: &Portal, function: &str) -> Result<greenroom::Context> {
    let kwargs = stage::arguments(&Nothing {})?;
    let opened = portal.open_context(function, kwargs, CallOptions::default()).await;
    Ok(opened.map_err(stage::failed)?.0)
}
