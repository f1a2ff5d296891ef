//! The attacks of `docs/sandbox.md`, tried.
//!
//! Owns: how an actor that is nobody's friend is started and heard. Must not know: which attacks
//! there are. Invariant: each attack has a process of its own, and its outcome is seen from outside.

mod bombs;
mod calls;
mod compile;
mod hogs;
mod lies;
mod real;

use std::time::Duration;

use greenroom::{DirGrant, RemoteError, Report, SpawnSpec, Wall};
use greenroom_tests::kind::{Exit, SpawnFailed};
use greenroom_tests::villain::{ATTACK, DONE, EXECUTED, OUTSIDE, REFUSED};
use greenroom_tests::{Options, Place, World, own_program, until};

/// How an attack went.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// The kernel did what was asked.
    Done,
    /// It refused, with this error number.
    Refused(i32),
    /// The process was ended by this signal.
    Killed(i32),
}

impl Outcome {
    /// Whether a wall refused: for want of rights, as if there were no such call, or at once.
    fn is_denial(&self) -> bool {
        const EPERM: i32 = 1;
        const EACCES: i32 = 13;
        const ENOSYS: i32 = 38;
        const SIGSYS: i32 = 31;
        matches!(self, Self::Refused(EPERM | EACCES | ENOSYS) | Self::Killed(SIGSYS))
    }
}

/// A host of which every actor is a villain. Each has a granted folder, so that it may make all the
/// calls that some actor may.
struct Den {
    world: World,
    outside: String,
}

impl Den {
    /// One whose actors have these walls around them, and no others of the kernel's.
    fn new(place: &Place, walls: &[Wall]) -> Self {
        let (granted, outside) = (place.folder().join("granted"), place.folder().join("outside"));
        for folder in [&granted, &outside] {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        let options = Options {
            dirs: vec![(granted, "/granted".to_owned(), true)],
            without: Wall::ALL.into_iter().filter(|wall| !walls.contains(wall)).collect(),
            program: Some(own_program("villain")),
            ..Options::default()
        };
        Self { world: World::empty(place, options), outside: outside.display().to_string() }
    }

    /// Has an actor try an attack, and gives what became of it.
    async fn attempt(&self, attack: &str) -> Outcome {
        let spec = SpawnSpec {
            name: attack.to_owned(),
            modules: vec!["faults/faults".to_owned()],
            dirs: vec![DirGrant::writable("/granted")],
            env: vec![(ATTACK.to_owned(), attack.to_owned()), (OUTSIDE.to_owned(), self.outside.clone())],
            ..SpawnSpec::default()
        };
        // It never says that it is ready, so that its end is the answer.
        let error = self.world.host().nursery().start(spec, None).await.expect_err("a villain serves nobody");
        if let Some(signal) = signal(&error) {
            return Outcome::Killed(signal);
        }
        until(&format!("{attack} is told of"), Duration::from_secs(2), async || {
            lines(&self.world, attack).iter().find_map(|line| outcome(line))
        })
        .await
    }
}

/// What an actor has written.
fn lines(world: &World, name: &str) -> Vec<String> {
    let lines = world.reports().into_iter().filter_map(|report| match report {
        Report::Output { actor, line, .. } if actor == name => Some(line),
        _ => None,
    });
    lines.collect()
}

/// The signal that ended an actor.
fn signal(error: &RemoteError) -> Option<i32> {
    match error.downcast::<SpawnFailed>()?.exit? {
        Exit::Signal(signal) => Some(signal),
        _ => None,
    }
}

fn outcome(line: &str) -> Option<Outcome> {
    if line == DONE || line == EXECUTED {
        return Some(Outcome::Done);
    }
    line.strip_prefix(REFUSED)?.trim().parse().ok().map(Outcome::Refused)
}
