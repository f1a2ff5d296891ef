//! Between the ABI's plain types and the bindings' twins of them.
//!
//! Owns: conversions, field by field. Must not know: what the values mean.

use greenroom_abi::kind::Exit;
use greenroom_abi::{ActorId, RemoteError};

use crate::bindings::greenroom::portal::{portal, types};

impl From<types::ActorId> for ActorId {
    fn from(id: types::ActorId) -> Self {
        Self { name: id.name, uuid: id.uuid }
    }
}

impl From<ActorId> for types::ActorId {
    fn from(id: ActorId) -> Self {
        Self { name: id.name, uuid: id.uuid }
    }
}

impl From<types::RemoteError> for RemoteError {
    fn from(error: types::RemoteError) -> Self {
        Self {
            boxed_type: error.boxed_type,
            src_type: error.src_type,
            message: error.message,
            src_actor: error.src_actor.map(Into::into),
            relay_path: error.relay_path.into_iter().map(Into::into).collect(),
            canceller: error.canceller.map(Into::into),
            trace: error.trace,
            value: error.value,
        }
    }
}

impl From<RemoteError> for types::RemoteError {
    fn from(error: RemoteError) -> Self {
        Self {
            boxed_type: error.boxed_type,
            src_type: error.src_type,
            message: error.message,
            src_actor: error.src_actor.map(Into::into),
            relay_path: error.relay_path.into_iter().map(Into::into).collect(),
            canceller: error.canceller.map(Into::into),
            trace: error.trace,
            value: error.value,
        }
    }
}

impl From<portal::Exit> for Exit {
    fn from(exit: portal::Exit) -> Self {
        match exit {
            portal::Exit::Code(status) => Self::Code(status),
            portal::Exit::Signal(number) => Self::Signal(number),
            portal::Exit::Unknown => Self::Unknown,
        }
    }
}
