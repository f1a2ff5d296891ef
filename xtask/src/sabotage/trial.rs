//! Running some tests of a test program, and reading what became of each.
//!
//! Owns: the process, its bound in time, and what libtest prints. Must not know: what is tested.
//! Invariant: a test that has not said that it passed has not.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use greenroom_sabotage::{Protection, VARIABLE};
use rustix::process::{Pid, Signal, kill_process_group};

use super::rows::Test;
use crate::workspace::root;

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed {
        /// The last complaint.
        reason: String,
    },
    /// It was ended.
    Hung,
    /// The program knows no such test.
    Missing,
    /// Its program ended, and had not said what became of it.
    Ended,
}

/// How tests are run.
pub(super) struct Trial<'a> {
    pub(super) program: &'a Path,
    /// The protections that are switched off.
    pub(super) off: &'a [Protection],
    /// After how long they are ended.
    pub(super) patience: Duration,
}

impl Trial<'_> {
    /// What is off, as the variable has it.
    pub(super) fn names(&self) -> String {
        let off: Vec<_> = self.off.iter().map(|protection| protection.name()).collect();
        off.join(",")
    }

    /// Runs tests, beside each other.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub(super) fn run(&self, tests: &[Test]) -> anyhow::Result<Vec<(Test, Outcome)>> {
        let mut child = Command::new(self.program)
            .arg("--exact")
            .args(tests.iter().map(|test| test.name))
            .env(VARIABLE, self.names())
            .current_dir(root())
            // A group of its own, so that nothing of it is left when it is ended.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let mut stdout = child.stdout.take().context("it has an output")?;
        let (said, heard) = mpsc::channel();
        thread::spawn(move || {
            let mut output = Vec::new();
            let _ = stdout.read_to_end(&mut output);
            // Nobody listens any more after a failure that was told already.
            let _ = said.send(String::from_utf8_lossy(&output).into_owned());
        });
        let (output, hung) = match heard.recv_timeout(self.patience) {
            Ok(output) => (output, false),
            Err(RecvTimeoutError::Timeout) => {
                end(child.id());
                (heard.recv_timeout(Duration::from_secs(5)).unwrap_or_default(), true)
            }
            Err(error @ RecvTimeoutError::Disconnected) => return Err(error.into()),
        };
        // What closes its output and goes on is as good as hung.
        end(child.id());
        child.wait().context("its end cannot be waited for")?;
        Ok(tests.iter().map(|test| (*test, outcome(&output, test.name, hung))).collect())
    }
}

fn end(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// What a test program's output tells of one test.
fn outcome(output: &str, test: &str, hung: bool) -> Outcome {
    let said = |word: &str| output.lines().any(|line| line == format!("test {test} ... {word}"));
    let filtered = output.lines().any(|line| line.starts_with("running 0 tests"));
    if said("ok") {
        Outcome::Passed
    } else if said("FAILED") {
        Outcome::Failed { reason: complaint(output, test) }
    } else if hung {
        Outcome::Hung
    } else if filtered || output.contains("test result:") {
        Outcome::Missing
    } else {
        Outcome::Ended
    }
}

/// The last complaint of a test, in one line.
fn complaint(output: &str, test: &str) -> String {
    let from = output.find(&format!("---- {test} stdout ----")).unwrap_or_default();
    let own = &output[from..];
    let own = own[4..].find("\n---- ").map_or(own, |end| &own[..end + 4]);
    let mut lines = own.lines();
    let mut last = "";
    while let Some(line) = lines.next() {
        if line.contains("panicked at ") {
            last = lines.next().unwrap_or_default();
        }
    }
    let short: String = last.trim().chars().take(100).collect();
    if short.is_empty() { "it fails".to_owned() } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "running 3 tests\n\
        test a::one ... ok\n\
        test a::two ... FAILED\n\
        test a::three ... FAILED\n\n\
        failures:\n\n\
        ---- a::two stdout ----\n\
        thread 'main' panicked at tests/harness/alone.rs:1:5:\n\
        a::two: exit status: 101\n\
        thread 'main' panicked at tests/e2e/a.rs:7:9:\n\
        one too many\n\n\
        ---- a::three stdout ----\n\
        thread 'main' panicked at tests/e2e/a.rs:9:9:\n\
        another\n\n\n\
        test result: FAILED. 1 passed; 2 failed\n";

    #[test]
    fn each_test_is_told_by_its_own_line() {
        let failed = |reason: &str| Outcome::Failed { reason: reason.to_owned() };
        for (test, hung, expected) in [
            ("a::one", false, Outcome::Passed),
            ("a::two", false, failed("one too many")),
            ("a::three", false, failed("another")),
            ("a::four", false, Outcome::Missing),
            ("a::four", true, Outcome::Hung),
        ] {
            assert_eq!(outcome(OUTPUT, test, hung), expected, "{test}");
        }
        assert_eq!(outcome("running 1 test\n", "a::one", false), Outcome::Ended);
    }
}
