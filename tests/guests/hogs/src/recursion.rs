//! The stack.

use std::hint::black_box;

/// Goes down one level, and comes back only from the last.
#[inline(never)]
pub(crate) fn descend(level: u64) -> u64 {
    if level == u64::MAX {
        return level;
    }
    black_box(descend(black_box(level + 1)) ^ level)
}
