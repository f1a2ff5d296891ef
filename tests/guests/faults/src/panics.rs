//! Panicking.

use crate::residency::CountedDrop;

pub(crate) fn at_top(msg: &str) {
    panic!("{msg}");
}

/// Panics `levels` calls down, with something to drop at each level.
#[inline(never)]
pub(crate) fn nested(levels: u32, msg: &str) {
    let _guard = CountedDrop;
    if levels == 0 {
        panic!("{msg}");
    }
    nested(levels - 1, msg);
}

/// Panics when dropped.
pub(crate) struct PanicsOnDrop(pub(crate) String);

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}
