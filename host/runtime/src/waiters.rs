//! Those who wait for something to change.
//!
//! Owns: whom to wake. Must not know: what they wait for. Invariant: whoever waits has one place,
//! and whoever has stopped waiting has none, so that waits that are given up do not pile up.

use std::collections::BTreeMap;
use std::task::{Context, Waker};

/// Tasks to be woken.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// A place among the waiters, taken by the first wait. To be given back with [`Waiters::leave`].
#[derive(Debug, Default)]
pub(crate) struct Place(Option<u64>);

impl Place {
    pub(crate) fn is_taken(&self) -> bool {
        self.0.is_some()
    }
}

impl Waiters {
    pub(crate) fn wait(&mut self, place: &mut Place, cx: &Context<'_>) {
        let number = *place.0.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        self.wakers.insert(number, cx.waker().clone());
    }

    pub(crate) fn leave(&mut self, place: &mut Place) {
        if let Some(number) = place.0.take() {
            self.wakers.remove(&number);
        }
    }

    pub(crate) fn wake(&mut self) {
        std::mem::take(&mut self.wakers).into_values().for_each(Waker::wake);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.wakers.len()
    }
}
