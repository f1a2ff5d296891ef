//! Memory, too much of it.

use std::hint::black_box;

const MIB: usize = 1 << 20;

/// Keeps whatever it gets until there is no more: Rust then aborts, which traps.
pub(crate) fn exhaust() {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; MIB]));
    }
}

/// Has `mib` MiB in use at once, and gives how many that were.
pub(crate) fn allocate(mib: u32) -> u32 {
    let kept: Vec<_> = (0..mib).map(|_| black_box(vec![1_u8; MIB])).collect();
    kept.iter().map(|block| u32::from(black_box(block)[MIB - 1])).sum()
}
