//! The attacks of `docs/sandbox.md`, tried.
//!
//! Owns: how an actor that is nobody's friend is started and heard. Must not know: which attacks
//! there are. Invariant: each attack has a process of its own, and its outcome is seen from outside.

mod bombs;
mod calls;
mod compile;
mod compute;
mod files;
mod hogs;
mod lies;
mod real;
mod users;

use std::path::PathBuf;
use std::time::Duration;

use greenroom::{DirGrant, RemoteError, Report, Rights, SpawnSpec, Wall, Without};
use greenroom_tests::kind::{Exit, SpawnFailed};
use greenroom_tests::villain::{ATTACK, DONE, EXECUTED, FORKED, REFUSED};
use greenroom_tests::{Options, Place, World, own_program, until};

/// How an attack went.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// The kernel did what was asked; with what was read.
    Done(String),
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

/// How villains come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Birth {
    /// Each executes the program.
    Executed,
    /// All but the first are forked off a zygote.
    Forked,
}

/// A host of which every actor is a villain. Each has a granted folder, so that it may make all the
/// calls that some actor may.
struct Den {
    world: World,
    grants: Vec<DirGrant>,
}

impl Den {
    /// One whose actors have these walls around them, and no others of the kernel's.
    fn new(place: &Place, walls: &[Wall]) -> Self {
        let granted = place.folder().join("granted");
        std::fs::create_dir_all(&granted).expect("a folder");
        Self::with(place, walls, vec![(granted, "/granted".to_owned(), true)])
    }

    /// As [`Den::new`], whose actors are granted these folders.
    fn with(place: &Place, walls: &[Wall], dirs: Vec<(PathBuf, String, bool)>) -> Self {
        let grants = dirs.iter().map(|(_, path, writable)| match writable {
            true => DirGrant::writable(path.clone()),
            false => DirGrant::read_only(path.clone()),
        });
        let grants = grants.collect();
        let program = Some(own_program("villain"));
        let rights = Rights::all();
        let options = Options { dirs, without: without(walls), program, rights, ..Options::default() };
        Self { world: World::empty(place, options), grants }
    }

    /// How many of the villains were forked.
    fn forked(&self) -> usize {
        let said = |report: &Report| matches!(report, Report::Output { line, .. } if line == FORKED);
        self.world.reports().iter().filter(|report| said(report)).count()
    }

    /// Has an actor with these variables try an attack, and gives what became of it.
    async fn attempt(&self, attack: &str, env: Vec<(String, String)>) -> Outcome {
        self.attempt_with(attack, env, Rights::default()).await
    }

    /// As [`Den::attempt`], by an actor with these rights. One with rights that no other has is not forked.
    async fn attempt_with(&self, attack: &str, mut env: Vec<(String, String)>, rights: Rights) -> Outcome {
        env.push((ATTACK.to_owned(), attack.to_owned()));
        let spec = SpawnSpec {
            name: attack.to_owned(),
            modules: vec!["faults/faults".to_owned()],
            dirs: self.grants.clone(),
            env,
            rights,
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
    if line == EXECUTED {
        return Some(Outcome::Done(line.to_owned()));
    }
    if let Some(read) = line.strip_prefix(DONE) {
        return Some(Outcome::Done(read.trim().to_owned()));
    }
    line.strip_prefix(REFUSED)?.trim().parse().ok().map(Outcome::Refused)
}

/// All walls but these.
fn without(walls: &[Wall]) -> Without {
    Wall::ALL.into_iter().filter(|wall| !walls.contains(wall)).collect()
}
