//! The two sides of a context, and what each of them sees.
//!
//! Owns: playing a script on both sides, and judging what comes of it. Must not know: what is done
//! to actors and pipes, beyond whether anything was. Invariant: what is found to be wrong is
//! noted, whoever waits for its finder.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::RemoteError;
use greenroom_abi::kind::{
    ActorDied, ContextCancelled, ContextProtocol, DeadlineExceeded, Lagged, LimitExceeded, StreamOverrun,
};
use tokio::time::{Instant, sleep, timeout};

use super::super::kit::*;
use super::script::{Begin, Callee, End, Leave, Script, Talk};
use crate::{CallOptions, Context, MsgStream, Outcome, Portal, Subscription, Task};

/// The function that plays the callee of whichever script it is called with.
pub(super) const FUNCTION: &str = "leaf:play";

/// How long a caller of [`Leave::Watch`] does so.
const WATCH: Duration = Duration::from_millis(300);

/// What all players of a schedule know; clones are the same.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    entries: Vec<Entry>,
    /// Whether something was done to an actor or a pipe.
    harmed: bool,
    wrongs: Vec<String>,
}

struct Entry {
    script: Script,
    /// How many tasks have begun.
    runs: usize,
    /// How many outcomes the caller was given.
    outcomes: usize,
    /// What the caller has sent, and what the callee.
    sent: [u64; 2],
    /// Whether the caller has asked for the end of the context, or for no more messages.
    cancelled: bool,
    drained: bool,
}

/// Who sends, as an index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Caller,
    Callee,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

impl Ledger {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().expect("not poisoned")
    }

    /// Notes that something was done to an actor or a pipe.
    pub(super) fn harm(&self) {
        self.pages().harmed = true;
    }

    pub(super) fn wrong(&self, what: String) {
        self.pages().wrongs.push(what);
    }

    pub(super) fn wrongs(&self) -> Vec<String> {
        std::mem::take(&mut self.pages().wrongs)
    }

    /// Enters a script under the next number.
    pub(super) fn enter(&self, script: Script) -> Line {
        let entries = &mut self.pages().entries;
        let entry = Entry { script, runs: 0, outcomes: 0, sent: [0; 2], cancelled: false, drained: false };
        entries.push(entry);
        Line { ledger: self.clone(), number: entries.len() - 1 }
    }

    /// How often each context that was waited for has ended, and how many tasks it was.
    pub(super) fn counts(&self) -> Vec<(usize, usize)> {
        self.pages().entries.iter().map(|entry| (entry.outcomes, entry.runs)).collect()
    }
}

/// One entry of the ledger.
#[derive(Clone)]
pub(super) struct Line {
    ledger: Ledger,
    number: usize,
}

impl Line {
    fn with<T>(&self, look: impl FnOnce(&mut Entry) -> T) -> T {
        look(&mut self.ledger.pages().entries[self.number])
    }

    fn script(&self) -> Script {
        self.with(|entry| entry.script.clone())
    }

    fn wrong(&self, what: impl std::fmt::Display) {
        let script = self.script();
        self.ledger.wrong(format!("context {}: {what}, of {script:?}", self.number));
    }

    fn kwargs(&self) -> Bytes {
        let padding = self.with(|entry| entry.script.size);
        let mut kwargs = (self.number as u64).to_be_bytes().to_vec();
        kwargs.resize(8 + padding, 0x41);
        kwargs.into()
    }

    fn value(&self) -> Bytes {
        Bytes::from(format!("value of {}", self.number))
    }

    fn first(&self) -> Bytes {
        Bytes::from(format!("first of {}", self.number))
    }
}

/// The task of a context.
pub(super) async fn callee(ledger: Ledger, task: Task, kwargs: Bytes) -> Outcome {
    let number = kwargs[..8].try_into().expect("eight bytes");
    let number = usize::try_from(u64::from_be_bytes(number)).expect("fits");
    let line = Line { ledger, number };
    if line.kwargs() != kwargs {
        line.wrong("its arguments have changed");
    }
    line.with(|entry| entry.runs += 1);
    let script = line.script();
    if script.callee.stubborn {
        return play(&line, &task, &script.callee, script.linked).await;
    }
    tokio::select! {
        biased;
        by = task.cancelled() => Err(Box::new(crate::dispatch::cancelled(task.function(), &by))),
        outcome = play(&line, &task, &script.callee, script.linked) => outcome,
    }
}

async fn play(line: &Line, task: &Task, script: &Callee, linked: bool) -> Outcome {
    sleep(Duration::from_millis(script.late_ms)).await;
    let times = match script.begin {
        _ if !linked => 0,
        Begin::Never => 0,
        Begin::Once => 1,
        Begin::Twice => 2,
    };
    for _ in 0..times {
        task.started(line.first())?;
    }
    let mut kept = None;
    if let Some(talk) = script.talk.as_ref().filter(|_| times > 0) {
        let stream = Arc::new(task.open_stream(talk.options)?);
        let patience = Duration::from_millis(script.patience_ms);
        let _ = timeout(patience, converse(line, Side::Callee, &stream, talk)).await;
        kept = Some(stream);
    }
    match script.end {
        End::Never => std::future::pending::<()>().await,
        End::Fail => return failure("no"),
        End::Value => {}
    }
    drop(kept);
    Ok(line.value())
}

/// Sends and receives, each as far as the script says.
async fn converse(line: &Line, side: Side, stream: &Arc<MsgStream>, talk: &Talk) {
    let send = async {
        for _ in 0..talk.sends {
            if !say(line, side, stream, talk.size).await {
                return;
            }
            pause(talk.send_pause_ms).await;
        }
        if talk.closes {
            stream.close();
        }
    };
    let ears: Vec<_> = match talk.subscribers {
        0 => vec![Ear::Stream(stream.clone())],
        count => (0..count).map(|_| Ear::Subscription(stream.subscribe(4))).collect(),
    };
    // One is slower than the other.
    let receive = ears.into_iter().zip(1..).map(|(ear, times)| {
        let wait = talk.receive_pause_ms * times;
        hear(line, side, ear, talk.receives, wait)
    });
    let receive = futures_util::future::join_all(receive);
    tokio::join!(send, receive);
}

async fn pause(ms: u64) {
    if ms > 0 {
        sleep(Duration::from_millis(ms)).await;
    }
}

/// Sends the next message, once there is room for it; false if that will never be.
async fn say(line: &Line, side: Side, stream: &MsgStream, size: usize) -> bool {
    loop {
        let number = line.with(|entry| entry.sent[side as usize]);
        let mut message = number.to_be_bytes().to_vec();
        message.resize(8 + size, 0x42);
        match stream.send(message.into()).await {
            Ok(()) => {
                line.with(|entry| entry.sent[side as usize] += 1);
                return true;
            }
            Err(error) if error.is::<StreamOverrun>() => sleep(Duration::from_millis(2)).await,
            Err(_) => return false,
        }
    }
}

/// The ways to receive.
enum Ear {
    Stream(Arc<MsgStream>),
    Subscription(Subscription),
}

impl Ear {
    async fn receive(&mut self) -> Result<Option<Bytes>, Box<RemoteError>> {
        match self {
            Self::Stream(stream) => stream.receive().await,
            Self::Subscription(subscription) => subscription.receive().await,
        }
    }
}

/// Receives at most `stop` times, and sees that nothing is missing that is not known to be lost.
async fn hear(line: &Line, side: Side, mut ear: Ear, stop: u64, wait: u64) {
    let sender = side.other();
    let mut expected = 0;
    for _ in 0..stop {
        match ear.receive().await {
            Ok(Some(message)) => {
                let number = u64::from_be_bytes(message[..8].try_into().expect("eight bytes"));
                if number != expected {
                    line.wrong(format!("message {number} has come instead of {expected}"));
                }
                expected = number + 1;
            }
            Ok(None) => {
                let (sent, drained) = line.with(|entry| (entry.sent[sender as usize], entry.drained));
                // Who drains the stream receives nothing more.
                if expected != sent && !(side == Side::Caller && drained) {
                    line.wrong(format!("the stream has ended behind {expected} of {sent} messages"));
                }
                return;
            }
            Err(error) => match error.kind::<Lagged>() {
                Some(Lagged { lost }) => expected += lost,
                None => return,
            },
        }
        let sent = line.with(|entry| entry.sent[sender as usize]);
        if expected > sent {
            line.wrong(format!("{expected} messages have come or are lost, of {sent}"));
        }
        pause(wait).await;
    }
}

/// The caller of a context, from its start to its end.
pub(super) async fn caller(line: Line, portal: Portal) {
    let script = line.script();
    let begun = Instant::now();
    let options = CallOptions { timeout: script.timeout_ms.map(Duration::from_millis), within: None };
    if !script.linked {
        let outcome = portal.call_with(FUNCTION, line.kwargs(), options);
        drop(portal);
        return judge(&line, begun, &outcome.await);
    }
    let opening = portal.open_context(FUNCTION, line.kwargs(), options);
    // The last portal to an actor may well be gone before its contexts are.
    drop(portal);
    let (context, first) = match opening.await {
        Ok(opened) => opened,
        Err(error) => return judge(&line, begun, &Err(error)),
    };
    if first != line.first() {
        line.wrong("its first value is another's");
    }
    let mut kept = None;
    if let Some(talk) = &script.caller.talk {
        let stream = match context.open_stream(talk.options) {
            Ok(stream) => Arc::new(stream),
            Err(error) => return line.wrong(format!("its stream cannot be opened: {error}")),
        };
        let patience = Duration::from_millis(script.caller.patience_ms);
        let conversed = async {
            tokio::select! {
                biased;
                () = converse(&line, Side::Caller, &stream, talk) => {}
                _ = context.failed() => {}
            }
        };
        let _ = timeout(patience, conversed).await;
        kept = Some(stream).filter(|_| script.caller.keeps);
    }
    leave(&line, begun, &context, script.caller.leave).await;
    drop(kept);
}

async fn leave(line: &Line, begun: Instant, context: &Context, leave: Leave) {
    match leave {
        Leave::Drop => return,
        Leave::Watch => match timeout(WATCH, context.failed()).await {
            Ok(error) => return judge(line, begun, &Err(error)),
            Err(_) => return,
        },
        Leave::Wait => {}
        Leave::Abandon => {
            line.with(|entry| entry.cancelled = true);
            context.abandon();
        }
        Leave::Cancel => {
            line.with(|entry| entry.cancelled = true);
            if let Err(error) = context.cancel().await {
                let harmed = line.ledger.pages().harmed;
                // It is bounded, whether there was an answer or not.
                if !(harmed && error.is::<DeadlineExceeded>()) {
                    judge(line, begun, &Err(error));
                    line.with(|entry| entry.outcomes -= 1);
                }
            }
        }
    }
    line.with(|entry| entry.drained = true);
    let outcome = context.wait_for_result().await;
    judge(line, begun, &outcome);
    if context.wait_for_result().await != outcome {
        line.wrong("it has another outcome the second time");
    }
}

/// Whether an outcome is one that the script may have, with what was done to it.
fn judge(line: &Line, begun: Instant, outcome: &Outcome) {
    let elapsed = begun.elapsed();
    let harmed = line.ledger.pages().harmed;
    let (script, cancelled, runs) = line.with(|entry| {
        entry.outcomes += 1;
        (entry.script.clone(), entry.cancelled, entry.runs)
    });
    let Script { linked, timeout_ms, callee, .. } = script;
    let given = timeout_ms.map(Duration::from_millis);
    let begins = !linked || callee.begin == Begin::Once;
    let honest = match outcome {
        Ok(value) => {
            let whole = begins && callee.end == End::Value && runs == 1;
            whole && *value == line.value()
        }
        Err(error) if error.message == "no" => callee.end == End::Fail && runs == 1,
        Err(error) if error.is::<ContextProtocol>() => !begins && runs == 1,
        Err(error) if error.is::<DeadlineExceeded>() => given.is_some_and(|given| elapsed >= given),
        Err(error) if error.is::<ContextCancelled>() => cancelled || harmed,
        Err(error) if error.is::<ActorDied>() => harmed,
        Err(error) if error.src_type == "StartTimeout" => harmed,
        Err(error) => error.is::<LimitExceeded>(),
    };
    if !honest {
        line.wrong(format!("it ended after {elapsed:?}, harmed: {harmed}, with {outcome:?}"));
    }
    // A value may have been there long before anybody has looked.
    let late = |given: &Duration| !harmed && outcome.is_err() && elapsed > *given + SLACK;
    if let Some(given) = given.filter(late) {
        line.wrong(format!("it ended {elapsed:?} after its start, {given:?} were allowed: {outcome:?}"));
    }
}

/// What the clock's grain makes of a deadline.
const SLACK: Duration = Duration::from_millis(2);
