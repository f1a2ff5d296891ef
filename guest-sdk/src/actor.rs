//! The actor that this code runs in.
//!
//! Owns: [`ActorInfo`]. Must not know: other actors.

use greenroom_abi::ActorId;

use crate::bindings::greenroom::portal::runtime;

/// What an actor knows about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorInfo {
    /// Its name and unique identity.
    pub id: ActorId,
    /// The names from the root of the tree down to this actor.
    pub path: Vec<String>,
    /// The number of its process.
    pub pid: u32,
    /// Whether it is the root of its tree.
    pub is_root: bool,
}

/// The actor that this code runs in.
#[must_use]
pub fn current_actor() -> ActorInfo {
    let info = runtime::current_actor();
    ActorInfo { id: info.id.into(), path: info.path, pid: info.pid, is_root: info.is_root }
}
