//! Names of hosts, for actors that may connect there.
//!
//! Owns: who may ask for which name, and how many such questions there may be. Must not know: what is
//! done with the addresses. Invariant: every question is answered once, within a bounded time.

use core::net::IpAddr;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use greenroom_abi::RemoteError;
use greenroom_abi::kind::{LimitExceeded, PermissionDenied};
use greenroom_sabotage::Protection;
use tokio::sync::Semaphore;

use crate::tree::Record;

/// How many questions of one actor may be open.
const PER_ACTOR: usize = 8;

/// How many names are looked up at once; each takes a thread.
const AT_ONCE: usize = 8;

/// How long one may take, its turn included.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many addresses of a host are told.
const ADDRESSES: usize = 64;

/// The turns at looking up names.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Turns {
    /// Looks up a name in its turn.
    ///
    /// # Errors
    /// When that takes too long.
    pub(crate) async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, RemoteError> {
        let look = async {
            // The semaphore is never closed.
            let _turn = self.0.acquire().await;
            let found: io::Result<Vec<IpAddr>> = tokio::net::lookup_host((name, 0))
                .await
                .map(|all| all.map(|address| address.ip()).take(ADDRESSES).collect());
            // Why there is none, the system does not tell apart.
            found.unwrap_or_default()
        };
        let late = |_| RemoteError::new("LookupFailed", format!("`{name}` was not found in {PATIENCE:?}"));
        tokio::time::timeout(PATIENCE, look).await.map_err(late)
    }
}

/// Counts a question of this actor, if it may ask it.
///
/// # Errors
/// `PermissionDenied`, naming the host; `LimitExceeded`.
pub(crate) fn begin(record: &mut Record, name: &str) -> Result<(), RemoteError> {
    let may = record.rights.network.iter().any(|pattern| pattern.names(name));
    if !may && !Protection::Network.is_off() {
        return Err(RemoteError::of(&PermissionDenied { right: format!("network {name}") }));
    }
    if record.lookups >= PER_ACTOR {
        let limit = LimitExceeded { limit: "lookups".to_owned(), value: PER_ACTOR as u64 };
        return Err(RemoteError::of(&limit));
    }
    record.lookups += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use greenroom_abi::ActorId;
    use greenroom_wire::control::Rights;
    use tokio::sync::mpsc;

    use super::*;

    fn record(patterns: &[&str]) -> Record {
        let id = ActorId { name: "client".to_owned(), uuid: String::new() };
        let network = patterns.iter().map(|text| text.parse().expect("a pattern")).collect();
        let rights = Rights { network, ..Rights::default() };
        Record { rights, ..Record::new(id, 1, mpsc::unbounded_channel().0) }
    }

    #[test]
    fn only_names_that_are_granted_are_looked_up_and_only_so_many() {
        let mut client = record(&["*.example.com:443"]);
        for name in ["example.com", "example.org", "", "10.0.0.1"] {
            let denied = begin(&mut client, name).expect_err("it is not granted");
            let denied = denied.kind::<PermissionDenied>().expect("its kind");
            assert_eq!(denied.right, format!("network {name}"));
        }
        for _ in 0..PER_ACTOR {
            assert_eq!(begin(&mut client, "a.example.com"), Ok(()));
        }
        let full = begin(&mut client, "a.example.com").expect_err("too many");
        assert_eq!(full.kind::<LimitExceeded>().expect("its kind").limit, "lookups");
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_found_and_one_of_nobody_is_not() {
        let turns = Turns::default();
        let found = turns.look_up("localhost").await.expect("it is looked up");
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert_eq!(turns.look_up("nobody.invalid").await, Ok(Vec::new()));
    }
}
