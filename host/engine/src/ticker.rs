//! Turns of guest code, the clock that ends them, and the thread for the long ones.
//!
//! Owns: the epoch's advance, where a turn is taken, and what the actor does between two. Must not
//! know: what guests do, but that a turn has an end; how the clock is wound. Invariant: it ticks while
//! guest code runs and stands still when none does, so that an idle actor wakes nobody; after a turn
//! that was cut short, sockets and timers are looked at before the next.
//!
//! A turn that cannot be cut short, such as the copy of a large payload into a guest, would hold up
//! the actor's links and its other instances. Instances that take long turns, or announce one, take
//! them on a thread of their own until they are short again; all others never leave the actor's.

use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use greenroom_sabotage::Protection;
use tokio::sync::oneshot;

use crate::clock::{Clock, Tick};

/// How long guest code may run before other tasks of the actor get a turn.
const TICK: Duration = Duration::from_millis(10);

/// From how long on a turn is a long one: others of the actor would notice.
const LONG: Duration = Duration::from_millis(1);

/// How many short turns an instance takes aside before it comes back. Going there costs two
/// wake-ups a turn, so it waits until whatever was long is over.
const LONG_TURNS: u32 = 8;

/// What the process ends with if a guest cannot be ended: sysexits' `EX_SOFTWARE`.
const STUCK: i32 = 70;

/// What it says then.
const LAST_WORDS: &str = "the guest holds up its actor for longer than limit `cpu` allows; given up\n";

/// A handle to the clock, which goes on until the process ends.
#[derive(Clone)]
pub(crate) struct Ticker {
    state: &'static State,
    clock: Clock,
    side: Arc<Mutex<Option<Side>>>,
}

/// The way to the thread for long turns.
type Side = std::sync::mpsc::Sender<Box<dyn FnOnce() + Send>>;

struct State {
    engine: wasmtime::Engine,
    /// Guest code has run since the last tick.
    busy: AtomicBool,
    /// The clock stands still.
    stands: AtomicBool,
    ticks: AtomicU64,
    /// When the turns that run now began, in nanoseconds: here and aside. 0 where there is none.
    turns: [AtomicU64; 2],
    /// How long a turn may be before the actor is given up, in nanoseconds; 0 for as long as it likes.
    patience: AtomicU64,
}

impl State {
    fn new(engine: wasmtime::Engine) -> Self {
        Self {
            engine,
            busy: AtomicBool::new(false),
            stands: AtomicBool::new(true),
            ticks: AtomicU64::new(0),
            turns: [AtomicU64::new(0), AtomicU64::new(0)],
            patience: AtomicU64::new(0),
        }
    }

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
    /// Sets up the clock, which stands still. Where calls of the system are refused, that is to be done
    /// before they are.
    ///
    /// # Errors
    /// When the process may not have another timer.
    pub(crate) fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        // Before the first tick, which could not make it.
        zero();
        let state: &'static State = Box::leak(Box::new(State::new(engine)));
        Ok(Self { state, clock: Clock::new(state)?, side: Arc::default() })
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
        let state = self.state;
        state.busy.store(true, Ordering::SeqCst);
        if state.stands.load(Ordering::SeqCst) && state.stands.swap(false, Ordering::SeqCst) {
            self.clock.every(TICK);
        }
        state.ticks.load(Ordering::Relaxed)
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

    /// Whether the turn that runs now holds up nobody that need not be held up.
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
        self.alarm.inside.store(true, Ordering::SeqCst);
        // Before it is noted: a tick in between would find no turn, and let the clock stand.
        self.ticker.state.turns[0].store(nanoseconds(began), Ordering::SeqCst);
        let ticks = self.ticker.note();
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
            weight.0.aside.store(true, Ordering::SeqCst);
            ticker.state.turns[1].store(nanoseconds(began), Ordering::SeqCst);
            ticker.note();
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
                // There is no other place for it: what is large is copied here.
                this.weight.0.aside.store(true, Ordering::SeqCst);
                let polled = this.take_turn(inner, cx);
                this.weight.0.aside.store(false, Ordering::SeqCst);
                return polled;
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

/// It runs in the place of whatever the thread was at: nothing here waits, allocates or locks.
impl Tick for State {
    fn tick(&self, clock: Clock) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
        if !Protection::Epochs.is_off() {
            self.engine.increment_epoch();
        }
        let stuck = self.is_stuck(nanoseconds(Instant::now()));
        if stuck && !Protection::Watchdog.is_off() {
            clock.give_up(LAST_WORDS, STUCK);
        }
        let busy = self.busy.swap(false, Ordering::SeqCst)
            || self.turns.iter().any(|began| began.load(Ordering::Relaxed) > 0);
        if busy {
            return;
        }
        clock.stop();
        self.stands.store(true, Ordering::SeqCst);
        // Whoever came in between has not seen that it stands.
        if self.busy.load(Ordering::SeqCst) && self.stands.swap(false, Ordering::SeqCst) {
            clock.every(TICK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_does_not_come_back_is_noticed() {
        let state = State::new(wasmtime::Engine::default());
        state.turns[1].store(100, Ordering::Relaxed);
        assert!(!state.is_stuck(1_000_000), "without a bound it may");
        state.patience.store(50, Ordering::Relaxed);
        assert!(!state.is_stuck(150));
        assert!(state.is_stuck(151));
        state.turns[1].store(0, Ordering::Relaxed);
        assert!(!state.is_stuck(1_000_000), "it is over");
    }

    #[test]
    fn the_clock_ticks_while_there_are_turns_and_then_stands() {
        let ticker = Ticker::start(wasmtime::Engine::default()).expect("a timer");
        let wait = || thread::sleep(5 * TICK);
        wait();
        assert_eq!(ticker.ticks(), 0, "nothing runs");
        for round in 1..4 {
            let before = ticker.note();
            let began = Instant::now();
            while ticker.ticks() < before + 3 {
                assert!(began.elapsed() < Duration::from_secs(10), "round {round}: it stands");
                ticker.note();
            }
            wait();
            let after = ticker.ticks();
            wait();
            assert_eq!(ticker.ticks(), after, "round {round}: it goes on");
        }
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
            assert!(String::from_utf8_lossy(&ended.stderr).contains(LAST_WORDS), "{ended:?}");
            return;
        }
        let ticker = Ticker::start(wasmtime::Engine::default()).expect("a timer");
        ticker.give_up_after(TICK);
        ticker.state.turns[0].store(nanoseconds(Instant::now()), Ordering::Relaxed);
        ticker.note();
        // If nobody gives the process up, this test succeeds, and so the one that started it fails.
        thread::sleep(Duration::from_secs(2));
    }
}
