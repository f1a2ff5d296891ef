//! Where on a machine to look for compilers.
//!
//! Owns: the folders, taken from the environment. Must not know: what is in them. Invariant:
//! nothing else in this crate looks at the environment to find a compiler, so a test can
//! give a machine of its own.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folders that may hold compilers and linkers.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The prefix that the system's packages are installed under.
    pub(crate) system: PathBuf,
    /// rustup's own folder.
    pub(crate) rustup_home: Option<PathBuf>,
    /// The command search path.
    pub(crate) path: Vec<PathBuf>,
}

impl Places {
    pub(crate) fn of_this_machine() -> Self {
        Self::from_variables(|name| env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = variable("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
        let rustup_home = variable("RUSTUP_HOME")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".rustup")));
        Self { system: PathBuf::from("/usr"), rustup_home, path }
    }

    /// The first file of this name on the search path.
    pub(crate) fn on_path(&self, name: &str) -> Option<PathBuf> {
        self.path.iter().map(|dir| dir.join(name)).find(|file| file.is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rustup_home_is_the_variable_or_a_folder_at_home() {
        let places = Places::from_variables(|name| (name == "HOME").then(|| "/home/ada".into()));
        assert_eq!(places.rustup_home, Some("/home/ada/.rustup".into()));
        assert!(places.path.is_empty());

        let places = Places::from_variables(|name| match name {
            "HOME" => Some("/home/ada".into()),
            "RUSTUP_HOME" => Some("/opt/rustup".into()),
            "PATH" => Some("/bin:/sbin".into()),
            _ => None,
        });
        assert_eq!(places.rustup_home, Some("/opt/rustup".into()));
        assert_eq!(places.path, [Path::new("/bin"), Path::new("/sbin")]);
    }
}
