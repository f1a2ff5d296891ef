//! The modules of one actor: its allowlist, and the instances behind it.
//!
//! Owns: which function names lead where, and how long each instance is kept: a resident one for as
//! long as the actor, others for one task. Must not know: who calls. Invariant: what is not in the
//! table cannot be called.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use greenroom_abi::kind::{ContextCancelled, FunctionNotFound, InstanceLost, ModuleNotExposed};
use greenroom_abi::{ActorId, FunctionName, RemoteError};
use greenroom_runtime::{FunctionId, Guest, Task};
use greenroom_sabotage::Protection;
use greenroom_wire::control::{EnabledModule, Isolation, Limits, Rights};
use wasmtime::component::{Component, InstancePre};

use crate::bounds::Budget;
use crate::cache::deserialize;
use crate::callee::{Arguments, Exported, Reply};
use crate::engine::Engine;
use crate::host::Host;
use crate::inspect::{Chain, Export, ExportKind, exports, same_name};
use crate::naming::Names;
use crate::plain::PlainFunction;
use crate::resident::{Blueprint, Job, LARGE_BYTES, LARGE_VALUES_BYTES, Resident};
use crate::ticker::Weight;
use crate::wasi::{Gate, Grants};

/// How many similar names an error offers.
const NEAR: usize = 3;

/// A component as an actor got it from its broker.
#[derive(Debug)]
pub struct LoadedComponent {
    /// Its compiled code, from the broker's cache.
    pub code: OwnedFd,
}

/// The components of one actor, their code mapped: the last that takes mappings that can be executed.
pub struct Mapped(HashMap<usize, Component>);

impl std::fmt::Debug for Mapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Mapped").field(&self.0.len()).finish()
    }
}

impl Mapped {
    /// Maps the code of those components that the enabled modules name. Runs none of it, and starts
    /// no thread.
    ///
    /// # Errors
    /// [`ModuleError`], naming the module.
    pub fn map(
        engine: &Engine,
        enabled: &[EnabledModule],
        components: &[LoadedComponent],
    ) -> Result<Self, ModuleError> {
        let mut mapped = HashMap::new();
        for module in enabled {
            if let Entry::Vacant(place) = mapped.entry(module.component) {
                let sent = components.get(module.component);
                let sent = sent.ok_or_else(|| ModuleError::NoComponent(module.name.clone()))?;
                place.insert(deserialize(engine, &sent.code).map_err(|error| ModuleError::Load {
                    module: module.name.clone(),
                    reason: Chain(&error).to_string(),
                })?);
            }
        }
        Ok(Self(mapped))
    }
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
    /// The actor is not one that the modules were linked for.
    #[error("the modules were linked for an actor with other rights")]
    OtherRights,
    /// The process may not have the timer it needs.
    #[error("cannot set the clock that ends turns: {0}")]
    Ticker(std::io::Error),
}

/// The enabled modules of one actor, linked: all that can be known of them before it is known which
/// actor that is. None of their code has run, and no thread was started.
pub struct Linked {
    rights: Rights,
    modules: Vec<Link>,
    functions: Vec<Function>,
    names: Names,
}

/// One linked module.
struct Link {
    name: String,
    pre: InstancePre<Host>,
    functions: Vec<Exported>,
}

impl std::fmt::Debug for Linked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Linked").field("modules", &self.modules.len()).finish_non_exhaustive()
    }
}

/// All that may be called in an actor.
pub struct Modules {
    modules: Vec<Module>,
    functions: Vec<Function>,
    names: Names,
}

#[derive(Clone)]
struct Module {
    blueprint: Arc<Blueprint>,
    /// The instance that tasks share. Where no function has them share one: the instance that
    /// showed that the module can be started, until the first task takes it for its own.
    resident: Arc<Mutex<Option<Resident>>>,
    /// Whether there are functions whose tasks share an instance.
    shares: bool,
}

struct Function {
    module: usize,
    number: usize,
    /// How callers name it.
    name: String,
    isolation: Isolation,
    plain: Option<Arc<PlainFunction>>,
}

impl std::fmt::Debug for Modules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Modules").field("exposed", &self.exposed()).finish_non_exhaustive()
    }
}

impl Linked {
    /// Links the enabled modules of the given components, for an actor with these rights.
    ///
    /// # Errors
    /// [`ModuleError`], naming the module.
    pub fn link(
        engine: &Engine,
        enabled: &[EnabledModule],
        components: &Mapped,
        rights: &Rights,
    ) -> Result<Self, ModuleError> {
        let mut linked = Self {
            rights: rights.clone(),
            modules: Vec::new(),
            functions: Vec::new(),
            names: Names::default(),
        };
        let mut linker = None;
        for module in enabled {
            let refused = |error: wasmtime::Error| ModuleError::Load {
                module: module.name.clone(),
                reason: Chain(&error).to_string(),
            };
            let component = components.0.get(&module.component);
            let component = component.ok_or_else(|| ModuleError::NoComponent(module.name.clone()))?;
            let linker = match &linker {
                Some(linker) => linker,
                None => linker.insert(engine.linker(rights).map_err(refused)?),
            };
            let pre = linker.instantiate_pre(component).map_err(refused)?;
            let functions = linked.expose(engine, component, module);
            linked.modules.push(Link { name: module.name.clone(), pre, functions });
        }
        Ok(linked)
    }

    /// Enters the functions of one module into the table.
    fn expose(&mut self, engine: &Engine, component: &Component, enabled: &EnabledModule) -> Vec<Exported> {
        let module = self.modules.len();
        let mut exported = Vec::new();
        for (place, export) in exports(engine, component).into_iter().enumerate() {
            if !is_enabled(enabled, &export) {
                continue;
            }
            let parent =
                export.interface.as_deref().and_then(|interface| component.get_export_index(None, interface));
            let Some(index) = component.get_export_index(parent.as_ref(), &export.function) else { continue };
            let (plain, isolation) = match &export.kind {
                ExportKind::Portal => (None, Isolation::Actor),
                ExportKind::Plain(ty) => {
                    let ty = ty.clone();
                    let error = enabled.errors.iter().find(|(_, functions)| functions.contains(&place));
                    let error = error.map(|(name, _)| name.clone());
                    (Some(Arc::new(PlainFunction { ty, error })), Isolation::Task)
                }
                ExportKind::Uncallable { .. } => continue,
            };
            let id = FunctionId(self.functions.len());
            let Some(name) = self.names.enter(enabled, &export, id) else { continue };
            let isolation = enabled.isolation.unwrap_or(isolation);
            let number = exported.len();
            exported.push(Exported { index, plain: plain.clone() });
            self.functions.push(Function { module, number, name, isolation, plain });
        }
        exported
    }
}

impl Modules {
    /// Makes the instances of linked modules.
    ///
    /// # Errors
    /// [`ModuleError`], naming the module.
    pub async fn load(
        engine: &Engine,
        linked: Linked,
        grants: Grants,
        limits: &Limits,
    ) -> Result<Self, ModuleError> {
        if linked.rights != grants.rights {
            return Err(ModuleError::OtherRights);
        }
        let gate = Arc::new(Gate::new(grants.rights.clone()));
        let (grants, budget) = (Arc::new(grants), Budget::new(limits.clone()));
        let ticker = engine.ticker().map_err(ModuleError::Ticker)?;
        ticker.give_up_after(limits.cpu.saturating_add(limits.grace));
        let Linked { modules, functions, names, .. } = linked;
        let mut loaded = Self { modules: Vec::with_capacity(modules.len()), functions, names };
        for (number, Link { name, pre, functions }) in modules.into_iter().enumerate() {
            let mut own = loaded.functions.iter().filter(|function| function.module == number);
            let shares = own.any(|function| function.isolation == Isolation::Actor);
            loaded.modules.push(Module {
                blueprint: Arc::new(Blueprint {
                    module: name,
                    pre,
                    functions,
                    grants: grants.clone(),
                    gate: gate.clone(),
                    budget: budget.clone(),
                    ticker: ticker.clone(),
                }),
                resident: Arc::default(),
                shares,
            });
        }
        for module in &loaded.modules {
            let (resident, ready) = Resident::start(module.blueprint.clone());
            *module.resident() = Some(resident);
            let lost = || RemoteError::of(&InstanceLost { module: module.name().to_owned() });
            ready.await.unwrap_or_else(|_| Err(lost())).map_err(|error| ModuleError::Start {
                module: module.name().to_owned(),
                error: Box::new(error),
            })?;
        }
        Ok(loaded)
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
    export.is_callable() && ((interface && function) || Protection::Allowlist.is_off())
}

impl Module {
    fn name(&self) -> &str {
        &self.blueprint.module
    }

    fn resident(&self) -> MutexGuard<'_, Option<Resident>> {
        self.resident.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a call to the instance that tasks share, making a fresh one if the last was lost.
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

    /// Runs a call in an instance of its own, which is given up once the task has ended.
    async fn run_alone(&self, job: Job, plain: bool) {
        let task = job.reply.task().clone();
        let own = match self.own_instance() {
            Ok(own) => own,
            Err(error) => return job.reply.give(Err(error)),
        };
        // Should it be lost already, the job is dropped, and says so.
        let _ = own.submit(job);
        // What was not written for a cancellation is not asked: its instance goes.
        let cancelled = async {
            match plain {
                true => task.cancelled().await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = task.over() => {}
            by = cancelled => task.end(Err(Box::new(self::cancelled(&task, by)))),
        }
        drop(own);
    }

    /// An instance for one task.
    ///
    /// # Errors
    /// `LimitExceeded` if there are too many.
    fn own_instance(&self) -> Result<Resident, Box<RemoteError>> {
        let spare = if self.shares { None } else { self.resident().take() };
        match spare.filter(Resident::is_alive) {
            Some(spare) => Ok(spare),
            None => Ok(Resident::seated(self.blueprint.clone(), Some(self.blueprint.budget.seat()?)).0),
        }
    }
}

impl Guest for Modules {
    fn exposed(&self) -> Vec<String> {
        self.functions.iter().map(|function| function.name.clone()).collect()
    }

    fn resolve(&self, name: &FunctionName<'_>, actor: &ActorId) -> Result<FunctionId, RemoteError> {
        if let Some(id) = self.names.find(name) {
            return Ok(id);
        }
        let same_module = self.names.of_module(name.module).map(|id| self.functions[id.0].module);
        let belongs = |module: &&Module| {
            let (head, _) = name.module.split_once('/').unwrap_or((name.module, ""));
            same_name(module.name(), name.module) || same_name(module.name(), head)
        };
        let found = same_module.map(|number| &self.modules[number]);
        Err(match found.or_else(|| self.modules.iter().find(belongs)) {
            None => RemoteError::of(&ModuleNotExposed {
                module: name.module.to_owned(),
                actor: actor.clone(),
                exposed: self.modules.iter().map(|module| module.name().to_owned()).collect(),
            }),
            Some(module) => RemoteError::of(&FunctionNotFound {
                module: name.module.to_owned(),
                function: name.function.to_owned(),
                near: self.near(module.name(), name.function),
            }),
        })
    }

    fn invoke(&self, function: FunctionId, task: Task, kwargs: Bytes) {
        let Function { module, number, isolation, plain, .. } = &self.functions[function.0];
        let module = &self.modules[*module];
        module.blueprint.gate.belongs_to(task.actor());
        let (number, isolation) = (*number, *isolation);
        let large = kwargs.len() >= if plain.is_some() { LARGE_VALUES_BYTES } else { LARGE_BYTES };
        let job = move |arguments, reply| Job { function: number, arguments, large, reply };
        let reply = Reply::new(task, module.blueprint.clone());
        match (isolation, plain.clone()) {
            (Isolation::Actor, None) => module.submit(job(Arguments::Portal(kwargs), reply)),
            (isolation, plain) => {
                let module = module.clone();
                tokio::spawn(async move {
                    let arguments = match &plain {
                        None => Ok(Arguments::Portal(kwargs)),
                        Some(plain) => module.check(plain.clone(), reply.task(), kwargs, large).await,
                    };
                    match (isolation, arguments) {
                        // It was given up while that took its time.
                        _ if reply.task().has_ended() => {}
                        (_, Err(error)) => reply.give(Err(error)),
                        (Isolation::Actor, Ok(arguments)) => module.submit(job(arguments, reply)),
                        (Isolation::Task, Ok(arguments)) => {
                            module.run_alone(job(arguments, reply), plain.is_some()).await;
                        }
                    }
                });
            }
        }
    }

    fn discard(&self, function: FunctionId) {
        let Function { module, isolation, .. } = &self.functions[function.0];
        // An instance of one task goes with the future of that task.
        if *isolation == Isolation::Actor && !Protection::Discard.is_off() {
            *self.modules[*module].resident() = None;
        }
    }
}

/// The error of a task that was cancelled.
fn cancelled(task: &Task, by: ActorId) -> RemoteError {
    let function = task.function().to_owned();
    RemoteError { canceller: Some(by), ..RemoteError::of(&ContextCancelled { function }) }
}

impl Module {
    /// Checks the arguments of a plain function; many of them where that holds up nobody.
    async fn check(
        &self,
        plain: Arc<PlainFunction>,
        task: &Task,
        kwargs: Bytes,
        large: bool,
    ) -> Result<Arguments, Box<RemoteError>> {
        if !large {
            return plain.arguments(task.function(), &kwargs).map(Arguments::Plain);
        }
        let (weight, task) = (Weight::default(), task.clone());
        weight.announce();
        let checked = async move { plain.arguments(task.function(), &kwargs).map(Arguments::Plain) };
        self.blueprint.ticker.turns(weight, checked).await
    }
}

impl Modules {
    /// The functions of a module whose names are most like `wanted`.
    fn near(&self, module: &str, wanted: &str) -> Vec<String> {
        let mut names: Vec<(f64, &str)> = self
            .functions
            .iter()
            .filter(|function| self.modules[function.module].name() == module)
            .filter_map(|function| FunctionName::parse(&function.name).ok().map(|name| name.function))
            .map(|name| (strsim::jaro_winkler(wanted, name), name))
            .filter(|(likeness, _)| *likeness > 0.6)
            .collect();
        names.sort_by(|a, b| b.0.total_cmp(&a.0));
        names.into_iter().take(NEAR).map(|(_, name)| name.to_owned()).collect()
    }
}
