//! Work for a processor, the same natively and in a guest.
//!
//! Owns: the kernels, by name. Must not know: who runs them, or how long that takes. Invariant: each
//! gives a number that depends on all that was done, so that no compiler leaves any of it out, and the
//! same on every machine.

mod bodies;
mod digest;
mod distance;
mod matrix;
mod sieve;
mod sort;

/// A kernel: what it is called, and what does so many rounds of it.
pub type Kernel = (&'static str, fn(u32) -> u64);

/// All there are.
pub const KERNELS: [Kernel; 6] = [
    ("n-body", bodies::run),
    ("matrix product", matrix::run),
    ("SHA-256", digest::run),
    ("edit distance", distance::run),
    ("prime sieve", sieve::run),
    ("sort", sort::run),
];

/// The kernel of that name.
#[must_use]
pub fn kernel(name: &str) -> Option<fn(u32) -> u64> {
    KERNELS.iter().find(|(known, _)| *known == name).map(|(_, run)| *run)
}

/// Numbers without a pattern, the same each time (Marsaglia's xorshift).
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_rounds_give_another_number() {
        for (name, run) in KERNELS {
            assert_eq!(run(2), run(2), "{name}");
            assert_ne!(run(2), run(3), "{name}");
        }
    }
}
