//! The trusted process of a host run: it starts, introduces, limits and reaps actors.
//!
//! Owns: the tree, quotas, spawning, the cancel ladder, the sandbox's policy. Must not know:
//! guest code, the command line. Invariant: nothing outlives what started it.

mod broker;
mod catalogue;
mod child;
mod compiler;
mod conduct;
mod discovery;
mod grants;
mod harmless;
mod introduce;
mod ladder;
mod lookup;
mod output;
mod process;
mod quota;
mod registry;
mod report;
mod spawner;
pub mod station;
mod tree;
mod visits;
mod watch;
mod zygote;

pub use broker::{Broker, Settings, StartError};
pub use catalogue::{Catalogue, ModuleOptions};
pub use child::Child;
pub use compiler::{COMPILER, CompileBounds, ExecCompiler, is_compiler, run_compiler};
pub use grants::{Grant, GrantError};
pub use greenroom_sandbox::{Support, UnknownWall, Wall, Without};
pub use harmless::{harmless, harmless_line};
pub use process::{ACTOR, is_actor, run_actor, walls_around};
pub use registry::{Directory, Entry, Publication, Registry, RegistryError, Seat};
pub use report::{Report, Stream};
pub use spawner::{ExecSpawner, Kind, Order, Process, Spawner};
pub use station::{
    ActorStage, ActorStatus, Answer, BookedLine, FunctionInfo, FunctionKind, LineSource, LogRecord,
    LogStream, Place, Request, TreeStatus,
};
pub use tree::check_name;
pub use zygote::{Forked, ZYGOTE, ZygoteSpawner, is_zygote, run_zygote};
