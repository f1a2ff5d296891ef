//! Turns of guest code, and the thread that ends them.
//!
//! Owns: the epoch's advance, and what the actor does between two turns. Must not know: what
//! guests do. Invariant: it ticks while guest code runs and sleeps when none has for a while, so
//! that an idle actor wakes nobody; after a turn that was cut short, sockets and timers are
//! looked at before the next.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use futures_util::task::AtomicWaker;

/// How long guest code may run before other tasks of the actor get a turn. A call beside it waits for
/// two turns: one to be seen, and one to be run.
const TICK: Duration = Duration::from_millis(1);

/// How many ticks without guest code until the thread sleeps. Parking costs the next call a
/// wake-up, so it waits out the pauses of a busy actor.
const IDLE_TICKS: u32 = 500;

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
    ticks: AtomicU64,
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

    /// A future in which guest code may run, as one that takes turns with the rest of the actor.
    pub(crate) fn turns<F: Future>(&self, inner: F) -> Turns<F> {
        let alarm = Arc::<Alarm>::default();
        Turns { ticker: self.clone(), waker: alarm.clone().into(), alarm, inner: Box::pin(inner) }
    }

    /// Guest code is about to run; gives the number of ticks so far.
    fn note(&self) -> u64 {
        self.state.busy.store(true, Ordering::SeqCst);
        if self.state.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        self.state.ticks.load(Ordering::Relaxed)
    }

    fn ticks(&self) -> u64 {
        self.state.ticks.load(Ordering::Relaxed)
    }
}

/// See [`Ticker::turns`].
pub(crate) struct Turns<F> {
    ticker: Ticker,
    waker: Waker,
    alarm: Arc<Alarm>,
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for Turns<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let began = this.ticker.note();
        this.alarm.outer.register(cx.waker());
        this.alarm.inside.store(true, Ordering::SeqCst);
        let polled = this.inner.as_mut().poll(&mut Context::from_waker(&this.waker));
        this.alarm.inside.store(false, Ordering::SeqCst);
        if polled.is_pending() && this.alarm.rang.swap(false, Ordering::SeqCst) {
            if this.ticker.ticks() == began {
                cx.waker().wake_by_ref();
            } else {
                // A guest that burns CPU would be polled again at once, and tokio looks at its
                // sockets and timers only every so many polls. Yielding makes it look now.
                let _ = std::pin::pin!(tokio::task::yield_now()).poll(cx);
            }
        }
        polled
    }
}

/// Tells a wake-up from within the poll, which asks for another turn, from one from without.
#[derive(Default)]
struct Alarm {
    outer: AtomicWaker,
    inside: AtomicBool,
    rang: AtomicBool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::SeqCst);
        if !self.inside.load(Ordering::SeqCst) && self.rang.swap(false, Ordering::SeqCst) {
            self.outer.wake();
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
        state.ticks.fetch_add(1, Ordering::Relaxed);
        engine.increment_epoch();
        idle = if state.busy.swap(false, Ordering::SeqCst) { 0 } else { idle + 1 };
    }
}
