//! One context as its handles and the driver of its link share it.
//!
//! Owns: how far the context has come, what has arrived of its stream and what may be sent. Must
//! not know: pipes, tasks, who waits. Invariant: a context ends once; whatever is waited for
//! here resolves when it does.
//!
//! ```text
//!  caller:  Calling ──Started──► Linked ──Return, Error, lost link──► Ended
//!              └───────────────Return, Error, lost link──────────────►┘
//!  callee:  Calling ──started()──► Linked ──outcome handed over──► Ended
//! ```

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::RemoteError;
use greenroom_abi::kind::{
    ContextProtocol, DeadlineExceeded, Kind, LimitExceeded, StreamClosed, StreamOverrun,
};
use greenroom_wire::{Balance, Config, ContextId, Credit, Outcome, Overrun};

use crate::link::{Command, Link};
use crate::stream::{Batch, StreamOptions};

/// How many bytes of messages that nobody has received one side of a stream holds, beyond which
/// the sender waits. Two large messages fit, so that one is on the way while one is taken.
const WINDOW_BYTES: u64 = 2 << 20;

/// How many bytes of messages are taken out at once, unless the first is larger.
const BATCH_BYTES: usize = 1 << 20;

/// A boxed error, as calls end with.
type Failure = Box<RemoteError>;

/// One context, seen from one side.
#[derive(Debug)]
pub(crate) struct Dialog {
    link: Link,
    function: Box<str>,
    /// Whether the caller wants more than an outcome.
    linked: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// None until the driver has put a call on its way.
    context: Option<ContextId>,
    phase: Phase,
    /// Whether the peer has shown that it runs.
    begun: bool,
    /// The callee's first value, until its caller takes it.
    first: Option<Bytes>,
    /// Whether this side has asked for the end through this very context.
    cancelled: bool,
    opened: bool,
    inlet: Inlet,
    outlet: Outlet,
    /// Who waits for the phase or the outcome to change.
    watchers: Waiters,
}

#[derive(Debug)]
enum Phase {
    Calling,
    Linked,
    /// The outcome is the peer's; none where this side gave it.
    Ended(Option<Outcome>),
}

/// What arrives.
#[derive(Debug, Default)]
struct Inlet {
    queue: VecDeque<Bytes>,
    /// How much the peer may hold out, once this side's stream is open.
    window: Option<Window>,
    /// What was taken out and not yet allowed again.
    owed: Credit,
    /// How many messages were dropped before the first in the queue.
    lost: u64,
    /// Nobody receives any more: what comes is dropped.
    deaf: bool,
    /// Nothing more will come.
    stopped: bool,
    waiters: Waiters,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    capacity: u64,
    overrun: Overrun,
}

/// What is sent.
#[derive(Debug, Default)]
struct Outlet {
    balance: Balance,
    /// The peer's window, once its stream is open.
    window: Option<Window>,
    closed: bool,
    waiters: Waiters,
}

/// Tasks to be woken.
#[derive(Debug, Default)]
struct Waiters(Vec<Waker>);

impl Waiters {
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.0.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.0.push(cx.waker().clone());
        }
    }

    fn wake(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

impl Inlet {
    /// Counts what was taken out, and gives what the peer is to be allowed now. Allowing half a
    /// window at a time costs few messages; a sender that does not wait is told of every place.
    fn consume(&mut self, messages: u64, bytes: usize) -> Option<(Credit, Overrun)> {
        let Window { capacity, overrun } = self.window?;
        self.owed.messages += messages;
        self.owed.bytes += bytes as u64;
        let due = overrun == Overrun::Error
            || self.owed.messages >= capacity.div_ceil(2)
            || self.owed.bytes >= WINDOW_BYTES / 2;
        (due && !self.stopped && self.owed != Credit::default())
            .then(|| (std::mem::take(&mut self.owed), overrun))
    }

    /// Drops what has arrived, and what will.
    fn deafen(&mut self) -> Option<(Credit, Overrun)> {
        self.deaf = true;
        self.lost = 0;
        let (messages, bytes) = (self.queue.len(), self.queue.iter().map(Bytes::len).sum());
        self.queue = VecDeque::new();
        self.waiters.wake();
        if self.window.is_none() {
            let window = Window { capacity: StreamOptions::default().capacity(), overrun: Overrun::Wait };
            self.window = Some(window);
            return Some((window.credit(), window.overrun));
        }
        self.consume(messages as u64, bytes)
    }
}

impl Window {
    fn credit(self) -> Credit {
        Credit { messages: self.capacity, bytes: WINDOW_BYTES }
    }
}

impl Dialog {
    /// A context that is about to be started here.
    pub(crate) fn calling(link: Link, function: &str, linked: bool) -> Arc<Self> {
        Self::new(link, function, linked, None)
    }

    /// A context that the peer has started.
    pub(crate) fn called(link: Link, function: &str, linked: bool, context: ContextId) -> Arc<Self> {
        Self::new(link, function, linked, Some(context))
    }

    fn new(link: Link, function: &str, linked: bool, context: Option<ContextId>) -> Arc<Self> {
        let state = State {
            context,
            phase: Phase::Calling,
            begun: false,
            first: None,
            cancelled: false,
            opened: false,
            inlet: Inlet::default(),
            outlet: Outlet::default(),
            watchers: Waiters::default(),
        };
        Arc::new(Self { link, function: function.into(), linked, state: Mutex::new(state) })
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn function(&self) -> &str {
        &self.function
    }

    pub(crate) fn is_linked(&self) -> bool {
        self.linked
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed<K: Kind>(kind: &K) -> Failure {
        Box::new(RemoteError::of(kind))
    }

    fn misused(&self, reason: &str) -> Failure {
        Self::failed(&ContextProtocol { function: self.function.to_string(), reason: reason.to_owned() })
    }
}

/// What the driver of the link tells.
impl Dialog {
    /// The call is on its way under this number.
    pub(crate) fn number(&self, context: ContextId) {
        self.state().context = Some(context);
    }

    /// The number of the context, if it is still open.
    pub(crate) fn context(&self) -> Option<ContextId> {
        let state = self.state();
        state.context.filter(|_| !matches!(state.phase, Phase::Ended(_)))
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state().phase, Phase::Ended(_))
    }

    /// Ends a context that was never put on its way.
    pub(crate) fn give_up(&self, error: impl FnOnce() -> RemoteError) {
        let waits = self.state().context.is_none();
        if waits {
            self.end(Some(Err(Box::new(error()))));
        }
    }

    /// What it ends with past its deadline, if that was so long from its start.
    pub(crate) fn too_late(&self, given: Duration) -> RemoteError {
        let limit_ms = u64::try_from(given.as_millis()).unwrap_or(u64::MAX);
        RemoteError::of(&DeadlineExceeded { function: self.function.to_string(), limit_ms })
    }

    pub(crate) fn acknowledged(&self) {
        let mut state = self.state();
        state.begun = true;
        state.watchers.wake();
    }

    /// The callee's first value has come.
    pub(crate) fn arrived(&self, first: Bytes) {
        let mut state = self.state();
        state.begun = true;
        state.first = Some(first);
        state.phase = Phase::Linked;
        state.watchers.wake();
    }

    /// A message has come; gives what the peer is to be allowed in return.
    pub(crate) fn deliver(&self, message: Bytes) -> Option<(Credit, Overrun)> {
        let inlet = &mut self.state().inlet;
        if inlet.deaf {
            return inlet.consume(1, message.len());
        }
        let window = inlet.window?;
        if window.overrun != Overrun::DropOldest {
            inlet.queue.push_back(message);
            inlet.waiters.wake();
            return None;
        }
        // The sender never waits for a receiver that drops.
        let size = message.len();
        if inlet.queue.len() as u64 >= window.capacity {
            inlet.queue.pop_front();
            inlet.lost += 1;
        }
        inlet.queue.push_back(message);
        inlet.waiters.wake();
        inlet.consume(1, size)
    }

    /// The peer may be sent more.
    pub(crate) fn allowed(&self, credit: Credit, overrun: Overrun) {
        let outlet = &mut self.state().outlet;
        outlet.balance.add(credit);
        outlet.window.get_or_insert(Window { capacity: credit.messages, overrun });
        outlet.waiters.wake();
    }

    /// The peer will send nothing more.
    pub(crate) fn stopped(&self) {
        let inlet = &mut self.state().inlet;
        inlet.stopped = true;
        inlet.waiters.wake();
    }

    /// The context is over, with the peer's outcome if this side called it.
    pub(crate) fn end(&self, outcome: Option<Outcome>) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Ended(_)) {
            return;
        }
        state.phase = Phase::Ended(outcome);
        state.inlet.stopped = true;
        state.watchers.wake();
        state.inlet.waiters.wake();
        state.outlet.waiters.wake();
    }
}

/// What both sides do with the stream.
impl Dialog {
    /// Opens this side's end of the stream.
    pub(crate) fn open_stream(&self, options: StreamOptions) -> Result<(), Failure> {
        let mut state = self.state();
        if !self.linked {
            return Err(self.misused("it was called with `run`, which has no stream: use `open_context`"));
        }
        if state.opened {
            return Err(self.misused("its stream has been opened already; a closed one is not reopened"));
        }
        if let Phase::Calling = state.phase {
            return Err(self.misused("a stream is opened after `started`"));
        }
        state.opened = true;
        let known = state.inlet.window.is_some();
        let window = Window { capacity: options.capacity(), overrun: options.overrun };
        if !known {
            state.inlet.window = Some(window);
            drop(state);
            self.grant(Some((window.credit(), window.overrun)));
        }
        Ok(())
    }

    /// Hands over a message if the peer has room; false if it has none.
    pub(crate) fn send(&self, message: Bytes) -> Result<bool, Failure> {
        let mut state = self.state();
        self.check_sendable(&state)?;
        let limit = Config::default().max_payload;
        if message.len() > limit {
            return Err(Self::failed(&LimitExceeded {
                limit: "max_payload".to_owned(),
                value: limit as u64,
            }));
        }
        let State { outlet, context: Some(context), .. } = &mut *state else { return Ok(false) };
        if outlet.balance.can_send() {
            outlet.balance.spend(message.len());
            let command = Command::Send { context: *context, message };
            // A link that closes now ends the context, which the next sender learns.
            let _ = self.link.command(command);
            return Ok(true);
        }
        match outlet.window {
            Some(Window { capacity, overrun: Overrun::Error }) => {
                Err(Self::failed(&StreamOverrun { capacity }))
            }
            _ => Ok(false),
        }
    }

    /// Waits until a message can be sent, or will never be again.
    pub(crate) async fn writable(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            let outlet = &state.outlet;
            let refuses = matches!(outlet.window, Some(Window { overrun: Overrun::Error, .. }));
            if outlet.balance.can_send() || refuses || self.check_sendable(&state).is_err() {
                return Poll::Ready(());
            }
            state.outlet.waiters.wait(cx);
            Poll::Pending
        })
        .await;
    }

    fn check_sendable(&self, state: &State) -> Result<(), Failure> {
        match &state.phase {
            Phase::Ended(Some(Err(error))) => Err(error.clone()),
            Phase::Ended(_) => Err(self.closed()),
            _ if state.outlet.closed || state.cancelled => Err(self.closed()),
            _ => Ok(()),
        }
    }

    fn closed(&self) -> Failure {
        Self::failed(&StreamClosed { function: self.function.to_string() })
    }

    /// Takes out what has arrived, at most `max` messages, or how many were dropped before those.
    /// Fails once the context has.
    pub(crate) fn receive(&self, max: usize) -> Result<Batch, Failure> {
        let mut state = self.state();
        if let Phase::Ended(Some(Err(error))) = &state.phase {
            return Err(error.clone());
        }
        let inlet = &mut state.inlet;
        if inlet.lost > 0 {
            return Ok(Batch { lost: std::mem::take(&mut inlet.lost), messages: Vec::new(), ended: false });
        }
        let (mut count, mut bytes) = (0, 0);
        for message in inlet.queue.iter().take(max) {
            if count > 0 && bytes + message.len() > BATCH_BYTES {
                break;
            }
            count += 1;
            bytes += message.len();
        }
        let messages = inlet.queue.drain(..count).collect();
        // One that drops the oldest has allowed the next when this one came.
        let drops = matches!(inlet.window, Some(Window { overrun: Overrun::DropOldest, .. }));
        let allowed = if drops || count == 0 { None } else { inlet.consume(count as u64, bytes) };
        let ended = inlet.queue.is_empty() && (inlet.stopped || inlet.deaf);
        drop(state);
        self.grant(allowed);
        Ok(Batch { lost: 0, messages, ended })
    }

    /// Waits until something has arrived or nothing will any more.
    pub(crate) async fn readable(&self) {
        poll_fn(|cx| {
            let inlet = &mut self.state().inlet;
            if !inlet.queue.is_empty() || inlet.stopped || inlet.deaf {
                return Poll::Ready(());
            }
            inlet.waiters.wait(cx);
            Poll::Pending
        })
        .await;
    }

    /// Ends this side's direction.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        if std::mem::replace(&mut state.outlet.closed, true) {
            return;
        }
        state.outlet.waiters.wake();
        if let Some(context) = state.context.filter(|_| matches!(state.phase, Phase::Linked)) {
            let _ = self.link.command(Command::Stop { context });
        }
    }

    /// Drops what has arrived of the stream and what still will, so that the peer never waits.
    pub(crate) fn discard(&self) {
        let mut state = self.state();
        if !matches!(state.phase, Phase::Linked) || state.inlet.deaf {
            return;
        }
        let allowed = state.inlet.deafen();
        drop(state);
        self.grant(allowed);
    }

    fn grant(&self, allowed: Option<(Credit, Overrun)>) {
        if let (Some((credit, overrun)), Some(context)) = (allowed, self.context()) {
            let _ = self.link.command(Command::Grant { context, credit, overrun });
        }
    }
}

/// What the caller does.
impl Dialog {
    /// Asks the peer's task to end.
    pub(crate) fn cancel(self: &Arc<Self>) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Ended(_)) || std::mem::replace(&mut state.cancelled, true) {
            return;
        }
        state.outlet.waiters.wake();
        drop(state);
        let _ = self.link.command(Command::Cancel { dialog: self.clone() });
    }

    /// Whether [`Dialog::cancel`] was what asked for the end.
    pub(crate) fn was_cancelled(&self) -> bool {
        self.state().cancelled
    }

    /// Waits until the peer has acknowledged the task or ended it.
    pub(crate) async fn begun(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.begun || matches!(state.phase, Phase::Ended(_)) {
                return Poll::Ready(());
            }
            state.watchers.wait(cx);
            Poll::Pending
        })
        .await;
    }

    /// Waits for the callee's first value.
    pub(crate) fn poll_first(&self, cx: &Context<'_>) -> Poll<Outcome> {
        let mut state = self.state();
        if let Some(first) = state.first.take() {
            return Poll::Ready(Ok(first));
        }
        match &state.phase {
            Phase::Ended(Some(Err(error))) => Poll::Ready(Err(error.clone())),
            Phase::Ended(_) => Poll::Ready(Err(self.misused("it returned without calling `started`"))),
            _ => {
                state.watchers.wait(cx);
                Poll::Pending
            }
        }
    }

    /// Waits for the peer's outcome.
    pub(crate) fn poll_outcome(&self, cx: &Context<'_>) -> Poll<Outcome> {
        let mut state = self.state();
        if let Phase::Ended(outcome) = &state.phase {
            return Poll::Ready(outcome.clone().unwrap_or_else(|| Err(self.closed())));
        }
        state.watchers.wait(cx);
        Poll::Pending
    }
}

/// What the callee does.
impl Dialog {
    /// Gives the caller its first value.
    pub(crate) fn started(&self, value: Bytes) -> Result<(), Failure> {
        let mut state = self.state();
        if !self.linked {
            return Err(
                self.misused("it was called with `run`, which takes no first value: use `open_context`")
            );
        }
        match state.phase {
            Phase::Calling => {}
            Phase::Linked => return Err(self.misused("it has called `started` twice")),
            Phase::Ended(_) => return Err(self.closed()),
        }
        let limit = Config::default().max_payload;
        if value.len() > limit {
            return Err(Self::failed(&LimitExceeded {
                limit: "max_payload".to_owned(),
                value: limit as u64,
            }));
        }
        state.phase = Phase::Linked;
        if let Some(context) = state.context {
            let _ = self.link.command(Command::Started { context, value });
        }
        Ok(())
    }
}
