//! Whether files of an application change.
//!
//! Owns: which files count, and when a burst of changes is over. Must not know: what is done about
//! them. Invariant: a change that comes while nobody waits is told to who waits next.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use crate::app::App;
use crate::error::CliError;
use crate::manifest::From;

/// How long nothing must change before a burst is over.
const QUIET: Duration = Duration::from_millis(150);

/// How long a burst may last.
const BURST: Duration = Duration::from_secs(2);

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Root {
    File(PathBuf),
    Folder(PathBuf),
}

impl Root {
    /// The one at `path`, under the name by which its changes are told.
    fn at(path: &Path) -> std::io::Result<Self> {
        if path.is_dir() {
            return Ok(Self::Folder(fs::canonicalize(path)?));
        }
        // A file may be replaced, or not be there yet: its folder is what is watched.
        let full = std::path::absolute(path)?;
        let parent = fs::canonicalize(full.parent().unwrap_or(Path::new("/")))?;
        Ok(Self::File(parent.join(full.file_name().unwrap_or_default())))
    }

    /// Whether a change of `path` is one of it.
    fn has(&self, path: &Path) -> bool {
        match self {
            Self::File(file) => file == path,
            Self::Folder(folder) => path.strip_prefix(folder).is_ok_and(|inner| {
                let counts = |part: Component<'_>| counts(&part.as_os_str().to_string_lossy());
                inner.components().all(counts)
            }),
        }
    }
}

/// Whether a file or folder of this name is an author's.
fn counts(name: &str) -> bool {
    !name.starts_with('.') && !name.ends_with('~') && !matches!(name, "target" | "Cargo.lock")
}

/// Watches files.
pub(crate) struct Watch {
    watcher: RecommendedWatcher,
    roots: Arc<RwLock<BTreeSet<Root>>>,
    changed: Arc<Notify>,
    /// What is always watched.
    always: BTreeSet<Root>,
    watched: BTreeSet<PathBuf>,
}

impl Watch {
    /// Watches a manifest, and whatever else is named.
    ///
    /// # Errors
    /// When one is not there, or cannot be watched.
    pub(crate) fn new(manifest: &Path, others: &[PathBuf]) -> Result<Self, CliError> {
        let mut always = BTreeSet::new();
        for path in others {
            if !path.exists() {
                return Err(CliError::input(format!("--watch: there is no `{}`", path.display())));
            }
        }
        for path in others.iter().map(PathBuf::as_path).chain([manifest]) {
            always.insert(Root::at(path).map_err(|error| unwatchable(path, &error))?);
        }
        let (roots, changed) = (Arc::new(RwLock::new(always.clone())), Arc::new(Notify::new()));
        let (known, bell) = (roots.clone(), changed.clone());
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let counts = match &event {
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => false,
                Ok(event) => {
                    let roots = known.read().unwrap_or_else(PoisonError::into_inner);
                    let told = |path: &PathBuf| roots.iter().any(|root| root.has(path));
                    event.need_rescan() || event.paths.iter().any(told)
                }
                // Whatever was lost may have counted.
                Err(_) => true,
            };
            if counts {
                bell.notify_one();
            }
        });
        let watcher = watcher.map_err(|error| unwatchable(manifest, &error))?;
        let mut watch = Self { watcher, roots, changed, always, watched: BTreeSet::new() };
        watch.set(watch.always.clone())?;
        Ok(watch)
    }

    /// Watches what an application consists of.
    ///
    /// # Errors
    /// When some of it cannot be watched.
    pub(crate) fn follow(&mut self, app: &App) -> Result<(), CliError> {
        let mut roots = self.always.clone();
        for module in &app.modules {
            // What is not there has been told; the manifest is watched.
            if let (From::Component(path) | From::Crate(path), true) = (&module.from, exists(&module.from)) {
                roots.insert(Root::at(path).map_err(|error| unwatchable(path, &error))?);
            }
        }
        self.set(roots)
    }

    fn set(&mut self, roots: BTreeSet<Root>) -> Result<(), CliError> {
        for root in &roots {
            match root {
                Root::File(file) => self.add(file.parent().unwrap_or(file), RecursiveMode::NonRecursive)?,
                Root::Folder(folder) => {
                    self.add(folder, RecursiveMode::NonRecursive)?;
                    // Not all of it at once: a target folder has thousands of folders.
                    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                        if entry.path().is_dir() && counts(&entry.file_name().to_string_lossy()) {
                            self.add(&entry.path(), RecursiveMode::Recursive)?;
                        }
                    }
                }
            }
        }
        *self.roots.write().unwrap_or_else(PoisonError::into_inner) = roots;
        Ok(())
    }

    fn add(&mut self, path: &Path, mode: RecursiveMode) -> Result<(), CliError> {
        if self.watched.contains(path) {
            return Ok(());
        }
        self.watcher.watch(path, mode).map_err(|error| unwatchable(path, &error))?;
        self.watched.insert(path.to_owned());
        Ok(())
    }

    /// Waits for a change, and until the burst that it belongs to is over.
    pub(crate) async fn changed(&mut self) {
        self.changed.notified().await;
        let end = Instant::now() + BURST;
        let quiet = async { while timeout(QUIET, self.changed.notified()).await.is_ok() {} };
        // A burst that does not end is looked at all the same.
        let _ = timeout_at(end, quiet).await;
    }
}

fn exists(from: &From) -> bool {
    match from {
        From::Component(file) => {
            file.parent().is_some_and(|folder| folder.as_os_str().is_empty() || folder.is_dir())
        }
        From::Crate(folder) => folder.is_dir(),
    }
}

fn unwatchable(path: &Path, error: &dyn std::fmt::Display) -> CliError {
    CliError::ended(125, format!("cannot watch `{}`: {error}", path.display()))
        .hint("the system bounds how much is watched: see fs.inotify.max_user_watches and max_user_instances")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_writes_is_no_change() {
        let root = Root::Folder("/app".into());
        for path in ["/app/src/lib.rs", "/app/Cargo.toml", "/app/wit/deps/a.wit", "/app"] {
            assert!(root.has(Path::new(path)), "{path}");
        }
        for path in
            ["/app/target/x", "/app/.git/index", "/app/Cargo.lock", "/app/src/.lib.rs.swp", "/other/a"]
        {
            assert!(!root.has(Path::new(path)), "{path}");
        }
        assert!(Root::File("/a/b.wasm".into()).has(Path::new("/a/b.wasm")));
        assert!(!Root::File("/a/b.wasm".into()).has(Path::new("/a/c.wasm")));
    }

    #[tokio::test]
    async fn a_change_is_told_once_also_to_who_comes_late() {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = folder.path().join("greenroom.toml");
        fs::write(&manifest, "").expect("written");
        let mut watch = Watch::new(&manifest, &[]).expect("it watches");
        fs::write(folder.path().join("other.txt"), "x").expect("written");
        assert!(timeout(Duration::from_millis(400), watch.changed()).await.is_err(), "this is no change");
        fs::write(&manifest, "x").expect("written");
        fs::write(&manifest, "y").expect("written");
        tokio::time::sleep(Duration::from_millis(100)).await;
        timeout(Duration::from_secs(5), watch.changed()).await.expect("a change");
        assert!(timeout(Duration::from_millis(400), watch.changed()).await.is_err(), "a second one");
    }
}
