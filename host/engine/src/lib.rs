//! wasmtime behind the runtime's door.
//!
//! Owns: compiling and caching components, what they may import, running their functions,
//! turning traps into data. Must not know: sockets, processes, who calls. Invariant: whatever
//! a guest does, its caller gets an outcome.

mod bounds;
mod cache;
mod callee;
mod clock;
mod compile;
mod engine;
mod host;
mod inspect;
mod modules;
mod naming;
mod output;
mod plain;
mod resident;
mod seal;
mod signature;
mod ticker;
mod trap;
mod value;
mod wasi;

pub use cache::{Artifact, Cache, LoadError};
pub use compile::{CompileError, Compiled, Compiler, compile};
pub use engine::Engine;
pub use inspect::{ComponentInfo, Export, ExportKind};
pub use modules::{Linked, LoadedComponent, Mapped, ModuleError, Modules};
pub use signature::{ContextSignature, Signature};
pub use value::{FunctionType, ValueType};
pub use wasi::Grants;
