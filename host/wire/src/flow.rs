//! Flow control: how much one side of a context may send to the other.
//!
//! Owns: what a `Credit` gives, what a message costs, what is left. Must not know: who counts.
//! Invariant: both sides that count the same credits and messages come to the same balance.

/// What a receiver allows in addition to what it has allowed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Credit {
    /// So many messages more.
    pub messages: u64,
    /// So many bytes of their payloads more.
    pub bytes: u64,
}

/// What the sender of a stream does while it has no credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Overrun {
    /// It waits for credit.
    #[default]
    Wait,
    /// Its send fails.
    Error,
    /// It drops the oldest of the messages that wait.
    DropOldest,
}

/// What is left of all credit so far. A message may begin as long as one message and at least
/// one byte are left; a large one may take more bytes than that, which later credit makes good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Balance {
    messages: u64,
    bytes: i64,
}

impl Balance {
    /// Nothing may be sent.
    pub const fn new() -> Self {
        Self { messages: 0, bytes: 0 }
    }

    /// Adds a credit; past the largest count there is no more to gain.
    pub fn add(&mut self, credit: Credit) {
        self.messages = self.messages.saturating_add(credit.messages);
        self.bytes = self.bytes.saturating_add(i64::try_from(credit.bytes).unwrap_or(i64::MAX));
    }

    /// Whether a message may begin.
    pub const fn can_send(&self) -> bool {
        self.messages > 0 && self.bytes > 0
    }

    /// What is left. A message that has taken more bytes than there were leaves none.
    pub fn left(&self) -> Credit {
        Credit { messages: self.messages, bytes: u64::try_from(self.bytes).unwrap_or(0) }
    }

    /// Takes the cost of one message with a payload of so many bytes.
    pub fn spend(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(messages: u64, bytes: u64) -> Balance {
        let mut balance = Balance::new();
        balance.add(Credit { messages, bytes });
        balance
    }

    #[test]
    fn needs_a_message_and_a_byte() {
        for (messages, bytes, can_send) in [(0, 0, false), (1, 0, false), (0, 1, false), (1, 1, true)] {
            assert_eq!(balance(messages, bytes).can_send(), can_send, "{messages} and {bytes}");
        }
        assert_eq!(Balance::new(), Balance::default());
    }

    #[test]
    fn a_large_message_is_paid_off_later() {
        let mut balance = balance(3, 10);
        balance.spend(25);
        assert!(!balance.can_send());
        assert_eq!(balance.left(), Credit { messages: 2, bytes: 0 });
        balance.add(Credit { messages: 0, bytes: 15 });
        assert!(!balance.can_send(), "only even");
        balance.add(Credit { messages: 0, bytes: 1 });
        assert!(balance.can_send());
    }

    #[test]
    fn an_empty_message_costs_a_message() {
        let mut balance = balance(1, 1);
        balance.spend(0);
        assert!(!balance.can_send());
        balance.add(Credit { messages: 1, bytes: 0 });
        assert!(balance.can_send(), "the byte is still there");
    }

    #[test]
    fn never_overflows() {
        let mut balance = balance(u64::MAX, u64::MAX);
        balance.add(Credit { messages: u64::MAX, bytes: u64::MAX });
        assert!(balance.can_send());
        for _ in 0..3 {
            balance.spend(usize::MAX);
        }
        assert!(!balance.can_send());
        balance.add(Credit { messages: 0, bytes: u64::MAX });
        balance.add(Credit { messages: 0, bytes: u64::MAX });
        assert!(balance.can_send());
    }
}
