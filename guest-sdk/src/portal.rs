//! Portals: live handles to other actors.
//!
//! Owns: calls through one, typed and by name. Must not know: how actors are started.

use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;

use greenroom_abi::{ActorId, RemoteError, payload};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::greenroom::portal::portal;
use crate::call::{Call, function_name};
use crate::kwargs::Kwargs;

/// A live handle to another actor. Clones lead to the same one.
#[derive(Clone, Debug)]
pub struct Portal(Rc<portal::Portal>);

impl Portal {
    pub(crate) fn new(portal: portal::Portal) -> Self {
        Self(Rc::new(portal))
    }

    /// Whom this portal leads to.
    #[must_use]
    pub fn actor(&self) -> ActorId {
        self.0.actor().into()
    }

    /// Calls a function, as a fresh task in the peer: `portal.run(math::square { x: 3 })`.
    ///
    /// # Errors
    /// What the function failed with, or what kept it from ending: the standard errors of
    /// [`kind`](crate::kind).
    ///
    /// # Cancel safety
    /// Dropping the call cancels the remote task. It has run at most once.
    pub async fn run<C>(&self, call: C) -> Result<C::Output, RemoteError>
    where
        C: Call<Output: DeserializeOwned>,
    {
        self.call(function_name::<C>(), encode(&call)?).await
    }

    /// Calls a function by its names, for a caller that does not have the module:
    /// `portal.run_from_ns("math", "square", kwargs! { x: 3 })`.
    ///
    /// # Errors
    /// As [`run`](Self::run), and `DecodeError` if the result is not a `T`.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn run_from_ns<T: DeserializeOwned>(
        &self,
        module: &str,
        function: &str,
        kwargs: Kwargs,
    ) -> Result<T, RemoteError> {
        let kwargs = kwargs.into_payload().map_err(|error| RemoteError::of(&error))?;
        self.call(format!("{module}:{function}"), kwargs).await
    }

    /// As [`run_from_ns`](Self::run_from_ns), with the result as it came: one CBOR item, to be
    /// passed on unread.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn run_encoded(
        &self,
        module: &str,
        function: &str,
        kwargs: Kwargs,
    ) -> Result<Vec<u8>, RemoteError> {
        let kwargs = kwargs.into_payload().map_err(|error| RemoteError::of(&error))?;
        Ok(self.0.run(format!("{module}:{function}"), kwargs).await?)
    }

    /// The outcome of the main task of an actor started by `run_in_actor`: the same each time.
    ///
    /// # Errors
    /// What the task failed with; `NoResult` if the actor has no main task.
    ///
    /// # Cancel safety
    /// Dropping the wait leaves the task running.
    pub async fn wait_for_result<T: DeserializeOwned>(&self) -> Result<T, RemoteError> {
        decode(&self.0.wait_for_result().await?)
    }

    /// Ends the peer: all its tasks, its children, its process, which is gone when this returns.
    ///
    /// # Errors
    /// `PermissionDenied` for anyone but an owner.
    pub async fn cancel_actor(&self) -> Result<(), RemoteError> {
        Ok(self.0.cancel_actor().await?)
    }

    async fn call<T: DeserializeOwned>(&self, function: String, kwargs: Vec<u8>) -> Result<T, RemoteError> {
        decode(&self.0.run(function, kwargs).await?)
    }
}

/// A portal to an actor with one main task, whose result is a `T`.
#[derive(Debug)]
pub struct ResultPortal<T> {
    portal: Portal,
    result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> ResultPortal<T> {
    pub(crate) fn new(portal: Portal) -> Self {
        Self { portal, result: PhantomData }
    }

    /// The outcome of the main task: the same each time.
    ///
    /// # Errors
    /// What the task failed with.
    ///
    /// # Cancel safety
    /// Dropping the wait leaves the task running.
    pub async fn wait_for_result(&self) -> Result<T, RemoteError> {
        self.portal.wait_for_result().await
    }
}

impl<T> Clone for ResultPortal<T> {
    fn clone(&self) -> Self {
        Self { portal: self.portal.clone(), result: PhantomData }
    }
}

impl<T> Deref for ResultPortal<T> {
    type Target = Portal;

    fn deref(&self) -> &Portal {
        &self.portal
    }
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, RemoteError> {
    payload::encode(value).map_err(|error| RemoteError::of(&error))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RemoteError> {
    payload::decode(bytes).map_err(|error| RemoteError::of(&error))
}
