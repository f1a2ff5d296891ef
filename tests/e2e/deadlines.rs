//! Deadlines: of calls and contexts, inherited along a chain of actors.
//!
//! Owns: clause C9.

use std::time::{Duration, Instant};

use bytes::Bytes;
use greenroom::{CallOptions, RemoteError, payload};
use greenroom_tests::kind::DeadlineExceeded;
use greenroom_tests::{Begun, Command, World, alone, undisturbed, until};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use serde_json::{Value, json};

use crate::talk::{Note, held, open, open_as_host, party};

const LEAF: &[&str] = &["middle", "leaf"];

/// How long what must be over at once may take on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(250);

/// What `stage:pass` and `stage:timed` are called with.
#[derive(Serialize)]
struct Passed {
    path: &'static [&'static str],
    function: &'static str,
    kwargs: ByteBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
}

impl Passed {
    fn to_leaf(function: &'static str, kwargs: &Value) -> Self {
        let kwargs = ByteBuf::from(payload::encode(kwargs).expect("it can be encoded"));
        Self { path: LEAF, function, kwargs, ms: None }
    }

    fn encoded(&self) -> Bytes {
        payload::encode(self).expect("it can be encoded").into()
    }
}

/// A call in the leaf, through root and middle; the root gives the call to the middle so long.
fn timed(world: &World, ms: u64, function: &'static str, kwargs: &Value) -> Begun<ByteBuf> {
    world.call(&[], "stage:timed", &Passed { ms: Some(ms), ..Passed::to_leaf(function, kwargs) })
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    payload::decode(bytes).expect("its type")
}

/// The function whose deadline has passed. It was given so many milliseconds, of which the call's own
/// way may have taken some on a busy machine.
#[track_caller]
fn exceeded(error: &RemoteError, ms: u64) -> String {
    let late: DeadlineExceeded = error.downcast().unwrap_or_else(|| panic!("another failure: {error}"));
    assert!(late.limit_ms <= ms && late.limit_ms + 50 > ms, "{late}");
    late.function
}

/// Along a chain all have the same deadline, and whoever is the first to say so is heard.
#[track_caller]
fn assert_late_somewhere(error: &RemoteError, ms: u64) {
    let function = exceeded(error, ms);
    let chain = ["faults/stage:timed", "stage:pass", "faults:hold"];
    assert!(chain.contains(&function.as_str()), "{function}");
}

fn within(timeout: Duration) -> CallOptions<'static> {
    CallOptions { timeout: Some(timeout), ..CallOptions::default() }
}

#[test]
fn c9_a_deadline_is_inherited_across_three_actors() {
    undisturbed(async |place| {
        let world = World::new(place).await;
        let _middle = world.keep(&[], "middle").await;
        let _leaf = world.keep(&["middle"], "leaf").await;
        let left = timed(&world, 5000, "stage:remaining", &json!({})).await.expect("it can tell");
        let left = decode::<Option<u64>>(&left).expect("it has a deadline");
        assert!(left <= 5000 && left > 4000, "what its callers have used is gone: {left}");
        assert_eq!(
            world.call(LEAF, "stage:remaining", &json!({})).await,
            Ok(None::<u64>),
            "others have none"
        );

        let began = Instant::now();
        let late = timed(&world, 300, "faults:hold", &json!({"key": "k"}));
        held_in_leaf(&world, 1).await;
        let error = late.await.expect_err("it holds for ever");
        let took = began.elapsed();
        assert_late_somewhere(&error, 300);
        assert!(
            took >= Duration::from_millis(300) && took < Duration::from_millis(300) + AT_ONCE,
            "{took:?}"
        );
        until("the tasks are gone", AT_ONCE, async || {
            (world.call(LEAF, "faults:probe", &json!({"key": "k"})).await == Ok(0_u32)).then_some(())
        })
        .await;
        world.end().await;
    });
}

async fn held_in_leaf(world: &World, count: u32) {
    until("it is held", Duration::from_secs(5), async || {
        let held = world.call::<u32>(LEAF, "faults:probe", &json!({"key": "k"})).await;
        (held == Ok(count)).then_some(())
    })
    .await;
}

#[test]
fn c9_a_deadline_is_shortened_and_never_extended() {
    alone(async |place| {
        let world = World::new(place).await;
        let _middle = world.keep(&[], "middle").await;
        let _leaf = world.keep(&["middle"], "leaf").await;
        let hold = json!({"key": "k"});
        let outer = |ms: u64, inner: u64| {
            let passed = Passed { ms: Some(inner), ..Passed::to_leaf("faults:hold", &hold) };
            world.root().call_with("faults/stage:timed", passed.encoded(), within(Duration::from_millis(ms)))
        };
        let began = Instant::now();
        let error = outer(20_000, 200).await.expect_err("the inner call has the shorter one");
        assert_late_somewhere(&error, 200);
        assert!(began.elapsed() < Duration::from_secs(10));
        held_in_leaf(&world, 0).await;

        let error = outer(200, 20_000).await.expect_err("the outer call has the shorter one");
        assert_late_somewhere(&error, 200);
        assert!(began.elapsed() < Duration::from_secs(10));
        held_in_leaf(&world, 0).await;
        world.end().await;
    });
}

#[test]
fn c9_a_call_of_the_hosts_has_a_deadline() {
    alone(async |place| {
        let world = World::new(place).await;
        let hold: Bytes = payload::encode(&json!({"key": "k"})).expect("it can be encoded").into();
        let limit = Duration::from_millis(200);
        let error =
            world.root().call_with("faults/faults:hold", hold, within(limit)).await.expect_err("late");
        assert_eq!(exceeded(&error, 200), "faults/faults:hold");
        until("its task is gone", AT_ONCE, async || {
            (world.call(&[], "faults:probe", &json!({"key": "k"})).await == Ok(0_u32)).then_some(())
        })
        .await;
        let sleep: Bytes = payload::encode(&json!({"ms": 1})).expect("it can be encoded").into();
        let in_time =
            world.root().call_with("faults/faults:sleep_ms", sleep, within(Duration::from_secs(60)));
        assert_eq!(in_time.await.map(|slept| decode::<u64>(&slept)), Ok(1));
        world.end().await;
    });
}

#[test]
fn c9_a_context_has_a_deadline_as_a_whole() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let there = json!([{"Start": 1}, {"Hold": "k"}]);
        let kwargs = json!({"with": "callee", "there": there, "here": ["Outcome"], "timeout_ms": 200});
        let seen: Vec<Note> = world.call(&[], "stage:open", &kwargs).await.expect("it starts");
        let [Note::Began(1), late] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!(exceeded(late.failure(), 200), "talk:play");
        held(&world, &["callee"], "talk", "k", 0).await;
        // One that does not even start in time.
        let kwargs = json!({"with": "callee", "there": [{"Hold": "k"}], "here": [], "timeout_ms": 200});
        let error = world.call::<Vec<Note>>(&[], "stage:open", &kwargs).await.expect_err("it never starts");
        assert_eq!(exceeded(&error, 200), "talk:play");
        held(&world, &["callee"], "talk", "k", 0).await;
        // One without, beside them.
        let seen = open(&world, &[], "callee", &json!([{"Start": 1}]), &json!(["Outcome"])).await;
        assert_eq!(seen, Ok(vec![Note::Began(1), Note::Outcome(vec![Note::Done])]));

        let (context, _) =
            open_as_host(&world, &there, within(Duration::from_millis(200))).await.expect("it starts");
        let error = context.wait_for_result().await.expect_err("it holds for ever");
        assert_eq!(exceeded(&error, 200), "faults/talk:play");
        held(&world, &[], "talk", "k", 0).await;
        world.end().await;
    });
}

#[test]
fn c9_a_task_that_will_not_yield_does_not_hold_up_its_caller() {
    undisturbed(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let began = Instant::now();
        let kwargs = json!({"with": "callee", "there": [{"Start": 1}, "Spin"], "here": ["Outcome"], "timeout_ms": 200});
        let seen: Vec<Note> = world.call(&[], "stage:open", &kwargs).await.expect("it starts");
        assert_eq!(exceeded(seen.last().expect("notes").failure(), 200), "talk:play");
        // The caller may wait for the grace of the task that it has opened, and no longer.
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        // Whoever asks before the old instance is given up is lost with it.
        until("a fresh instance answers", Duration::from_secs(2), async || {
            (world.call(&["callee"], "talk:drops", &json!({})).await == Ok(0_u32)).then_some(())
        })
        .await;
        world.end().await;
    });
}

#[test]
fn c9_the_timeout_of_a_run_is_not_the_deadline_of_a_call() {
    alone(async |place| {
        let run = Command::run(place, "faults", &["function=wait", "deadline_ms=200", "--timeout", "60s"]);
        let done = run.finish(Duration::from_secs(30));
        assert_eq!(done.code, Some(1), "a late call is an error like others: {}", done.stderr);
        assert!(done.stderr.contains("DeadlineExceeded"), "{}", done.stderr);
        let run = Command::run(place, "faults", &["function=wait", "deadline_ms=60000", "--timeout", "1s"]);
        let done = run.finish(Duration::from_secs(30));
        assert_eq!(done.code, Some(124), "{}", done.stderr);
    });
}
