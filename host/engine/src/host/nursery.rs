//! The interface `nursery`: scopes that own child actors.
//!
//! Owns: the resource `nursery` and the spawn options. Must not know: processes. Invariant: a
//! nursery belongs to the task that opened it, whoever holds the handle.

use std::time::Duration;

use greenroom_abi::FunctionName;
use greenroom_abi::kind::DecodeError;
use greenroom_abi::{RemoteError, kind::SpawnFailed};
use greenroom_runtime::{Nursery, OneShot, Portal, Restart, Strategy, Supervision};
use greenroom_wire::PatternError;
use greenroom_wire::control::{DirGrant, Rights, SpawnSpec};
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, ComponentType, Lift, Linker, Lower, Resource, ResourceType};

use super::types::{Payload, RemoteErrorRecord, RightsFlags};
use super::{Host, current_task, record};

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
    args: Vec<String>,
    publish: bool,
    unique: bool,
    rights: RightsFlags,
    network: Vec<String>,
    limits: Vec<(String, u64)>,
    restart: Option<RestartEnum>,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "values of it are made by lifting only")]
enum RestartEnum {
    #[component(name = "permanent")]
    Permanent,
    #[component(name = "transient")]
    Transient,
    #[component(name = "temporary")]
    Temporary,
}

impl From<RestartEnum> for Restart {
    fn from(restart: RestartEnum) -> Self {
        match restart {
            RestartEnum::Permanent => Self::Permanent,
            RestartEnum::Transient => Self::Transient,
            RestartEnum::Temporary => Self::Temporary,
        }
    }
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "values of it are made by lifting only")]
enum StrategyEnum {
    #[component(name = "one-for-one")]
    OneForOne,
    #[component(name = "rest-for-one")]
    RestForOne,
    #[component(name = "one-for-all")]
    OneForAll,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct SupervisionRecord {
    strategy: StrategyEnum,
    intensity: u32,
    within: u64,
    backoff: u64,
    #[component(name = "max-backoff")]
    max_backoff: u64,
}

impl From<SupervisionRecord> for Supervision {
    fn from(record: SupervisionRecord) -> Self {
        Self {
            strategy: match record.strategy {
                StrategyEnum::OneForOne => Strategy::OneForOne,
                StrategyEnum::RestForOne => Strategy::RestForOne,
                StrategyEnum::OneForAll => Strategy::OneForAll,
            },
            intensity: record.intensity,
            within: Duration::from_nanos(record.within),
            backoff: Duration::from_nanos(record.backoff),
            max_backoff: Duration::from_nanos(record.max_backoff),
        }
    }
}

/// A child to be started.
struct Child {
    spec: SpawnSpec,
    main: Option<OneShot>,
    restart: Option<Restart>,
}

impl SpawnOptions {
    fn child(self, name: String, modules: Vec<String>, main: Option<OneShot>) -> Result<Child, RemoteError> {
        let restart = self.restart.map(Restart::from);
        Ok(Child { spec: self.spec(name, modules)?, main, restart })
    }

    /// # Errors
    /// `SpawnFailed`, if something of it is not written as it has to be.
    fn spec(self, name: String, modules: Vec<String>) -> Result<SpawnSpec, RemoteError> {
        let network = match self.network.iter().map(|text| text.parse()).collect() {
            Ok(network) => network,
            Err(error) => return Err(failed(name, PatternError::to_string(&error))),
        };
        let dirs = self.dirs.into_iter();
        Ok(SpawnSpec {
            name,
            modules,
            dirs: dirs
                .map(|DirGrantRecord { source, target, writable }| DirGrant { source, target, writable })
                .collect(),
            env: self.env,
            args: self.args,
            publish: self.publish,
            unique: self.unique,
            rights: Rights { network, ..self.rights.into() },
            limits: self.limits,
        })
    }
}

/// That no child could be started, and nobody was asked to.
fn failed(name: String, reason: String) -> RemoteError {
    RemoteError::of(&SpawnFailed { name, reason, exit: None, stderr: Vec::new() })
}

type Started = Result<Resource<Portal>, RemoteErrorRecord>;

pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("greenroom:portal/nursery@0.1.0")?;
    instance.resource("nursery", ResourceType::host::<Nursery>(), |mut store, rep| {
        store.data_mut().table.delete(Resource::<Nursery>::new_own(rep))?.abandon();
        Ok(())
    })?;
    instance.func_wrap(
        "[static]nursery.open",
        |mut store: StoreContextMut<'_, Host>, (supervision,): (Option<SupervisionRecord>,)| {
            let task = current_task(&mut store)?;
            let nursery = match supervision {
                Some(supervision) => task.open_supervised_nursery(supervision.into()),
                None => task.open_nursery(),
            };
            Ok((store.data_mut().table.push(nursery)?,))
        },
    )?;
    instance.func_wrap_concurrent(
        "[method]nursery.start-actor",
        |accessor, (this, name, modules, options): (Resource<Nursery>, String, Vec<String>, SpawnOptions)| {
            let nursery = get(accessor, &this);
            Box::pin(async move { start(accessor, nursery?, options.child(name, modules, None)).await })
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
                let main = Some(OneShot { function, kwargs });
                start(accessor, nursery?, options.child(name.unwrap_or(plain), vec![module], main)).await
            })
        },
    )?;
    instance.func_wrap_concurrent("[method]nursery.join", |accessor, (this,): (Resource<Nursery>,)| {
        let nursery = get(accessor, &this);
        Box::pin(async move {
            let joined = nursery?.join().await;
            Ok((record(joined),))
        })
    })?;
    instance.func_wrap_concurrent("[method]nursery.cancel", |accessor, (this,): (Resource<Nursery>,)| {
        let nursery = get(accessor, &this);
        Box::pin(async move {
            let cancelled = nursery?.cancel().await;
            Ok((record(cancelled),))
        })
    })
}

fn get(accessor: &Accessor<Host>, this: &Resource<Nursery>) -> wasmtime::Result<Nursery> {
    accessor.with(|mut access| Ok(access.get().table.get(this)?.clone()))
}

async fn start(
    accessor: &Accessor<Host>,
    nursery: Nursery,
    child: Result<Child, RemoteError>,
) -> wasmtime::Result<(Started,)> {
    let Child { spec, main, restart } = match child {
        Ok(child) => child,
        Err(error) => return Ok((Err(error.into()),)),
    };
    if spec.name.is_empty() {
        return Ok((Err(failed(spec.name, "an actor needs a name".to_owned()).into()),));
    }
    match nursery.start_with(spec, main, restart).await {
        Ok(portal) => Ok((Ok(accessor.with(|mut access| access.get().table.push(portal))?),)),
        Err(error) => Ok((Err((*error).into()),)),
    }
}
