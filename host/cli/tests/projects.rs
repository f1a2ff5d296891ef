//! A project from nothing: made, run, changed while it runs.
//!
//! Owns: `greenroom new` and `greenroom dev` end to end. Must not know: what the template says, beyond
//! its greeting. Invariant: the project stands outside this repository, and nothing runs on.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a build may take on a machine that does much else.
const LONG: Duration = Duration::from_secs(600);

/// A project of this test's, in a folder of its own outside this repository.
struct Project {
    home: PathBuf,
    name: String,
}

impl Project {
    fn make() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the repository");
        // The same each time, so that what is compiled for it replaces what was, and another
        // checkout's is another.
        let mut hasher = std::hash::DefaultHasher::new();
        root.hash(&mut hasher);
        let name = format!("project-{:08x}", hasher.finish() >> 32);
        let home = std::env::temp_dir().join(format!("greenroom-{name}"));
        if home.exists() {
            fs::remove_dir_all(&home).expect("removed");
        }
        fs::create_dir(&home).expect("a folder");
        let project = Self { home, name };
        let done = greenroom(&project.home, &["new", &project.name]).output().expect("the program runs");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(said.contains(&format!("cd {} && greenroom run", project.name)), "{said}");
        // What this repository's guests are compiled with need not be compiled again.
        let target = project.folder().join("target");
        fs::create_dir(&target).expect("a folder");
        fs::create_dir_all(root.join("target/guest")).expect("a folder");
        std::os::unix::fs::symlink(root.join("target/guest"), target.join("guest")).expect("a link");
        project
    }

    fn folder(&self) -> PathBuf {
        self.home.join(&self.name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        greenroom(&self.folder(), arguments).output().expect("the program runs")
    }

    /// Replaces a text in its source.
    fn edit(&self, from: &str, to: &str) {
        let file = self.folder().join("src/lib.rs");
        let text = fs::read_to_string(&file).expect("a source");
        assert!(text.contains(from), "{text}");
        fs::write(file, text.replace(from, to)).expect("written");
    }

    /// The processes of its actors.
    fn actors(&self) -> Vec<String> {
        let title = format!("greenroom: {}", self.name);
        let processes = fs::read_dir("/proc").expect("/proc").flatten();
        let lines = processes.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
        lines.filter(|line| line.starts_with(&title)).collect()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // A folder of temporary files that stays is no reason to fail.
        let _ = fs::remove_dir_all(&self.home);
    }
}

fn greenroom(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
    // All that is needed has been downloaded when this repository's guests were built.
    command.args(arguments).current_dir(folder).env("CARGO_NET_OFFLINE", "true");
    command.stdin(Stdio::null());
    command
}

/// A program that runs on, with what it says in a file.
struct Running {
    child: Child,
    said: PathBuf,
}

impl Running {
    fn start(mut command: Command, said: PathBuf) -> Self {
        let file = File::create(&said).expect("a file");
        command.stdout(file.try_clone().expect("a second one")).stderr(file).process_group(0);
        Self { child: command.spawn().expect("it starts"), said }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).expect("text")
    }

    /// Waits until it has said something as often.
    #[track_caller]
    fn await_words(&mut self, words: &str, times: usize) {
        let end = Instant::now() + LONG;
        while self.said().matches(words).count() < times {
            let ended = self.child.try_wait().expect("this process's child");
            assert!(ended.is_none() && Instant::now() < end, "no {words:?}: {}", self.said());
            sleep(Duration::from_millis(50));
        }
    }

    /// Interrupts it, and gives its status.
    fn interrupt(&mut self) -> Option<i32> {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().expect("this process's child") {
                return status.code();
            }
            assert!(Instant::now() < end, "it does not end: {}", self.said());
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_new_project_runs_at_once_and_again_whenever_it_changes() {
    let project = Project::make();
    let done = project.run(&["run"]);
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{complaint}");
    assert!(String::from_utf8_lossy(&done.stdout).starts_with("Hello, World! "), "{done:?}");

    // What is up to date is not built again, and nothing is said of it.
    let done = project.run(&["run", "name=Ada"]);
    assert!(String::from_utf8_lossy(&done.stdout).starts_with("Hello, Ada! "), "{done:?}");
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    let done = project.run(&["check"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");

    let mut dev = Running::start(greenroom(&project.folder(), &["dev"]), project.home.join("said"));
    dev.await_words("Hello, World! ", 1);
    dev.await_words("waiting for changes", 1);
    project.edit("Hello, {name}", "Good day, {name}");
    dev.await_words("Good day, World! ", 1);
    dev.await_words("waiting for changes", 2);

    // What does not build is told, and what runs goes on.
    project.edit("Good day, {name}", "Good day, {nobody}");
    dev.await_words("cannot find value `nobody`", 1);
    dev.await_words("waiting for changes", 3);
    assert_eq!(project.actors().len(), 1, "the root runs on: {:?}", project.actors());
    project.edit("Good day, {nobody}", "Farewell, {name}");
    dev.await_words("Farewell, World! ", 1);

    // A wrong manifest as well.
    let manifest = project.folder().join("greenroom.toml");
    let right = fs::read_to_string(&manifest).expect("a manifest");
    fs::write(&manifest, right.replace("[app]\n", "[app]\nmian = 1\n")).expect("written");
    dev.await_words("unknown key `mian`", 1);
    fs::write(&manifest, right.replace("World", "Moon")).expect("written");
    dev.await_words("Farewell, Moon! ", 1);

    assert_eq!(dev.interrupt(), Some(130), "{}", dev.said());
    assert_eq!(project.actors(), Vec::<String>::new());
}
