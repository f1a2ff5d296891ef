//! Trapping: what the sandbox stops.

use std::hint::black_box;

/// Reads near the end of the 32-bit address space.
#[expect(unsafe_code, reason = "safe code cannot leave its memory")]
pub(crate) fn out_of_bounds() -> u8 {
    let nowhere = black_box(u32::MAX as usize - 8) as *const u8;
    // SAFETY: there is none: in a component the sandbox turns this into a trap.
    unsafe { nowhere.read_volatile() }
}

pub(crate) fn unreachable() {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
}

/// WebAssembly's own division, which traps where Rust's would panic first.
#[expect(unsafe_code, reason = "safe code checks the divisor")]
pub(crate) fn divide(by: i32) -> i32 {
    let by = black_box(by);
    // SAFETY: there is none for 0: in a component the sandbox turns this into a trap.
    let by = unsafe { std::num::NonZeroI32::new_unchecked(by) };
    i32::MAX.wrapping_div(by.get())
}

/// Calls itself without end, with nothing in memory, so that it is the engine's own stack that
/// overflows.
pub(crate) fn overflow_call_stack() -> u64 {
    struct Again(fn(&Again, u64) -> u64);
    fn call(again: &Again, depth: u64) -> u64 {
        (again.0)(again, depth + 1) ^ depth
    }
    let again = black_box(Again(call));
    call(&again, 0)
}

/// Calls itself without end, with a large frame each time, so that it is the stack in the guest's
/// memory that overflows; the addition after the call keeps it from becoming a loop.
#[inline(never)]
#[expect(unconditional_recursion, reason = "the stack is to overflow")]
pub(crate) fn overflow_stack(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    overflow_stack(depth + 1) + black_box(frame)[63]
}
