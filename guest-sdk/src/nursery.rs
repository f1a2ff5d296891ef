//! Nurseries: the scopes that own child actors.
//!
//! Owns: starting children and ending them together. Must not know: calls through portals.
//! Invariant: no child outlives the task that opened its nursery; the host sees to it.

use std::future::IntoFuture;

use greenroom_abi::RemoteError;
use serde::de::DeserializeOwned;

use crate::bindings::greenroom::portal::nursery;
use crate::boundary::LocalFuture;
use crate::call::{Call, ModuleRef, function_name};
use crate::contract::encode;
use crate::join::try_join_all;
use crate::options::SpawnOptions;
use crate::portal::{Portal, ResultPortal};
use crate::supervision::{Restart, Supervision};

/// A scope that owns child actors. It belongs to the task that opened it: when the task ends, in
/// whatever way, its children are cancelled and gone before its outcome is known. Dropping the
/// nursery cancels them too.
#[derive(Debug)]
pub struct Nursery(nursery::Nursery);

impl Nursery {
    /// Opens a nursery in the current task.
    #[must_use = "dropping a nursery cancels its children"]
    pub fn open() -> Self {
        Self(nursery::Nursery::open(None))
    }

    /// Opens a nursery that starts its children again when they end, as they and `supervision`
    /// say. A portal to a child leads to whatever process runs it; calls in flight fail with
    /// `ActorDied`.
    #[must_use = "dropping a nursery cancels its children"]
    pub fn supervised(supervision: Supervision) -> Self {
        Self(nursery::Nursery::open(Some(supervision.into())))
    }

    /// Starts an actor that serves the given modules until cancelled. Await it for the portal,
    /// which comes once the actor can be called.
    ///
    /// Modules are given by handle (`math::MODULE`), by single functions of one
    /// (`math::MODULE.only(["square"])`) or by name.
    pub fn start_actor<M: Into<ModuleRef>>(
        &self,
        name: impl Into<String>,
        modules: impl IntoIterator<Item = M>,
    ) -> StartActor<'_> {
        let modules = modules.into_iter().map(|module| module.into().into()).collect();
        StartActor { nursery: self, name: name.into(), modules, options: SpawnOptions::new() }
    }

    /// Starts `count` actors with the same modules, all at once. Await it for their portals; the
    /// actors are called `name.worker_0`, `name.worker_1` and so on, in the order of the portals.
    pub fn open_actor_cluster<M: Into<ModuleRef>>(
        &self,
        name: impl Into<String>,
        modules: impl IntoIterator<Item = M>,
        count: usize,
    ) -> OpenCluster<'_> {
        OpenCluster { worker: self.start_actor(name, modules), count }
    }

    /// Starts an actor with one main task, which is the given call; the actor ends with it. Await
    /// it for the portal, and the portal for the result. Without a name the actor takes the
    /// function's.
    pub fn run_in_actor<C: Call>(&self, call: C) -> RunInActor<'_, C> {
        RunInActor { nursery: self, name: None, call, options: SpawnOptions::new() }
    }

    /// Waits until every child has ended.
    ///
    /// # Errors
    /// The failure of a child; several as one `NurseryError` that holds them all.
    pub async fn join(&self) -> Result<(), RemoteError> {
        Ok(self.0.join().await?)
    }

    /// Cancels every child and waits until all are gone.
    ///
    /// # Errors
    /// As [`join`](Self::join); having been cancelled is no failure.
    pub async fn cancel(&self) -> Result<(), RemoteError> {
        Ok(self.0.cancel().await?)
    }
}

/// An actor about to be started: await it for its portal.
///
/// # Errors
/// `SpawnFailed` if it cannot be started, `PermissionDenied` if it would have more rights than
/// this actor, `NameTaken` if it or another is to be the only one of its name, `LimitExceeded` if
/// there are too many.
#[derive(Clone, Debug)]
#[must_use = "the actor starts when this is awaited"]
pub struct StartActor<'a> {
    nursery: &'a Nursery,
    name: String,
    modules: Vec<String>,
    options: SpawnOptions,
}

impl StartActor<'_> {
    /// What it is started with beyond its modules.
    pub fn with(self, options: SpawnOptions) -> Self {
        Self { options: options.over(&self.options), ..self }
    }

    /// Lets the user's other programs on this machine find it. Takes the right to publish.
    pub fn publish(self) -> Self {
        Self { options: self.options.publish(), ..self }
    }

    /// Makes it the only one of its name; if another has it, the start fails with `NameTaken`.
    pub fn unique(self) -> Self {
        Self { options: self.options.unique(), ..self }
    }

    /// What becomes of it when it ends, in a supervised nursery.
    pub fn restart(self, restart: Restart) -> Self {
        Self { options: self.options.restart(restart), ..self }
    }
}

impl<'a> IntoFuture for StartActor<'a> {
    type Output = Result<Portal, RemoteError>;
    type IntoFuture = LocalFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let started = self.nursery.0.start_actor(self.name, self.modules, self.options.into());
            Ok(Portal::new(started.await?))
        })
    }
}

/// Actors of a cluster, about to be started: await it for their portals.
///
/// # Errors
/// As [`StartActor`]. If one cannot be started, those that were stay in the nursery.
#[derive(Debug)]
#[must_use = "the actors start when this is awaited"]
pub struct OpenCluster<'a> {
    worker: StartActor<'a>,
    count: usize,
}

impl OpenCluster<'_> {
    /// What each is started with beyond its modules.
    pub fn with(self, options: SpawnOptions) -> Self {
        Self { worker: self.worker.with(options), ..self }
    }

    /// What becomes of one when it ends, in a supervised nursery.
    pub fn restart(self, restart: Restart) -> Self {
        Self { worker: self.worker.restart(restart), ..self }
    }
}

impl<'a> IntoFuture for OpenCluster<'a> {
    type Output = Result<Vec<Portal>, RemoteError>;
    type IntoFuture = LocalFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let worker = move |n| {
            let name = format!("{}.worker_{n}", self.worker.name);
            StartActor { name, ..self.worker.clone() }.into_future()
        };
        Box::pin(try_join_all((0..self.count).map(worker)))
    }
}

/// An actor with one main task, about to be started: await it for its portal.
///
/// # Errors
/// As [`StartActor`], and `EncodeError` if the arguments cannot be encoded.
#[derive(Debug)]
#[must_use = "the actor starts when this is awaited"]
pub struct RunInActor<'a, C> {
    nursery: &'a Nursery,
    name: Option<String>,
    call: C,
    options: SpawnOptions,
}

impl<C> RunInActor<'_, C> {
    /// The actor's name.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// What it is started with beyond the function.
    pub fn with(self, options: SpawnOptions) -> Self {
        Self { options: options.over(&self.options), ..self }
    }

    /// What becomes of it when it ends, in a supervised nursery.
    pub fn restart(self, restart: Restart) -> Self {
        Self { options: self.options.restart(restart), ..self }
    }
}

impl<'a, C> IntoFuture for RunInActor<'a, C>
where
    C: Call<Output: DeserializeOwned> + 'a,
{
    type Output = Result<ResultPortal<C::Output>, RemoteError>;
    type IntoFuture = LocalFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let kwargs = encode(&self.call)?;
            let function = function_name(C::MODULE, C::FUNCTION);
            let started = self.nursery.0.run_in_actor(self.name, function, kwargs, self.options.into());
            Ok(ResultPortal::new(Portal::new(started.await?)))
        })
    }
}
