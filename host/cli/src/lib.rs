//! Greenroom as a library: a broker in this process, and a nursery that holds its root actors.
//!
//! Owns: putting the layers together. Must not know: the command line. Invariant: when a
//! [`Host`] is gone, so is every actor it started.

mod host;

pub use greenroom_abi::{ActorId, RemoteError, kind, payload};
pub use greenroom_broker::{
    Catalogue, ExecSpawner, Grant, GrantError, Report, Spawner, StartError, Stream, run_actor,
};
pub use greenroom_engine::{Artifact, Cache, ComponentInfo, Engine, Export, LoadError, Signature};
pub use greenroom_runtime::{Call, Nursery, OneShot, Outcome, Portal};
pub use greenroom_wire::control::{DirGrant, Limits, LogLevel, LogLine, SpawnSpec};
pub use host::{Host, HostError, Setup, join};
