//! The walls by name.
//!
//! Owns: which walls there are, sets of them, and why one could not be raised. Must not know: how.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// One wall around a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wall {
    /// The kernel's bounds on memory, descriptors and core files.
    Limits,
    /// Nothing that is executed gains privileges.
    Privileges,
    /// The files, ports, signals and sockets that can be reached.
    Landlock,
    /// The system calls that can be made.
    Seccomp,
}

impl Wall {
    /// All there are, in the order in which they are raised.
    pub const ALL: [Self; 4] = [Self::Limits, Self::Privileges, Self::Landlock, Self::Seccomp];

    /// What users call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Limits => "rlimits",
            Self::Privileges => "no-new-privs",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
        }
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No wall is called that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no wall `{0}`: the walls are rlimits, no-new-privs, landlock and seccomp")]
pub struct UnknownWall(pub String);

impl FromStr for Wall {
    type Err = UnknownWall;

    fn from_str(name: &str) -> Result<Self, UnknownWall> {
        Self::ALL.into_iter().find(|wall| wall.name() == name).ok_or_else(|| UnknownWall(name.to_owned()))
    }
}

/// The walls that are not raised. None is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Without(BTreeSet<Wall>);

impl Without {
    /// Whether this wall is left out.
    pub fn has(&self, wall: Wall) -> bool {
        self.0.contains(&wall)
    }

    /// Whether all walls are raised.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are left out, in order.
    pub fn iter(&self) -> impl Iterator<Item = Wall> + '_ {
        self.0.iter().copied()
    }

    /// Their names, in order.
    pub fn names(&self) -> Vec<String> {
        self.iter().map(|wall| wall.name().to_owned()).collect()
    }

    /// The walls of these names.
    ///
    /// # Errors
    /// [`UnknownWall`], naming the first that is none.
    pub fn named<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Result<Self, UnknownWall> {
        names.into_iter().map(|name| name.as_ref().parse()).collect()
    }
}

impl FromIterator<Wall> for Without {
    fn from_iter<I: IntoIterator<Item = Wall>>(walls: I) -> Self {
        Self(walls.into_iter().collect())
    }
}

/// Why a wall does not stand.
#[derive(Debug, thiserror::Error)]
pub enum WallError {
    /// The kernel refuses it, or does not have it.
    #[error(
        "the wall `{wall}` cannot be raised: {reason}; `greenroom doctor` tells what this machine \
         supports, and `--without {wall}` goes without it"
    )]
    Refused {
        /// Which.
        wall: Wall,
        /// What the kernel said.
        reason: String,
    },
    /// Two others stand on it.
    #[error(
        "the wall `no-new-privs` cannot be left out while `{0}` is raised, which needs it: add \
         `--without {0}`, or keep both"
    )]
    Needed(Wall),
    /// There are threads already, which some walls would not hold.
    #[error(
        "the walls cannot be raised: the process has {0} threads already, and a wall holds only \
         those that are started after it; `init` must come before any thread is started"
    )]
    Threads(String),
}

impl WallError {
    pub(crate) fn refused(wall: Wall, reason: impl fmt::Display) -> Self {
        Self::Refused { wall, reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wall_goes_by_its_name_and_others_are_told() {
        for wall in Wall::ALL {
            assert_eq!(wall.name().parse(), Ok(wall));
            assert!(UnknownWall(String::new()).to_string().contains(wall.name()), "{wall}");
        }
        let unknown = Without::named(["landlock", "moat"]).expect_err("there is no moat");
        assert_eq!(unknown, UnknownWall("moat".to_owned()));
        let two = Without::named(["seccomp", "landlock", "seccomp"]).expect("there are");
        assert_eq!(two.names(), ["landlock", "seccomp"]);
        assert!(two.has(Wall::Seccomp) && !two.has(Wall::Limits));
    }
}
