//! The actor that this code runs in.
//!
//! Owns: [`ActorInfo`] and [`Rights`]. Must not know: other actors.

use greenroom_abi::ActorId;

use crate::bindings::greenroom::portal::{runtime, types};

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
    /// What it may do beyond its tree.
    pub rights: Rights,
}

/// What an actor may do beyond its own tree. A child's rights are a subset of its parent's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Find, and be told of, the published actors of other programs.
    pub discover: bool,
    /// Start actors that other programs find.
    pub publish: bool,
}

impl From<types::Rights> for Rights {
    fn from(rights: types::Rights) -> Self {
        let (discover, publish) = (types::Rights::DISCOVER, types::Rights::PUBLISH);
        Self { discover: rights.contains(discover), publish: rights.contains(publish) }
    }
}

impl From<Rights> for types::Rights {
    fn from(Rights { discover, publish }: Rights) -> Self {
        let mut rights = Self::empty();
        rights.set(Self::DISCOVER, discover);
        rights.set(Self::PUBLISH, publish);
        rights
    }
}

/// The actor that this code runs in.
#[must_use]
pub fn current_actor() -> ActorInfo {
    let info = runtime::current_actor();
    ActorInfo {
        id: info.id.into(),
        path: info.path,
        pid: info.pid,
        is_root: info.is_root,
        rights: info.rights.into(),
    }
}
