//! Memory that the tasks of one instance share, which shows that there is one instance.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

static CALLS: AtomicU32 = AtomicU32::new(0);
static DROPS: AtomicU32 = AtomicU32::new(0);
static HELD: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());
static SIGNALS: Mutex<BTreeMap<String, Signal>> = Mutex::new(BTreeMap::new());

/// Somebody waiting for a value, or the value.
enum Signal {
    Awaited(Waker),
    Sent(i64),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn count() -> u32 {
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

pub(crate) fn drops() -> u32 {
    DROPS.load(Ordering::Relaxed)
}

/// Counts in [`drops`] when it goes.
pub(crate) struct CountedDrop;

impl Drop for CountedDrop {
    fn drop(&mut self) {
        DROPS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts under a key while it lives.
pub(crate) struct Held(String);

impl Held {
    pub(crate) fn new(key: String) -> Self {
        *lock(&HELD).entry(key.clone()).or_default() += 1;
        Self(key)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(count) = lock(&HELD).get_mut(&self.0) {
            *count -= 1;
        }
    }
}

pub(crate) fn held(key: &str) -> u32 {
    lock(&HELD).get(key).copied().unwrap_or(0)
}

/// Waits for a value that another task sends.
pub(crate) async fn signal(key: String) -> i64 {
    poll_fn(|context| {
        let mut signals = lock(&SIGNALS);
        if let Some(Signal::Sent(value)) = signals.get(&key) {
            let value = *value;
            signals.remove(&key);
            return Poll::Ready(value);
        }
        signals.insert(key.clone(), Signal::Awaited(context.waker().clone()));
        Poll::Pending
    })
    .await
}

/// Sends a value to whoever waits for it.
pub(crate) fn send_signal(key: &str, value: i64) -> bool {
    match lock(&SIGNALS).get_mut(key) {
        Some(signal) => {
            if let Signal::Awaited(waker) = std::mem::replace(signal, Signal::Sent(value)) {
                waker.wake();
            }
            true
        }
        None => false,
    }
}
