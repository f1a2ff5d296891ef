//! A program that is one actor, for others to find.
//!
//! Owns: its life from the opening of the root to the end of the actor. Must not know: who ends it.

use crate::host::HostError;
use crate::root::{RootOptions, open_root};
use crate::typed::NurseryExt as _;

/// Runs a daemon: opens a root that other programs find, starts one actor with all its modules under
/// `name`, and sleeps until that has ended: until somebody who may cancels it, such as
/// [`Machine::cancel`](crate::Machine::cancel) or `greenroom cancel`. Dropping the future ends it at
/// once.
///
/// # Errors
/// As [`open_root`]; why the actor could not be started; how it died, if it was not cancelled by
/// somebody who may.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn run_daemon(options: RootOptions, name: &str) -> Result<(), HostError> {
    let modules = options.module_names();
    let root = open_root(options.discoverable()).await?;
    root.nursery().start_actor(name, modules).publish().await?;
    let ended = root.nursery().join().await;
    root.close().await?;
    Ok(ended?)
}
