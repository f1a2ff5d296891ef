//! The processor.

use std::hint::black_box;

/// Never ends.
pub(crate) fn spin() {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
        if turns == 0 {
            break;
        }
    }
}

/// Never goes.
pub(crate) struct SpinsOnDrop;

impl Drop for SpinsOnDrop {
    fn drop(&mut self) {
        spin();
    }
}
