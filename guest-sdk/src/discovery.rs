//! Finding other actors of the same tree.
//!
//! Owns: asking. Must not know: who is where, which is the broker's knowledge.

use greenroom_abi::RemoteError;

use crate::bindings::greenroom::portal::discovery;
use crate::portal::Portal;

/// A portal to the actor of that name in this tree, or none. Only actors that can be called are
/// found; of several, the one that was ready first and still lives.
///
/// # Errors
/// What kept the broker from introducing them.
pub async fn find_actor(name: impl Into<String>) -> Result<Option<Portal>, RemoteError> {
    Ok(discovery::find_actor(name.into()).await?.map(Portal::new))
}
