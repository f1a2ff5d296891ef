//! The system's processes, as `ps` would show them.
//!
//! Owns: reading `/proc`. Must not know: brokers. Invariant: an actor is known by its title
//! alone, as a person would know it.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::{Pid, getpgid, kill_process};

pub use rustix::process::Signal;

/// What every actor's title begins with.
const TITLE: &str = "greenroom: ";

/// What every zygote's title is.
const ZYGOTE: &str = "greenroom: zygote";
const SPARE: &str = "greenroom: spare";

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// `R`, `S`, `T`, `Z` and so on.
    pub(crate) state: char,
    pub(crate) title: String,
}

impl Process {
    /// All there are.
    pub(crate) fn all() -> Vec<Self> {
        pids().filter_map(Self::read).collect()
    }

    /// One, unless it is gone.
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ');
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        Some(Self { pid, parent, state, title: title(pid)? })
    }

    /// Whether it has ended, and nobody has asked how.
    pub(crate) fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("Linux shows its processes");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The first word of a process's command line; empty for a zombie.
fn title(pid: i32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let title = line.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(String::from_utf8_lossy(title).into_owned())
}

/// The processes of the trees whose names begin with `tree`, by `tree/path`.
pub fn actors(tree: &str) -> BTreeMap<String, i32> {
    let named = pids().filter_map(|pid| {
        let place = title(pid)?.strip_prefix(TITLE)?.to_owned();
        place.starts_with(tree).then_some((place, pid))
    });
    named.collect()
}

/// The zygotes of this process's brokers, zombies not counted. A copy is called so, too, until it has
/// another title; but it leads no group.
pub fn zygotes() -> Vec<i32> {
    let leads = |pid: &i32| getpgid(Pid::from_raw(*pid)).is_ok_and(|group| group.as_raw_pid() == *pid);
    titled(ZYGOTE).into_iter().filter(leads).collect()
}

/// Their copies that wait to be actors.
pub fn spares() -> Vec<i32> {
    titled(SPARE)
}

/// The children of this process with that title.
fn titled(title: &str) -> Vec<i32> {
    let own = std::process::id().cast_signed();
    let all = Process::all().into_iter();
    all.filter(|process| process.parent == own && process.title == title).map(|process| process.pid).collect()
}

/// Whether a process was forked and has executed nothing since.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn is_forked(pid: i32) -> bool {
    /// A flag of the kernel's: `PF_FORKNOEXEC`.
    const FORKED: u32 = 0x40;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    // The name, in parentheses, may hold anything; the flags are the ninth field.
    let fields = stat.rfind(')').and_then(|end| stat.get(end + 2..)).expect("a name");
    let flags: u32 = fields.split(' ').nth(6).and_then(|field| field.parse().ok()).expect("flags");
    flags & FORKED != 0
}

/// Sends a signal to a process that is known to be there.
///
/// # Panics
/// If it is not.
pub fn kill(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a process has a number");
    kill_process(pid, signal).expect("the process is there");
}

/// What a process holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// For itself alone.
    pub private: u64,
    /// Of that, what is in no file: it was written to.
    pub dirty: u64,
    /// With its share of what others hold too.
    pub proportional: u64,
    /// Its share of memory that is in no file and others have mapped, too.
    pub shared: u64,
}

impl Memory {
    /// What it holds now, unless it is gone.
    pub fn of(pid: i32) -> Option<Self> {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let bytes = |key: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
        };
        let (clean, dirty) = (bytes("Private_Clean:")?, bytes("Private_Dirty:")?);
        Some(Self {
            private: clean + dirty,
            dirty,
            proportional: bytes("Pss:")?,
            shared: bytes("Pss_Shmem:")?,
        })
    }
}
