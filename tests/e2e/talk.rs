//! Dialogs between actors, whose parties a test tells what to do: see `dialogs.rs` of the guest.
//!
//! Owns: asking for a dialog, and its notes. Must not know: what is tested.

use std::time::Duration;

use greenroom::{CallOptions, Context, RemoteError, payload};
use greenroom_tests::{Begun, World, until};
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) const SOON: Duration = Duration::from_secs(5);

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) enum Note {
    Began(i64),
    Done,
    Got(Vec<i64>),
    Lost(u64),
    End,
    Outcome(Vec<Note>),
    Failed(Box<RemoteError>),
}

impl Note {
    /// These numbers came.
    pub(crate) fn got(numbers: std::ops::Range<i64>) -> Self {
        Self::Got(numbers.collect())
    }

    /// What failed.
    #[track_caller]
    pub(crate) fn failure(&self) -> &RemoteError {
        match self {
            Self::Failed(error) => error,
            other => panic!("not a failure: {other:?}"),
        }
    }
}

/// The error of a step `Fail`, and of `faults:error`.
#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct MyError {
    pub(crate) code: u32,
    pub(crate) text: String,
}

/// The number in a `MyError`.
#[track_caller]
pub(crate) fn code(error: &RemoteError) -> u32 {
    assert_eq!(error.src_type, "faults::errors::MyError", "{error}");
    let value: MyError = payload::decode(error.value.as_deref().expect("a value")).expect("its type");
    value.code
}

/// Starts a child of the root that can open contexts and answer in them.
pub(crate) async fn party(world: &World, name: &str) -> Begun<()> {
    world.keep_with(&[], name, &["faults", "stage", "talk"], &[], &[]).await.expect("the child starts")
}

/// Has the actor at the end of `path` open a context with `with`; gives the notes of its side.
pub(crate) fn open(
    world: &World,
    path: &[&str],
    with: &str,
    there: &Value,
    here: &Value,
) -> Begun<Vec<Note>> {
    world.call(path, "stage:open", &json!({"with": with, "there": there, "here": here}))
}

/// As `open`, from the root and in a scope; gives the notes of both sides.
pub(crate) fn enclose(
    world: &World,
    with: &str,
    there: &Value,
    here: &Value,
) -> Begun<(Vec<Note>, Option<Vec<Note>>)> {
    world.call(&[], "stage:enclose", &json!({"with": with, "there": there, "here": here}))
}

/// Opens a context with the root, with the test as the caller.
pub(crate) async fn open_as_host(
    world: &World,
    there: &Value,
    options: CallOptions<'_>,
) -> Result<(Context, i64), Box<RemoteError>> {
    let kwargs = payload::encode(&json!({"steps": there})).expect("it can be encoded");
    let (context, first) = world.root().open_context("faults/talk:play", kwargs.into(), options).await?;
    Ok((context, payload::decode(&first).expect("a number")))
}

/// What the callee of the host noted.
pub(crate) fn notes(result: &[u8]) -> Vec<Note> {
    payload::decode(result).expect("notes")
}

/// Lets a party go on that waits for a signal: `module` is `stage` for one that has opened the
/// context, `talk` for one that answers.
pub(crate) async fn signal(world: &World, path: &[&str], module: &str, key: &str) {
    until(&format!("somebody waits for `{key}`"), SOON, async || {
        let sent = world.call(path, &format!("{module}:send_signal"), &json!({"key": key, "value": 1})).await;
        (sent == Ok(true)).then_some(())
    })
    .await;
}

/// How many parties of an instance hold a key now.
pub(crate) async fn probe(world: &World, path: &[&str], module: &str, key: &str) -> u32 {
    let held = world.call(path, &format!("{module}:probe"), &json!({"key": key})).await;
    held.expect("it can tell")
}

/// Waits until so many parties hold a key.
pub(crate) async fn held(world: &World, path: &[&str], module: &str, key: &str, count: u32) {
    until(&format!("{count} parties hold `{key}`"), SOON, async || {
        (probe(world, path, module, key).await == count).then_some(())
    })
    .await;
}
