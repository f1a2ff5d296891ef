//! The interface `portal`: live handles to other actors.
//!
//! Owns: the resource `portal`. Must not know: how calls travel. Invariant: a call that the
//! guest drops is cancelled at the peer.

use greenroom_runtime::Portal;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};

use super::types::{ActorIdRecord, Payload, RemoteErrorRecord};
use super::{Host, lower};

pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("greenroom:portal/portal@0.1.0")?;
    instance.resource("portal", ResourceType::host::<Portal>(), |mut store, rep| {
        store.data_mut().table.delete(Resource::<Portal>::new_own(rep))?;
        Ok(())
    })?;
    instance.func_wrap(
        "[method]portal.actor",
        |store: StoreContextMut<'_, Host>, (this,): (Resource<Portal>,)| {
            Ok((ActorIdRecord::from(store.data().table.get(&this)?.peer().clone()),))
        },
    )?;
    instance.func_wrap_concurrent(
        "[method]portal.run",
        |accessor, (this, function, kwargs): (Resource<Portal>, String, Payload)| {
            let call = accessor.with(|mut access| {
                access.get().table.get(&this).map(|portal| portal.call(&function, kwargs))
            });
            Box::pin(async move { Ok((lower(call?.await),)) })
        },
    )?;
    instance.func_wrap_concurrent(
        "[method]portal.wait-for-result",
        |accessor, (this,): (Resource<Portal>,)| {
            let portal = accessor.with(|mut access| access.get().table.get(&this).cloned());
            Box::pin(async move { Ok((lower(portal?.wait_for_result().await),)) })
        },
    )?;
    instance.func_wrap_concurrent("[method]portal.cancel-actor", |accessor, (this,): (Resource<Portal>,)| {
        let portal = accessor.with(|mut access| access.get().table.get(&this).cloned());
        Box::pin(async move {
            let ended = portal?.cancel_actor().await;
            Ok((ended.map_err(|error| RemoteErrorRecord::from(*error)),))
        })
    })
}
