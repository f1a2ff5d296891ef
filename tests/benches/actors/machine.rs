//! The machine: which of its cores are used, and what it is.
//!
//! Owns: affinity and the facts that belong beside any number. Must not know: what is measured.
//! Invariant: processes and threads are started
//! where they shall run, never moved afterwards.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use greenroom_tests::repository;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Result;

/// Where both sides of a round trip run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// Both on the same core: no core has to be woken, and nothing runs at the same time.
    One,
    /// Each on a core of its own.
    Two,
    /// Wherever the kernel puts them.
    Free,
}

impl Cores {
    /// All that this machine has cores for.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let all = [Self::One, Self::Two, Self::Free];
        let enough = own()?.len() > 1;
        Ok(all.into_iter().filter(|cores| enough || *cores != Self::Two).collect())
    }

    /// Moves this thread to the near end, and all that it starts from now on; the far end is to be
    /// started by [`at`] the core that is given.
    pub(crate) fn apply(self) -> Result<Option<usize>> {
        let own = own()?;
        let [first, last] = [own.first(), own.last()].map(|core| core.copied().unwrap_or_default());
        let (near, far) = match self {
            Self::One => (vec![last], Some(last)),
            Self::Two => (vec![first], Some(last)),
            Self::Free => (own, None),
        };
        sched_setaffinity(None, &set(&near))?;
        Ok(far)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one core",
            Self::Two => "two cores",
            Self::Free => "not pinned",
        }
    }

    /// As programs are told it.
    pub(crate) fn short(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Two => "two",
            Self::Free => "free",
        }
    }
}

/// Does what starts a far end, on the core where that shall be.
pub(crate) fn at<T>(core: Option<usize>, start: impl FnOnce() -> Result<T>) -> Result<T> {
    let near = sched_getaffinity(None)?;
    if let Some(core) = core {
        sched_setaffinity(None, &set(&[core]))?;
    }
    let started = start();
    sched_setaffinity(None, &near)?;
    started
}

/// The cores that this program was given.
fn own() -> Result<Vec<usize>> {
    static OWN: OnceLock<Vec<usize>> = OnceLock::new();
    if OWN.get().is_none() {
        let all = sched_getaffinity(None)?;
        let _ = OWN.set((0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect());
    }
    Ok(OWN.get().ok_or("the affinity was not kept")?.clone())
}

fn set(cores: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    set
}

/// What the machine is, as name and value.
pub(crate) fn facts() -> Vec<(String, String)> {
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
    let memory =
        field("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok());
    let memory = memory.map_or_else(unknown, |kib| format!("{:.1} GiB", kib / f64::from(1 << 20)));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let virtual_machine = field("/proc/cpuinfo", "flags").is_some_and(|flags| flags.contains("hypervisor"));
    let facts = [
        ("processor", field("/proc/cpuinfo", "model name").unwrap_or_else(unknown)),
        ("cores", cores),
        ("virtual machine", if virtual_machine { "yes" } else { "no" }.to_owned()),
        ("memory", memory),
        ("kernel", kernel),
        ("rustc", rustc),
        ("wasmtime", locked("wasmtime").unwrap_or_else(unknown)),
        ("greenroom", env!("CARGO_PKG_VERSION").to_owned()),
        ("load average at the end", load),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The version of a crate that this program is built with.
pub(crate) fn locked(name: &str) -> Option<String> {
    let lock = fs::read_to_string(repository().join("Cargo.lock")).ok()?;
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next().map(str::to_owned)
}
