//! Sorting numbers with the standard library.
//!
//! Owns: branches that nobody can foresee.

use crate::Noise;

const NUMBERS: usize = 20_000;

/// Sorts fresh numbers so often; gives some of the sorted ones, taken together.
pub(crate) fn run(rounds: u32) -> u64 {
    let (mut noise, mut sum) = (Noise::new(), 0_u64);
    let mut numbers = vec![0_u64; NUMBERS];
    for _ in 0..rounds {
        numbers.fill_with(|| noise.next());
        numbers.sort_unstable();
        sum = sum.rotate_left(7) ^ numbers[NUMBERS / 2] ^ numbers[NUMBERS / 3];
    }
    sum
}
