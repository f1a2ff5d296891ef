//! The interface `nursery`: scopes that own child actors.
//!
//! Owns: the resource `nursery` and the spawn options. Must not know: processes. Invariant: a
//! nursery belongs to the task that opened it, whoever holds the handle.

use greenroom_abi::FunctionName;
use greenroom_abi::kind::DecodeError;
use greenroom_abi::{RemoteError, kind::SpawnFailed};
use greenroom_runtime::{Nursery, OneShot, Portal};
use greenroom_wire::control::{DirGrant, SpawnSpec};
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, ComponentType, Lift, Linker, Lower, Resource, ResourceType};

use super::types::{Payload, RemoteErrorRecord};
use super::{Host, current_task};

#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct DirGrantRecord {
    source: String,
    target: String,
    writable: bool,
}

#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct SpawnOptions {
    dirs: Vec<DirGrantRecord>,
    env: Vec<(String, String)>,
}

impl SpawnOptions {
    fn spec(self, name: String, modules: Vec<String>) -> SpawnSpec {
        let dirs = self.dirs.into_iter();
        SpawnSpec {
            name,
            modules,
            dirs: dirs
                .map(|DirGrantRecord { source, target, writable }| DirGrant { source, target, writable })
                .collect(),
            env: self.env,
        }
    }
}

type Started = Result<Resource<Portal>, RemoteErrorRecord>;

pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("greenroom:portal/nursery@0.1.0")?;
    instance.resource("nursery", ResourceType::host::<Nursery>(), |mut store, rep| {
        store.data_mut().table.delete(Resource::<Nursery>::new_own(rep))?.abandon();
        Ok(())
    })?;
    instance.func_wrap("[static]nursery.open", |mut store: StoreContextMut<'_, Host>, (): ()| {
        let nursery = current_task(&mut store)?.open_nursery();
        Ok((store.data_mut().table.push(nursery)?,))
    })?;
    instance.func_wrap_concurrent(
        "[method]nursery.start-actor",
        |accessor, (this, name, modules, options): (Resource<Nursery>, String, Vec<String>, SpawnOptions)| {
            let nursery = get(accessor, &this);
            Box::pin(async move { start(accessor, nursery?, options.spec(name, modules), None).await })
        },
    )?;
    instance.func_wrap_concurrent(
        "[method]nursery.run-in-actor",
        |accessor,
         (this, name, function, kwargs, options): (
            Resource<Nursery>,
            Option<String>,
            String,
            Payload,
            SpawnOptions,
        )| {
            let nursery = get(accessor, &this);
            Box::pin(async move {
                let (module, plain) = match FunctionName::parse(&function) {
                    Ok(parsed) => (parsed.module.to_owned(), parsed.function.to_owned()),
                    Err(error) => {
                        let error = RemoteError::of(&DecodeError { reason: error.to_string() });
                        return Ok((Err(error.into()),));
                    }
                };
                let spec = options.spec(name.unwrap_or(plain), vec![module]);
                start(accessor, nursery?, spec, Some(OneShot { function, kwargs })).await
            })
        },
    )?;
    instance.func_wrap_concurrent("[method]nursery.join", |accessor, (this,): (Resource<Nursery>,)| {
        let nursery = get(accessor, &this);
        Box::pin(async move {
            let joined = nursery?.join().await;
            Ok((joined.map_err(|error| RemoteErrorRecord::from(*error)),))
        })
    })?;
    instance.func_wrap_concurrent("[method]nursery.cancel", |accessor, (this,): (Resource<Nursery>,)| {
        let nursery = get(accessor, &this);
        Box::pin(async move {
            let cancelled = nursery?.cancel().await;
            Ok((cancelled.map_err(|error| RemoteErrorRecord::from(*error)),))
        })
    })
}

fn get(accessor: &Accessor<Host>, this: &Resource<Nursery>) -> wasmtime::Result<Nursery> {
    accessor.with(|mut access| Ok(access.get().table.get(this)?.clone()))
}

async fn start(
    accessor: &Accessor<Host>,
    nursery: Nursery,
    spec: SpawnSpec,
    main: Option<OneShot>,
) -> wasmtime::Result<(Started,)> {
    if spec.name.is_empty() {
        let reason = "an actor needs a name".to_owned();
        let error = SpawnFailed { name: spec.name, reason, exit: None, stderr: Vec::new() };
        return Ok((Err(RemoteError::of(&error).into()),));
    }
    match nursery.start(spec, main).await {
        Ok(portal) => Ok((Ok(accessor.with(|mut access| access.get().table.push(portal))?),)),
        Err(error) => Ok((Err((*error).into()),)),
    }
}
