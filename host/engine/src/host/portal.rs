//! The interface `portal`: live handles to other actors.
//!
//! Owns: the resources `portal` and `remote-context`. Must not know: how calls travel. Invariant:
//! a call or context that the guest drops is cancelled at the peer.

use std::sync::Arc;
use std::time::Duration;

use greenroom_abi::kind::Exit;
use greenroom_runtime::{CallOptions, Context, Portal};
use wasmtime::component::{
    Accessor, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType,
};
use wasmtime::{AsContextMut, StoreContextMut};

use super::streams::{StreamOptionsRecord, lend};
use super::types::{ActorIdRecord, Payload, RemoteErrorRecord};
use super::{Host, current_task, record};

pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("greenroom:portal/portal@0.1.0")?;
    instance.resource("portal", ResourceType::host::<Portal>(), |mut store, rep| {
        store.data_mut().table.delete(Resource::<Portal>::new_own(rep))?;
        Ok(())
    })?;
    instance.func_wrap(
        "[method]portal.actor",
        |store: StoreContextMut<'_, Host>, (this,): (Resource<Portal>,)| {
            Ok((ActorIdRecord::from(store.data().table.get(&this)?.peer()),))
        },
    )?;
    instance.func_wrap_concurrent(
        "[method]portal.run",
        |accessor, (this, function, kwargs, timeout): (Resource<Portal>, String, Payload, Option<u64>)| {
            let call = start(accessor, &this, timeout, |portal, options| {
                portal.call_with(&function, kwargs, options)
            });
            Box::pin(async move { Ok((record(call?.await),)) })
        },
    )?;
    instance.func_wrap_concurrent(
        "[method]portal.open-context",
        |accessor, (this, function, kwargs, timeout): (Resource<Portal>, String, Payload, Option<u64>)| {
            let opening = start(accessor, &this, timeout, |portal, options| {
                portal.open_context(&function, kwargs, options)
            });
            Box::pin(async move {
                let opened = match opening?.await {
                    Ok((context, first)) => {
                        let context: Linked = Arc::new(context);
                        Ok((accessor.with(|mut access| access.get().table.push(context))?, first))
                    }
                    Err(error) => Err(RemoteErrorRecord::from(*error)),
                };
                Ok((opened,))
            })
        },
    )?;
    instance.func_wrap_concurrent("[method]portal.closed", |accessor, (this,): (Resource<Portal>,)| {
        let portal = accessor.with(|mut access| access.get().table.get(&this).cloned());
        Box::pin(async move { Ok((ExitVariant::from(portal?.closed().await),)) })
    })?;
    remote_context(&mut instance)?;
    instance.func_wrap_concurrent(
        "[method]portal.wait-for-result",
        |accessor, (this,): (Resource<Portal>,)| {
            let portal = accessor.with(|mut access| access.get().table.get(&this).cloned());
            Box::pin(async move { Ok((record(portal?.wait_for_result().await),)) })
        },
    )?;
    instance.func_wrap_concurrent("[method]portal.cancel-actor", |accessor, (this,): (Resource<Portal>,)| {
        let portal = accessor.with(|mut access| access.get().table.get(&this).cloned());
        Box::pin(async move {
            let ended = portal?.cancel_actor().await;
            Ok((record(ended),))
        })
    })
}

/// The caller's end of a context, which the waits hold too.
type Linked = Arc<Context>;

fn remote_context(instance: &mut LinkerInstance<'_, Host>) -> wasmtime::Result<()> {
    instance.resource("remote-context", ResourceType::host::<Linked>(), |mut store, rep| {
        // A wait that is under way keeps the context, but not its task.
        store.data_mut().table.delete(Resource::<Linked>::new_own(rep))?.abandon();
        Ok(())
    })?;
    instance.func_wrap(
        "[method]remote-context.open-stream",
        |mut store: StoreContextMut<'_, Host>, (this, options): (Resource<Linked>, StreamOptionsRecord)| {
            let opened = store.data().table.get(&this)?.open_stream(options.into());
            lend(&mut store, opened)
        },
    )?;
    instance.func_wrap_concurrent(
        "[method]remote-context.wait-for-result",
        |accessor, (this,): (Resource<Linked>,)| {
            let context = accessor.with(|mut access| access.get().table.get(&this).cloned());
            Box::pin(async move { Ok((record(context?.wait_for_result().await),)) })
        },
    )?;
    instance.func_wrap_concurrent(
        "[method]remote-context.failed",
        |accessor, (this,): (Resource<Linked>,)| {
            let context = accessor.with(|mut access| access.get().table.get(&this).cloned());
            Box::pin(async move { Ok((RemoteErrorRecord::from(*context?.failed().await),)) })
        },
    )?;
    instance.func_wrap_concurrent(
        "[method]remote-context.cancel",
        |accessor, (this,): (Resource<Linked>,)| {
            let context = accessor.with(|mut access| access.get().table.get(&this).cloned());
            Box::pin(async move { Ok((record(context?.cancel().await),)) })
        },
    )
}

/// Starts something through a portal on behalf of the task that asks.
fn start<T>(
    accessor: &Accessor<Host>,
    portal: &Resource<Portal>,
    timeout: Option<u64>,
    start: impl FnOnce(&Portal, CallOptions<'_>) -> T,
) -> wasmtime::Result<T> {
    accessor.with(|mut access| {
        // Code that outlives its task calls on behalf of nobody.
        let task = current_task(&mut access.as_context_mut()).ok();
        let options = CallOptions { timeout: timeout.map(Duration::from_nanos), within: task.as_ref() };
        Ok(start(access.get().table.get(portal)?, options))
    })
}

/// How a process ended.
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum ExitVariant {
    #[component(name = "code")]
    Code(i32),
    #[component(name = "signal")]
    Signal(i32),
    #[component(name = "unknown")]
    Unknown,
}

impl From<Exit> for ExitVariant {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal(signal) => Self::Signal(signal),
            Exit::Unknown => Self::Unknown,
        }
    }
}
