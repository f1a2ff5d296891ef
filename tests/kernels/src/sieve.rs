//! The primes below a number (Eratosthenes).
//!
//! Owns: stores that jump through a memory.

const NUMBERS: usize = 500_000;

/// Sieves so often, each time a little further; gives how many primes there were, taken together.
pub(crate) fn run(rounds: u32) -> u64 {
    let mut crossed = Vec::new();
    (0..rounds).fold(0, |sum: u64, round| sum.rotate_left(7) ^ primes(NUMBERS + round as usize, &mut crossed))
}

/// How many primes there are below the number.
fn primes(below: usize, crossed: &mut Vec<bool>) -> u64 {
    crossed.clear();
    crossed.resize(below, false);
    let mut primes = 0;
    for number in 2..below {
        if crossed[number] {
            continue;
        }
        primes += 1;
        for multiple in crossed.iter_mut().skip(number.saturating_mul(number)).step_by(number) {
            *multiple = true;
        }
    }
    primes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_as_many_as_there_are() {
        assert_eq!(primes(100, &mut Vec::new()), 25);
        assert_eq!(primes(1000, &mut Vec::new()), 168);
    }
}
