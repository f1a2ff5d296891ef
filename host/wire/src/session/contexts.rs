//! The open contexts of one side of a connection.
//!
//! Owns: finding one by its number, and going through all of them. Must not know: what a context is.
//! Invariant: whoever goes through all does so in the order of their numbers.
//!
//! A peer chooses the numbers of its contexts, so they are hashed in a way that it does not know. The
//! table keeps its memory: a connection with one call at a time allocates nothing here.

use std::collections::HashMap;
use std::mem;

use foldhash::quality::RandomState;

use crate::id::ContextId;

/// From how many places on a table that is empty gives back its memory.
const MANY: usize = 1024;

#[derive(Debug)]
pub(super) struct Contexts<T>(HashMap<ContextId, T, RandomState>);

impl<T> Default for Contexts<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T> Contexts<T> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, context: &ContextId) -> Option<&T> {
        self.0.get(context)
    }

    pub(super) fn get_mut(&mut self, context: &ContextId) -> Option<&mut T> {
        self.0.get_mut(context)
    }

    pub(super) fn insert(&mut self, context: ContextId, value: T) {
        self.0.insert(context, value);
    }

    pub(super) fn remove(&mut self, context: &ContextId) -> Option<T> {
        let removed = self.0.remove(context);
        if self.0.is_empty() && self.0.capacity() > MANY {
            self.0 = HashMap::default();
        }
        removed
    }

    pub(super) fn clear(&mut self) {
        self.0 = HashMap::default();
    }

    /// All of them, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }

    /// Takes all out, in order.
    pub(super) fn take(&mut self) -> Vec<(ContextId, T)> {
        let mut all: Vec<_> = mem::take(&mut self.0).into_iter().collect();
        all.sort_unstable_by_key(|(context, _)| *context);
        all
    }

    /// Keeps those for which that is the answer, which is asked of them in order.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&ContextId, &mut T) -> bool) {
        for (context, mut value) in self.take() {
            if keep(&context, &mut value) {
                self.insert(context, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_gone_through_in_order() {
        let id = |number| ContextId::new(number).expect("not zero");
        let mut contexts = Contexts::default();
        for number in (1..500).rev() {
            contexts.insert(id(number), number);
        }
        let mut seen = Vec::new();
        contexts.retain(|_, number| {
            seen.push(*number);
            *number % 2 == 0
        });
        assert!(seen.is_sorted() && contexts.len() == 249);
        assert_eq!(contexts.remove(&id(3)), None);
        assert_eq!(contexts.remove(&id(4)), Some(4));
        let taken = contexts.take();
        assert!(taken.is_sorted() && taken.len() == 248 && contexts.is_empty());
    }

    #[test]
    fn the_memory_of_many_is_given_back() {
        let mut contexts = Contexts::default();
        let ids: Vec<_> = (1..10_000).filter_map(ContextId::new).collect();
        ids.iter().for_each(|context| contexts.insert(*context, ()));
        ids.iter().for_each(|context| assert!(contexts.remove(context).is_some()));
        assert_eq!(contexts.0.capacity(), 0);
    }
}
