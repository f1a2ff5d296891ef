//! The interface `discovery`: finding other actors by name.
//!
//! Owns: how found actors, and word of actors, reach the guest. Must not know: who knows the actors.
//! Invariant: what is found can be called, and a wait ends with the task that waits.

use std::time::Duration;

use greenroom_abi::RemoteError;
use greenroom_runtime::{Portal, Task};
use greenroom_wire::control::ActorEntry;
use wasmtime::AsContextMut;
use wasmtime::component::{Accessor, ComponentType, Lift, Linker, Lower, Resource};

use super::types::{ActorIdRecord, RemoteErrorRecord};
use super::{Host, current_task, record};

type Found = Result<Option<Resource<Portal>>, RemoteErrorRecord>;

#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct EntryRecord {
    id: ActorIdRecord,
    tree: String,
    path: Vec<String>,
    pid: u32,
    started: u64,
    published: bool,
}

impl From<ActorEntry> for EntryRecord {
    fn from(entry: ActorEntry) -> Self {
        let ActorEntry { id, tree, path, pid, started, published } = entry;
        Self { id: id.into(), tree, path, pid, started, published }
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("greenroom:portal/discovery@0.1.0")?;
    instance.func_wrap_concurrent("find-actor", |accessor, (name,): (String,)| {
        let task = task(accessor);
        Box::pin(async move {
            let found = task?.actor().find_actor(&name).await;
            lend(accessor, found)
        })
    })?;
    instance.func_wrap_concurrent("wait-for-actor", |accessor, (name, timeout): (String, Option<u64>)| {
        let task = task(accessor);
        Box::pin(async move {
            let found = task?.wait_for_actor(&name, timeout.map(Duration::from_nanos)).await;
            lend(accessor, found)
        })
    })?;
    instance.func_wrap_concurrent("query-actor", |accessor, (name,): (String,)| {
        let task = task(accessor);
        Box::pin(async move {
            let entry = task?.actor().query_actor(&name).await;
            Ok((record(entry.map(|entry| entry.map(EntryRecord::from))),))
        })
    })?;
    instance.func_wrap_concurrent("list-actors", |accessor, (): ()| {
        let task = task(accessor);
        Box::pin(async move {
            let entries = task?.actor().list_actors().await;
            Ok((record(
                entries.map(|entries| entries.into_iter().map(EntryRecord::from).collect::<Vec<_>>()),
            ),))
        })
    })
}

fn task(accessor: &Accessor<Host>) -> wasmtime::Result<Task> {
    accessor.with(|mut access| current_task(&mut access.as_context_mut()))
}

/// Hands what was found to the guest.
fn lend(
    accessor: &Accessor<Host>,
    found: Result<Option<Portal>, Box<RemoteError>>,
) -> wasmtime::Result<(Found,)> {
    Ok((match found {
        Ok(None) => Ok(None),
        Ok(Some(portal)) => Ok(Some(accessor.with(|mut access| access.get().table.push(portal))?)),
        Err(error) => Err((*error).into()),
    },))
}
