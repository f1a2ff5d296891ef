//! A bound on how often something happens.
//!
//! Owns: when the next may. Must not know: the clock, or what happens. Invariant: in any time there
//! are at most as many as fit at once and what the rate allows in that time.

use std::time::{Duration, Instant};

/// A bucket that fills with what happens and empties at a constant rate.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// What one adds: the time it takes to flow out again.
    each: Duration,
    /// How much fits.
    room: Duration,
    /// When it will be empty, unless it is.
    empty: Option<Instant>,
}

impl Bucket {
    /// One for `rate` things a second, of which `burst` may come at once.
    pub fn new(rate: usize, burst: usize) -> Self {
        let each = Duration::from_secs(1) / u32::try_from(rate.max(1)).unwrap_or(u32::MAX);
        Self { each, room: each * u32::try_from(burst.max(1)).unwrap_or(u32::MAX), empty: None }
    }

    /// Notes that one happens now.
    ///
    /// # Errors
    /// How long from now it would have to wait, if it is one too many.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let empty = self.empty.map_or(now, |empty| empty.max(now)) + self.each;
        match (empty - now).checked_sub(self.room) {
            Some(over) if !over.is_zero() => Err(over),
            _ => {
                self.empty = Some(empty);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_come_at_once_and_then_as_the_rate_allows() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 3);
        let mut take = |ms| bucket.take(start + Duration::from_millis(ms));
        assert_eq!([take(0), take(0), take(0)], [Ok(()); 3]);
        assert_eq!(take(0), Err(Duration::from_millis(100)));
        assert_eq!(take(60), Err(Duration::from_millis(40)));
        assert_eq!(take(100), Ok(()));
        assert_eq!(take(100), Err(Duration::from_millis(100)));
        assert_eq!([take(5000), take(5000), take(5000)], [Ok(()); 3]);
        assert!(take(5000).is_err());
    }

    #[test]
    fn what_was_refused_does_not_count() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1000, 1);
        assert_eq!(bucket.take(start), Ok(()));
        for _ in 0..100 {
            assert!(bucket.take(start).is_err());
        }
        assert_eq!(bucket.take(start + Duration::from_millis(1)), Ok(()));
    }
}
