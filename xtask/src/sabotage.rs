//! That no test of a protection passes by accident.
//!
//! Owns: building programs whose protections can be switched off, trying each without each, and
//! the verdict. Must not know: what a protection does. Invariant: what is built here lies in a
//! folder of its own, and is never where anybody would look for the real thing.
//!
//! A protection counts as tested if each test that its row names passes as long as nothing is off,
//! and fails once it is.

mod rows;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use greenroom_sabotage::{Protection, VARIABLE};
use rustix::process::{Pid, Signal, kill_process};

use self::rows::{Program, Test, row};
use self::trial::{Outcome, Trial};
use crate::guests::{self, say};
use crate::products::{self, Product};
use crate::workspace::target;

/// How long the tests of one row may take, if all goes as it should.
const ROW: Duration = Duration::from_secs(90);

/// How long all of them may take beside each other, with nothing off.
const ALL: Duration = Duration::from_secs(300);

/// What is compiled quickly rather than well, a file of settings for cargo.
const QUICK: &str = "xtask/src/sabotage/quick.toml";

/// The programs that the tests run, or have actors execute.
const BINS: &[&str] = &["greenroom", "liar", "villain"];

/// Where what can be sabotaged lies, below `target`.
const FOLDER: &str = "sabotage";

/// Builds what can be sabotaged and tries the protections, or those of them that are named.
pub(crate) fn run(named: &[String]) -> anyhow::Result<ExitCode> {
    let chosen = chosen(named)?;
    guests::build()?;
    let programs = Programs::build()?;
    // What a test without its protection leaves behind then falls to this process.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let began = Instant::now();
    whole(&programs, &chosen)?;
    let verdicts = each(&programs, &chosen)?;
    let width = chosen.iter().map(|protection| protection.name().len()).max().unwrap_or_default();
    for verdict in &verdicts {
        say(&verdict.line(width));
    }
    let (untested, untried): (Vec<_>, Vec<_>) = chosen
        .iter()
        .filter(|one| tests(**one).is_empty())
        .map(|one| (one.name(), row(*one).is_empty()))
        .partition(|(_, untested)| *untested);
    for (name, _) in &untested {
        say(&format!("{name:width$}  UNTESTED"));
    }
    for (name, _) in &untried {
        say(&format!("{name:width$}  skipped: only root can try it"));
    }
    let wrong = untested.len() + verdicts.iter().filter(|verdict| !verdict.is_red()).count();
    say(&format!(
        "{} protections, {} tests, {wrong} amiss, {:.0} s",
        chosen.len(),
        verdicts.len(),
        began.elapsed().as_secs_f64()
    ));
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(named: &[String]) -> anyhow::Result<Vec<Protection>> {
    let known: BTreeMap<_, _> = Protection::ALL.iter().map(|one| (one.name(), *one)).collect();
    for name in named {
        let names: Vec<_> = known.keys().copied().collect();
        ensure!(
            known.contains_key(&**name),
            "there is no protection `{name}`; there are: {}",
            names.join(", ")
        );
    }
    let is_chosen = |one: &Protection| named.is_empty() || named.iter().any(|name| name == one.name());
    Ok(Protection::ALL.iter().copied().filter(is_chosen).collect())
}

/// The programs that hold tests, built so that protections can be switched off.
struct Programs {
    folder: PathBuf,
    tests: BTreeMap<Program, PathBuf>,
}

impl Programs {
    fn build() -> anyhow::Result<Self> {
        let folder = target().join(FOLDER);
        // What is compiled once serves all builds; what comes of it goes where nothing else is.
        let places = [("CARGO_BUILD_BUILD_DIR", target()), ("CARGO_TARGET_DIR", folder.clone())];
        let build = |first: &[&str], last: &[&str]| -> anyhow::Result<Vec<Product>> {
            let mut arguments = first.to_vec();
            arguments.extend(["--release", "--workspace", "--config", QUICK]);
            arguments.extend(["--features", "greenroom-tests/sabotage"]);
            arguments.extend(last);
            products::build(&arguments, &places)
        };
        let bins = BINS.iter().flat_map(|name| ["--bin", name]).collect::<Vec<_>>();
        let program = build(&["build"], &bins)?;
        let program = products::find(&program, "bin", "greenroom", false)?;
        ensure!(program.path.starts_with(&folder), "{} is in the way of others", program.path.display());
        let tests = build(&["test", "--no-run"], &["--lib", "--test", "e2e"])?;
        let mut programs = BTreeMap::new();
        let rows = Protection::ALL.iter().flat_map(|one| row(*one));
        for program in rows.map(|test| test.program).collect::<BTreeSet<_>>() {
            let built = match program {
                Program::EndToEnd => products::find(&tests, "test", "e2e", true)?,
                Program::Unit(name) => products::find(&tests, "lib", name, true)?,
            };
            let place = match program {
                // It looks for the program it runs where cargo would have put it.
                Program::EndToEnd => beside(&folder, &built.path)?,
                Program::Unit(_) => built.path.clone(),
            };
            programs.insert(program, place);
        }
        Ok(Self { folder, tests: programs })
    }

    fn path(&self, program: Program) -> &PathBuf {
        &self.tests[&program]
    }
}

/// Ends what a trial has left behind: it was built here, runs without that trial's protections, and is
/// nobody's any more. Other trials go on beside this.
fn end_leftovers(folder: &Path, trial: &Trial<'_>) {
    let own = std::process::id().to_string();
    let mark = format!("{VARIABLE}={}", trial.names());
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let process = entry.path();
        let ours = fs::read_link(process.join("exe")).is_ok_and(|it| it.starts_with(folder))
            && fs::read(process.join("environ"))
                .is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == mark.as_bytes()));
        let parent = fs::read_to_string(process.join("stat")).ok().and_then(|stat| {
            // `pid (name) state parent …`, where the name may hold anything.
            Some(stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.to_owned())
        });
        let pid = entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
        if let Some(pid) = pid.filter(|_| ours && parent.as_ref() == Some(&own)) {
            // It may have just ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Puts a test program where it finds the other products of its build.
fn beside(folder: &Path, built: &Path) -> anyhow::Result<PathBuf> {
    let deps = folder.join("release/deps");
    fs::create_dir_all(&deps).with_context(|| format!("cannot make {}", deps.display()))?;
    let place = deps.join("e2e");
    // One that is running keeps its file; a copy would write into it.
    let _ = fs::remove_file(&place);
    fs::hard_link(built, &place)
        .or_else(|_| fs::copy(built, &place).map(|_| ()))
        .with_context(|| format!("cannot put {} at {}", built.display(), place.display()))?;
    Ok(place)
}

/// What one test did without one protection.
struct Verdict {
    protection: Protection,
    test: Test,
    outcome: Outcome,
    took: Duration,
}

impl Verdict {
    fn is_red(&self) -> bool {
        match self.outcome {
            Outcome::Failed { .. } => true,
            Outcome::Hung => self.test.hangs,
            Outcome::Passed | Outcome::Missing | Outcome::Ended => false,
        }
    }

    fn line(&self, width: usize) -> String {
        let (word, why) = match &self.outcome {
            Outcome::Failed { reason } => ("red", reason.as_str()),
            Outcome::Hung if self.test.hangs => ("red", "it hangs"),
            Outcome::Hung => ("HUNG", "it was ended, which its row does not expect"),
            Outcome::Passed => ("GREEN", "it does not notice that the protection is off"),
            Outcome::Missing => ("MISSING", "there is no such test"),
            Outcome::Ended => ("ENDED", "its program ended before it had said anything"),
        };
        let (name, test, took) = (self.protection.name(), self.test.name, self.took.as_secs_f64());
        format!("{name:width$}  {word:5} {took:5.1} s  {test}: {why}")
    }
}

/// With nothing off, or nothing but what else keeps the promise, all tests pass: a test that is
/// always red proves nothing.
fn whole(programs: &Programs, chosen: &[Protection]) -> anyhow::Result<()> {
    let tests: BTreeSet<Test> = chosen.iter().flat_map(|one| tests(*one)).collect();
    let mut alike: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for test in &tests {
        // What would hang must be quick as it is, or that it hangs would say nothing.
        let alone = test.hangs.then_some(test.name);
        alike.entry((test.program, test.besides, alone)).or_default().push(*test);
    }
    let mut wrong = Vec::new();
    for ((program, off, alone), tests) in alike {
        let patience = if alone.is_some() { rows::HANGING } else { ALL };
        let trial = Trial { program: programs.path(program), off, patience };
        for (test, outcome) in trial.run(&tests)? {
            match outcome {
                Outcome::Passed => {}
                Outcome::Failed { reason } => wrong.push(format!("{}: {reason}", test.name)),
                Outcome::Hung => wrong.push(format!("{}: not done in {patience:?}", test.name)),
                Outcome::Missing => wrong.push(format!("{}: there is no such test", test.name)),
                Outcome::Ended => wrong.push(format!("{}: its program ended", test.name)),
            }
        }
    }
    ensure!(wrong.is_empty(), "with nothing off every test must pass:\n  {}", wrong.join("\n  "));
    say(&format!("with nothing off, {} tests pass", tests.len()));
    Ok(())
}

/// The tests of a row that can be tried by this user.
fn tests(protection: Protection) -> Vec<Test> {
    let root = rustix::process::geteuid().is_root();
    row(protection).into_iter().filter(|test| root || !test.root).collect()
}

/// Each protection off in turn, a few at a time.
fn each(programs: &Programs, chosen: &[Protection]) -> anyhow::Result<Vec<Verdict>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some(protection) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            let verdicts = one(programs, *protection);
            done.lock().unwrap_or_else(PoisonError::into_inner).insert(protection.name(), verdicts);
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut verdicts = Vec::new();
    for protection in chosen {
        verdicts.extend(done.remove(protection.name()).context("a worker has died")??);
    }
    Ok(verdicts)
}

fn one(programs: &Programs, protection: Protection) -> anyhow::Result<Vec<Verdict>> {
    let mut verdicts = Vec::new();
    for test in tests(protection) {
        let patience = if test.hangs { rows::HANGING } else { ROW };
        let off: Vec<_> = test.besides.iter().copied().chain([protection]).collect();
        let trial = Trial { program: programs.path(test.program), off: &off, patience };
        let began = Instant::now();
        for (test, outcome) in trial.run(&[test])? {
            verdicts.push(Verdict { protection, test, outcome, took: began.elapsed() });
        }
        end_leftovers(&programs.folder, &trial);
    }
    Ok(verdicts)
}
