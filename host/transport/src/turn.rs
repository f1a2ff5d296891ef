//! How long the thread that drives pipes has had a core.
//!
//! Owns: asking the kernel for that. Must not know: what it tells.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// For how long this thread has run. Costs a call of the system.
pub fn ran() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_the_thread_runs_alone() {
        let before = ran();
        std::thread::sleep(Duration::from_millis(200));
        let slept = ran() - before;
        assert!(slept < Duration::from_millis(100), "{slept:?}");
        while ran() <= before + slept {}
    }
}
