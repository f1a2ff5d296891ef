//! How soon something must happen on a machine that may be busy.
//!
//! Owns: the bound, and what is added to it for what the machine itself takes. Must not know: what
//! is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long an open call may outlive its callee, or a task its caller.
const BOUND: Duration = Duration::from_millis(100);

/// How many processes take part in telling of a death: broker, middle, root, this one.
const HOPS: u32 = 4;

/// Measures how long this machine keeps a process that wants to run from running: what it takes
/// from each hop is not the broker's doing.
pub(crate) struct Metronome {
    worst: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Metronome {
    const BEAT: Duration = Duration::from_millis(1);
    /// What a machine with nothing else to do takes.
    const USUAL: Duration = Duration::from_millis(4);

    pub(crate) fn start() -> Self {
        let (worst, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, stopped) = (worst.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                std::thread::sleep(Self::BEAT);
                let late = began.elapsed().saturating_sub(Self::BEAT + Self::USUAL);
                seen.fetch_max(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { worst, stop, thread: Some(thread) }
    }

    /// The longest delay since it was last asked.
    pub(crate) fn stall(&self) -> Duration {
        Duration::from_nanos(self.worst.swap(0, Ordering::Relaxed))
    }

    /// That something came soon enough after a kill.
    pub(crate) fn assert_soon(&self, took: Duration, what: &str) {
        let allowed = BOUND + self.stall() * HOPS;
        assert!(took <= allowed, "{what} {took:?} after the kill, not within {allowed:?}");
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the metronome only counts");
        }
    }
}
