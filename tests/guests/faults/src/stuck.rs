//! Not yielding, and not ending.

use std::hint::{black_box, spin_loop};
use std::time::Duration;

use greenroom_guest::{log, monotonic_now};

use crate::residency::CountedDrop;

pub(crate) fn spin() {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
        if turns == 0 {
            break;
        }
    }
}

pub(crate) fn burn(time: Duration) {
    let end = monotonic_now() + time;
    while monotonic_now() < end {
        spin_loop();
    }
}

/// Takes its time to go, and tells when it begins and when it is done.
pub(crate) struct SlowDrop(pub(crate) Duration);

impl Drop for SlowDrop {
    fn drop(&mut self) {
        log::info!("slow drop: begun");
        burn(self.0);
        drop(CountedDrop);
        log::info!("slow drop: done");
    }
}

pub(crate) fn flood_log(lines: u32) {
    for line in 0..lines {
        log::info!("flood: line {line}");
    }
}
