//! The interface `context`: a task's view of itself.
//!
//! Owns: the resource `context`, which is a task. Must not know: who cancels. Invariant: a
//! guest holds only contexts of its own tasks.

use std::time::Duration;

use greenroom_runtime::Task;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};

use super::streams::{StreamOptionsRecord, lend};
use super::types::{ActorIdRecord, Payload};
use super::{Host, record};

type Store<'a> = StoreContextMut<'a, Host>;

pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("greenroom:portal/context@0.1.0")?;
    instance.resource("context", ResourceType::host::<Task>(), |mut store, rep| {
        store.data_mut().table.delete(Resource::<Task>::new_own(rep))?;
        Ok(())
    })?;
    instance.func_wrap("[method]context.function", |store: Store<'_>, (this,): (Resource<Task>,)| {
        Ok((store.data().table.get(&this)?.function().to_owned(),))
    })?;
    instance.func_wrap("[method]context.caller", |store: Store<'_>, (this,): (Resource<Task>,)| {
        Ok((ActorIdRecord::from(store.data().table.get(&this)?.caller().clone()),))
    })?;
    instance.func_wrap("[method]context.task-id", |store: Store<'_>, (this,): (Resource<Task>,)| {
        Ok((store.data().table.get(&this)?.id(),))
    })?;
    instance.func_wrap("[method]context.remaining", |store: Store<'_>, (this,): (Resource<Task>,)| {
        Ok((store.data().table.get(&this)?.remaining().map(nanoseconds),))
    })?;
    instance.func_wrap(
        "[method]context.started",
        |store: Store<'_>, (this, value): (Resource<Task>, Payload)| {
            Ok((record(store.data().table.get(&this)?.started(value)),))
        },
    )?;
    instance.func_wrap(
        "[method]context.open-stream",
        |mut store: Store<'_>, (this, options): (Resource<Task>, StreamOptionsRecord)| {
            let opened = store.data().table.get(&this)?.open_stream(options.into());
            lend(&mut store, opened)
        },
    )?;
    instance.func_wrap_concurrent("[method]context.cancelled", |accessor, (this,): (Resource<Task>,)| {
        let task = accessor.with(|mut access| access.get().table.get(&this).cloned());
        Box::pin(async move { Ok((ActorIdRecord::from(task?.cancelled().await),)) })
    })
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
