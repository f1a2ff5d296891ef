//! Supervision: a worker that crashes is started again, in a process of its own each time, until it
//! succeeds; or until it has crashed too often, and its nursery gives up and tells why.
//!
//! `greenroom run restart.wasm --allow spawn crashes=2` succeeds at the third attempt;
//! `greenroom run restart.wasm --allow spawn crashes=5` is more than the three restarts that are allowed.

use std::time::Duration;

use greenroom_guest::kind::RestartIntensityExceeded;
use greenroom_guest::prelude::*;

/// What the worker crashes with.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[error("attempt {attempt} has crashed")]
pub struct Crash {
    /// Which attempt it was.
    pub attempt: u32,
}

/// What the ledger serves: the memory of those who lose theirs when they crash.
#[module]
pub mod ledger {
    use std::sync::atomic::{AtomicU32, Ordering};

    static ATTEMPTS: AtomicU32 = AtomicU32::new(0);

    /// Counts one more attempt.
    pub fn attempt() -> u32 {
        ATTEMPTS.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// What the worker serves.
#[module]
pub mod worker {
    use super::{Crash, ledger};
    use greenroom_guest::prelude::*;

    /// Crashes so many times, and succeeds at the next attempt.
    pub async fn work(crashes: u32) -> Result<String, Fault> {
        let Some(ledger) = find_actor("ledger").await? else { fault!("nobody keeps the ledger") };
        let attempt = ledger.run(ledger::attempt {}).await?;
        log::info!("attempt {attempt} in process {}", current_actor().pid);
        if attempt <= crashes {
            Err(Crash { attempt })?;
        }
        Ok(format!("attempt {attempt} has succeeded"))
    }
}

/// Has a worker crash so many times (default 2) where so many restarts are allowed (default 3).
#[greenroom_guest::main]
async fn main(crashes: Option<u32>, allowed: Option<u32>) -> Result<String, Fault> {
    let nursery = Nursery::open();
    let _ledger = nursery.start_actor("ledger", [ledger::MODULE]).await?;

    let supervision = Supervision::one_for_one()
        .intensity(allowed.unwrap_or(3), Duration::from_secs(60))
        .backoff(Duration::from_millis(10), Duration::from_millis(100));
    let supervised = Nursery::supervised(supervision);
    // An actor with a main task is transient by default: it is started again when the task fails.
    let call = worker::work { crashes: crashes.unwrap_or(2) };
    let worker = supervised.run_in_actor(call).named("worker").restart(Restart::Transient).await?;

    // The nursery ends when the worker does: for good, or too often.
    let report = match supervised.join().await {
        Ok(()) => worker.wait_for_result().await?,
        Err(error) => match error.downcast() {
            Some(exceeded) => told(&exceeded),
            None => return Err(error.into()),
        },
    };
    nursery.cancel().await?;
    Ok(report)
}

/// Why a nursery gave up, from the first crash on.
fn told(exceeded: &RestartIntensityExceeded) -> String {
    let RestartIntensityExceeded { child, restarts, history, .. } = exceeded;
    let crashes = history.iter().map(|error| match error.downcast() {
        Some(Crash { attempt }) => format!("\n  crash at attempt {attempt}"),
        None => format!("\n  {error}"),
    });
    format!("`{child}` was given up after {restarts} restarts:{}", crashes.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_history() {
        let crash = |attempt| Fault::from(Crash { attempt }).into_remote();
        let history = vec![crash(1), RemoteActorError::new("ActorDied", "gone"), crash(2)];
        let exceeded =
            RestartIntensityExceeded { child: "worker".into(), restarts: 2, within_ms: 1000, history };
        assert_eq!(
            told(&exceeded),
            "`worker` was given up after 2 restarts:\n  crash at attempt 1\n  ActorDied: gone\n  \
             crash at attempt 2"
        );
    }

    #[test]
    fn the_ledger_counts() {
        let first = ledger::attempt();
        assert_eq!(ledger::attempt(), first + 1);
    }
}
