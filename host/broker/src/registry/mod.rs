//! Where published actors are known beyond their own trees.
//!
//! Owns: what an entry says, what a registry is asked to do, what can go wrong with one. Must not
//! know: trees, what is said at a station. Invariant: an entry is there from the moment its actor
//! is published until it ends or begins to be ended; nobody has to run for that.
//!
//! The machine's own registry is a [`Directory`]. Another implementation, such as one of a cluster,
//! stands behind the same traits. Its calls may take a moment, bounded, and are made off the
//! broker's thread; only giving up a [`Publication`] must not wait.

pub(crate) mod beyond;
mod directory;
mod folder;
mod name;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use greenroom_abi::kind::NameTaken;
use greenroom_abi::{ActorId, RemoteError};
use greenroom_wire::control::ActorEntry;
use serde::{Deserialize, Serialize};

pub use directory::Directory;

/// One published actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Who it is.
    pub id: ActorId,
    /// The name of its tree.
    pub tree: String,
    /// The names from the root of the tree down to it.
    pub path: Vec<String>,
    /// Its process.
    pub pid: u32,
    /// Its host, by uuid.
    pub host: String,
    /// The process of its host.
    pub host_pid: u32,
    /// When it was published, in milliseconds since 1970: for people. What counts is `order`.
    pub started: u64,
    /// Whether it is to be the only one of its name.
    pub unique: bool,
    /// Its place among the entries: those that were published before it have lower ones.
    pub order: u64,
}

impl Entry {
    /// When it was published, by the clock of its machine at that time.
    pub fn started(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.started)
    }
}

impl From<Entry> for ActorEntry {
    fn from(entry: Entry) -> Self {
        let Entry { id, tree, path, pid, started, .. } = entry;
        Self { id, tree, path, pid, started, published: true }
    }
}

/// Knows the published actors of many hosts.
pub trait Registry: Debug + Send + Sync {
    /// Makes a host known to it, which from then on can be connected to.
    ///
    /// # Errors
    /// When there is no room for it.
    fn enter(&self, host: &str) -> Result<(Box<dyn Seat>, UnixListener), RegistryError>;

    /// The entries of all live actors, those published first before the others.
    ///
    /// # Errors
    /// When it cannot be read.
    fn list(&self) -> Result<Vec<Entry>, RegistryError>;

    /// Connects to the station of a host, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when the host is busy, anything else when it is gone.
    fn connect(&self, host: &str) -> io::Result<UnixStream>;
}

/// A host's place in a registry. It is given up when this and all publications are dropped.
pub trait Seat: Debug + Send + Sync {
    /// Makes an actor known. The entry's `order` is the registry's to say.
    ///
    /// # Errors
    /// [`RegistryError::NameTaken`] if it is to be the only one of its name and is not, or if there
    /// is one of its name that is; when it cannot be made known.
    fn publish(&self, entry: Entry) -> Result<Box<dyn Publication>, RegistryError>;
}

/// What keeps an actor known. Dropping it ends that, at once.
pub trait Publication: Debug + Send + Sync {}

/// What goes wrong with a registry, or on the way to whom it names.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Its folder is not safe to use.
    #[error("`{}` {problem}; {remedy}", path.display())]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// The system refuses.
    #[error("cannot {what} `{}`: {source}", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another program keeps it locked.
    #[error("`{}` has been locked by another program for {waited:?}; a stopped one does that", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
        /// For how long this was tried.
        waited: Duration,
    },
    /// There is one of that name, and one of the two is to be the only one.
    #[error("the name `{name}` is taken by process {} of tree `{}`", holder.pid, holder.tree)]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        holder: Box<Entry>,
    },
    /// There is no such actor.
    #[error("there is no actor `{target}`{}", hint(near))]
    NotFound {
        /// As it was asked for.
        target: String,
        /// Names that there are, nearest first.
        near: Vec<String>,
    },
    /// More than one actor is meant.
    #[error("`{target}` may be {}", candidates.join(" or "))]
    Ambiguous {
        /// As it was asked for.
        target: String,
        /// Their uuids.
        candidates: Vec<String>,
    },
    /// Its host does not answer.
    #[error("the host of `{target}` does not answer: {reason}")]
    Unreachable {
        /// Whom it is about.
        target: String,
        /// What was tried, and what came of it.
        reason: String,
    },
    /// Its host answered with an error.
    #[error("{0}")]
    Refused(Box<RemoteError>),
}

fn hint(near: &[String]) -> String {
    match near.first() {
        None => String::new(),
        Some(near) => format!("; did you mean `{near}`?"),
    }
}

impl From<RegistryError> for Box<RemoteError> {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Refused(error) => error,
            RegistryError::NameTaken { name, holder } => {
                Self::new(RemoteError::of(&NameTaken { name, by: holder.id }))
            }
            RegistryError::NotFound { .. } => Self::new(RemoteError::new("NoSuchActor", error.to_string())),
            other => Self::new(RemoteError::new("RegistryError", other.to_string())),
        }
    }
}
