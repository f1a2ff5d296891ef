//! A cancellation that happens at most once and can be waited for.
//!
//! Owns: the moment and who asked. Must not know: what is cancelled. Invariant: the first
//! asker is kept for ever; every waiter, early or late, learns of it.

use std::sync::OnceLock;

use greenroom_abi::ActorId;
use tokio::sync::Notify;

/// Set once, by whoever asks first.
#[derive(Debug, Default)]
pub(crate) struct Cancellation {
    by: OnceLock<ActorId>,
    asked: Notify,
}

impl Cancellation {
    /// Asks; later askers change nothing. Whether this was the first.
    pub(crate) fn ask(&self, by: &ActorId) -> bool {
        let first = self.by.set(by.clone()).is_ok();
        if first {
            self.asked.notify_waiters();
        }
        first
    }

    /// Who asked, if anybody did.
    pub(crate) fn by(&self) -> Option<&ActorId> {
        self.by.get()
    }

    /// Waits until somebody asks, and says who.
    pub(crate) async fn wait(&self) -> &ActorId {
        loop {
            let asked = self.asked.notified();
            let mut asked = std::pin::pin!(asked);
            asked.as_mut().enable();
            if let Some(by) = self.by.get() {
                return by;
            }
            asked.await;
        }
    }
}
