//! Time: a clock that only goes forward, and waiting.
//!
//! Owns: both in terms of [`Duration`]. Must not know: dates, which a module has no right to.

use std::time::Duration;

use crate::bindings::greenroom::portal::runtime;

/// A duration as the host takes it: at most 584 years.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Waits at least this long, letting other tasks run. At most 584 years.
pub async fn sleep(duration: Duration) {
    runtime::sleep(nanoseconds(duration)).await;
}

/// The time on a clock that only goes forward, from an arbitrary start.
#[must_use]
pub fn monotonic_now() -> Duration {
    Duration::from_nanos(runtime::monotonic_now())
}
