//! What a broker has to do with a registry.
//!
//! Owns: publishing the tree's actors, and looking beyond the tree on behalf of its actors. Must not
//! know: the tree. Invariant: nothing here is done on the broker's own thread but what cannot wait.

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use greenroom_abi::{ActorId, RemoteError};
use greenroom_transport::{Attachment, attach};

use super::{Entry, Publication, Registry, RegistryError, Seat};
use crate::station::{self, Place};

/// How long between two looks of one who waits.
const PAUSE: Duration = Duration::from_millis(25);

/// A broker's access to a registry.
#[derive(Clone, Debug)]
pub(crate) struct Beyond {
    registry: Arc<dyn Registry>,
    seat: Arc<dyn Seat>,
    host: String,
}

impl Beyond {
    /// Enters a registry as `host`; gives where the host is connected to, beside it.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(crate) fn enter(
        registry: Arc<dyn Registry>,
        host: &str,
    ) -> Result<(Self, UnixListener), RegistryError> {
        let (seat, listener) = registry.enter(host)?;
        Ok((Self { registry, seat: seat.into(), host: host.to_owned() }, listener))
    }

    /// Makes an actor of the tree known.
    ///
    /// # Errors
    /// As [`Seat::publish`].
    pub(crate) async fn publish(&self, entry: Entry) -> Result<Box<dyn Publication>, RegistryError> {
        let seat = self.seat.clone();
        aside(move || seat.publish(entry)).await
    }

    /// The live actors beyond the tree, those published first before the others.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub(crate) async fn list(&self) -> Result<Vec<Entry>, RegistryError> {
        let registry = self.registry.clone();
        let mut entries = aside(move || registry.list()).await?;
        entries.retain(|entry| entry.host != self.host);
        Ok(entries)
    }

    /// Finds an actor beyond the tree for one of the tree's own, who is to be `asker` in its eyes:
    /// gives who it is, and the pipe to it. Of several of one name, to the first that answers.
    ///
    /// # Errors
    /// When the registry cannot be read, or none that has the name answers.
    pub(crate) async fn find(
        &self,
        name: &str,
        asker: &ActorId,
    ) -> Result<Option<(ActorId, Attachment)>, Box<RemoteError>> {
        let mut failure = None;
        for entry in self.list().await?.into_iter().filter(|entry| entry.id.name == name) {
            let place = Place { actor: entry.id.uuid.clone(), below: Vec::new() };
            match station::connect(&*self.registry, &entry.host, name, place, asker.clone()).await {
                Ok((preamble, pipe)) => return Ok(Some((preamble.peer, attach(pipe)))),
                // It may have ended since.
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if self.list().await?.iter().any(|entry| entry.id.name == name) => Err(error.into()),
            _ => Ok(None),
        }
    }

    /// As [`Beyond::find`], once there is one. Dropping the future gives up.
    ///
    /// # Errors
    /// As [`Beyond::find`].
    pub(crate) async fn wait(
        &self,
        name: &str,
        asker: &ActorId,
    ) -> Result<(ActorId, Attachment), Box<RemoteError>> {
        loop {
            if let Some(found) = self.find(name, asker).await? {
                return Ok(found);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Does what may take a moment on another thread.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, RegistryError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let source = io::Error::other(error);
        Err(RegistryError::System { what: "use", path: "the registry".into(), source })
    })
}
