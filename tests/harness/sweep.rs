//! The look around after a test.
//!
//! Owns: what counts as left behind. Must not know: what the test did. Invariant: it runs in a
//! process in which nothing but the test ran, so that whatever is there is the test's.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use greenroom::Machine;
use rustix::process::{WaitOptions, wait};

use crate::process::{Process, actors};
use crate::wait::until_now;

/// How long anything may outlive its tree.
const GRACE: Duration = Duration::from_secs(1);

/// The open descriptors of this process, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptors(BTreeMap<u32, String>);

impl Descriptors {
    /// Those that are open now.
    ///
    /// # Panics
    /// Where there is no `/proc`.
    #[must_use]
    pub fn open() -> Self {
        let entries = fs::read_dir("/proc/self/fd").expect("Linux shows descriptors");
        let open = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            let target = fs::read_link(entry.path()).ok()?.display().to_string();
            // The descriptor that reads this very list.
            (!target.ends_with("/fd")).then_some((number, target))
        });
        Self(open.collect())
    }
}

/// Looks for what a test left of its trees and in this process. `adopted`: whether it killed a
/// broker, whose actors then became this process's children.
///
/// # Panics
/// If it finds something.
pub fn sweep_process(tree: &str, before: &Descriptors, adopted: bool) {
    let own = std::process::id().cast_signed();
    let mut left = Vec::new();
    until_now("no process of the test is left", GRACE, || {
        if adopted {
            reap();
        }
        left = Process::all();
        left.retain(|process| process.parent == own || process.title.contains(tree));
        let gone = left.is_empty();
        (gone || left.iter().all(Process::is_zombie)).then_some(())
    });
    until_now("no zombie is left", GRACE, || {
        if adopted {
            reap();
        }
        let zombies = Process::all().into_iter().filter(|process| process.parent == own);
        (zombies.count() == 0).then_some(())
    });
    let mut now = Descriptors::open();
    if now != *before {
        // A thread that was joined closes nothing more, one of the runtime's own may.
        now = until_now(&format!("descriptors {now:?} are again {before:?}"), GRACE, || {
            Some(Descriptors::open()).filter(|now| now == before)
        });
    }
    assert_eq!(now, *before, "descriptors are left open");
}

/// Collects children that a killed broker left to this process, which took its place.
fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

/// Looks for what a test left beyond its own process.
///
/// # Panics
/// If it finds something.
pub(crate) fn sweep_machine(tree: &str, folders: &[&Path]) {
    let actors = actors(tree);
    assert!(actors.is_empty(), "actors are left: {actors:?}");
    let sockets = fs::read_to_string("/proc/net/unix").expect("Linux shows sockets");
    let left: Vec<_> = sockets.lines().filter(|line| line.contains(tree)).collect();
    assert!(left.is_empty(), "sockets are left: {left:?}");
    for folder in folders {
        let registry = folder.join("greenroom");
        if registry.exists() {
            // What a killed host leaves there is removed by whoever looks.
            let known = Machine::at(&registry).and_then(|machine| machine.list());
            assert!(known.as_ref().is_ok_and(Vec::is_empty), "actors are known: {known:?}");
            fs::remove_dir(&registry).expect("nothing is left in the registry");
        }
        let entries = fs::read_dir(folder).expect("the test's own folder");
        let left: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        assert!(left.is_empty(), "files are left: {left:?}");
    }
}
