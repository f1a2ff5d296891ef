//! The example programs, and what each of them prints.
//!
//! Owns: the results of `modules/*`, but for those that the clauses on programs, calls and failures
//! are shown with. Must not know: how they come about.

use std::time::Duration;

use greenroom_tests::{Command, Finished, Place, alone, until_now};

const LONG: Duration = Duration::from_secs(30);

/// Runs an example to its end.
fn run(place: &Place, name: &str, arguments: &[&str]) -> Finished {
    Command::run(place, name, arguments).finish(LONG)
}

/// The lines that a successful run has printed.
fn printed(done: &Finished) -> Vec<&str> {
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.stdout.lines().collect()
}

/// The number between two texts that make up the rest of a line.
fn number(line: &str, before: &str, after: &str) -> u64 {
    let number = line.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number in {line:?}"))
}

#[test]
fn d5_pingpong_goes_to_and_fro_until_one_side_closes() {
    alone(async |place| {
        let done = run(place, "pingpong", &["rounds=3"]);
        assert_eq!(
            printed(&done),
            ["`partner` is ready", "ping 1, pong 1", "ping 2, pong 2", "ping 3, pong 3", "3 balls came back"]
        );
        let none = run(place, "pingpong", &["rounds=0"]);
        assert_eq!(printed(&none), ["`partner` is ready", "0 balls came back"]);
        let many = run(place, "pingpong", &["rounds=1000"]);
        assert_eq!(printed(&many).last(), Some(&"1000 balls came back"));
    });
}

#[test]
fn fanin_merges_two_streams_without_duplicates() {
    alone(async |place| {
        let done = run(place, "fanin", &["limit=20"]);
        assert_eq!(printed(&done), ["2 3 4 6 8 9 10 12 14 15 16 18 20", "13 values; 3 came twice"]);
        // More than any stream holds: the sources have to wait for the root.
        let many = run(place, "fanin", &["limit=6000"]);
        assert_eq!(printed(&many).last(), Some(&"4000 values; 1000 came twice"));
    });
}

#[test]
fn d8_broadcast_reaches_all_and_waits_for_none() {
    alone(async |place| {
        let done = run(place, "broadcast", &["messages=200"]);
        let lines = printed(&done);
        assert_eq!(lines[..2], ["first: 200 received, 0 lost", "second: 200 received, 0 lost"]);
        let [_, _, slow] = lines[..] else { panic!("{lines:?}") };
        let (received, lost) = slow.split_once(", ").expect("both numbers");
        let (received, lost) = (number(received, "slow: ", " received"), number(lost, "", " lost"));
        assert_eq!(received + lost, 200, "each message was received or counted");
        assert!(lost > 0, "nobody has waited for the slow one");
        assert!(received >= 8, "what it may fall behind is not lost");
    });
}

#[test]
fn d9_typed_ends_only_the_context_whose_contract_is_broken() {
    alone(async |place| {
        let done = run(place, "typed", &[]);
        assert_eq!(
            printed(&done),
            [
                "first value: raised at the caller, which declares `bool`",
                "message to the caller: raised at the caller, which declares `bool`",
                "result: raised at the caller, which declares `bool`",
                "message to the callee: raised at the callee, which declares `i64`",
                "message to the callee: raised at the caller, which declares `i64`",
                "kept: 3 squared is 9; 1 in all",
                "beside: 4 squared is 16; 1 in all",
            ]
        );
    });
}

#[test]
fn b7_restart_goes_on_until_the_worker_succeeds() {
    alone(async |place| {
        let done = run(place, "restart", &["crashes=2", "allowed=3", "--log", "info"]);
        assert_eq!(printed(&done), ["attempt 3 has succeeded"], "{}", done.stderr);
        let mut processes: Vec<&str> = done
            .stderr
            .lines()
            .filter_map(|line| line.split_once(" in process "))
            .map(|(_, pid)| pid)
            .collect();
        assert_eq!(processes.len(), 3, "{}", done.stderr);
        processes.sort_unstable();
        processes.dedup();
        assert_eq!(processes.len(), 3, "a new process for each attempt: {}", done.stderr);
        let first = run(place, "restart", &["crashes=0", "allowed=0"]);
        assert_eq!(printed(&first), ["attempt 1 has succeeded"]);
    });
}

#[test]
fn b7_restart_gives_up_past_the_intensity_with_the_history() {
    alone(async |place| {
        let done = run(place, "restart", &["crashes=5", "allowed=2"]);
        assert_eq!(
            printed(&done),
            [
                "`worker` was given up after 2 restarts:",
                "  crash at attempt 1",
                "  crash at attempt 2",
                "  crash at attempt 3",
            ]
        );
    });
}

#[test]
fn b9_primes_are_counted_by_a_cluster() {
    alone(async |place| {
        let command = Command::run(place, "primes", &["limit=1000000", "workers=3"]);
        let expected = ["", "primes.worker_0", "primes.worker_1", "primes.worker_2"];
        until_now("all workers are there", LONG, || {
            command.actors().iter().map(|(path, _)| path.as_str()).eq(expected).then_some(())
        });
        let done = command.finish(LONG);
        let [primes, one, three] = printed(&done)[..] else { panic!("{}", done.stdout) };
        assert_eq!(primes, "78498 primes below 1000000");
        let (one, three) = (number(one, "1 worker: ", " ms"), number(three, "3 workers: ", " ms"));
        assert!(one > 0 && three > 0, "both have been measured");
    });
}

#[test]
fn d3_cancel_ends_one_task_or_the_whole_actor() {
    alone(async |place| {
        let command = Command::run(place, "cancel", &[]);
        let root = command.tree().to_owned();
        let done = command.finish(LONG);
        let cancelled = |name: &str| format!("{name}: ContextCancelled, as asked by `{root}`");
        assert_eq!(
            printed(&done),
            [
                "answering: first, second, third",
                "without second: first, third",
                &cancelled("first"),
                &cancelled("third"),
                "the actor: exit status 0",
            ]
        );
    });
}
