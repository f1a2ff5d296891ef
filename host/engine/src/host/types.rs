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
        #[component(name = "discover")]
        const DISCOVER;
        #[component(name = "publish")]
        const PUBLISH;
    }
}

impl From<RightsFlags> for Rights {
    fn from(flags: RightsFlags) -> Self {
        let holds = |flag| flags & flag == flag;
        Self { discover: holds(RightsFlags::DISCOVER), publish: holds(RightsFlags::PUBLISH) }
    }
}

impl From<Rights> for RightsFlags {
    fn from(Rights { discover, publish }: Rights) -> Self {
        let if_held = |held, flag| if held { flag } else { Self::default() };
        if_held(discover, Self::DISCOVER) | if_held(publish, Self::PUBLISH)
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
