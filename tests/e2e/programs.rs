//! `greenroom run`, from its start to its exit status.
//!
//! Owns: clause A1, and the example programs. Must not know: how bad input is told, which the
//! program's own tests know.

use std::fs;
use std::time::{Duration, Instant};

use greenroom_tests::{Command, Place, Signal, actors, alone, kill, until_now};
use tokio::signal::unix::{SignalKind, signal};

const LONG: Duration = Duration::from_secs(30);

/// How often a tree that is complete for a moment is looked at.
const RUNS: usize = 50;

/// Waits until root, middle and leaf can be called, and gives the leaf's process.
fn await_leaf(command: &Command) -> i32 {
    // A leaf that is still starting is killed when its start is cancelled: it has nothing to end.
    command.await_line("started child=\"leaf\"", LONG);
    let actors = command.actors();
    assert_eq!(actors.len(), 3, "{actors:?}");
    actors.into_iter().find(|(path, _)| path == "middle/leaf").expect("the leaf").1
}

/// A wordcount with work for many seconds, of which some is done.
fn long_wordcount(place: &Place) -> Command {
    let folder = place.folder().join("texts");
    fs::create_dir(&folder).expect("a folder");
    let text = "the quick brown fox jumps over the lazy dog\n".repeat(20_000);
    fs::write(folder.join("0.txt"), text).expect("a file in it");
    for n in 1..2000 {
        fs::hard_link(folder.join("0.txt"), folder.join(format!("{n}.txt"))).expect("another name for it");
    }
    let dir = format!("{}::/texts:ro", folder.display());
    let command = Command::run(place, "wordcount", &["folder=/texts", "--dir", &dir, "--log", "trace"]);
    until_now("every worker has counted something", LONG, || {
        let said = command.stderr();
        (0..4).all(|n| said.contains(&format!("[worker_{n}]"))).then_some(())
    });
    command
}

#[test]
fn a1_squares_runs_one_process_for_each_actor_and_leaves_none() {
    alone(async |place| {
        let values: Vec<String> = (1..=16).map(|n| n.to_string()).collect();
        let vals = format!("vals=[{}]", values.join(","));
        let leaves = (0..4).map(|n| format!("supervisor/leaf_{n}"));
        let expected: Vec<String> =
            ["".to_owned(), "supervisor".to_owned()].into_iter().chain(leaves).collect();
        // All are there together for a few milliseconds only, which a busy machine may let pass
        // between two looks. What is seen is right every time.
        let mut complete = false;
        for _ in 0..RUNS {
            let mut command = Command::run(place, "squares", &[&vals, "leaves=4"]);
            let tree = command.tree().to_owned();
            while command.is_running() {
                let names: Vec<String> = command.actors().into_iter().map(|(path, _)| path).collect();
                assert!(names.iter().all(|name| expected.contains(name)), "{names:?}");
                assert!(names.len() <= expected.len(), "one process for each: {names:?}");
                complete |= names == expected;
            }
            let done = command.finish(LONG);
            assert!(actors(&tree).is_empty(), "at once, as the tree is torn down before the program ends");
            assert_eq!(done.code, Some(0), "{}", done.stderr);
            assert_eq!(done.stdout, "[1,4,9,16,25,36,49,64,81,100,121,144,169,196,225,256]\n");
            assert_eq!(done.stderr, "");
            if complete {
                return;
            }
        }
        panic!("in {RUNS} runs, all actors were never seen together");
    });
}

#[test]
fn a1_an_error_of_main_is_told_with_its_whole_path() {
    alone(async |place| {
        let done = Command::run(place, "failing", &["kind=panic"]).finish(LONG);
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
        let lines: Vec<&str> = done.stderr.lines().collect();
        assert_eq!(lines[0], "error: panic: the vault is empty", "{}", done.stderr);
        assert!(lines[1].starts_with("  path: `leaf` -> `middle` -> `e2e-"), "{}", done.stderr);
        assert!(lines[2].starts_with("  trace: at modules/failing/src/lib.rs:"), "{}", done.stderr);
    });
}

#[test]
fn a1_sigint_ends_wordcount_gracefully() {
    alone(async |place| {
        let mut command = long_wordcount(place);
        assert!(command.is_running(), "there is work left");
        command.signal(Signal::INT);
        let began = Instant::now();
        let tree = command.tree().to_owned();
        let done = command.finish(LONG);
        assert_eq!((done.code, done.stdout.as_str()), (Some(130), ""), "{}", done.stderr);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(done.stderr.ends_with("error: interrupted; every actor was ended\n"), "{}", done.stderr);
        let ends: Vec<&str> = done.stderr.lines().filter(|line| line.contains(": gone ")).collect();
        assert_eq!(ends.len(), 5, "the root and four workers: {ends:?}");
        assert!(ends.iter().all(|line| line.contains("exit status 0")), "none was killed: {ends:?}");
        assert!(actors(&tree).is_empty());
    });
}

/// That a signal ends a program in order, with this status.
fn ends_gracefully(place: &Place, signal: Signal, status: i32) {
    let command = Command::run(place, "faults", &["function=wait", "--log", "trace"]);
    await_leaf(&command);
    command.signal(signal);
    let done = command.finish(LONG);
    assert_eq!(done.code, Some(status), "{}", done.stderr);
    let ends: Vec<&str> = done.stderr.lines().filter(|line| line.contains(": gone ")).collect();
    assert!(ends.len() == 3 && ends.iter().all(|line| line.contains("exit status 0")), "{ends:?}");
}

#[test]
fn a1_sigterm_ends_gracefully_with_143() {
    alone(async |place| ends_gracefully(place, Signal::TERM, 143));
}

#[test]
fn a1_sighup_ends_gracefully_with_129() {
    alone(async |place| {
        // Whoever started the tests may have it ignored, as `nohup` does, and so would all that is
        // started from here; what this process catches is not passed on.
        let _caught = signal(SignalKind::hangup()).expect("it can be caught");
        ends_gracefully(place, Signal::HUP, 129);
    });
}

#[test]
fn a1_a_second_signal_kills_at_once() {
    alone(async |place| {
        place.adopt();
        let command = Command::run(place, "faults", &["function=wait", "--log", "trace"]);
        let leaf = await_leaf(&command);
        // A stopped leaf makes the graceful end take a second.
        kill(leaf, Signal::STOP);
        command.signal(Signal::INT);
        command.await_line("asked to end", LONG);
        let tree = command.tree().to_owned();
        let began = Instant::now();
        command.signal(Signal::INT);
        let done = command.finish(LONG);
        assert_eq!(done.code, Some(130), "{}", done.stderr);
        assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
        until_now("all are gone", Duration::from_secs(1), || {
            greenroom_tests::actors(&tree).is_empty().then_some(())
        });
    });
}

#[test]
fn a1_a_pipe_that_nobody_reads_does_not_hold_up_the_end() {
    alone(async |place| {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let command = Command::run_unread(place, "faults", &["function=flood"]);
            let tree = command.tree().to_owned();
            command.signal(signal);
            let done = command.finish(Duration::from_secs(4));
            assert_eq!(done.code, Some(code));
            assert!(actors(&tree).is_empty());
        }
        let command = Command::run_unread(place, "faults", &["function=flood", "--timeout", "2s"]);
        assert_eq!(command.finish(Duration::from_secs(8)).code, Some(124));
    });
}

#[test]
fn a1_a_timeout_ends_gracefully_with_124() {
    alone(async |place| {
        let command = Command::run(place, "faults", &["function=wait", "--timeout", "1s", "--log", "trace"]);
        await_leaf(&command);
        let done = command.finish(LONG);
        assert_eq!(done.code, Some(124), "{}", done.stderr);
        assert!(
            done.stderr.contains("error: not done within 1s; every actor was ended\n"),
            "{}",
            done.stderr
        );
        let ends: Vec<&str> = done.stderr.lines().filter(|line| line.contains(": gone ")).collect();
        assert!(ends.len() == 3 && ends.iter().all(|line| line.contains("exit status 0")), "{ends:?}");
    });
}

#[test]
fn a1_wordcount_counts_the_words_of_a_granted_folder() {
    alone(async |place| {
        let folder = place.folder().join("texts");
        fs::create_dir_all(folder.join("deep")).expect("a folder");
        fs::write(folder.join("one.txt"), "the fox and the dog").expect("a file");
        fs::write(folder.join("deep/two.md"), "The end.").expect("a file");
        let dir = format!("{}::/texts:ro", folder.display());
        let arguments = ["folder=/texts", "workers=2", "top=2", "--dir", &dir];
        let done = Command::run(place, "wordcount", &arguments).finish(LONG);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert_eq!(done.stdout, "the  3\nand  1\n");
        let denied = Command::run(place, "wordcount", &["folder=/texts"]).finish(LONG);
        assert_eq!(denied.code, Some(1), "no folder was granted: {}", denied.stdout);
    });
}
