//! Work for the processor alone.
//!
//! Owns: the module `work`. Must not know: what the kernels are, or how long they take natively.

use greenroom_guest::prelude::*;

/// Computes.
#[module]
pub mod work {
    use greenroom_guest::prelude::*;

    /// Runs a kernel and gives what came of it, and how long it took in nanoseconds.
    pub async fn compute(kernel: String, rounds: u32) -> Result<(u64, u64), Fault> {
        let Some(run) = greenroom_kernels::kernel(&kernel) else { fault!("there is no kernel `{kernel}`") };
        let began = monotonic_now();
        let result = run(rounds);
        Ok((result, crate::nanoseconds(began)))
    }
}
