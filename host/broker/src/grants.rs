//! Directories that actors may see.
//!
//! Owns: open folders and the rule that a child's are a subset of its parent's. Must not know:
//! WASI. Invariant: a child's folder is opened relative to its parent's, so that no name or
//! link leads outside it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use greenroom_sabotage::Protection;
use greenroom_wire::control::DirGrant;

/// A folder that an actor may see.
#[derive(Clone, Debug)]
pub struct Grant {
    pub(crate) path: PathBuf,
    pub(crate) dir: Arc<Dir>,
    pub(crate) writable: bool,
}

/// Why a folder cannot be granted.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The folder cannot be opened.
    #[error("cannot open folder `{path}`: {source}")]
    Open {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The guest's path is not absolute and plain.
    #[error("guest path `{0}` must be absolute, without `.` or `..`")]
    GuestPath(String),
    /// The parent has no such right.
    #[error("{0}")]
    Denied(String),
}

impl Grant {
    /// A folder of the machine, shown to guests at `guest`.
    ///
    /// # Errors
    /// [`GrantError::Open`] or [`GrantError::GuestPath`].
    pub fn open(host: &Path, guest: &str, writable: bool) -> Result<Self, GrantError> {
        let open = |source| GrantError::Open { path: host.to_owned(), source };
        let dir = Dir::open_ambient_dir(host, ambient_authority()).map_err(open)?;
        Ok(Self { path: plain(guest)?, dir: Arc::new(dir), writable })
    }

    /// Where guests see it.
    pub fn guest_path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Whether guests may write.
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// A descriptor to send to an actor.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.dir.try_clone()?.into_std_file().into())
    }
}

/// What a child gets of its parent's folders.
///
/// # Errors
/// [`GrantError::Denied`], naming the right that the parent lacks.
pub(crate) fn narrow(parent: &[Grant], wanted: &[DirGrant]) -> Result<Vec<Grant>, GrantError> {
    wanted.iter().map(|wanted| narrow_one(parent, wanted)).collect()
}

fn narrow_one(parent: &[Grant], wanted: &DirGrant) -> Result<Grant, GrantError> {
    let source = plain(&wanted.source)?;
    let holder = parent
        .iter()
        .filter(|grant| source.starts_with(&grant.path))
        .max_by_key(|grant| grant.path.as_os_str().len())
        .ok_or_else(|| GrantError::Denied(format!("directory `{}`", wanted.source)))?;
    if wanted.writable && !holder.writable && !Protection::Folders.is_off() {
        return Err(GrantError::Denied(format!("write access to directory `{}`", wanted.source)));
    }
    let below = source.strip_prefix(&holder.path).unwrap_or(Path::new(""));
    let dir = if below.as_os_str().is_empty() {
        holder.dir.clone()
    } else {
        let open = |source| GrantError::Open { path: wanted.source.clone().into(), source };
        Arc::new(holder.dir.open_dir(below).map_err(open)?)
    };
    Ok(Grant { path: plain(&wanted.target)?, dir, writable: wanted.writable })
}

fn plain(path: &str) -> Result<PathBuf, GrantError> {
    let parts = Path::new(path);
    let simple = parts.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if parts.is_absolute() && simple {
        Ok(parts.components().collect())
    } else {
        Err(GrantError::GuestPath(path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(source: &str, target: &str, writable: bool) -> DirGrant {
        DirGrant { source: source.into(), target: target.into(), writable }
    }

    #[test]
    fn a_child_gets_a_subset_or_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("inner")).expect("made");
        std::os::unix::fs::symlink("/", folder.path().join("out")).expect("linked");
        let parent = [Grant::open(folder.path(), "/data", false).expect("opens")];
        assert!(narrow(&parent, &[wanted("/data", "/d", false)]).is_ok());
        assert!(narrow(&parent, &[wanted("/data/inner", "/d", false)]).is_ok());
        let denied = [
            wanted("/data", "/d", true),
            wanted("/etc", "/d", false),
            wanted("/database", "/d", false),
            wanted("/data/../etc", "/d", false),
            wanted("/data/out", "/d", false),
            wanted("/data/absent", "/d", false),
            wanted("/data", "relative", false),
        ];
        for case in denied {
            assert!(narrow(&parent, std::slice::from_ref(&case)).is_err(), "{case:?}");
        }
    }
}
