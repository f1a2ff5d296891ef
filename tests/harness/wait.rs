//! Waiting for a condition, never longer than agreed.
//!
//! Owns: the loop around a look. Must not know: what is looked at. Invariant: whoever waits in
//! vain fails, saying for what.

use std::time::{Duration, Instant};

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// Looks until there is something to see, while the runtime's other tasks go on.
///
/// # Panics
/// If there is nothing within `limit`.
pub async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// As [`until`], where there is no runtime, or nothing in it that must go on.
///
/// # Panics
/// If there is nothing within `limit`.
pub fn until_now<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}
