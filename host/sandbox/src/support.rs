//! What the kernel of this machine has.
//!
//! Owns: finding that out without changing anything. Must not know: who asks.

use crate::files::LEAST_LANDLOCK;
use crate::kernel;
use crate::wall::Wall;

/// Which walls this machine can raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// The version of Landlock's interface; none if the kernel has none, or it is switched off.
    pub landlock: Option<u32>,
    /// Whether system calls can be filtered.
    pub seccomp: bool,
}

impl Support {
    /// What this machine has.
    pub fn of_this_machine() -> Self {
        Self { landlock: kernel::landlock_version(), seccomp: kernel::has_seccomp() }
    }

    /// The walls that cannot be raised here.
    pub fn missing(&self) -> Vec<Wall> {
        let enough = self.landlock.is_some_and(|version| version >= LEAST_LANDLOCK);
        let walls = [(Wall::Landlock, enough), (Wall::Seccomp, self.seccomp)];
        walls.into_iter().filter(|(_, there)| !there).map(|(wall, _)| wall).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_landlock_is_none() {
        let missing = |landlock, seccomp| Support { landlock, seccomp }.missing();
        assert_eq!(missing(Some(LEAST_LANDLOCK), true), []);
        assert_eq!(missing(Some(LEAST_LANDLOCK - 1), true), [Wall::Landlock]);
        assert_eq!(missing(None, false), [Wall::Landlock, Wall::Seccomp]);
    }
}
