//! Finding other actors by name.
//!
//! Owns: asking. Must not know: who is where, which is the broker's knowledge.

use std::future::IntoFuture;
use std::time::Duration;

use greenroom_abi::{ActorId, RemoteError};

use crate::bindings::greenroom::portal::discovery;
use crate::boundary::LocalFuture;
use crate::portal::Portal;
use crate::time::nanoseconds;

/// A portal to the actor of that name, or none: to one of this tree, or, with the right to find
/// them, to a published one of another program of the user. Only actors that can be called are
/// found, and never the asker; of several those of this tree come first, and of those the one that
/// could be called first and still lives.
///
/// # Errors
/// What kept the broker from introducing them; `LimitExceeded` if this actor looks for too many at
/// once.
pub async fn find_actor(name: impl Into<String>) -> Result<Option<Portal>, RemoteError> {
    Ok(discovery::find_actor(name.into()).await?.map(Portal::new))
}

/// As [`find_actor`], but waits until there is one: await it for the portal.
pub fn wait_for_actor(name: impl Into<String>) -> WaitForActor {
    WaitForActor { name: name.into() }
}

/// Whom [`find_actor`] would find, without connecting to it.
///
/// # Errors
/// What kept the broker from telling.
pub async fn query_actor(name: impl Into<String>) -> Result<Option<ActorEntry>, RemoteError> {
    Ok(discovery::query_actor(name.into()).await?.map(Into::into))
}

/// All actors that can be found, and this one: first those of this tree, then, with the right to
/// find them, the published ones of the user's other programs; each in the order in which they
/// could be called.
///
/// # Errors
/// What kept the broker from telling.
pub async fn list_actors() -> Result<Vec<ActorEntry>, RemoteError> {
    Ok(discovery::list_actors().await?.into_iter().map(Into::into).collect())
}

/// One actor that can be called, as it is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorEntry {
    /// Its name and unique identity.
    pub id: ActorId,
    /// The name of its tree.
    pub tree: String,
    /// The names from the root of its tree down to it.
    pub path: Vec<String>,
    /// The number of its process.
    pub pid: u32,
    /// Since when it can be called, in milliseconds since 1970.
    pub started: u64,
    /// Whether other programs find it.
    pub published: bool,
}

impl From<discovery::ActorEntry> for ActorEntry {
    fn from(entry: discovery::ActorEntry) -> Self {
        let discovery::ActorEntry { id, tree, path, pid, started, published } = entry;
        Self { id: id.into(), tree, path, pid, started, published }
    }
}

/// A wait for an actor: await it for the portal.
///
/// # Errors
/// As [`find_actor`]; `DeadlineExceeded` past the deadline of the task.
///
/// # Cancel safety
/// Dropping the wait ends it.
#[derive(Clone, Debug)]
#[must_use = "the wait begins when this is awaited"]
pub struct WaitForActor {
    name: String,
}

impl WaitForActor {
    /// Waits no longer than this: await it for the portal, or none.
    pub fn timeout(self, timeout: Duration) -> WaitForActorUntil {
        WaitForActorUntil { name: self.name, timeout }
    }
}

impl IntoFuture for WaitForActor {
    type Output = Result<Portal, RemoteError>;
    type IntoFuture = LocalFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let found = discovery::wait_for_actor(self.name, None).await?;
            let over = || RemoteError::new("IntroductionFailed", "the task that waited has ended");
            found.map(Portal::new).ok_or_else(over)
        })
    }
}

/// A wait for an actor that is bounded: await it for the portal, or none when the time is up.
///
/// # Errors
/// As [`WaitForActor`].
///
/// # Cancel safety
/// Dropping the wait ends it.
#[derive(Clone, Debug)]
#[must_use = "the wait begins when this is awaited"]
pub struct WaitForActorUntil {
    name: String,
    timeout: Duration,
}

impl IntoFuture for WaitForActorUntil {
    type Output = Result<Option<Portal>, RemoteError>;
    type IntoFuture = LocalFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let found = discovery::wait_for_actor(self.name, Some(nanoseconds(self.timeout))).await?;
            Ok(found.map(Portal::new))
        })
    }
}
