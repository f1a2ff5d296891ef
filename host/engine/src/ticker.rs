//! Turns of guest code, the thread that ends them, and the thread for the long ones.
//!
//! Owns: the epoch's advance, where a turn is taken, and what the actor does between two. Must not
//! know: what guests do, but that a turn has an end. Invariant: it ticks while guest code runs and sleeps when none has for a
//! while, so that an idle actor wakes nobody; after a turn that was cut short, sockets and timers
//! are looked at before the next.
//!
//! A turn that cannot be cut short, such as the copy of a large payload into a guest, would hold up
//! the actor's links and its other instances. Instances that take long turns, or announce one, take
//! them on a thread of their own until they are short again; all others never leave the actor's.

use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use greenroom_sabotage::Protection;
use tokio::sync::oneshot;

/// How long guest code may run before other tasks of the actor get a turn.
const TICK: Duration = Duration::from_millis(10);

/// From how long on a turn is a long one: others of the actor would notice.
const LONG: Duration = Duration::from_millis(1);

/// How many short turns an instance takes aside before it comes back. Going there costs two
/// wake-ups a turn, so it waits until whatever was long is over.
const LONG_TURNS: u32 = 8;

/// How many ticks without guest code until the thread sleeps. Parking costs the next call a
/// wake-up, so it waits out the pauses of a busy actor.
const IDLE_TICKS: u32 = 50;

/// What the process ends with if a guest cannot be ended: sysexits' `EX_SOFTWARE`.
const STUCK: i32 = 70;

/// How long its last words may take.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// A handle to the thread; it ends with the process.
#[derive(Clone, Debug)]
pub(crate) struct Ticker {
    state: Arc<State>,
    thread: Thread,
    side: Arc<Mutex<Option<Side>>>,
}

/// The way to the thread for long turns.
type Side = std::sync::mpsc::Sender<Box<dyn FnOnce() + Send>>;

#[derive(Debug, Default)]
struct State {
    busy: AtomicBool,
    parked: AtomicBool,
    ticks: AtomicU64,
    /// When the turns that run now began, in nanoseconds: here and aside. 0 where there is none.
    turns: [AtomicU64; 2],
    /// How long a turn may be before the actor is given up, in nanoseconds; 0 for as long as it likes.
    patience: AtomicU64,
}

impl State {
    /// Whether a turn does not come back: whatever is to end it does not work.
    fn is_stuck(&self, now: u64) -> bool {
        let patience = self.patience.load(Ordering::Relaxed);
        let stuck = |began: u64| began > 0 && now.saturating_sub(began) > patience;
        patience > 0 && self.turns.iter().any(|began| stuck(began.load(Ordering::Relaxed)))
    }
}

/// Time that has passed since some moment, in nanoseconds; never 0.
fn nanoseconds(now: Instant) -> u64 {
    let since = now.saturating_duration_since(zero()).as_nanos();
    u64::try_from(since).unwrap_or(u64::MAX).max(1)
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
        Ok(Self { state, thread: handle.thread().clone(), side: Arc::default() })
    }

    /// Ends the process if a turn is longer than that: then nothing within it can end the guest.
    pub(crate) fn give_up_after(&self, patience: Duration) {
        let patience = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
        self.state.patience.store(patience, Ordering::Relaxed);
    }

    /// A future in which guest code may run, as one that takes turns with the rest of the actor.
    pub(crate) fn turns<T: Send + 'static>(
        &self,
        weight: Weight,
        inner: impl Future<Output = T> + Send + 'static,
    ) -> Turns<T> {
        let alarm = Arc::<Alarm>::default();
        Turns {
            ticker: self.clone(),
            waker: alarm.clone().into(),
            alarm,
            weight,
            place: Place::Here(Box::pin(inner)),
            aside: 0,
        }
    }

    /// Runs something on the thread for long turns, which is started on first use. None if the
    /// process may not have another thread.
    fn aside(&self, turn: impl FnOnce() + Send + 'static) -> Option<()> {
        let mut side = self.side.lock().unwrap_or_else(PoisonError::into_inner);
        if side.is_none() {
            let (turns, queue) = std::sync::mpsc::channel::<Box<dyn FnOnce() + Send>>();
            let runtime = tokio::runtime::Handle::current();
            let long = move || {
                let _within = runtime.enter();
                queue.into_iter().for_each(|turn| turn());
            };
            thread::Builder::new().name("long turns".to_owned()).spawn(long).ok()?;
            *side = Some(turns);
        }
        side.as_ref()?.send(Box::new(turn)).ok()
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

/// Whether an instance is to take a long turn, as far as that can be told beforehand. Clones are of
/// the same instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weight(Arc<Weights>);

#[derive(Debug, Default)]
struct Weights {
    announced: AtomicBool,
    aside: AtomicBool,
    /// When the last turn began, in nanoseconds since some moment.
    began: AtomicU64,
}

/// The moment from which turns are timed.
fn zero() -> Instant {
    static ZERO: OnceLock<Instant> = OnceLock::new();
    *ZERO.get_or_init(Instant::now)
}

impl Weight {
    /// The next turn will be long.
    pub(crate) fn announce(&self) {
        self.0.announced.store(true, Ordering::SeqCst);
    }

    /// A turn begins.
    fn begin(&self, now: Instant) {
        self.0.began.store(nanoseconds(now), Ordering::Relaxed);
    }

    /// When the last turn began.
    pub(crate) fn began(&self) -> Instant {
        zero() + Duration::from_nanos(self.0.began.load(Ordering::Relaxed))
    }

    /// Whether a long turn is announced, and has not begun.
    pub(crate) fn is_announced(&self) -> bool {
        self.0.announced.load(Ordering::SeqCst)
    }

    /// Whether the turn that runs now holds up nobody.
    pub(crate) fn is_aside(&self) -> bool {
        self.0.aside.load(Ordering::SeqCst)
    }
}

type Inner<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// See [`Ticker::turns`].
pub(crate) struct Turns<T> {
    ticker: Ticker,
    waker: Waker,
    alarm: Arc<Alarm>,
    weight: Weight,
    place: Place<T>,
    /// How many turns are still to be taken aside.
    aside: u32,
}

/// Where the guest's code is.
enum Place<T> {
    Here(Inner<T>),
    /// On the thread for long turns, which gives it back with what came of the turn.
    Aside(oneshot::Receiver<Turn<T>>),
    Over,
}

/// A turn that was taken aside.
struct Turn<T> {
    inner: Inner<T>,
    polled: Poll<T>,
    took: Duration,
}

impl<T: Send + 'static> Turns<T> {
    fn take_turn(&mut self, mut inner: Inner<T>, cx: &mut Context<'_>) -> Poll<T> {
        let began = Instant::now();
        self.weight.begin(began);
        let ticks = self.ticker.note();
        self.alarm.inside.store(true, Ordering::SeqCst);
        self.ticker.state.turns[0].store(nanoseconds(began), Ordering::Relaxed);
        let polled = inner.as_mut().poll(&mut Context::from_waker(&self.waker));
        self.ticker.state.turns[0].store(0, Ordering::Relaxed);
        self.place = Place::Here(inner);
        if self.alarm.rang_inside() && polled.is_pending() {
            if self.ticker.ticks() == ticks {
                cx.waker().wake_by_ref();
            } else {
                // A guest that burns CPU would be polled again at once, and tokio looks at its
                // sockets and timers only every so many polls. Yielding makes it look now.
                let _ = std::pin::pin!(tokio::task::yield_now()).poll(cx);
            }
        }
        if began.elapsed() >= LONG {
            self.aside = LONG_TURNS;
        }
        polled
    }

    /// Has the turn taken on the other thread; gives the future back if there is none.
    fn send_aside(&mut self, mut inner: Inner<T>) -> Option<Inner<T>> {
        let (sender, receiver) = oneshot::channel();
        let (waker, weight, ticker) = (self.waker.clone(), self.weight.clone(), self.ticker.clone());
        let handed = Arc::new(Mutex::new(Some((inner, sender))));
        let there = handed.clone();
        let turn = move || {
            let taken = there.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some((mut inner, sender)) = taken else { return };
            let began = Instant::now();
            weight.begin(began);
            ticker.note();
            weight.0.aside.store(true, Ordering::SeqCst);
            ticker.state.turns[1].store(nanoseconds(began), Ordering::Relaxed);
            let polled = inner.as_mut().poll(&mut Context::from_waker(&waker));
            ticker.state.turns[1].store(0, Ordering::Relaxed);
            weight.0.aside.store(false, Ordering::SeqCst);
            // Whoever gave the instance up has no use for it.
            let _ = sender.send(Turn { inner, polled, took: began.elapsed() });
        };
        self.alarm.inside.store(true, Ordering::SeqCst);
        if self.ticker.aside(turn).is_some() {
            self.place = Place::Aside(receiver);
            return None;
        }
        inner = handed.lock().unwrap_or_else(PoisonError::into_inner).take()?.0;
        Some(inner)
    }
}

impl<T: Send + 'static> Future for Turns<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        this.alarm.outer.register(cx.waker());
        if let Place::Here(_) = this.place {
            let Place::Here(inner) = mem::replace(&mut this.place, Place::Over) else { unreachable!() };
            if this.weight.0.announced.swap(false, Ordering::SeqCst) {
                this.aside = LONG_TURNS;
            }
            if this.aside == 0 {
                return this.take_turn(inner, cx);
            }
            if let Some(inner) = this.send_aside(inner) {
                return this.take_turn(inner, cx);
            }
        }
        let Place::Aside(turn) = &mut this.place else { panic!("polled after its end") };
        let Turn { inner, polled, took } =
            ready!(Pin::new(turn).poll(cx)).expect("guest code does not panic in the host");
        this.place = Place::Here(inner);
        this.aside = if took >= LONG / 2 { LONG_TURNS } else { this.aside - 1 };
        if this.alarm.rang_inside() && polled.is_pending() {
            cx.waker().wake_by_ref();
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

impl Alarm {
    /// The turn is over: whether another was asked for within it.
    fn rang_inside(&self) -> bool {
        self.inside.store(false, Ordering::SeqCst);
        self.rang.swap(false, Ordering::SeqCst)
    }
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
        if !Protection::Epochs.is_off() {
            engine.increment_epoch();
        }
        let stuck = state.is_stuck(nanoseconds(Instant::now()));
        if stuck && !Protection::Watchdog.is_off() {
            give_up();
        }
        let busy = state.busy.swap(false, Ordering::SeqCst)
            || state.turns.iter().any(|began| began.load(Ordering::Relaxed) > 0);
        idle = if busy { 0 } else { idle + 1 };
    }
}

/// Ends the process, whose last words may find nobody who reads them.
#[expect(clippy::print_stderr, reason = "nothing else is left to tell the broker by")]
fn give_up() -> ! {
    let speak = || eprintln!("the guest holds up its actor for longer than limit `cpu` allows; given up");
    let _ = thread::Builder::new().spawn(speak);
    thread::sleep(LAST_WORDS);
    std::process::exit(STUCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_does_not_come_back_is_noticed() {
        let state = State::default();
        state.turns[1].store(100, Ordering::Relaxed);
        assert!(!state.is_stuck(1_000_000), "without a bound it may");
        state.patience.store(50, Ordering::Relaxed);
        assert!(!state.is_stuck(150));
        assert!(state.is_stuck(151));
        state.turns[1].store(0, Ordering::Relaxed);
        assert!(!state.is_stuck(1_000_000), "it is over");
    }

    #[test]
    fn a_process_whose_turn_does_not_end_is_given_up() {
        const INSIDE: &str = "GREENROOM_TICKER_TEST";
        if std::env::var_os(INSIDE).is_none() {
            let this = std::env::current_exe().expect("a running test has a path");
            let test = "ticker::tests::a_process_whose_turn_does_not_end_is_given_up";
            let ended = std::process::Command::new(this).args([test, "--exact"]).env(INSIDE, "1").output();
            let ended = ended.expect("this program can be started again");
            assert_eq!(ended.status.code(), Some(STUCK), "{ended:?}");
            return;
        }
        let engine = wasmtime::Engine::default();
        let ticker = Ticker::start(engine.weak()).expect("a thread");
        ticker.give_up_after(TICK);
        ticker.state.turns[0].store(nanoseconds(Instant::now()), Ordering::Relaxed);
        ticker.note();
        // If nobody gives the process up, this test succeeds, and so the one that started it fails.
        thread::sleep(Duration::from_secs(2));
    }
}
