//! Those who wait for something to change.
//!
//! Owns: whom to wake. Must not know: what they wait for. Invariant: whoever waits has one place,
//! and whoever has stopped waiting has none, so that waits that are given up do not pile up.

use std::task::{Context, Waker};

use smallvec::SmallVec;

/// Tasks to be woken. Mostly there is one.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    next: u64,
    wakers: SmallVec<[(u64, Waker); 1]>,
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
        match self.wakers.iter_mut().find(|(other, _)| *other == number) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => self.wakers.push((number, cx.waker().clone())),
        }
    }

    pub(crate) fn leave(&mut self, place: &mut Place) {
        if let Some(number) = place.0.take() {
            self.wakers.retain(|(other, _)| *other != number);
        }
    }

    pub(crate) fn wake(&mut self) {
        if !self.wakers.is_empty() {
            std::mem::take(&mut self.wakers).into_iter().for_each(|(_, waker)| waker.wake());
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.wakers.len()
    }
}
