//! The system's processes, as `ps` would show them.
//!
//! Owns: reading `/proc`. Must not know: brokers. Invariant: an actor is known by its title
//! alone, as a person would know it.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

/// What every actor's title begins with.
const TITLE: &str = "greenroom: ";

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// `R`, `S`, `T`, `Z` and so on.
    pub state: char,
    /// The first word of its command line.
    pub title: String,
}

impl Process {
    /// All there are.
    pub(crate) fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").expect("Linux shows its processes");
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter_map(Self::read).collect()
    }

    /// One, unless it is gone.
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ');
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let title = line.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(Self { pid, parent, state, title: String::from_utf8_lossy(title).into_owned() })
    }

    /// Whether it has ended, and nobody has asked how.
    pub(crate) fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }
}

/// The processes of the trees whose names begin with `tree`, by `tree/path`.
pub fn actors(tree: &str) -> BTreeMap<String, i32> {
    let all = Process::all().into_iter();
    let named = all.filter_map(|process| {
        let place = process.title.strip_prefix(TITLE)?;
        place.starts_with(tree).then(|| (place.to_owned(), process.pid))
    });
    named.collect()
}

/// Sends a signal to a process that is known to be there.
///
/// # Panics
/// If it is not.
pub fn kill(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a process has a number");
    kill_process(pid, signal).expect("the process is there");
}
