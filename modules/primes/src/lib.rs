//! A cluster: a number of workers, started at once, count the primes below a limit; first one of
//! them alone, then all together. How much sooner that is done depends on how many cores there are.
//!
//! `greenroom run primes.wasm --allow spawn limit=1000000 workers=4`

use std::time::Duration;

use greenroom_guest::prelude::*;

/// How many numbers a worker tests at a time. The large ones take longer, so that equal shares of
/// all would not be equal work.
const PART: u64 = 10_000;

/// How many parts each worker has in hand: one being tested, one waiting.
const PARTS_PER_WORKER: usize = 2;

/// What a worker serves.
#[module]
pub mod prime {
    /// How many primes there are from a number up to, and without, another.
    pub fn count(from: u64, to: u64) -> u64 {
        (from..to).filter(|n| super::is_prime(*n)).count() as u64
    }
}

/// Whether a number is prime, by trial.
fn is_prime(n: u64) -> bool {
    n > 1 && (2..).take_while(|divisor| divisor * divisor <= n).all(|divisor| !n.is_multiple_of(divisor))
}

/// Has workers count the primes below a limit. Gives how many there are, and how long it took.
async fn count(workers: &[Portal], limit: u64) -> Result<(u64, Duration), Fault> {
    let began = monotonic_now();
    let parts = (0..limit).step_by(PART as usize);
    let calls = parts.zip(workers.iter().cycle()).map(|(from, worker)| {
        let to = limit.min(from + PART);
        worker.run(prime::count { from, to })
    });
    let mut counted = stream::iter(calls).buffer_unordered(workers.len() * PARTS_PER_WORKER);
    let (mut primes, mut done) = (0, 0);
    while let Some(found) = counted.try_next().await? {
        primes += found;
        done += PART;
        progress(done.min(limit), limit, format!("{primes} primes"));
    }
    Ok((primes, monotonic_now() - began))
}

/// Counts the primes below a limit (default 1,000,000) with one worker and with several (default 4).
#[greenroom_guest::main]
async fn main(limit: Option<u64>, workers: Option<usize>) -> Result<String, Fault> {
    let (limit, workers) = (limit.unwrap_or(1_000_000), workers.unwrap_or(4).max(1));
    let nursery = Nursery::open();
    let cluster = nursery.open_actor_cluster("primes", [prime::MODULE], workers).await?;

    let (primes, alone) = count(&cluster[..1], limit).await?;
    let (again, together) = count(&cluster, limit).await?;
    if primes != again {
        fault!("one worker has found {primes} primes, and {workers} have found {again}");
    }
    nursery.cancel().await?;
    Ok(report(primes, limit, &[(1, alone), (workers, together)]))
}

/// The count, and one line for each way to it.
fn report(primes: u64, limit: u64, ways: &[(usize, Duration)]) -> String {
    let mut report = format!("{primes} primes below {limit}");
    for (workers, took) in ways {
        let plural = if *workers == 1 { "" } else { "s" };
        report.push_str(&format!("\n{workers} worker{plural}: {} ms", took.as_millis()));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_primes() {
        assert_eq!(
            (0..30).filter(|n| is_prime(*n)).collect::<Vec<_>>(),
            [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
        );
        assert_eq!((prime::count(0, 1000), prime::count(7, 8), prime::count(8, 8)), (168, 1, 0));
    }

    #[test]
    fn reports_both_ways() {
        let ways = [(1, Duration::from_millis(90)), (4, Duration::from_micros(30_500))];
        assert_eq!(report(25, 100, &ways), "25 primes below 100\n1 worker: 90 ms\n4 workers: 30 ms");
    }
}
