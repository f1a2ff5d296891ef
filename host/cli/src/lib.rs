//! Greenroom as a library: a broker in this process, and a nursery that holds its root actors.
//!
//! Owns: putting the layers together. Must not know: the command line. Invariant: when a
//! [`Host`] is gone, so is every actor it started.
//!
//! # A call, or a context?
//!
//! [`Portal::call`] runs one function and gives its outcome: use it whenever a question has one
//! answer. [`Portal::open_context`] starts a task and goes on talking with it: use it when both
//! sides have something to say while the task runs, when there is more than fits one payload, or
//! when one task among several is to be ended alone. A call is a context without a dialog; both are
//! cancelled when what holds them is dropped, and both may have a deadline.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use greenroom::{CallOptions, Portal, StreamOptions, payload};
//!
//! async fn talk(portal: &Portal) -> Result<(), Box<dyn std::error::Error>> {
//!     let no_arguments = payload::encode(&())?.into();
//!     let soon = CallOptions { timeout: Some(Duration::from_secs(1)), ..CallOptions::default() };
//!     let answer = portal.call_with("math:answer", no_arguments, soon).await?;
//!     println!("{}", payload::decode::<i64>(&answer)?);
//!
//!     let count = [("upto", 10)].into_iter().collect::<std::collections::BTreeMap<_, _>>();
//!     let count = payload::encode(&count)?.into();
//!     let (context, first) = portal.open_context("math:count", count, CallOptions::default()).await?;
//!     println!("it started with {}", payload::decode::<String>(&first)?);
//!     let stream = context.open_stream(StreamOptions::default())?;
//!     while let Some(message) = stream.receive().await? {
//!         println!("{}", payload::decode::<i64>(&message)?);
//!     }
//!     let sum = context.wait_for_result().await?;
//!     println!("the sum is {}", payload::decode::<i64>(&sum)?);
//!     Ok(())
//! }
//! ```

mod daemon;
mod host;
mod init;
mod registry;
mod reports;
mod root;
pub mod typed;

pub use daemon::run_daemon;
pub use greenroom_abi::{ActorId, Kwargs, RemoteError, kind, kwargs, payload};
pub use greenroom_broker::{
    ActorStage, ActorStatus, BookedLine, Catalogue, CompileBounds, Directory, Entry, ExecCompiler,
    ExecSpawner, Forked, FunctionInfo, FunctionKind, Grant, GrantError, Kind, LineSource, LogRecord,
    LogStream, ModuleOptions, Order, Publication, Registry, RegistryError, Report, Seat, Spawner, StartError,
    Stream, Support, TreeStatus, UnknownWall, Wall, Without, ZygoteSpawner, check_name, harmless,
    harmless_line, run_actor, run_compiler, run_zygote,
};
pub use greenroom_engine::{
    Artifact, Cache, CompileError, Compiled, Compiler, ComponentInfo, ContextSignature, Engine, Export,
    ExportKind, FunctionType, LoadError, Signature, ValueType,
};
pub use greenroom_runtime::{
    Batch, Call, CallOptions, Context, MsgStream, Nursery, OneShot, Outcome, Overrun, Portal, Restart,
    Strategy, StreamOptions, Subscription, Supervision,
};
pub use greenroom_wire::control::{
    ActorEntry, DirGrant, Isolation, Limit, LimitError, Limits, LogLevel, LogLine, Rights, SpawnSpec, Unit,
};
pub use greenroom_wire::{Pattern, PatternError};
pub use host::{Host, HostError, Setup, join};
pub use init::init;
pub use registry::{Machine, Target, TargetError};
pub use reports::Reports;
pub use root::{Root, RootOptions, open_root};
pub use typed::{NurseryExt, PortalExt};

/// The guide for native programs, whose examples are compiled with this crate's tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/library.md")]
mod guide {}
