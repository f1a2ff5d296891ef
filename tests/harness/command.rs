//! The `greenroom` program, as a user starts it.
//!
//! Owns: a running command and what it says. Must not know: what it is to say.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::alone::Place;
use crate::artifact::{guest, program};
use crate::process::{Signal, actors, kill};
use crate::wait::until_now;

/// A running command.
#[derive(Debug)]
pub struct Command {
    child: Child,
    tree: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its status, unless a signal killed it.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// What it wrote.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Command {
    /// `greenroom run` of a guest of this repository, in a tree of a name of its own.
    pub fn run(place: &Place, name: &str, arguments: &[&str]) -> Self {
        let tree = place.tree();
        // A tree is called as its application's file.
        let module = place.folder().join(format!("{tree}.wasm"));
        std::os::unix::fs::symlink(guest(name), &module).expect("a link to the guest");
        let file = |kind: &str| place.folder().join(format!("{tree}.{kind}"));
        let (stdout, stderr) = (file("out"), file("err"));
        let complaints = File::create(&stderr).expect("a file for its complaints");
        let child = Self::spawn(&module, arguments, &stdout, complaints.into());
        Self { child, tree, stdout, stderr }
    }

    /// As [`Command::run`], with a pipe for its complaints that nobody reads. Waits until the
    /// pipe takes no more.
    ///
    /// # Panics
    /// If it does not complain enough.
    pub fn run_unread(place: &Place, name: &str, arguments: &[&str]) -> Self {
        let tree = place.tree();
        let module = place.folder().join(format!("{tree}.wasm"));
        std::os::unix::fs::symlink(guest(name), &module).expect("a link to the guest");
        let file = |kind: &str| place.folder().join(format!("{tree}.{kind}"));
        let (stdout, stderr) = (file("out"), file("err"));
        let child = Self::spawn(&module, arguments, &stdout, Stdio::piped());
        let pipe = child.stderr.as_ref().expect("it was asked for");
        let size = rustix::pipe::fcntl_getpipe_size(pipe).expect("a pipe has a size");
        let size = u64::try_from(size).expect("no less than nothing");
        until_now("the pipe takes no more", Duration::from_secs(30), || {
            let waiting = rustix::io::ioctl_fionread(pipe).expect("a pipe tells what waits in it");
            // The last page is not filled by lines that do not fit.
            (waiting + 4096 > size).then_some(())
        });
        Self { child, tree, stdout, stderr }
    }

    fn spawn(module: &Path, arguments: &[&str], stdout: &Path, stderr: Stdio) -> Child {
        std::process::Command::new(program())
            .arg("run")
            .args(["--allow", "spawn,clock,random"])
            .arg(module)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(stdout).expect("a file for its output"))
            .stderr(stderr)
            .spawn()
            .expect("the program starts")
    }

    /// The name of its tree, and of its root actor.
    pub fn tree(&self) -> &str {
        &self.tree
    }

    /// Its actors that are there now, by the path below the root's name (`""` for the root).
    pub fn actors(&self) -> Vec<(String, i32)> {
        let root = format!("{0}/{0}", self.tree);
        let below =
            |place: String| place.strip_prefix(&root).map(|path| path.trim_start_matches('/').to_owned());
        actors(&root).into_iter().filter_map(|(place, pid)| Some((below(place)?, pid))).collect()
    }

    /// What it has complained of so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Waits until it has complained of something, or logged it.
    ///
    /// # Panics
    /// If it does not within `limit`.
    pub fn await_line(&self, words: &str, limit: Duration) {
        until_now(&format!("`{words}` in the log"), limit, || self.stderr().contains(words).then_some(()));
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is this process's child").is_none()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it has been waited for.
    pub fn signal(&self, signal: Signal) {
        kill(self.child.id().cast_signed(), signal);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not come within `limit`; the command is then killed.
    pub fn finish(mut self, limit: Duration) -> Finished {
        let status = until_now(&format!("the end of {self:?}"), limit, || {
            self.child.try_wait().expect("it is this process's child")
        });
        Finished {
            code: status.code(),
            signal: status.signal(),
            stdout: read(&self.stdout),
            stderr: read(&self.stderr),
        }
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}
