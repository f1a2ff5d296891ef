//! The thread that ends a guest's turn.
//!
//! Owns: the epoch's advance. Must not know: what a turn's end does. Invariant: it ticks while
//! guest code runs and sleeps when none has for a while, so that an idle actor wakes nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// How long guest code may run before other tasks of the actor get a turn.
const TICK: Duration = Duration::from_millis(10);

/// How many ticks without guest code until the thread sleeps. Parking costs the next call a
/// wake-up, so it waits out the pauses of a busy actor.
const IDLE_TICKS: u32 = 50;

/// A handle to the thread; it ends with the process.
#[derive(Clone, Debug)]
pub(crate) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct State {
    busy: AtomicBool,
    parked: AtomicBool,
}

impl Ticker {
    /// Starts the thread, asleep.
    ///
    /// # Errors
    /// When the process may not have another thread.
    pub(crate) fn start(engine: wasmtime::EngineWeak) -> std::io::Result<Self> {
        let state = Arc::new(State::default());
        let shared = state.clone();
        let handle = thread::Builder::new().name("epoch".to_owned()).spawn(move || tick(&engine, &shared))?;
        Ok(Self { state, thread: handle.thread().clone() })
    }

    /// Guest code is about to run.
    pub(crate) fn note(&self) {
        self.state.busy.store(true, Ordering::SeqCst);
        if self.state.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}

fn tick(engine: &wasmtime::EngineWeak, state: &State) {
    let mut idle = IDLE_TICKS;
    loop {
        if idle >= IDLE_TICKS {
            state.parked.store(true, Ordering::SeqCst);
            while !state.busy.load(Ordering::SeqCst) {
                thread::park();
            }
            state.parked.store(false, Ordering::SeqCst);
        }
        thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
        idle = if state.busy.swap(false, Ordering::SeqCst) { 0 } else { idle + 1 };
    }
}
