//! Dialogs whose two parties do what a test tells them, one step at a time.
//!
//! Owns: what a party can do, and the notes it takes of it. Must not know: what is tested.
//! Invariant: a step that fails is noted, and the next is taken; a party ends early only where a
//! step says so.

use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use greenroom_guest::prelude::*;
use greenroom_guest::{Subscription, kind};
use serde::{Deserialize, Serialize};

use crate::errors::MyError;
use crate::residency::{self, Held};
use crate::scene::peer;
use crate::stuck::{self, SlowDrop};
use crate::talk;

/// How many numbers the parties of this instance have sent.
static SENT: AtomicU32 = AtomicU32::new(0);

pub(crate) fn sent() -> u32 {
    SENT.load(Ordering::Relaxed)
}

/// What a party does next.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Step {
    /// The callee gives its first value.
    Start(i64),
    /// The callee gives a text as its first value, which is not what it declares.
    StartText(String),
    /// Opens this side's end of the stream.
    Open(u32, Full),
    /// Sends a number.
    Send(i64),
    /// Sends the numbers below this one, until one cannot be sent.
    Count(i64),
    /// Sends a text, which is not what is declared.
    SendText(String),
    /// Receives once.
    Receive,
    /// Receives until the end.
    ReceiveAll,
    /// Sends the numbers below this one and closes, and receives until the end at the same time.
    Exchange(i64),
    /// Subscribes to the stream, with how far the subscription may fall behind.
    Subscribe(usize),
    /// Receives until the end on the subscription of this number.
    Follow(usize),
    /// Ends this side's direction.
    Close,
    /// Drops this side's end of the stream.
    Hangup,
    /// The caller waits for the outcome.
    Outcome,
    /// The caller cancels the context.
    Cancel,
    /// The caller ends the whole actor.
    CancelActor,
    /// Holds something whose drop takes so many milliseconds and is counted by `drops`.
    Guard(u64),
    /// Waits until a test sends a signal under the key.
    Await(String),
    /// Waits for ever, counted under the key for as long as it does.
    Hold(String),
    /// Fails with this number in a `MyError`.
    Fail(u32),
    /// Never yields and never ends.
    Spin,
}

/// What becomes of messages for which a party has no room.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Full {
    /// Their sender waits.
    Wait,
    /// Their sender fails.
    Error,
    /// The oldest is dropped.
    DropOldest,
}

/// What came of a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Note {
    /// The context has started with this value.
    Began(i64),
    /// It is done, and there is nothing to say of it.
    Done,
    /// These came.
    Got(Vec<i64>),
    /// So many were lost.
    Lost(u64),
    /// No more will come.
    End,
    /// What the callee noted.
    Outcome(Vec<Note>),
    /// It failed.
    Failed(Box<RemoteActorError>),
}

impl Note {
    fn failed(error: RemoteActorError) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl From<Result<(), RemoteActorError>> for Note {
    fn from(result: Result<(), RemoteActorError>) -> Self {
        result.map_or_else(Self::failed, |()| Self::Done)
    }
}

/// A party: what it has in its hands, and its notes.
#[derive(Default)]
struct Party {
    stream: Option<MsgStream<i64, i64>>,
    subscriptions: Vec<Subscription<i64>>,
    guards: Vec<SlowDrop>,
    notes: Vec<Note>,
}

impl Party {
    fn note(&mut self, note: impl Into<Note>) {
        self.notes.push(note.into());
    }

    fn opened(&mut self, stream: Result<MsgStream<i64, i64>, RemoteActorError>) {
        let opened = stream.map(|stream| self.stream = Some(stream));
        self.note(opened);
    }

    fn stream(&mut self) -> Result<&mut MsgStream<i64, i64>, Fault> {
        self.stream.as_mut().ok_or_else(|| Fault::msg("the party has no stream"))
    }

    /// Takes a step that both sides can take.
    async fn take(&mut self, step: Step) -> Result<(), Fault> {
        match step {
            Step::Send(number) => {
                let sent = self.stream()?.send(number).await;
                self.note(sent);
            }
            Step::Count(numbers) => {
                let sent = count(self.stream()?, numbers).await;
                self.note(sent);
            }
            Step::SendText(text) => {
                let sent = self.stream()?.send_encoded(encoded(&text)).await;
                self.note(sent);
            }
            Step::Receive => {
                let received = self.stream()?.receive().await;
                self.note(heard(received));
            }
            Step::ReceiveAll => {
                let all = hear(self.stream()?).await;
                self.notes.extend(all);
            }
            Step::Exchange(numbers) => {
                let Some(stream) = self.stream.take() else { fault!("the party has no stream") };
                let (sender, mut receiver) = stream.split();
                let send = async {
                    let sent = sender.send_all(0..numbers).await;
                    sender.close();
                    vec![Note::from(sent)]
                };
                let halves: [Pin<Box<dyn Future<Output = Vec<Note>>>>; 2] =
                    [Box::pin(send), Box::pin(hear(&mut receiver))];
                self.notes.extend(join_all(halves).await.concat());
            }
            Step::Subscribe(capacity) => {
                let subscription = self.stream()?.subscribe_with(capacity);
                self.subscriptions.push(subscription);
                self.note(Ok(()));
            }
            Step::Follow(number) => {
                let Some(subscription) = self.subscriptions.get_mut(number) else {
                    fault!("there is no subscription {number}")
                };
                let all = hear(subscription).await;
                self.notes.extend(all);
            }
            Step::Close => {
                self.stream()?.close();
                self.note(Ok(()));
            }
            Step::Hangup => {
                self.stream = None;
                self.note(Ok(()));
            }
            Step::Guard(ms) => self.guards.push(SlowDrop(Duration::from_millis(ms))),
            Step::Await(key) => {
                residency::signal(key).await;
            }
            Step::Hold(key) => {
                let _held = Held::new(key);
                pending::<()>().await;
            }
            Step::Fail(code) => Err(MyError { code, text: "as told".into() })?,
            Step::Spin => stuck::spin(),
            other => fault!("this side of a context cannot take the step {other:?}"),
        }
        Ok(())
    }
}

/// Sends numbers, and counts those that were sent.
async fn count(stream: &MsgStream<i64, i64>, numbers: i64) -> Result<(), RemoteActorError> {
    for number in 0..numbers {
        stream.send(number).await?;
        SENT.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// A short text in CBOR.
fn encoded(text: &str) -> Vec<u8> {
    assert!(text.len() < 24, "its length fits in the first byte");
    let head = 0x60 | u8::try_from(text.len()).expect("a short text");
    [&[head], text.as_bytes()].concat()
}

fn heard(received: Result<Option<i64>, RemoteActorError>) -> Note {
    match received {
        Ok(Some(number)) => Note::Got(vec![number]),
        Ok(None) => Note::End,
        Err(error) => match error.downcast::<kind::Lagged>() {
            Some(lagged) => Note::Lost(lagged.lost),
            None => Note::failed(error),
        },
    }
}

/// Iterates until the end; what comes in one go makes one note.
async fn hear(mut messages: impl stream::Stream<Item = Result<i64, RemoteActorError>> + Unpin) -> Vec<Note> {
    let mut notes = Vec::new();
    while let Some(received) = messages.next().await {
        match (heard(received.map(Some)), notes.last_mut()) {
            (Note::Got(more), Some(Note::Got(numbers))) => numbers.extend(more),
            (note, _) => notes.push(note),
        }
    }
    if !matches!(notes.last(), Some(Note::Failed(_))) {
        notes.push(Note::End);
    }
    notes
}

fn options(capacity: u32, full: Full) -> StreamOptions {
    let overrun = match full {
        Full::Wait => Overrun::Wait,
        Full::Error => Overrun::Error,
        Full::DropOldest => Overrun::DropOldest,
    };
    StreamOptions::new().capacity(capacity).overrun(overrun)
}

/// The callee: gives its notes.
pub(crate) async fn answer(mut ctx: Context<i64, i64, i64>, steps: Vec<Step>) -> Result<Vec<Note>, Fault> {
    let mut party = Party::default();
    for step in steps {
        match step {
            Step::Start(first) => party.note(ctx.started(first)),
            Step::StartText(text) => party.note(ctx.started_encoded(encoded(&text))),
            Step::Open(capacity, full) => party.opened(ctx.open_stream_with(options(capacity, full))),
            other => party.take(other).await?,
        }
    }
    Ok(party.notes)
}

/// The caller, once the context has started.
async fn lead(
    ctx: &RemoteContext<talk::play>,
    with: &Portal,
    first: i64,
    steps: Vec<Step>,
) -> Result<Vec<Note>, Fault> {
    let mut party = Party { notes: vec![Note::Began(first)], ..Party::default() };
    for step in steps {
        match step {
            Step::Open(capacity, full) => party.opened(ctx.open_stream_with(options(capacity, full))),
            Step::Outcome => {
                let outcome = ctx.wait_for_result().await;
                party.note(outcome.map_or_else(Note::failed, Note::Outcome));
            }
            Step::Cancel => party.note(ctx.cancel().await),
            Step::CancelActor => party.note(with.cancel_actor().await),
            other => party.take(other).await?,
        }
    }
    Ok(party.notes)
}

/// Opens a context with an actor, and gives the caller's notes.
pub(crate) async fn open(
    with: String,
    there: Vec<Step>,
    here: Vec<Step>,
    timeout: Option<Duration>,
) -> Result<Vec<Note>, Fault> {
    let portal = peer(&with).await?;
    let opening = portal.open_context(talk::play { steps: there });
    let opening = match timeout {
        Some(timeout) => opening.timeout(timeout),
        None => opening,
    };
    let (ctx, first) = opening.await?;
    lead(&ctx, &portal, first, here).await
}

/// As `open`, with the caller's part in a scope; gives the callee's notes too.
pub(crate) async fn enclose(
    with: String,
    there: Vec<Step>,
    here: Vec<Step>,
) -> Result<(Vec<Note>, Option<Vec<Note>>), Fault> {
    let portal = peer(&with).await?;
    let opening = portal.open_context(talk::play { steps: there });
    opening.scope(async |ctx, first| lead(ctx, &portal, first, here).await).await
}

/// A part of a contract.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Part {
    /// What the callee starts with.
    First,
    /// What it sends.
    Sends,
    /// What it receives.
    Receives,
    /// What it returns.
    Output,
}

/// Opens a context by name and takes one part of its contract for text; gives what comes of that,
/// and the outcome.
pub(crate) async fn misread(with: String, part: Part, there: Vec<Step>) -> Result<Vec<Note>, Fault> {
    let portal = peer(&with).await?;
    let kwargs = kwargs! { steps: there };
    Ok(match part {
        Part::First => {
            let opening = portal.open_context_from_ns::<String, i64, i64, Vec<Note>>("talk", "play", kwargs);
            vec![opening.await.map_or_else(Note::failed, |_| Note::Done)]
        }
        Part::Sends => {
            let opening = portal.open_context_from_ns::<i64, String, i64, Vec<Note>>("talk", "play", kwargs);
            let (ctx, _first) = opening.await?;
            let received = ctx.open_stream()?.receive().await;
            let outcome = ctx.wait_for_result().await;
            vec![
                received.map_or_else(Note::failed, |_| Note::Done),
                outcome.map_or_else(Note::failed, Note::Outcome),
            ]
        }
        Part::Receives => {
            let opening = portal.open_context_from_ns::<i64, i64, String, Vec<Note>>("talk", "play", kwargs);
            let (ctx, _first) = opening.await?;
            let stream = ctx.open_stream()?;
            let sent = stream.send("a text".into()).await;
            vec![sent.into(), ctx.wait_for_result().await.map_or_else(Note::failed, Note::Outcome)]
        }
        Part::Output => {
            let opening = portal.open_context_from_ns::<i64, i64, i64, String>("talk", "play", kwargs);
            let (ctx, _first) = opening.await?;
            vec![ctx.wait_for_result().await.map_or_else(Note::failed, |_| Note::Done)]
        }
    })
}

/// Has a message of so many MiB sent to a callee that does not receive, and cancels while it is on
/// its way; gives how many milliseconds that took.
pub(crate) async fn pour(with: String, mib: usize) -> Result<u64, Fault> {
    let portal = peer(&with).await?;
    let (ctx, ()) = portal.open_context(talk::sink {}).await?;
    let stream = ctx.open_stream()?;
    stream.send(ByteBuf::from(vec![7; mib << 20])).await?;
    let began = monotonic_now();
    ctx.cancel().await?;
    let took = monotonic_now() - began;
    Ok(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}
