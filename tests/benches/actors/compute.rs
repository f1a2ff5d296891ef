//! A guest that computes, beside the same code compiled for the processor.
//!
//! Owns: how long kernels take on either side. Must not know: what they compute. Invariant: both sides
//! give the same result, or there is no figure; they alternate, on one core.

use std::time::{Duration, Instant};

use greenroom_kernels::KERNELS;
use serde::Serialize;

use crate::Result;
use crate::figure::{Figure, Times, Unit};
use crate::stage::{self, Stage};

const ROUNDS: usize = 7;

/// How long one run of a kernel takes natively, about.
const LASTING: Duration = Duration::from_millis(60);

/// What a guest shall take, by what native code does.
const AIM: f64 = 1.3;

/// The kernels that get there, and have to stay.
const THERE: [&str; 3] = ["n-body", "SHA-256", "edit distance"];

#[derive(Serialize)]
struct Compute<'a> {
    kernel: &'a str,
    rounds: u32,
}

/// All figures of this kind.
pub(crate) async fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let portal = stage.start("work").await?;
    let mut figures = Vec::new();
    for (kernel, run) in KERNELS {
        let start = Instant::now();
        run(1);
        let rounds = (LASTING.as_secs_f64() / start.elapsed().as_secs_f64()).ceil();
        let rounds = (rounds as u32).clamp(1, 10_000);
        let order = stage::arguments(&Compute { kernel, rounds })?;
        let (mut native, mut guest) = (Times::default(), Times::default());
        for round in 0..=ROUNDS {
            let start = Instant::now();
            let expected = run(rounds);
            let took = start.elapsed();
            let (found, nanoseconds) = stage::call::<(u64, u64)>(&portal, "compute", order.clone()).await?;
            if found != expected {
                return Err(format!("`{kernel}` gives {expected} natively and {found} in a guest").into());
            }
            // The first warms both sides up.
            if round > 0 {
                native.add(took);
                guest.extend([nanoseconds]);
            }
        }
        let ratio = guest.percentile(50.0) / native.percentile(50.0);
        figures.push(native.figure(format!("{kernel}, native"), Unit::Milliseconds));
        figures.push(guest.figure(format!("{kernel}, in a guest"), Unit::Milliseconds));
        let what = format!("{kernel}, guest / native");
        let compared = Figure::plain(what, "ratio", ratio, "×", guest.count());
        figures.push(match THERE.contains(&kernel) {
            true => compared.at_most(AIM),
            false => compared.aims_at_most(AIM),
        });
    }
    portal.cancel_actor().await.map_err(stage::failed)?;
    Ok(figures)
}
