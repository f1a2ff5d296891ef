//! The compiler and runtime settings that every actor shares.
//!
//! Owns: the one configuration of wasmtime, and the ticker. Must not know: which components run.
//! Invariant: broker and actors use the same settings, or an actor cannot load what the broker
//! compiled.

use std::sync::OnceLock;

use greenroom_wire::control::Rights;
use wasmtime::component::Linker;
use wasmtime::{Config, WasmBacktraceDetails};

use crate::host::{self, Host};
use crate::ticker::Ticker;
use crate::wasi;

/// How much stack a guest has. Below the host thread's own 2 MiB for fibers; deep enough for
/// ordinary recursion.
const MAX_WASM_STACK: usize = 1024 * 1024;

/// The host stack of a fiber: the guest's plus what host functions called from it need.
const FIBER_STACK: usize = 2 * 1024 * 1024;

/// wasmtime with Greenroom's settings; clones share everything.
#[derive(Clone)]
pub struct Engine {
    pub(crate) wasmtime: wasmtime::Engine,
    ticker: std::sync::Arc<OnceLock<Ticker>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine.
    ///
    /// # Errors
    /// When wasmtime does not support this machine.
    pub fn new() -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config
            .wasm_component_model_async(true)
            .wasm_exceptions(true)
            .epoch_interruption(true)
            .max_wasm_stack(MAX_WASM_STACK)
            .async_stack_size(FIBER_STACK)
            .wasm_backtrace_details(WasmBacktraceDetails::Enable);
        Ok(Self { wasmtime: wasmtime::Engine::new(&config)?, ticker: std::sync::Arc::default() })
    }

    /// Everything that a component may import, with refusals in the place of what these rights do not
    /// grant.
    pub(crate) fn linker(&self, rights: &Rights) -> wasmtime::Result<Linker<Host>> {
        let mut linker = self.wasi()?;
        linker.allow_shadowing(true);
        wasi::add_names_to_linker(&mut linker)?;
        wasi::refuse(&mut linker, rights)?;
        linker.allow_shadowing(false);
        host::add_to_linker(&mut linker)?;
        Ok(linker)
    }

    /// All of WASI, as it is.
    pub(crate) fn wasi(&self) -> wasmtime::Result<Linker<Host>> {
        let mut linker = Linker::new(&self.wasmtime);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        Ok(linker)
    }

    /// Sets up the clock that ends the turns of guests, for the calling thread: in the process that will
    /// run them, before its last wall, behind which none can be made.
    ///
    /// # Errors
    /// When the process may not have another timer.
    pub fn set_clock(&self) -> std::io::Result<()> {
        self.ticker().map(drop)
    }

    /// The ticker, started on first use: only a process that runs guests has the clock.
    pub(crate) fn ticker(&self) -> std::io::Result<Ticker> {
        if let Some(ticker) = self.ticker.get() {
            return Ok(ticker.clone());
        }
        let started = Ticker::start(self.wasmtime.clone())?;
        Ok(self.ticker.get_or_init(|| started).clone())
    }
}
