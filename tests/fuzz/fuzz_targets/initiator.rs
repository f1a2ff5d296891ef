//! The entry point of the target `initiator`.
//!
//! Owns: nothing but the names that a fuzzer and a shell expect.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
#[expect(unsafe_code, reason = "libFuzzer calls this symbol with a pointer and a length")]
#[unsafe(no_mangle)]
extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
    // SAFETY: libFuzzer passes `size` readable bytes that live until this returns; a null pointer
    // comes only with size 0.
    let data = if size == 0 { &[][..] } else { unsafe { std::slice::from_raw_parts(data, size) } };
    greenroom_fuzz::initiator(data);
    0
}

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    greenroom_fuzz::replay(greenroom_fuzz::initiator)
}
