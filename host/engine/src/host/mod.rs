//! The host's side of the package `greenroom:portal`, one file per WIT interface.
//!
//! Owns: what a store knows, and the linker's entries. Must not know: how calls travel.
//! Invariant: a host function learns which task calls it from wasmtime, never from the guest.

mod context;
mod nursery;
mod portal;
mod runtime;
mod types;

use std::collections::HashMap;

use bytes::Bytes;
use greenroom_runtime::{Outcome, Task};
use tokio::sync::oneshot;
use wasmtime::component::{GuestTaskId, Linker, ResourceTable};
use wasmtime::{StoreContextMut, StoreLimits};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

pub(crate) use types::{Payload, RemoteErrorRecord};

use crate::trap::PanicNote;

/// What a store knows.
pub(crate) struct Host {
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    pub(crate) limits: StoreLimits,
    /// The calls under way in this instance.
    pub(crate) calls: HashMap<GuestTaskId, Running>,
    /// What a task said just before it aborted.
    pub(crate) panic: Option<PanicNote>,
}

/// A call under way.
pub(crate) struct Running {
    pub(crate) task: Task,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Adds every interface of the package.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    types::add_to_linker(linker)?;
    context::add_to_linker(linker)?;
    portal::add_to_linker(linker)?;
    nursery::add_to_linker(linker)?;
    runtime::add_to_linker(linker)
}

/// The task that is calling the host right now.
///
/// # Errors
/// A trap, if guest code runs outside any call, such as in a start function.
fn current_task(store: &mut StoreContextMut<'_, Host>) -> wasmtime::Result<Task> {
    let id = running(store)?;
    id.and_then(|id| store.data().calls.get(&id).map(|running| running.task.clone()))
        .ok_or_else(|| wasmtime::format_err!("this host function may be called only from a task"))
}

/// The call that guest code is working for right now.
pub(crate) fn running(store: &mut StoreContextMut<'_, Host>) -> wasmtime::Result<Option<GuestTaskId>> {
    Ok(store.async_call_stack()?.last())
}

/// What a portal call gives the guest.
fn lower(outcome: Outcome) -> Result<Payload, RemoteErrorRecord> {
    outcome.map(|bytes: Bytes| Payload::from(bytes)).map_err(|error| (*error).into())
}
