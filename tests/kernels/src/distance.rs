//! How far two texts are apart (Levenshtein).
//!
//! Owns: comparisons of bytes, each of which waits for the one before.

use crate::Noise;

const LENGTH: usize = 1500;

/// Of how many letters the texts are.
const LETTERS: u64 = 4;

/// Compares so many pairs of texts; gives their distances, taken together.
pub(crate) fn run(rounds: u32) -> u64 {
    let mut noise = Noise::new();
    let mut text = || -> Vec<u8> { (0..LENGTH).map(|_| (noise.next() % LETTERS) as u8).collect() };
    let (mut row, mut sum) = (vec![0; LENGTH + 1], 0_u64);
    for _ in 0..rounds {
        sum = sum.rotate_left(7) ^ u64::from(distance(&text(), &text(), &mut row));
    }
    sum
}

/// How many letters are to be put in, left out or changed to make one text the other.
fn distance(one: &[u8], other: &[u8], row: &mut [u32]) -> u32 {
    for (n, cell) in row.iter_mut().enumerate() {
        *cell = n as u32;
    }
    for letter in one {
        let (mut left, mut corner) = (row[0] + 1, row[0]);
        row[0] = left;
        for (cell, with) in row[1..].iter_mut().zip(other) {
            let changed = corner + u32::from(letter != with);
            corner = *cell;
            left = changed.min(corner + 1).min(left + 1);
            *cell = left;
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_least_number_of_changes() {
        let far = |one: &str, other: &str| {
            distance(one.as_bytes(), other.as_bytes(), &mut vec![0; other.len() + 1])
        };
        assert_eq!(far("kitten", "sitting"), 3);
        assert_eq!(far("", "abc"), 3);
        assert_eq!(far("same", "same"), 0);
    }
}
