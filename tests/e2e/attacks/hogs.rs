//! A call of a sibling beside each hog, as quick as when all is quiet.
//!
//! Owns: that the slowest hundredth of such calls is at most twice as slow. Must not know: what the
//! host does for that. Invariant: quiet and busy are measured in one run, one right after the other.

use std::time::{Duration, Instant};

use greenroom_tests::{say, undisturbed};

use super::bombs::{BOMBS, Hog, Sty};

/// How long calls are made one after the other.
const WHILE: Duration = Duration::from_millis(250);

/// How long a hog has to be at its limit before it counts.
const BEGUN: Duration = Duration::from_millis(250);

/// How long until nothing is left of it.
const GONE: Duration = Duration::from_millis(600);

/// How often a pair is measured, where the machine itself is busy; the best counts.
const ATTEMPTS: u32 = 10;

/// By how much slower calls may be.
const TIMES: u32 = 2;

/// What is quick whatever it is compared with: the clock of a busy machine is no finer.
const FLOOR: Duration = Duration::from_micros(250);

/// The slowest hundredth of calls, and how many there were.
async fn calls(sty: &Sty) -> (Duration, usize) {
    let (began, mut all) = (Instant::now(), Vec::new());
    while began.elapsed() < WHILE {
        let began = Instant::now();
        sty.ping().await;
        all.push(began.elapsed());
    }
    all.sort_unstable();
    (all[(all.len() * 99).div_ceil(100) - 1], all.len())
}

/// Has a hog take what it takes, again and again.
async fn hog(sty: &Sty, hog: Hog) {
    loop {
        let _ = sty.take(hog, Duration::from_secs(60)).await;
        tokio::task::yield_now().await;
    }
}

#[test]
fn calls_of_a_sibling_are_as_quick_beside_every_hog() {
    undisturbed(async |place| {
        let mut slow = Vec::new();
        for bomb in BOMBS {
            // Each has an actor of its own, of which nothing is left before the next.
            let sty = Sty::new(place).await;
            let mut best: Option<(Duration, Duration)> = None;
            for _ in 0..ATTEMPTS {
                let (quiet, _) = calls(&sty).await;
                let busy = tokio::select! {
                    () = hog(&sty, bomb.hog) => unreachable!("it goes on for ever"),
                    busy = async {
                        tokio::time::sleep(BEGUN).await;
                        calls(&sty).await.0
                    } => busy,
                };
                tokio::time::sleep(GONE).await;
                let ratio = |(quiet, busy): (Duration, Duration)| busy.as_secs_f64() / quiet.as_secs_f64();
                if best.is_none_or(|best| ratio((quiet, busy)) < ratio(best)) {
                    best = Some((quiet, busy));
                }
                if busy <= (quiet * TIMES).max(FLOOR) {
                    best = Some((quiet, busy));
                    break;
                }
            }
            let (quiet, busy) = best.expect("it was measured");
            say(&format!("{:?}: p99 {quiet:?} quiet, {busy:?} beside it", bomb.hog));
            if busy > (quiet * TIMES).max(FLOOR) {
                slow.push((bomb.hog, quiet, busy));
            }
            sty.world.end().await;
        }
        assert!(slow.is_empty(), "never as quick: {slow:?}");
    });
}
