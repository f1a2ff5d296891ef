//! The interface `types`: records as they cross the component boundary.
//!
//! Owns: the Rust shapes of the WIT records and their conversions. Must not know: what the
//! values mean. Invariant: no field is lost either way.

use greenroom_abi::{ActorId, RemoteError};
use greenroom_wire::control::Rights;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use super::Host;

/// A payload as it crosses the boundary.
pub(crate) type Payload = bytes::Bytes;

#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct ActorIdRecord {
    name: String,
    uuid: String,
}

impl From<ActorId> for ActorIdRecord {
    fn from(ActorId { name, uuid }: ActorId) -> Self {
        Self { name, uuid }
    }
}

impl From<ActorIdRecord> for ActorId {
    fn from(ActorIdRecord { name, uuid }: ActorIdRecord) -> Self {
        Self { name, uuid }
    }
}

wasmtime::component::flags! {
    RightsFlags {
        #[component(name = "spawn")]
        const SPAWN;
        #[component(name = "clock")]
        const CLOCK;
        #[component(name = "random")]
        const RANDOM;
        #[component(name = "stdin")]
        const STDIN;
        #[component(name = "discover")]
        const DISCOVER;
        #[component(name = "publish")]
        const PUBLISH;
    }
}

/// Which flag is which right.
const FLAGS: [(RightsFlags, &str); 6] = [
    (RightsFlags::SPAWN, "spawn"),
    (RightsFlags::CLOCK, "clock"),
    (RightsFlags::RANDOM, "random"),
    (RightsFlags::STDIN, "stdin"),
    (RightsFlags::DISCOVER, "discover"),
    (RightsFlags::PUBLISH, "publish"),
];

impl From<RightsFlags> for Rights {
    fn from(flags: RightsFlags) -> Self {
        let mut rights = Self::default();
        for (flag, name) in FLAGS {
            if let Some(right) = rights.named(name) {
                *right = flags & flag == flag;
            }
        }
        rights
    }
}

impl From<Rights> for RightsFlags {
    fn from(mut rights: Rights) -> Self {
        let held = FLAGS.into_iter().filter(|(_, name)| rights.named(name).is_some_and(|held| *held));
        held.fold(Self::default(), |flags, (flag, _)| flags | flag)
    }
}

#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct RemoteErrorRecord {
    #[component(name = "boxed-type")]
    boxed_type: String,
    #[component(name = "src-type")]
    src_type: String,
    message: String,
    #[component(name = "src-actor")]
    src_actor: Option<ActorIdRecord>,
    #[component(name = "relay-path")]
    relay_path: Vec<ActorIdRecord>,
    canceller: Option<ActorIdRecord>,
    trace: String,
    value: Option<Payload>,
}

impl From<RemoteError> for RemoteErrorRecord {
    fn from(error: RemoteError) -> Self {
        Self {
            boxed_type: error.boxed_type,
            src_type: error.src_type,
            message: error.message,
            src_actor: error.src_actor.map(Into::into),
            relay_path: error.relay_path.into_iter().map(Into::into).collect(),
            canceller: error.canceller.map(Into::into),
            trace: error.trace,
            value: error.value.map(Into::into),
        }
    }
}

impl From<RemoteErrorRecord> for RemoteError {
    fn from(record: RemoteErrorRecord) -> Self {
        Self {
            boxed_type: record.boxed_type,
            src_type: record.src_type,
            message: record.message,
            src_actor: record.src_actor.map(Into::into),
            relay_path: record.relay_path.into_iter().map(Into::into).collect(),
            canceller: record.canceller.map(Into::into),
            trace: record.trace,
            value: record.value.map(Into::into),
        }
    }
}

/// The interface holds types only, but a component that uses them imports it all the same.
pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.instance("greenroom:portal/types@0.1.0").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_is_a_flag() {
        assert!(Rights::names().eq(FLAGS.iter().map(|(_, name)| *name)));
        let all = Rights { network: Vec::new(), ..Rights::all() };
        assert_eq!(Rights::from(RightsFlags::from(all.clone())), all);
        assert_eq!(Rights::from(RightsFlags::default()), Rights::default());
    }
}
