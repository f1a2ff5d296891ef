//! Compiling one component.
//!
//! Owns: what comes of it, and the trait of those who have it done. Must not know: files, where it
//! is done. Invariant: what is compiled is not run.

use wasmtime::component::Component;

use crate::engine::Engine;
use crate::inspect::{Chain, ComponentInfo};

/// A component, compiled.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Its code, as wasmtime writes it.
    pub code: Vec<u8>,
    /// What it is.
    pub info: ComponentInfo,
}

/// Why a component is not compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It is not valid, or uses what wasmtime does not offer.
    #[error("{0}")]
    Refused(String),
    /// It takes more than may be spent on it, or the compiler died of it.
    #[error("{0}")]
    TooMuch(String),
    /// There is no compiler to be had.
    #[error("{0}")]
    NoCompiler(String),
}

/// Has components compiled, where that can do no harm: a component is a stranger's, and may be made
/// to break its compiler or to keep it busy for ever.
pub trait Compiler: Send + Sync + std::fmt::Debug {
    /// Compiles a component, within bounds of time and memory.
    ///
    /// # Errors
    /// [`CompileError`], in words.
    fn compile(&self, wasm: &[u8]) -> Result<Compiled, CompileError>;
}

/// Compiles a component in this very process: for whoever has nothing to lose.
///
/// # Errors
/// What wasmtime said.
pub fn compile(engine: &Engine, wasm: &[u8]) -> Result<Compiled, String> {
    let refused = |error: wasmtime::Error| Chain(&error).to_string();
    let component = Component::new(&engine.wasmtime, wasm).map_err(refused)?;
    let info = ComponentInfo::of(engine, &component, wasm).map_err(refused)?;
    let code = component.serialize().map_err(refused)?;
    Ok(Compiled { code, info })
}
