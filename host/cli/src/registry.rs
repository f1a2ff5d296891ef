//! The actors of this machine, for programs that are in no tree.
//!
//! Owns: what a target means, and what such a program may ask. Must not know: files, sockets, how
//! anything is shown. Invariant: whatever a program is told was so when it asked; no wait is longer
//! than the asked host's patience, but one for a name.
//!
//! ```no_run
//! use greenroom::{Machine, payload};
//!
//! async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//!     let machine = Machine::open()?;
//!     let target = "clock".parse()?;
//!     let clock = machine.connect(&target, "visitor").await?;
//!     let time = clock.call("clock:now", payload::encode(&())?.into()).await?;
//!     println!("{}", payload::decode::<u64>(&time)?);
//!     machine.cancel(&target).await?;
//!     Ok(())
//! }
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use greenroom_broker::{
    Answer, Directory, Entry, FunctionInfo, LogStream, Place, Registry, RegistryError, Request, TreeStatus,
    station,
};
use greenroom_runtime::Portal;
use greenroom_transport::attach;
use tokio::time::Instant;

/// The shortest part of a uuid that is taken for one.
const MIN_PREFIX: usize = 6;

/// How long between two looks of one who waits.
const PAUSE: Duration = Duration::from_millis(25);

/// Whom a program means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `name`, or `name/child/grandchild`: a published actor, or one below it. Where several are
    /// published under the name, the one that was first.
    Path(String, Vec<String>),
    /// An actor by its uuid.
    Uuid(String),
}

/// What is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a target: write an actor's name, name/child, or the beginning of its uuid")]
pub struct TargetError(String);

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = || TargetError(text.to_owned());
        let mut names = text.split('/').map(|name| match name {
            "" => Err(wrong()),
            name if name.chars().any(char::is_control) => Err(wrong()),
            name => Ok(name.to_owned()),
        });
        let first = names.next().ok_or_else(wrong)??;
        Ok(Self::Path(first, names.collect::<Result<_, _>>()?))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => f.write_str(uuid),
            Self::Path(name, below) => {
                f.write_str(name)?;
                below.iter().try_for_each(|name| write!(f, "/{name}"))
            }
        }
    }
}

impl From<&Entry> for Target {
    fn from(entry: &Entry) -> Self {
        Self::Uuid(entry.id.uuid.clone())
    }
}

/// The machine's registry, as a program sees it that is in no tree. It acts as the operator of all
/// trees of this user.
#[derive(Clone, Debug)]
pub struct Machine {
    registry: Arc<dyn Registry>,
}

/// An actor on the way from its name to its host.
struct Resolved {
    host: String,
    place: Place,
}

impl Machine {
    /// The one that all programs of this user share.
    ///
    /// # Errors
    /// [`RegistryError::Unsafe`] when its folder could have been touched by others.
    pub fn open() -> Result<Self, RegistryError> {
        Ok(Self::with(Arc::new(Directory::open()?)))
    }

    /// The one in a folder of its own.
    ///
    /// # Errors
    /// As [`Machine::open`].
    pub fn at(folder: &Path) -> Result<Self, RegistryError> {
        Ok(Self::with(Arc::new(Directory::at(folder)?)))
    }

    /// Another registry.
    pub fn with(registry: Arc<dyn Registry>) -> Self {
        Self { registry }
    }

    /// All published actors that are alive, those published first before the others.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, RegistryError> {
        self.registry.list()
    }

    /// The actor that is published under a name: of several, the first.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub fn query(&self, name: &str) -> Result<Option<Entry>, RegistryError> {
        Ok(self.list()?.into_iter().find(|entry| entry.id.name == name))
    }

    /// Waits until an actor is published under a name; gives none if that takes longer than
    /// `timeout`.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn wait(&self, name: &str, timeout: Option<Duration>) -> Result<Option<Entry>, RegistryError> {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let entry = self.query(name)?;
            let pause = match end {
                None => PAUSE,
                Some(end) => PAUSE.min(end.saturating_duration_since(Instant::now())),
            };
            if entry.is_some() || pause.is_zero() {
                return Ok(entry);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// A portal to an actor, straight to its process. This program is `name` to the tasks that it
    /// starts. The portal can end nobody; [`Machine::cancel`] can.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] if there is none; [`RegistryError::Unreachable`] if its host does
    /// not answer.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(&self, target: &Target, name: &str) -> Result<Portal, RegistryError> {
        let Resolved { host, place } = self.resolve(target).await?;
        let guest = station::guest(name);
        let called = target.to_string();
        let (preamble, pipe) = station::connect(&*self.registry, &host, &called, place, guest).await?;
        greenroom_runtime::joined(attach(pipe), preamble, std::process::id())
            .map_err(|error| RegistryError::Unreachable { target: called, reason: error.to_string() })
    }

    /// What an actor can be called for.
    ///
    /// # Errors
    /// As [`Machine::connect`].
    pub async fn describe(&self, target: &Target) -> Result<Vec<FunctionInfo>, RegistryError> {
        let Resolved { host, place } = self.resolve(target).await?;
        match self.ask(&host, target, &Request::Describe { place }).await? {
            Answer::Functions(functions) => Ok(functions),
            _ => Err(beside_the_point(target)),
        }
    }

    /// How the actors of the tree are that an entry belongs to.
    ///
    /// # Errors
    /// [`RegistryError::Unreachable`] if its host does not answer.
    pub async fn status(&self, entry: &Entry) -> Result<TreeStatus, RegistryError> {
        let target = Target::from(entry);
        match self.ask(&entry.host, &target, &Request::Status).await? {
            Answer::Status(status) => Ok(status),
            _ => Err(beside_the_point(&target)),
        }
    }

    /// Ends an actor and all below it; returns once it is gone. One that somebody supervises may be
    /// started again.
    ///
    /// # Errors
    /// As [`Machine::connect`].
    pub async fn cancel(&self, target: &Target) -> Result<(), RegistryError> {
        let Resolved { host, place } = self.resolve(target).await?;
        match self.ask(&host, target, &Request::Cancel { place }).await? {
            Answer::Ended => Ok(()),
            _ => Err(beside_the_point(target)),
        }
    }

    /// The last lines that an actor and those below it have written and logged, oldest first; with
    /// `follow` also those to come, until their host ends.
    ///
    /// # Errors
    /// As [`Machine::connect`].
    pub async fn logs(&self, target: &Target, follow: bool) -> Result<LogStream, RegistryError> {
        let Resolved { host, place } = self.resolve(target).await?;
        station::follow(&*self.registry, &host, &target.to_string(), Some(place), follow).await
    }

    async fn ask(&self, host: &str, target: &Target, request: &Request) -> Result<Answer, RegistryError> {
        station::ask(&*self.registry, host, &target.to_string(), request).await
    }

    /// Whom a target means now: a name before a uuid.
    async fn resolve(&self, target: &Target) -> Result<Resolved, RegistryError> {
        let entries = self.list()?;
        let prefix = match target {
            Target::Uuid(uuid) => uuid,
            Target::Path(name, below) => {
                if let Some(entry) = entries.iter().find(|entry| entry.id.name == *name) {
                    let place = Place { actor: entry.id.uuid.clone(), below: below.clone() };
                    return Ok(Resolved { host: entry.host.clone(), place });
                }
                if !below.is_empty() || !is_prefix(name) {
                    return Err(not_found(target, &entries));
                }
                name
            }
        };
        let published = entries.iter().map(|entry| (entry.host.clone(), entry.id.uuid.clone()));
        let mut meant: BTreeSet<_> = published.filter(|(_, uuid)| uuid.starts_with(prefix)).collect();
        if meant.is_empty() {
            meant = self.unpublished(&entries, prefix).await;
        }
        let mut meant = meant.into_iter();
        match (meant.next(), meant.next()) {
            (None, _) => Err(not_found(target, &entries)),
            (Some((host, actor)), None) => Ok(Resolved { host, place: Place { actor, below: Vec::new() } }),
            (Some(one), Some(two)) => {
                let candidates = [one, two].into_iter().chain(meant).map(|(_, uuid)| uuid).collect();
                Err(RegistryError::Ambiguous { target: target.to_string(), candidates })
            }
        }
    }

    /// The actors, published or not, of all hosts that answer, whose uuids begin so.
    async fn unpublished(&self, entries: &[Entry], prefix: &str) -> BTreeSet<(String, String)> {
        let hosts: BTreeSet<&str> = entries.iter().map(|entry| entry.host.as_str()).collect();
        let asked = hosts.into_iter().map(async |host| {
            let status = station::ask(&*self.registry, host, prefix, &Request::Status).await;
            let Ok(Answer::Status(status)) = status else { return Vec::new() };
            let uuids = status.actors.into_iter().map(|actor| actor.id.uuid);
            uuids.filter(|uuid| uuid.starts_with(prefix)).map(|uuid| (host.to_owned(), uuid)).collect()
        });
        let mut found = BTreeSet::new();
        for one in asked {
            found.extend(one.await);
        }
        found
    }
}

/// Whether a word may be the beginning of a uuid.
fn is_prefix(word: &str) -> bool {
    word.len() >= MIN_PREFIX
        && word.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn not_found(target: &Target, entries: &[Entry]) -> RegistryError {
    let wanted = match target {
        Target::Path(name, _) | Target::Uuid(name) => name,
    };
    let names: BTreeSet<&str> = entries.iter().map(|entry| entry.id.name.as_str()).collect();
    let mut near: Vec<(f64, &str)> =
        names.into_iter().map(|name| (strsim::jaro_winkler(wanted, name), name)).collect();
    near.retain(|(likeness, _)| *likeness >= 0.8);
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let near = near.into_iter().map(|(_, name)| name.to_owned()).collect();
    RegistryError::NotFound { target: target.to_string(), near }
}

fn beside_the_point(target: &Target) -> RegistryError {
    let reason = "it answered something else; is it of another version?".to_owned();
    RegistryError::Unreachable { target: target.to_string(), reason }
}

#[cfg(test)]
mod tests {
    use greenroom_abi::ActorId;

    use super::*;

    #[test]
    fn a_target_is_a_name_or_a_path() {
        let path = |name: &str, below: &[&str]| {
            Ok(Target::Path(name.to_owned(), below.iter().map(|name| (*name).to_owned()).collect()))
        };
        assert_eq!("clock".parse(), path("clock", &[]));
        assert_eq!("clock/hand/tip".parse(), path("clock", &["hand", "tip"]));
        assert_eq!("clock/hand".parse::<Target>().expect("a target").to_string(), "clock/hand");
        for wrong in ["", "/", "clock/", "/clock", "clock//hand", "a\nb"] {
            let error = wrong.parse::<Target>().expect_err("no target");
            assert!(error.to_string().contains("name/child"), "{error}");
        }
    }

    #[test]
    fn a_word_that_may_be_a_uuid_is_long_enough_and_hexadecimal() {
        for word in ["0a1b2c", "6f1c0d9e-1234"] {
            assert!(is_prefix(word), "{word}");
        }
        for word in ["0a1b2", "clocks", "6F1C0D9E", ""] {
            assert!(!is_prefix(word), "{word}");
        }
    }

    #[test]
    fn who_is_not_there_is_told_with_names_that_are() {
        let entry = |name: &str| Entry {
            id: ActorId { name: name.to_owned(), uuid: String::new() },
            tree: "t".to_owned(),
            path: vec![name.to_owned()],
            pid: 1,
            host: String::new(),
            host_pid: 1,
            started: 0,
            unique: false,
            order: 0,
        };
        let entries = [entry("other"), entry("clock"), entry("clocks")];
        let error = not_found(&Target::Path("clokc".to_owned(), Vec::new()), &entries);
        assert_eq!(error.to_string(), "there is no actor `clokc`; did you mean `clock`?");
    }
}
