//! Two terminals: a daemon in one, and the commands that talk to live actors in the other.
//!
//! Owns: clause E4 as the command line keeps it, and what those commands print. Must not know: how
//! bad input is told, which the program's own tests know.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use greenroom_tests::{Place, Signal, actors, alone, guest, kill, program, until_now};
use serde_json::Value;

const LONG: Duration = Duration::from_secs(30);

/// What a command came to.
#[derive(Debug)]
struct Done {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Done {
    /// The output of a command that went well.
    fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    fn json(self) -> Value {
        serde_json::from_str(&self.well()).expect("JSON")
    }
}

/// A command in the other terminal, with this input, until it ends.
fn greenroom(arguments: &[&str], input: &str) -> Done {
    let mut child = start(arguments, Stdio::piped());
    let mut stdin = child.stdin.take().expect("it was asked for");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let done = child.wait_with_output().expect("it ends");
    Done {
        code: done.status.code(),
        stdout: String::from_utf8(done.stdout).expect("text"),
        stderr: String::from_utf8(done.stderr).expect("text"),
    }
}

fn start(arguments: &[&str], stdin: Stdio) -> Child {
    let mut command = Command::new(program());
    command.args(arguments).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

/// A daemon in the first terminal.
struct Daemon {
    child: Child,
    name: String,
    stdout: BufReader<ChildStdout>,
}

impl Daemon {
    /// Serves the guests of the suite under a name of its own, and waits until it says so.
    fn serve(place: &Place, extra: &[&str]) -> Self {
        Self::named(place, &place.tree(), extra).expect("it serves")
    }

    fn named(place: &Place, name: &str, extra: &[&str]) -> Result<Self, Done> {
        // It is killed in the end, if not before.
        place.adopt();
        let of = |module: &str| format!("{module}={}", guest(module).display());
        let (faults, pingpong) = (of("faults"), of("pingpong"));
        let errors = File::create(place.folder().join(format!("{name}.err"))).expect("a file");
        let mut command = Command::new(program());
        command.args(["serve", &faults, &pingpong, "--name", name, "--allow", "spawn"]).args(extra);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().expect("the program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it was asked for"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it says something, or ends");
        if line.is_empty() {
            let status = child.wait().expect("it has ended");
            let errors = place.folder().join(format!("{name}.err"));
            return Err(Done {
                code: status.code(),
                stdout: line,
                stderr: std::fs::read_to_string(errors).expect("what it complained of"),
            });
        }
        let said = format!("serving {name} (pid {}): ", child.id());
        assert!(line.starts_with(&said), "{line}");
        assert!(line.contains("pingpong/partner:play") || line.contains(" more"), "{line}");
        Ok(Self { child, name: name.to_owned(), stdout })
    }

    fn signal(&self, signal: Signal) {
        kill(self.child.id().cast_signed(), signal);
    }

    fn end(&mut self) -> Option<i32> {
        until_now("the end of the daemon", LONG, || self.child.try_wait().expect("it is a child")).code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn e4_a_daemon_is_found_called_watched_and_ended_from_another_terminal() {
    alone(async |place| {
        let waiting_for = place.tree();
        let waiting = start(&["wait", &waiting_for, "--timeout", "30s"], Stdio::null());
        let mut daemon = Daemon::named(place, &waiting_for, &[]).expect("it serves");
        let name = daemon.name.clone();
        let waited = waiting.wait_with_output().expect("it ends");
        assert!(waited.status.success());
        let waited = String::from_utf8(waited.stdout).expect("text");
        assert!(waited.starts_with(&format!("{name}  ")), "{waited}");
        assert_eq!(greenroom(&["find", &name], "").well(), waited);
        let found = greenroom(&["find", &name, "-o", "json"], "").json();
        assert_eq!((&found["name"], &found["host_pid"]), (&name.as_str().into(), &daemon.child.id().into()));

        // By name, and by the beginning of the uuid.
        assert_eq!(greenroom(&["call", &name, "sleep_ms", "ms=1"], "").well(), "1\n");
        let uuid = &found["uuid"].as_str().expect("text")[..8];
        assert_eq!(greenroom(&["call", uuid, "faults:sleep-ms", "-"], "{\"ms\": 2}").well(), "2\n");
        let failed = greenroom(&["call", &name, "faults:error", "code=7", "text=oh no"], "");
        assert!(failed.code == Some(1) && failed.stderr.contains("oh no"), "{failed:?}");
        let begun = Instant::now();
        let late = greenroom(&["call", &name, "faults/faults:wait", "--timeout", "100ms"], "");
        assert_eq!(late.code, Some(124), "{late:?}");
        assert!(begun.elapsed() < LONG, "the timeout is kept");

        let dialog = greenroom(&["stream", &name, "partner:play"], "\"ping 1\"\n\n\"ping 2\"\n").well();
        let ready = format!("\"`{name}` is ready\"");
        assert_eq!(dialog.lines().collect::<Vec<_>>(), [&ready, "\"pong 1\"", "\"pong 2\"", "2"]);

        // Two children, as long as somebody's call keeps them.
        let mut keeper = start(&["call", &name, "spawn_tree", "depth=1", "fanout=2"], Stdio::null());
        let calling = || greenroom(&["ps", "--tree", &name, "-o", "json"], "").json();
        let all = until_now("both children", LONG, || {
            let told = calling();
            (told[0]["actors"].as_array()?.len() == 3).then_some(told)
        });
        let child = &all[0]["actors"][1];
        assert_eq!(child["path"][1], "node_1_0");
        let table = greenroom(&["ps"], "").well();
        let head: Vec<&str> = table.lines().next().expect("a head").split_whitespace().collect();
        assert_eq!(head, ["NAME", "TREE", "PID", "UPTIME", "TASKS", "MEMORY", "CPU"]);
        assert!(table.contains(&format!("{name}/node_1_1")), "{table}");
        let drawn = greenroom(&["tree", &name], "").well();
        assert!(drawn.contains(&format!("└─ {name}  pid ")) && drawn.contains("   ├─ node_1_"), "{drawn}");
        let below = format!("{name}/node_1_1");
        assert_eq!(greenroom(&["call", &below, "sleep_ms", "ms=3"], "").well(), "3\n");
        let logs = greenroom(&["logs", &name], "").well();
        assert!(logs.contains("tree: ready"), "{logs}");

        // A call that is interrupted takes what it started along.
        kill(keeper.id().cast_signed(), Signal::INT);
        assert_eq!(keeper.wait().expect("it ends").code(), Some(130));
        until_now("the children to be gone", LONG, || {
            let told = calling();
            (told[0]["actors"].as_array()?.len() == 1).then_some(())
        });

        let ended = greenroom(&["cancel", &name], "").well();
        assert_eq!(ended, format!("`{name}` has ended\n"));
        assert_eq!(daemon.end(), Some(0), "another program asked for it");
        assert!(actors(&name).is_empty());
        assert_eq!(greenroom(&["find", &name], "").code, Some(3));
        let mut rest = String::new();
        daemon.stdout.read_line(&mut rest).expect("its output has ended");
        assert_eq!(rest, "", "it says one line");
    });
}

#[test]
fn e3_a_daemon_that_is_killed_is_not_found_any_more() {
    alone(async |place| {
        place.adopt();
        let mut daemon = Daemon::serve(place, &[]);
        let name = daemon.name.clone();
        assert_eq!(greenroom(&["find", &name], "").code, Some(0));
        daemon.signal(Signal::KILL);
        daemon.child.wait().expect("it has ended");
        assert_eq!(greenroom(&["find", &name], "").code, Some(3), "at once");
        let table = greenroom(&["ps"], "").well();
        assert!(!table.contains(&name), "{table}");
    });
}

#[test]
fn e4_a_daemon_ends_gracefully_on_a_signal_and_keeps_its_name_alone() {
    alone(async |place| {
        let mut first = Daemon::serve(place, &["--unique"]);
        let second = Daemon::named(place, &first.name, &[]).err().expect("the name is taken");
        assert_eq!(second.code, Some(1), "{second:?}");
        assert!(second.stderr.contains("NameTaken") && second.stdout.is_empty(), "{second:?}");
        first.signal(Signal::TERM);
        assert_eq!(first.end(), Some(143));
        let again = Daemon::named(place, &first.name, &[]);
        assert!(again.is_ok(), "the name is free");
    });
}

#[test]
fn a_component_is_called_without_any_daemon() {
    alone(async |place| {
        let tree = place.tree();
        let file = place.folder().join(format!("{tree}.wasm"));
        std::os::unix::fs::symlink(guest("faults"), &file).expect("a link to the guest");
        let file = file.display().to_string();
        assert_eq!(greenroom(&["call", &file, "faults:sleep_ms", "ms=4", "-o", "json"], "").well(), "4\n");
        let failed = greenroom(&["call", &file, "panic", "msg=oh no"], "");
        assert!(failed.code == Some(1) && failed.stderr.contains("oh no"), "{failed:?}");
        let bad = greenroom(&["call", &file, "sleep_ms", "ms=soon"], "");
        assert!(bad.code == Some(2) && bad.stderr.contains("`ms`"), "{bad:?}");
        assert!(actors(&tree).is_empty());
    });
}

#[test]
fn a_stream_is_no_faster_than_whoever_reads_it() {
    alone(async |place| {
        let daemon = Daemon::serve(place, &[]);
        // More than the pipe, the program and the stream hold together, of which nothing is read.
        let stream = start(&["stream", &daemon.name, "partner:play"], Stdio::piped());
        let mut stream = Killed(stream);
        let mut stdin = stream.0.stdin.take().expect("it was asked for");
        let ball = format!("\"ping {}\"\n", "x".repeat(1000));
        let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = sent.clone();
        let writer = std::thread::spawn(move || {
            while stdin.write_all(ball.as_bytes()).is_ok() {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        let so_far = || sent.load(std::sync::atomic::Ordering::Relaxed);
        let stuck = until_now("the sender to wait", LONG, || {
            let before = so_far();
            std::thread::sleep(Duration::from_millis(500));
            (before > 0 && so_far() == before).then_some(before)
        });
        assert!(stuck < 20_000, "{stuck} messages found a place somewhere");
        let stdout = stream.0.stdout.take().expect("it was asked for");
        let read = BufReader::new(stdout).lines().take(stuck).map_while(Result::ok).count();
        assert_eq!(read, stuck, "nothing is lost");
        drop(stream);
        writer.join().expect("it ends with its pipe");
    });
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn top_draws_who_is_there_and_gives_the_terminal_back() {
    alone(async |place| {
        let daemon = Daemon::serve(place, &[]);
        let screen = place.folder().join("screen");
        let top = format!("stty rows 20 cols 100; {} top --every 200ms", program().display());
        let mut script = Command::new("script");
        script.args(["-qfec", &top]).arg(&screen).env("TERM", "xterm-256color");
        script.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut script = Killed(script.spawn().expect("`script` of util-linux starts"));
        let drawn = || String::from_utf8_lossy(&std::fs::read(&screen).unwrap_or_default()).into_owned();
        until_now("the name on the screen", LONG, || drawn().contains(&daemon.name).then_some(()));
        assert!(drawn().contains("\u{1b}[?1049h"), "it takes the whole screen");
        let mut keys = script.0.stdin.take().expect("it was asked for");
        keys.write_all(b"mq").expect("the terminal takes keys");
        let status = until_now("the end of top", LONG, || script.0.try_wait().expect("it is a child"));
        assert!(status.success(), "{status}");
        assert!(drawn().contains("\u{1b}[?1049l"), "it gives the screen back");
    });
}
