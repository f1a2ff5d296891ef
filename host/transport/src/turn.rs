//! For how long the thread that drives pipes has had a core, and which.
//!
//! Owns: asking the system for that. Must not know: what it tells.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// For how long this thread has run. Costs a call of the system.
pub fn ran() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// Where the other side of a pipe was when it wrote the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nobody knows.
    Unknown,
    /// On the core of this thread: it does not run as long as this one does.
    Here,
    /// On another core, where it may run meanwhile.
    Elsewhere,
}

impl Place {
    /// What somebody has told of the core on which they run, as [`core()`] does.
    pub(crate) fn told(told: u64) -> Self {
        match (told, core()) {
            (0, _) | (_, 0) => Self::Unknown,
            (theirs, ours) if theirs == ours => Self::Here,
            _ => Self::Elsewhere,
        }
    }
}

/// The number of the core on which this thread runs, and one more; 0 if that cannot be had. It takes no call of
/// the system where the C library knows by itself, as it does on x86-64.
#[expect(unsafe_code, reason = "nothing safe asks the C library, which knows without asking the system")]
pub(crate) fn core() -> u64 {
    // SAFETY: it has no arguments, and touches nothing.
    u64::try_from(unsafe { libc::sched_getcpu() } + 1).unwrap_or(0)
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

    #[test]
    fn tells_who_shares_a_core() {
        assert_eq!(Place::told(0), Place::Unknown);
        assert_eq!(Place::told(u64::MAX), Place::Elsewhere);
        // The thread may be moved in between, but not each time.
        assert!((0..100).any(|_| Place::told(core()) == Place::Here));
    }
}
