//! Starting actors, in the SDK's words.
//!
//! Owns: [`NurseryExt`] and the builders it gives. Must not know: what becomes of a child.

use std::marker::PhantomData;
use std::pin::Pin;

use greenroom_abi::{FunctionName, Kwargs, RemoteError};
use greenroom_runtime::{Nursery, OneShot, Portal, Restart};
use greenroom_wire::Pattern;
use greenroom_wire::control::{DirGrant, Limit, Rights, SpawnSpec};
use serde::de::DeserializeOwned;

use super::call::ResultPortal;
use super::request;

type Starting<T> = Pin<Box<dyn Future<Output = Result<T, Box<RemoteError>>> + Send>>;

/// What one may do with a nursery, in few words.
pub trait NurseryExt {
    /// Starts an actor that serves these modules until it is cancelled: a daemon. A module is the
    /// name of a component, or `component/interface`, or either with `:function` for a single one of
    /// its functions. Await it for the portal.
    fn start_actor<M: Into<String>>(
        &self,
        name: impl Into<String>,
        modules: impl IntoIterator<Item = M>,
    ) -> StartActor;

    /// Starts an actor with one main task, which is the given call; the actor ends with it. Await
    /// it for the portal, and the portal for the result. Without a name the actor takes the
    /// function's.
    fn run_in_actor<T: DeserializeOwned>(&self, function: &str, kwargs: Kwargs) -> RunInActor<T>;
}

impl NurseryExt for Nursery {
    fn start_actor<M: Into<String>>(
        &self,
        name: impl Into<String>,
        modules: impl IntoIterator<Item = M>,
    ) -> StartActor {
        let modules = modules.into_iter().map(Into::into).collect();
        StartActor {
            nursery: self.clone(),
            spec: SpawnSpec { name: name.into(), modules, ..SpawnSpec::default() },
            restart: None,
        }
    }

    fn run_in_actor<T: DeserializeOwned>(&self, function: &str, kwargs: Kwargs) -> RunInActor<T> {
        let (module, name) = match FunctionName::parse(function) {
            Ok(parsed) => (parsed.module, parsed.function),
            // There is no module of this name, as whoever starts the actor will say.
            Err(_) => (function, function),
        };
        RunInActor {
            actor: self.start_actor(name, [module]),
            function: function.to_owned(),
            kwargs,
            result: PhantomData,
        }
    }
}

/// An actor about to be started: await it for its portal.
///
/// # Errors
/// `SpawnFailed` if it cannot be started, `PermissionDenied` if it would have more rights than the
/// root may give, `LimitExceeded` if there are too many.
///
/// # Cancel safety
/// Dropping it cancels the actor.
#[derive(Clone, Debug)]
#[must_use = "the actor starts when this is awaited"]
pub struct StartActor {
    nursery: Nursery,
    spec: SpawnSpec,
    restart: Option<Restart>,
}

impl StartActor {
    /// Passes on a folder of the root's.
    pub fn dir(mut self, grant: DirGrant) -> Self {
        self.spec.dirs.push(grant);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.env.push((name.into(), value.into()));
        self
    }

    /// Gives it arguments, as a program has them.
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.spec.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Lets the user's other programs on this machine find it. They find whatever a
    /// [`discoverable`](crate::RootOptions::discoverable) root starts, and nothing of any other.
    pub fn publish(mut self) -> Self {
        self.spec.publish = true;
        self
    }

    /// Makes it the only one of its name: in its tree, and, if it is published, on the machine. If
    /// another has the name it is not started: `NameTaken`, as for another while it lives.
    pub fn unique(mut self) -> Self {
        self.spec.unique = true;
        self
    }

    /// Gives it these rights instead of those that were granted so far.
    pub fn rights(mut self, rights: Rights) -> Self {
        self.spec.rights = rights;
        self
    }

    /// Lets it start children, and pass that right on.
    pub fn grant_spawn(mut self) -> Self {
        self.spec.rights.spawn = true;
        self
    }

    /// Lets it read the wall clock, and pass that right on.
    pub fn grant_clock(mut self) -> Self {
        self.spec.rights.clock = true;
        self
    }

    /// Lets it get random numbers, and pass that right on.
    pub fn grant_random(mut self) -> Self {
        self.spec.rights.random = true;
        self
    }

    /// Lets it connect to these hosts, and pass that right on.
    pub fn grant_network(mut self, hosts: Pattern) -> Self {
        self.spec.rights.network.push(hosts);
        self
    }

    /// Lets it find the published actors of the user's other programs, and pass that right on.
    pub fn grant_discover(mut self) -> Self {
        self.spec.rights.discover = true;
        self
    }

    /// Lets it publish the actors that it starts, and pass that right on.
    pub fn grant_publish(mut self) -> Self {
        self.spec.rights.publish = true;
        self
    }

    /// Lowers a limit of its own, in the unit of that: bytes, nanoseconds, or a number. More than the
    /// root may have is `PermissionDenied`, naming the limit.
    pub fn limit(mut self, limit: Limit, value: u64) -> Self {
        self.spec.limits.push((limit.name().to_owned(), value));
        self
    }

    /// What becomes of it when it ends, in a supervised nursery. Without it a daemon is permanent,
    /// and an actor with a main task transient.
    pub fn restart(self, restart: Restart) -> Self {
        Self { restart: Some(restart), ..self }
    }

    /// What is to be started.
    pub fn into_spec(self) -> SpawnSpec {
        self.spec
    }
}

impl IntoFuture for StartActor {
    type Output = Result<Portal, Box<RemoteError>>;
    type IntoFuture = Starting<Portal>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.nursery.start_with(self.spec, None, self.restart).await })
    }
}

/// An actor with one main task, about to be started: await it for its portal.
///
/// # Errors
/// As [`StartActor`], and `EncodeError` if the arguments cannot be encoded.
///
/// # Cancel safety
/// Dropping it cancels the actor.
#[derive(Debug)]
#[must_use = "the actor starts when this is awaited"]
pub struct RunInActor<T> {
    actor: StartActor,
    function: String,
    kwargs: Kwargs,
    result: PhantomData<fn() -> T>,
}

impl<T> RunInActor<T> {
    /// The actor's name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.actor.spec.name = name.into();
        self
    }

    /// As [`StartActor::dir`].
    pub fn dir(self, grant: DirGrant) -> Self {
        Self { actor: self.actor.dir(grant), ..self }
    }

    /// As [`StartActor::env`].
    pub fn env(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { actor: self.actor.env(name, value), ..self }
    }

    /// As [`StartActor::args`].
    pub fn args<A: Into<String>>(self, args: impl IntoIterator<Item = A>) -> Self {
        Self { actor: self.actor.args(args), ..self }
    }

    /// As [`StartActor::rights`].
    pub fn rights(self, rights: Rights) -> Self {
        Self { actor: self.actor.rights(rights), ..self }
    }

    /// As [`StartActor::restart`].
    pub fn restart(self, restart: Restart) -> Self {
        Self { actor: self.actor.restart(restart), ..self }
    }
}

impl<T: DeserializeOwned + 'static> IntoFuture for RunInActor<T> {
    type Output = Result<ResultPortal<T>, Box<RemoteError>>;
    type IntoFuture = Starting<ResultPortal<T>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let main = OneShot { function: self.function, kwargs: request::payload(self.kwargs)? };
            let StartActor { nursery, spec, restart } = self.actor;
            Ok(ResultPortal::new(nursery.start_with(spec, Some(main), restart).await?))
        })
    }
}
