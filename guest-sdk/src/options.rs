//! What a child is started with beyond its modules.
//!
//! Owns: the builders. Must not know: how rights are checked, which is the broker's to do.

use std::time::Duration;

use crate::actor::Rights;
use crate::bindings::greenroom::portal::nursery;
use crate::supervision::Restart;

/// A directory of the parent's own, passed on to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirGrant {
    source: String,
    target: String,
    writable: bool,
}

impl DirGrant {
    /// A directory the child may read, under the path by which the parent sees it.
    pub fn read_only(path: impl Into<String>) -> Self {
        let path = path.into();
        Self { source: path.clone(), target: path, writable: false }
    }

    /// A directory the child may write too, which takes a parent that may.
    pub fn writable(path: impl Into<String>) -> Self {
        Self { writable: true, ..Self::read_only(path) }
    }

    /// The same directory, seen by the child under another path.
    #[must_use]
    pub fn seen_as(self, target: impl Into<String>) -> Self {
        Self { target: target.into(), ..self }
    }
}

/// The value of a limit: a number of things, bytes or calls a second, or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitValue(u64);

impl From<u64> for LimitValue {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<Duration> for LimitValue {
    fn from(time: Duration) -> Self {
        Self(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// What a child is started with beyond its modules; by default nothing at all. A child's rights
/// are a subset of its parent's: asking for more is `PermissionDenied`, naming the right.
///
/// ```
/// # use greenroom_guest::{DirGrant, SpawnOptions};
/// let options = SpawnOptions::new()
///     .dir(DirGrant::read_only("/docs"))
///     .dir(DirGrant::writable("/scratch/one").seen_as("/scratch"))
///     .env("LANG", "C")
///     .limit("memory", 16_u64 << 20);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpawnOptions {
    dirs: Vec<DirGrant>,
    env: Vec<(String, String)>,
    args: Vec<String>,
    publish: bool,
    unique: bool,
    rights: Rights,
    limits: Vec<(String, u64)>,
    restart: Option<Restart>,
}

impl SpawnOptions {
    /// Grants nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Passes on a directory.
    #[must_use]
    pub fn dir(mut self, grant: DirGrant) -> Self {
        self.dirs.push(grant);
        self
    }

    /// Sets an environment variable. It is data, not a right: any value will do.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Gives it arguments, as a program has them: `std::env::args()`, behind the module's name. Data
    /// as well.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Lets the user's other programs on this machine find it. Takes the right to publish.
    #[must_use]
    pub fn publish(self) -> Self {
        Self { publish: true, ..self }
    }

    /// Makes it the only one of its name: in its tree, and, if it is published, on the machine. If
    /// another has the name it is not started: `NameTaken`, as for another while it lives.
    #[must_use]
    pub fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    /// Gives it these rights instead of those that were granted so far. All that this actor has:
    /// `current_actor().rights`.
    #[must_use]
    pub fn rights(self, rights: Rights) -> Self {
        Self { rights, ..self }
    }

    /// Lets it start children, and pass that right on.
    #[must_use]
    pub fn grant_spawn(self) -> Self {
        Self { rights: Rights { spawn: true, ..self.rights }, ..self }
    }

    /// Lets it read the wall clock, and pass that right on.
    #[must_use]
    pub fn grant_clock(self) -> Self {
        Self { rights: Rights { clock: true, ..self.rights }, ..self }
    }

    /// Lets it get random numbers, and pass that right on.
    #[must_use]
    pub fn grant_random(self) -> Self {
        Self { rights: Rights { random: true, ..self.rights }, ..self }
    }

    /// Lets it read the standard input of the program that started the tree, and pass that right
    /// on. All that have it read from the same: what one has read no other sees.
    #[must_use]
    pub fn grant_stdin(self) -> Self {
        Self { rights: Rights { stdin: true, ..self.rights }, ..self }
    }

    /// Lets it connect to these hosts, written as `HOST:PORT`, and pass that right on. The host is a
    /// name, an address, `ADDRESS/BITS`, `*.NAME` or `*`, the port a number, `FIRST-LAST` or `*`.
    #[must_use]
    pub fn grant_network(mut self, hosts: impl Into<String>) -> Self {
        self.rights.network.push(hosts.into());
        self
    }

    /// Lets it find the published actors of the user's other programs, and pass that right on.
    #[must_use]
    pub fn grant_discover(self) -> Self {
        Self { rights: Rights { discover: true, ..self.rights }, ..self }
    }

    /// Lets it publish the actors that it starts, and pass that right on.
    #[must_use]
    pub fn grant_publish(self) -> Self {
        Self { rights: Rights { publish: true, ..self.rights }, ..self }
    }

    /// Lowers a limit of its own, by the name it has in the manifest: `("memory", 16_u64 << 20)`,
    /// `("cpu", Duration::from_secs(2))`. More than this actor has is `PermissionDenied`.
    #[must_use]
    pub fn limit(mut self, name: impl Into<String>, value: impl Into<LimitValue>) -> Self {
        self.limits.push((name.into(), value.into().0));
        self
    }

    /// What becomes of the child when it ends, in a supervised nursery. Without it a daemon is
    /// [`Restart::Permanent`], and an actor with a main task [`Restart::Transient`].
    #[must_use]
    pub fn restart(self, restart: Restart) -> Self {
        Self { restart: Some(restart), ..self }
    }

    /// These, with what they leave open as in others.
    pub(crate) fn over(self, others: &Self) -> Self {
        Self {
            publish: self.publish || others.publish,
            unique: self.unique || others.unique,
            restart: self.restart.or(others.restart),
            ..self
        }
    }
}

impl From<SpawnOptions> for nursery::SpawnOptions {
    fn from(options: SpawnOptions) -> Self {
        let grant = |grant: DirGrant| nursery::DirGrant {
            source: grant.source,
            target: grant.target,
            writable: grant.writable,
        };
        Self {
            dirs: options.dirs.into_iter().map(grant).collect(),
            env: options.env,
            args: options.args,
            publish: options.publish,
            unique: options.unique,
            rights: options.rights.flags(),
            network: options.rights.network,
            limits: options.limits,
            restart: options.restart.map(Into::into),
        }
    }
}
