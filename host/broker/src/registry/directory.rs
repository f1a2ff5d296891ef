//! The machine's registry: a folder of files, in which each host holds a lock.
//!
//! Owns: who is alive, who was first, what is removed when. Must not know: file operations, what is
//! said at a station. Invariant: a host is alive exactly as long as its file is locked, which the
//! kernel sees to; entries of others are as good as gone, and whoever looks removes them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use greenroom_abi::payload;
use uuid::Uuid;

use super::folder::{self, Folder, PATIENCE};
use super::name::{FileName, Kind};
use super::{Entry, Publication, Registry, RegistryError, Seat};

/// How long one who looks waits to clear away what the dead have left. Who looks next may do so.
const CLEARING: Duration = Duration::from_millis(100);

/// The registry of this user on this machine.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

/// What is in the folder now.
struct Sight {
    /// Of hosts that are alive, in the order in which they were published.
    entries: Vec<Entry>,
    /// Hosts of which files are left.
    dead: Vec<Uuid>,
}

impl Directory {
    /// The one that all programs of the user share: `greenroom` in the folder that
    /// `XDG_RUNTIME_DIR` names, or, where that is not a folder of the user's, a private one in
    /// `/tmp`.
    ///
    /// # Errors
    /// [`RegistryError::Unsafe`] when others could have touched it.
    pub fn open() -> Result<Self, RegistryError> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        Self::at(&folder::place(runtime.as_deref(), Path::new("/tmp")))
    }

    /// The one in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`RegistryError::Unsafe`] when others could have touched it.
    pub fn at(path: &Path) -> Result<Self, RegistryError> {
        Folder::open(path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opened anew for each use: it may have been removed and made again.
    fn folder(&self) -> Result<Folder, RegistryError> {
        Folder::open(&self.path)
    }
}

impl Registry for Directory {
    fn enter(&self, host: &str) -> Result<(Box<dyn Seat>, UnixListener), RegistryError> {
        let host = known(host).map_err(|source| RegistryError::System {
            what: "enter",
            path: self.path.clone(),
            source,
        })?;
        let folder = self.folder()?;
        let order = folder.lock(PATIENCE)?;
        let life = folder.make_locked(FileName { host, kind: Kind::Life })?;
        let place = Place { folder, host, _life: life };
        let listener = place.folder.listen(FileName { host, kind: Kind::Station })?;
        drop(order);
        Ok((Box::new(DirectorySeat(Arc::new(place))), listener.into()))
    }

    fn list(&self) -> Result<Vec<Entry>, RegistryError> {
        let folder = self.folder()?;
        let Sight { entries, dead } = look(&folder)?;
        if !dead.is_empty() {
            clear(&folder, &dead);
        }
        Ok(entries)
    }

    fn connect(&self, host: &str) -> io::Result<UnixStream> {
        let name = FileName { host: known(host)?, kind: Kind::Station };
        let folder = self.folder().map_err(io::Error::other)?;
        Ok(folder.connect(name)?.into())
    }
}

fn known(host: &str) -> io::Result<Uuid> {
    Uuid::parse_str(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// What there is, without waiting for anybody.
fn look(folder: &Folder) -> Result<Sight, RegistryError> {
    let mut hosts: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for name in folder.names()? {
        let actors = hosts.entry(name.host).or_default();
        if let Kind::Actor(actor) = name.kind {
            actors.push(actor);
        }
    }
    let mut sight = Sight { entries: Vec::new(), dead: Vec::new() };
    for (host, actors) in hosts {
        if folder.is_locked(FileName { host, kind: Kind::Life })? {
            sight.entries.extend(actors.into_iter().filter_map(|actor| entry(folder, host, actor)));
        } else {
            sight.dead.push(host);
        }
    }
    sight.entries.sort_by(|a, b| (a.order, &a.id.uuid).cmp(&(b.order, &b.id.uuid)));
    Ok(sight)
}

/// What an entry says, if it is whole and says whose it is.
fn entry(folder: &Folder, host: Uuid, actor: Uuid) -> Option<Entry> {
    let bytes = folder.read(FileName { host, kind: Kind::Actor(actor) })?;
    let entry: Entry = payload::decode(&bytes).ok()?;
    (entry.host == host.to_string() && entry.id.uuid == actor.to_string()).then_some(entry)
}

/// Removes what dead hosts have left. Under the lock, where no host is just entering.
fn clear(folder: &Folder, dead: &[Uuid]) {
    let Ok(_order) = folder.lock(CLEARING) else { return };
    let Ok(names) = folder.names() else { return };
    for host in dead {
        // What cannot be told apart from alive stays.
        if folder.is_locked(FileName { host: *host, kind: Kind::Life }).unwrap_or(true) {
            continue;
        }
        for name in names.iter().filter(|name| name.host == *host) {
            folder.remove(*name);
        }
    }
}

/// A host's part of the folder.
#[derive(Debug)]
struct Place {
    folder: Folder,
    host: Uuid,
    /// Locked as long as it is open.
    _life: OwnedFd,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.folder.remove(FileName { host: self.host, kind: Kind::Station });
        self.folder.remove(FileName { host: self.host, kind: Kind::Life });
    }
}

#[derive(Debug)]
struct DirectorySeat(Arc<Place>);

impl Seat for DirectorySeat {
    fn publish(&self, mut entry: Entry) -> Result<Box<dyn Publication>, RegistryError> {
        let Place { folder, host, .. } = &*self.0;
        let name = |kind| FileName { host: *host, kind };
        let failed = |source| RegistryError::System {
            what: "write the entry of",
            path: PathBuf::from(&entry.id.name),
            source,
        };
        let actor = Uuid::parse_str(&entry.id.uuid).map_err(|error| failed(io::Error::other(error)))?;
        let _order = folder.lock(PATIENCE)?;
        let present = look(folder)?.entries;
        let twin =
            present.iter().find(|other| other.id.name == entry.id.name && (entry.unique || other.unique));
        if let Some(twin) = twin {
            let holder = Box::new(twin.clone());
            return Err(RegistryError::NameTaken { name: entry.id.name, holder });
        }
        entry.order = present.last().map_or(0, |last| last.order.saturating_add(1));
        entry.host = host.to_string();
        let bytes = payload::encode(&entry).map_err(|error| failed(io::Error::other(error)))?;
        folder.write(name(Kind::Actor(actor)), name(Kind::Draft(actor)), &bytes)?;
        Ok(Box::new(DirectoryEntry { place: self.0.clone(), actor }))
    }
}

/// An entry; it is removed with this.
#[derive(Debug)]
struct DirectoryEntry {
    place: Arc<Place>,
    actor: Uuid,
}

impl Publication for DirectoryEntry {}

impl Drop for DirectoryEntry {
    fn drop(&mut self) {
        self.place.folder.remove(FileName { host: self.place.host, kind: Kind::Actor(self.actor) });
    }
}
