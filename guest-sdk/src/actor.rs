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
    /// What it may do.
    pub rights: Rights,
}

/// What an actor may do that none may who was not told so: nothing by default. A child's rights are
/// a subset of its parent's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Start children.
    pub spawn: bool,
    /// Read the wall clock, as `SystemTime::now` does. The monotonic clock is everyone's.
    pub clock: bool,
    /// Get random numbers.
    pub random: bool,
    /// Read the standard input of the program that started the tree.
    pub stdin: bool,
    /// Find, and be told of, the published actors of other programs.
    pub discover: bool,
    /// Start actors that other programs find.
    pub publish: bool,
    /// Connect to these hosts, each written as `HOST:PORT`.
    pub network: Vec<String>,
}

impl Rights {
    /// Those of these flags, with the network beside them.
    fn of(flags: types::Rights, network: Vec<String>) -> Self {
        Self {
            spawn: flags.contains(types::Rights::SPAWN),
            clock: flags.contains(types::Rights::CLOCK),
            random: flags.contains(types::Rights::RANDOM),
            stdin: flags.contains(types::Rights::STDIN),
            discover: flags.contains(types::Rights::DISCOVER),
            publish: flags.contains(types::Rights::PUBLISH),
            network,
        }
    }

    /// Those that are flags.
    pub(crate) fn flags(&self) -> types::Rights {
        let mut flags = types::Rights::empty();
        flags.set(types::Rights::SPAWN, self.spawn);
        flags.set(types::Rights::CLOCK, self.clock);
        flags.set(types::Rights::RANDOM, self.random);
        flags.set(types::Rights::STDIN, self.stdin);
        flags.set(types::Rights::DISCOVER, self.discover);
        flags.set(types::Rights::PUBLISH, self.publish);
        flags
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
        rights: Rights::of(info.rights, info.network),
    }
}
