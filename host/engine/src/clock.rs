//! A clock that interrupts a thread.
//!
//! Owns: the kernel's timer and the signal that it sends. Must not know: what a tick is for. Invariant:
//! a tick runs on the thread that made the clock, in the place of whatever that was at; no thread waits
//! for it, so that a clock that stands costs nothing.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

/// What ticks do.
pub(crate) trait Tick: Sync + 'static {
    /// A tick. It may come between any two instructions of the thread: it must not wait, lock, allocate
    /// or panic.
    fn tick(&self, clock: Clock);
}

/// The signal. A process that runs guests has no other use for it.
const SIGNAL: libc::c_int = libc::SIGALRM;

/// A handle to a clock, which is never taken down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(libc::timer_t);

#[expect(unsafe_code, reason = "the kernel's number of a timer has the type of a pointer")]
// SAFETY: nothing is behind it, and the calls with it are the kernel's, which any thread may make.
unsafe impl Send for Clock {}
#[expect(unsafe_code, reason = "the kernel's number of a timer has the type of a pointer")]
// SAFETY: as above.
unsafe impl Sync for Clock {}

/// What the signal carries a pointer to.
struct Bell {
    tick: &'static dyn Tick,
    clock: OnceLock<Clock>,
}

impl Clock {
    /// A clock that stands, for the calling thread.
    ///
    /// # Errors
    /// When the process may not have another timer.
    #[expect(unsafe_code, reason = "no safe function makes a timer that signals one thread")]
    pub(crate) fn new(tick: &'static dyn Tick) -> io::Result<Self> {
        let bell: &'static Bell = Box::leak(Box::new(Bell { tick, clock: OnceLock::new() }));
        // SAFETY: records of numbers and pointers, of which 0 is each one's default.
        let (mut action, mut event): (libc::sigaction, libc::sigevent) = unsafe { std::mem::zeroed() };
        action.sa_sigaction = ring as *const () as libc::sighandler_t;
        // A guest's stack may have no room: the handler has one of its own where the thread has that.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = SIGNAL;
        event.sigev_value = libc::sigval { sival_ptr: std::ptr::from_ref(bell).cast_mut().cast() };
        event.sigev_notify_thread_id = rustix::thread::gettid().as_raw_nonzero().get();
        let mut timer = std::ptr::null_mut();
        // SAFETY: the records outlive the calls, which copy them. The handler does only what one may,
        // as `Tick` asks, and what it finds behind the signal's pointer stays for ever.
        unsafe {
            let mut signals = std::mem::zeroed();
            done(libc::sigemptyset(&raw mut signals))?;
            done(libc::sigaddset(&raw mut signals, SIGNAL))?;
            done(libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()))?;
            done(libc::sigprocmask(libc::SIG_UNBLOCK, &raw const signals, std::ptr::null_mut()))?;
            done(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer))?;
        }
        let clock = Self(timer);
        let _ = bell.clock.set(clock);
        Ok(clock)
    }

    /// Ticks from now on, so often.
    pub(crate) fn every(self, period: Duration) {
        self.set(period.subsec_nanos());
    }

    /// Ticks no more.
    pub(crate) fn stop(self) {
        self.set(0);
    }

    #[expect(unsafe_code, reason = "no safe function sets a timer")]
    fn set(self, nanoseconds: u32) {
        let time = libc::timespec { tv_sec: 0, tv_nsec: libc::c_long::from(nanoseconds) };
        let often = libc::itimerspec { it_interval: time, it_value: time };
        // SAFETY: the call reads one record, which outlives it; the timer is never deleted. It can fail
        // only for a time that is none.
        unsafe { libc::timer_settime(self.0, 0, &raw const often, std::ptr::null_mut()) };
    }

    /// Ends the process at once, from a tick: with last words, which may find nobody who reads them.
    #[expect(unsafe_code, reason = "no safe function exits without further ado")]
    pub(crate) fn give_up(self, words: &str, status: i32) -> ! {
        let stderr = rustix::stdio::stderr();
        // Nobody may be reading, and the pipe be full.
        let _ = rustix::io::ioctl_fionbio(stderr, true);
        let _ = rustix::io::write(stderr, words.as_bytes());
        // SAFETY: the call does not return.
        unsafe { libc::_exit(status) }
    }
}

fn done(status: libc::c_int) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[expect(unsafe_code, reason = "the kernel hands over pointers")]
extern "C" fn ring(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel gives a record, which has a pointer where a timer has sent the signal; others
    // could send it, too, who carry none.
    let bell = unsafe {
        if (*info).si_code != libc::SI_TIMER {
            return;
        }
        (*info).si_value().sival_ptr.cast::<Bell>().as_ref()
    };
    // What was interrupted looks at its error after this.
    let before = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    if let Some((bell, clock)) = bell.and_then(|bell| Some((bell, bell.clock.get()?))) {
        bell.tick.tick(*clock);
    }
    // SAFETY: the address is that of this thread's own number.
    unsafe { *libc::__errno_location() = before };
}
