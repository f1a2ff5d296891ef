//! Payloads of all sizes, there and back.
//!
//! Owns: the sizes. Must not know: how a payload is cut up on its way. Invariant: echoes of an actor
//! and bare ones alternate; each byte is counted once, though it goes both ways.

use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::Result;
use crate::echo::Echo;
use crate::figure::{Figure, Times};
use crate::growth::Curve;
use crate::stage::{self, Stage};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The sizes, what they are called, how many echoes there are of each in a round.
const SIZES: [(usize, &str, usize); 6] = [
    (64, "64 B", 1000),
    (KIB, "1 KiB", 1000),
    (64 * KIB, "64 KiB", 200),
    (MIB, "1 MiB", 60),
    (16 * MIB, "16 MiB", 4),
    (64 * MIB, "64 MiB", 2),
];

/// How the figures of a guest begin, and what they shall be for 1 MiB, in MiB/s.
const GUEST: &str = "echo of a guest";
const RATE_AIM: f64 = 1640.0;

const ROUNDS: usize = 3;

#[derive(Serialize)]
struct Bytes {
    bytes: ByteBuf,
}

/// All figures of this kind, and what a byte costs as there are more of them.
pub(crate) async fn measure(stage: &Stage) -> Result<(Vec<Figure>, Curve)> {
    let (mut echo, portal) = (Echo::start()?, stage.start("echo").await?);
    let (mut figures, mut points) = (Vec::new(), Vec::new());
    for (size, name, count) in SIZES {
        let kwargs = payload(size)?;
        let (mut bare, mut through) = (Times::default(), Times::default());
        echo.large(size, 1, &mut Times::default()).await?;
        echoes(&portal, &kwargs, size, count.div_ceil(10), &mut Times::default()).await?;
        for _ in 0..ROUNDS {
            echo.large(size, count, &mut bare).await?;
            echoes(&portal, &kwargs, size, count, &mut through).await?;
        }
        let mebibytes = size as f64 / MIB as f64;
        for (who, times) in [("bare echo", &bare), (GUEST, &through)] {
            let rate = mebibytes / times.percentile(50.0);
            let figure = Figure::plain(format!("{who}, {name}"), "p50", rate, "MiB/s", times.count());
            let aims = size == MIB && who == GUEST;
            figures.push(if aims { figure.aims_at_least(RATE_AIM) } else { figure });
        }
        points.push((size as f64, through.percentile(50.0) * 1e9 / size as f64));
    }
    echo.stop()?;
    portal.cancel_actor().await.map_err(stage::failed)?;
    Ok((figures, Curve::new("echo, of each byte", "bytes of the payload", "ns", points)))
}

/// Echoes of a guest.
pub(crate) async fn echoes(
    portal: &greenroom::Portal,
    kwargs: &bytes::Bytes,
    size: usize,
    count: usize,
    times: &mut Times,
) -> Result<()> {
    for _ in 0..count {
        let start = std::time::Instant::now();
        let value = portal.call("bench:echo", kwargs.clone()).await.map_err(stage::failed)?;
        times.add(start.elapsed());
        if value.len() < size {
            return Err("the echo is shorter than the call".into());
        }
    }
    Ok(())
}

/// The arguments for an echo of so many bytes.
pub(crate) fn payload(size: usize) -> Result<bytes::Bytes> {
    stage::arguments(&Bytes { bytes: ByteBuf::from(vec![7; size]) })
}
