//! The machine: which of its cores are used, and what it is.
//!
//! Owns: affinity and the facts that belong beside any number. Must not know: what is measured.
//! Invariant: processes started after [`Cores::apply`] run where it says, as do new threads.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Result;

/// Where both sides of a round trip run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// Both on the same core: no core has to be woken, and nothing runs at the same time.
    One,
    /// Wherever the kernel puts them.
    All,
}

impl Cores {
    /// Moves this thread, and all that it starts from now on.
    pub(crate) fn apply(self) -> Result<()> {
        static ALL: OnceLock<CpuSet> = OnceLock::new();
        if ALL.get().is_none() {
            let _ = ALL.set(sched_getaffinity(None)?);
        }
        let all = ALL.get().ok_or("the affinity was not kept")?;
        let set = match self {
            Self::All => *all,
            Self::One => {
                let last =
                    (0..CpuSet::MAX_CPU).rev().find(|core| all.is_set(*core)).ok_or("no core is ours")?;
                let mut one = CpuSet::new();
                one.set(last);
                one
            }
        };
        Ok(sched_setaffinity(None, &set)?)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one core",
            Self::All => "all cores",
        }
    }
}

/// What the machine is, as name and value.
pub(crate) fn facts() -> Vec<(&'static str, String)> {
    let field = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).map(str::to_owned);
        line.and_then(|line| line.split_once(':').map(|(_, value)| value.trim().to_owned()))
    };
    let unknown = || "unknown".to_owned();
    let cores = std::thread::available_parallelism().map_or_else(|_| unknown(), |cores| cores.to_string());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| unknown(), |text| text.trim().to_owned());
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc =
        rustc.map_or_else(|_| unknown(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let virtual_machine = field("/proc/cpuinfo", "flags").is_some_and(|flags| flags.contains("hypervisor"));
    vec![
        ("processor", field("/proc/cpuinfo", "model name").unwrap_or_else(unknown)),
        ("cores", cores),
        ("virtual machine", if virtual_machine { "yes" } else { "no" }.to_owned()),
        ("kernel", kernel),
        ("rustc", rustc),
        ("load average at the end", load),
    ]
}
