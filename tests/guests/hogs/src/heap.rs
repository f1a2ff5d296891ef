//! Memory, all there is.

use std::hint::black_box;

const BLOCK: usize = 1 << 20;

/// Keeps whatever it gets: where there is no more, Rust aborts, which traps.
pub(crate) fn eat() {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; BLOCK]));
    }
}
