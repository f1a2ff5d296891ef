//! The interface `discovery`: finding other actors of the tree.
//!
//! Owns: how a found actor reaches the guest. Must not know: who knows the actors. Invariant: what
//! is found can be called.

use greenroom_runtime::Portal;
use wasmtime::AsContextMut;
use wasmtime::component::{Linker, Resource};

use super::types::RemoteErrorRecord;
use super::{Host, current_task};

type Found = Result<Option<Resource<Portal>>, RemoteErrorRecord>;

pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("greenroom:portal/discovery@0.1.0")?;
    instance.func_wrap_concurrent("find-actor", |accessor, (name,): (String,)| {
        let task = accessor.with(|mut access| current_task(&mut access.as_context_mut()));
        Box::pin(async move {
            let found: Found = match task?.actor().find_actor(&name).await {
                Ok(None) => Ok(None),
                Ok(Some(portal)) => Ok(Some(accessor.with(|mut access| access.get().table.push(portal))?)),
                Err(error) => Err((*error).into()),
            };
            Ok((found,))
        })
    })
}
