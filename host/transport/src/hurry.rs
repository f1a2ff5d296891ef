//! Whether to read before the reactor has told of anything.
//!
//! Owns: whether that pays, learnt from what it found. Must not know: sockets. Invariant: where it finds
//! nothing, it is tried ever more rarely.
//!
//! Where both ends of a socket share a core, a write often gives the core to the other end, and when it is back
//! the next input is there. Elsewhere it never is.

/// After how many suggestions it is tried again at the latest.
const MAX_WAIT: u32 = 1 << 12;

/// What is known of one socket.
#[derive(Debug)]
pub(crate) struct Hurry {
    suggested: bool,
    /// How many suggestions are passed over, and how many after the next that is in vain.
    wait: u32,
    next_wait: u32,
}

impl Default for Hurry {
    fn default() -> Self {
        Self { suggested: false, wait: 0, next_wait: 1 }
    }
}

impl Hurry {
    /// It may pay now.
    pub(crate) fn suggest(&mut self) {
        self.suggested = true;
    }

    /// Whether to try it with this read.
    pub(crate) fn tries(&mut self) -> bool {
        if !std::mem::take(&mut self.suggested) {
            return false;
        }
        let tries = self.wait == 0;
        self.wait = self.wait.saturating_sub(1);
        tries
    }

    /// It was tried: whether there was something.
    pub(crate) fn tried(&mut self, found: bool) {
        if found {
            *self = Self::default();
        } else {
            self.wait = self.next_wait;
            self.next_wait = MAX_WAIT.min(2 * self.next_wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_where_that_is_of_use() {
        let mut hurry = Hurry::default();
        let mut tries = |times: u32, found: bool| {
            let mut tries = 0;
            for _ in 0..times {
                hurry.suggest();
                if hurry.tries() {
                    assert!(!hurry.tries(), "once for a suggestion");
                    hurry.tried(found);
                    tries += 1;
                }
            }
            tries
        };
        assert_eq!(tries(1000, true), 1000);
        let in_vain = tries(100 * MAX_WAIT, false);
        assert!((100..120).contains(&in_vain), "{in_vain}");
        assert!(tries(2 * MAX_WAIT, true) >= MAX_WAIT - 1, "and comes back");
    }
}
