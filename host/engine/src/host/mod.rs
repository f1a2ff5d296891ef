//! The host's side of the package `greenroom:portal`, one file per WIT interface.
//!
//! Owns: what a store knows, and the linker's entries. Must not know: how calls travel.
//! Invariant: a host function learns which task calls it from wasmtime, never from the guest.

mod context;
mod discovery;
mod nursery;
mod portal;
mod runtime;
mod streams;
mod types;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use greenroom_abi::RemoteError;
use greenroom_runtime::{Outcome, Task};
use wasmtime::StoreContextMut;
use wasmtime::component::{GuestTaskId, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

pub(crate) use types::{Payload, RemoteErrorRecord};

use crate::bounds::Bounds;
use crate::callee::Reply;
use crate::ticker::Weight;
use crate::trap::PanicNote;
use crate::wasi::Gate;

/// What a store knows.
pub(crate) struct Host {
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    /// What it was not granted is refused here, and told.
    pub(crate) gate: Arc<Gate>,
    pub(crate) bounds: Bounds,
    /// The calls under way in this instance, by number.
    pub(crate) calls: HashMap<u64, Running, RandomState>,
    /// Which call each of wasmtime's tasks was last made for. wasmtime uses its numbers again,
    /// also before the host has taken note of a call's end, so they alone name no call; and so
    /// there are never more of them than calls were under way at once.
    pub(crate) tasks: HashMap<GuestTaskId, u64, RandomState>,
    /// What a task said just before it aborted.
    pub(crate) panic: Option<PanicNote>,
    /// Told of turns that will be long.
    pub(crate) weight: Weight,
}

/// A call under way.
pub(crate) struct Running {
    pub(crate) reply: Reply,
    /// What it comes to if the guest exits with status 0, where that is no failure.
    pub(crate) exit: Option<Outcome>,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Adds every interface of the package.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    types::add_to_linker(linker)?;
    streams::add_to_linker(linker)?;
    context::add_to_linker(linker)?;
    portal::add_to_linker(linker)?;
    nursery::add_to_linker(linker)?;
    discovery::add_to_linker(linker)?;
    runtime::add_to_linker(linker)
}

/// The task that is calling the host right now.
///
/// # Errors
/// A trap, if guest code runs outside any call, such as in a start function or after its task
/// has given its outcome.
fn current_task(store: &mut StoreContextMut<'_, Host>) -> wasmtime::Result<Task> {
    let number = running(store)?;
    number
        .and_then(|number| store.data().calls.get(&number).map(|running| running.reply.task().clone()))
        .ok_or_else(|| wasmtime::format_err!("this host function may be called only from a task"))
}

/// The number of the call that guest code is working for right now.
///
/// The stack goes on beyond it: wasmtime counts whichever task was suspended when a call was
/// made as that call's parent. So the youngest task of ours is the one; where its call has
/// already given its outcome, what runs now runs for nobody.
pub(crate) fn running(store: &mut StoreContextMut<'_, Host>) -> wasmtime::Result<Option<u64>> {
    let latest = latest(store)?;
    Ok(latest.filter(|number| store.data().calls.contains_key(number)))
}

/// The number of the call that guest code was last working for, whether it has given its outcome
/// or not.
pub(crate) fn latest(store: &mut StoreContextMut<'_, Host>) -> wasmtime::Result<Option<u64>> {
    let stack: Vec<GuestTaskId> = store.async_call_stack()?.collect();
    let tasks = &store.data().tasks;
    Ok(stack.iter().find_map(|id| tasks.get(id)).copied())
}

/// A failure as the guest gets it.
fn record<T>(result: Result<T, Box<RemoteError>>) -> Result<T, RemoteErrorRecord> {
    result.map_err(|error| (*error).into())
}
