//! Guests whose functions are Rust closures.
//!
//! Owns: the library of functions that actors may be started with, and [`Guest`] for a part of
//! it. Must not know: actors beyond the task it is given. Invariant: what is not enabled cannot
//! be resolved.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use greenroom_abi::kind::{FunctionNotFound, ModuleNotExposed};
use greenroom_abi::{ActorId, FunctionName, RemoteError};

use crate::{FunctionId, Guest, Outcome, Task};

type Function = Arc<dyn Fn(Task, Bytes) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// All functions there are, by `module:function`.
#[derive(Clone, Default)]
pub(crate) struct Library {
    functions: BTreeMap<String, Function>,
    discarded: Arc<Mutex<Vec<String>>>,
}

impl Library {
    /// Adds a function.
    pub(crate) fn with<F, R>(mut self, name: &str, run: F) -> Self
    where
        F: Fn(Task, Bytes) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        let run: Function = Arc::new(move |task, kwargs| run(task, kwargs).boxed());
        self.functions.insert(name.to_owned(), run);
        self
    }

    /// The functions whose instance was given up, in order.
    pub(crate) fn discarded(&self) -> Vec<String> {
        self.discarded.lock().expect("not poisoned").clone()
    }

    /// The guest that has these modules enabled; the name of one that does not exist otherwise.
    pub(crate) fn guest(&self, modules: &[String]) -> Result<Native, String> {
        let of = |module: &str| {
            let prefix = format!("{module}:");
            let all = self.functions.iter();
            all.filter(|(name, _)| name.starts_with(&prefix))
                .map(|(name, run)| (name.clone(), run.clone()))
                .collect::<Vec<_>>()
        };
        let mut functions = Vec::new();
        for module in modules {
            let found = of(module);
            if found.is_empty() {
                return Err(module.clone());
            }
            functions.extend(found);
        }
        Ok(Native { functions, discarded: self.discarded.clone() })
    }
}

/// A part of a library, as an actor's guest.
pub(crate) struct Native {
    functions: Vec<(String, Function)>,
    discarded: Arc<Mutex<Vec<String>>>,
}

impl Guest for Native {
    fn exposed(&self) -> Vec<String> {
        self.functions.iter().map(|(name, _)| name.clone()).collect()
    }

    fn resolve(&self, name: &FunctionName<'_>, actor: &ActorId) -> Result<FunctionId, RemoteError> {
        let wanted = name.to_string();
        if let Some(at) = self.functions.iter().position(|(name, _)| *name == wanted) {
            return Ok(FunctionId(at));
        }
        let (module, function) = (name.module.to_owned(), name.function.to_owned());
        let prefix = format!("{module}:");
        if self.functions.iter().any(|(name, _)| name.starts_with(&prefix)) {
            return Err(RemoteError::of(&FunctionNotFound { module, function, near: Vec::new() }));
        }
        Err(RemoteError::of(&ModuleNotExposed { module, actor: actor.clone(), exposed: self.exposed() }))
    }

    fn invoke(&self, function: FunctionId, task: Task, kwargs: Bytes) {
        let run = self.functions[function.0].1.clone();
        task.clone().run(async move { run(task, kwargs).await });
    }

    fn discard(&self, function: FunctionId) {
        self.discarded.lock().expect("not poisoned").push(self.functions[function.0].0.clone());
    }
}

/// Counts the tasks that run, in whatever actor.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<AtomicUsize>);

impl Running {
    /// One more, until what this gives is dropped.
    pub(crate) fn begin(&self) -> impl Drop + Send + use<> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Run(self.0.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

struct Run(Arc<AtomicUsize>);

impl Drop for Run {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
