//! The modules of one actor: its allowlist, and the instances behind it.
//!
//! Owns: which function names lead where, and one resident instance per module. Must not know:
//! who calls. Invariant: what is not in the table cannot be called.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use greenroom_abi::kind::{FunctionNotFound, InstanceLost, ModuleNotExposed};
use greenroom_abi::{ActorId, FunctionName, RemoteError};
use greenroom_runtime::{FunctionId, Guest, Outcome, Task};
use greenroom_wire::control::EnabledModule;
use tokio::sync::oneshot;
use wasmtime::component::{Component, ComponentExportIndex};

use crate::cache::deserialize;
use crate::engine::Engine;
use crate::inspect::{Chain, Export, canonical, exports, same_name};
use crate::resident::{Blueprint, Job, Resident};
use crate::wasi::Grants;

/// How many similar names an error offers.
const NEAR: usize = 3;

/// A component as an actor got it from its broker.
#[derive(Debug)]
pub struct LoadedComponent {
    /// Its compiled code, from the broker's cache.
    pub code: OwnedFd,
}

/// Why an actor's modules cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The broker's list does not fit what it sent.
    #[error("module `{0}` names a component that was not sent")]
    NoComponent(String),
    /// wasmtime refuses it.
    #[error("module `{module}` cannot be loaded: {reason}")]
    Load {
        /// The module.
        module: String,
        /// What wasmtime said.
        reason: String,
    },
    /// Its start function failed.
    #[error("module `{module}` cannot be started: {error}")]
    Start {
        /// The module.
        module: String,
        /// What it ended with.
        error: Box<RemoteError>,
    },
    /// The process may not have the threads it needs.
    #[error("cannot start the epoch thread: {0}")]
    Ticker(std::io::Error),
}

/// All that may be called in an actor.
pub struct Modules {
    modules: Vec<Module>,
    functions: Vec<Function>,
    names: HashMap<String, FunctionId>,
}

struct Module {
    name: String,
    blueprint: Arc<Blueprint>,
    resident: Arc<Mutex<Option<Resident>>>,
}

struct Function {
    module: usize,
    number: usize,
    /// How callers name it.
    name: String,
}

impl std::fmt::Debug for Modules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Modules").field("exposed", &self.exposed()).finish_non_exhaustive()
    }
}

impl Modules {
    /// Loads the enabled modules out of the given components and makes their instances.
    ///
    /// # Errors
    /// [`ModuleError`], naming the module.
    pub async fn load(
        engine: &Engine,
        enabled: &[EnabledModule],
        components: &[LoadedComponent],
        grants: Grants,
    ) -> Result<Self, ModuleError> {
        let grants = Arc::new(grants);
        let ticker = engine.ticker().map_err(ModuleError::Ticker)?;
        let mut loaded = Self { modules: Vec::new(), functions: Vec::new(), names: HashMap::new() };
        let mut compiled: HashMap<usize, Component> = HashMap::new();
        for module in enabled {
            let refused = |error: wasmtime::Error| ModuleError::Load {
                module: module.name.clone(),
                reason: Chain(&error).to_string(),
            };
            let component = match compiled.entry(module.component) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let sent = components.get(module.component);
                    let sent = sent.ok_or_else(|| ModuleError::NoComponent(module.name.clone()))?;
                    place.insert(deserialize(engine, &sent.code).map_err(refused)?)
                }
            };
            let component = &*component;
            let pre =
                engine.linker().and_then(|linker| linker.instantiate_pre(component)).map_err(refused)?;
            let functions = loaded.expose(engine, component, module);
            loaded.modules.push(Module {
                name: module.name.clone(),
                blueprint: Arc::new(Blueprint {
                    module: module.name.clone(),
                    pre,
                    functions,
                    grants: grants.clone(),
                    ticker: ticker.clone(),
                }),
                resident: Arc::default(),
            });
        }
        for module in &loaded.modules {
            let (resident, ready) = Resident::start(module.blueprint.clone());
            *module.resident() = Some(resident);
            let lost = || RemoteError::of(&InstanceLost { module: module.name.clone() });
            ready.await.unwrap_or_else(|_| Err(lost())).map_err(|error| ModuleError::Start {
                module: module.name.clone(),
                error: Box::new(error),
            })?;
        }
        Ok(loaded)
    }

    /// Enters the functions of one module into the table.
    fn expose(
        &mut self,
        engine: &Engine,
        component: &Component,
        enabled: &EnabledModule,
    ) -> Vec<ComponentExportIndex> {
        let module = self.modules.len();
        let mut indices = Vec::new();
        let all = exports(engine, component);
        for export in &all {
            if !export.callable || !is_enabled(enabled, export) {
                continue;
            }
            let parent =
                export.interface.as_deref().and_then(|interface| component.get_export_index(None, interface));
            let Some(index) = component.get_export_index(parent.as_ref(), &export.function) else { continue };
            let names = names_of(enabled, export, &all);
            let id = FunctionId(self.functions.len());
            for name in &names {
                if let Ok(parsed) = FunctionName::parse(name) {
                    self.names.insert(canonical(&parsed), id);
                }
            }
            let name = names.into_iter().next().unwrap_or_default();
            self.functions.push(Function { module, number: indices.len(), name });
            indices.push(index);
        }
        indices
    }
}

/// Whether the allowlist lets callers have this export.
fn is_enabled(enabled: &EnabledModule, export: &Export) -> bool {
    let interface = match &enabled.interface {
        Some(wanted) => export.interface.as_deref().is_some_and(|name| same_name(name, wanted)),
        None => true,
    };
    let function = match &enabled.functions {
        Some(wanted) => wanted.iter().any(|name| same_name(name, &export.function)),
        None => true,
    };
    interface && function
}

/// How callers may name an export, the plainest first. A function of an interface goes by
/// `module/interface:function`, and by `module:function` where no other has that name.
fn names_of(enabled: &EnabledModule, export: &Export, all: &[Export]) -> Vec<String> {
    let plain = format!("{}:{}", enabled.name, export.function);
    match (&enabled.interface, &export.interface) {
        (Some(_), _) | (None, None) => vec![plain],
        (None, Some(interface)) => {
            let full = format!("{}/{interface}:{}", enabled.name, export.function);
            let same = all.iter().filter(|other| other.callable && other.function == export.function);
            if same.count() == 1 { vec![full, plain] } else { vec![full] }
        }
    }
}

impl Module {
    fn resident(&self) -> MutexGuard<'_, Option<Resident>> {
        self.resident.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a call to the instance, making a fresh one if the last was lost.
    fn submit(&self, mut job: Job) {
        let mut resident = self.resident();
        loop {
            let live = match resident.take() {
                Some(live) if live.is_alive() => live,
                _ => Resident::start(self.blueprint.clone()).0,
            };
            let submitted = live.submit(job);
            *resident = Some(live);
            match submitted {
                Ok(()) => return,
                Err(back) => job = back,
            }
        }
    }
}

impl Guest for Modules {
    fn exposed(&self) -> Vec<String> {
        self.functions.iter().map(|function| function.name.clone()).collect()
    }

    fn resolve(&self, name: &FunctionName<'_>, actor: &ActorId) -> Result<FunctionId, RemoteError> {
        if let Some(id) = self.names.get(&canonical(name)) {
            return Ok(*id);
        }
        let belongs = |module: &&Module| {
            let (head, _) = name.module.split_once('/').unwrap_or((name.module, ""));
            same_name(&module.name, name.module) || same_name(&module.name, head)
        };
        Err(match self.modules.iter().find(belongs) {
            None => RemoteError::of(&ModuleNotExposed {
                module: name.module.to_owned(),
                actor: actor.clone(),
                exposed: self.modules.iter().map(|module| module.name.clone()).collect(),
            }),
            Some(module) => RemoteError::of(&FunctionNotFound {
                module: name.module.to_owned(),
                function: name.function.to_owned(),
                near: self.near(&module.name, name.function),
            }),
        })
    }

    fn invoke(&self, function: FunctionId, task: Task, kwargs: Bytes) -> BoxFuture<'static, Outcome> {
        let Function { module, number, .. } = self.functions[function.0];
        let module = &self.modules[module];
        let (reply, outcome) = oneshot::channel();
        module.submit(Job { function: number, task, kwargs, reply });
        let name = module.name.clone();
        outcome
            .map(move |outcome| {
                outcome.unwrap_or_else(|_| Err(Box::new(RemoteError::of(&InstanceLost { module: name }))))
            })
            .boxed()
    }

    fn discard(&self, function: FunctionId) {
        let module = &self.modules[self.functions[function.0].module];
        *module.resident() = None;
    }
}

impl Modules {
    /// The functions of a module whose names are most like `wanted`.
    fn near(&self, module: &str, wanted: &str) -> Vec<String> {
        let mut names: Vec<(f64, &str)> = self
            .functions
            .iter()
            .filter(|function| self.modules[function.module].name == module)
            .filter_map(|function| FunctionName::parse(&function.name).ok().map(|name| name.function))
            .map(|name| (strsim::jaro_winkler(wanted, name), name))
            .filter(|(likeness, _)| *likeness > 0.6)
            .collect();
        names.sort_by(|a, b| b.0.total_cmp(&a.0));
        names.into_iter().take(NEAR).map(|(_, name)| name.to_owned()).collect()
    }
}
