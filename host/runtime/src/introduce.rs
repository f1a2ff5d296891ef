//! Links between actors of which neither started the other.
//!
//! Owns: finding an actor by name, answering whoever has found this one, how long such a link
//! stays open. Must not know: how the broker looks for names. Invariant: all portals that an
//! actor holds to another it has found share one link, which is closed when the last is dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use greenroom_abi::{ActorId, RemoteError};
use greenroom_transport::Attachment;
use greenroom_wire::Role;
use greenroom_wire::control::ActorEntry;
use tokio::sync::watch;

use crate::actor::{Actor, pipe_missing};
use crate::link::{Link, Owner};
use crate::portal::Portal;

/// What keeps a link open that is there for portals only: each of them has a share.
#[derive(Debug)]
pub(crate) struct Lease(Link);

impl Lease {
    pub(crate) fn new(link: Link) -> Arc<Self> {
        Arc::new(Self(link))
    }

    pub(crate) fn link(&self) -> &Link {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.retire();
    }
}

/// Where somebody who was found belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// To the own tree, whose broker tells how its actors end.
    Tree,
    /// To another.
    Beyond,
}

/// The links to those whom an actor has found, by uuid.
#[derive(Default)]
pub(crate) struct Introductions(Mutex<HashMap<String, Weak<Lease>>>);

impl Introductions {
    /// The lease of an open link to `peer`.
    fn get(&self, peer: &ActorId) -> Option<Arc<Lease>> {
        let lease = self.lock().get(&peer.uuid)?.upgrade();
        lease.filter(|lease| !lease.link().is_closed())
    }

    fn keep(&self, lease: &Arc<Lease>) {
        self.lock().insert(lease.link().peer().uuid.clone(), Arc::downgrade(lease));
    }

    /// Forgets the links that nobody uses any more.
    pub(crate) fn tidy(&self) {
        self.lock().retain(|_, lease| lease.strong_count() > 0);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<Lease>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much is remembered, whether still of use or not.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }
}

/// Takes the pipe that belongs to the broker's answer, if it has one to give.
pub(crate) fn handed_over(
    guest: Option<ActorId>,
    pipe: Option<Attachment>,
) -> Result<Option<Attachment>, Box<RemoteError>> {
    match guest {
        Some(_) => pipe.map(Some).ok_or_else(|| Box::new(pipe_missing())),
        None => Ok(None),
    }
}

impl Actor {
    /// A portal to the actor of that name: of several, to one of this actor's own tree before one of
    /// another program's, and of those to the one that could be called first. None if there is none,
    /// or it is being ended, or it is this actor itself. Other programs' are found only with the
    /// right [`Rights::discover`](greenroom_wire::control::Rights).
    ///
    /// Portals to the same actor share one link. It is closed when the last of them is dropped and
    /// their calls have ended. A portal to a child of this actor's own is as good as the one that
    /// its start gave; one to another's leads to the process that was found, and not to one that
    /// is started in its place.
    ///
    /// # Errors
    /// When no pipe to it can be made, or the broker is gone.
    pub async fn find_actor(&self, name: &str) -> Result<Option<Portal>, Box<RemoteError>> {
        self.port().find_actor(name, false).await
    }

    /// As [`Actor::find_actor`], but waits until there is one; none only past `timeout`. Dropping the
    /// future ends the wait.
    ///
    /// # Errors
    /// As [`Actor::find_actor`]; `LimitExceeded` when too many are looked for at once.
    pub async fn wait_for_actor(
        &self,
        name: &str,
        timeout: Option<Duration>,
    ) -> Result<Option<Portal>, Box<RemoteError>> {
        let waiting = self.port().find_actor(name, true);
        match timeout {
            Some(timeout) => tokio::time::timeout(timeout, waiting).await.unwrap_or(Ok(None)),
            None => waiting.await,
        }
    }

    /// Whom [`Actor::find_actor`] would give a portal to, without connecting to it.
    ///
    /// # Errors
    /// When the broker cannot tell, or is gone.
    pub async fn query_actor(&self, name: &str) -> Result<Option<ActorEntry>, Box<RemoteError>> {
        let named = self.port().list_actors(Some(name)).await?;
        Ok(named.into_iter().find(|entry| entry.id != *self.id()))
    }

    /// All actors that can be called: first those of this actor's tree, itself included, then, with
    /// the right to find them, the published ones of other programs; each in the order in which
    /// they could be called.
    ///
    /// # Errors
    /// When the broker cannot tell, or is gone.
    pub async fn list_actors(&self) -> Result<Vec<ActorEntry>, Box<RemoteError>> {
        self.port().list_actors(None).await
    }

    /// A pipe through which a program outside the tree may call the actor that `portal` leads to;
    /// the program [`join`](crate::join())s by it within the handshake timeout of 5 s, and is known
    /// as `name` to those it calls. For the operator only.
    ///
    /// # Errors
    /// `PermissionDenied` for whoever is not the operator; `ActorDied` if the actor is gone.
    pub async fn invite(&self, portal: &Portal, name: &str) -> Result<Attachment, Box<RemoteError>> {
        let pipe = self.port().invite(&portal.peer(), name).await?;
        pipe.ok_or_else(|| Box::new(portal.obituary()))
    }

    /// Takes the broker's answer to a find: a pipe to whoever was found. One that is not needed
    /// is dropped, which its other end sees.
    pub(crate) fn meet(
        &self,
        peer: ActorId,
        pipe: Option<Attachment>,
        origin: Origin,
    ) -> Result<Portal, Box<RemoteError>> {
        if let Some(link) = self.link_to_child(&peer) {
            return Ok(Portal::new(self.clone(), link.slot(), None));
        }
        if let Some(lease) = self.introductions().get(&peer) {
            return Ok(Portal::leased(self.clone(), lease));
        }
        let pipe = pipe.ok_or_else(|| Box::new(pipe_missing()))?;
        let exit = match origin {
            Origin::Tree => self.watch_peer(&peer),
            // Nobody waits for a word that does not come.
            Origin::Beyond => watch::channel(None).1,
        };
        let link = self.link(peer, pipe, exit, Role::Initiator, Owner::Neither).map_err(|error| {
            Box::new(RemoteError::new("IntroductionFailed", format!("cannot use the pipe to it: {error}")))
        })?;
        let lease = Lease::new(link);
        self.introductions().keep(&lease);
        Ok(Portal::leased(self.clone(), lease))
    }

    /// Serves somebody who was given a way to this actor.
    pub(crate) fn receive(&self, peer: ActorId, pipe: Option<Attachment>) {
        let Some(pipe) = pipe else {
            return tracing::error!(%peer, "introduced without a pipe");
        };
        let exit = self.watch_peer(&peer);
        // A pipe that cannot be used is dropped, which the other end sees.
        if let Err(error) = self.link(peer, pipe, exit, Role::Acceptor, Owner::Neither) {
            tracing::error!(%error, "cannot use the pipe of an introduction");
        }
    }
}
