//! One pipe to one peer: drives the session, carries calls out and tasks in.
//!
//! Owns: reading, writing, the timer, and which call or task belongs to which context. Must
//! not know: what functions do. Invariant: each context of a link ends once, also when the pipe
//! breaks in the middle of it.
//!
//! ```text
//!   Running ──end of file, broken pipe, violation──► Dying ──exit notice or timeout──► Closed
//!      └────────────────────goodbye flushed──────────────────────────────────────────────►┘
//! ```

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use foldhash::fast::RandomState;
use greenroom_abi::RemoteError;
use greenroom_abi::kind::{ContextCancelled, PeerMisbehaved};
use greenroom_transport::Pipe;
use greenroom_wire::{
    Config, ContextId, Event, Outcome, Output, Parts, Payload, Role, Session, StartOptions, frame,
};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::task::unconstrained;
use tokio::time::{Sleep, timeout_at};

use crate::actor::Actor;
use crate::blocks::Blocks;
use crate::clock::System;
use crate::dialog::{Dialog, UNSENT_BYTES};
use crate::dispatch::Incoming;
use crate::lending::Desk;
use crate::link::{Command, Link};
use crate::patience::Patience;
use crate::portion::Portion;
use crate::spent::Spent;
use crate::task::Task;

/// How much is read before what was read is handled. One socket buffer's worth.
const READ_BYTES: usize = 64 * 1024;

/// From which size on a frame is read into a block of its own, where its payload stays.
const LARGE_FRAME: usize = 2 * READ_BYTES;

/// The largest frame taken: a message of 1 MiB, with what stands around it.
const MAX_FRAME: usize = (1 << 20) + READ_BYTES;

/// How much is encoded before it is written.
const WRITE_BYTES: usize = 64 * 1024;

/// How much is written before others have their turn, however fast the peer reads.
const WRITE_MOST: usize = MAX_FRAME;

/// What one poll may read and write, in turns. Whatever it has brought waits for its end, and so do
/// other links: two buffers take less than a task's wake-up and can be waited for.
const TURNS: usize = 2;

/// What the timer is set to that is not to fire.
const NEVER: Duration = Duration::from_hours(24 * 365);

/// The one task that touches the pipe and the session.
pub(crate) struct Driver {
    session: Session,
    pipe: Pipe,
    commands: mpsc::UnboundedReceiver<Command>,
    input: BytesMut,
    /// What is read into otherwise, while a large frame comes.
    aside: BytesMut,
    output: Parts,
    calls: HashMap<ContextId, Arc<Dialog>, RandomState>,
    /// Contexts whose callers will be told of the peer's death once the pipe has ended.
    casualties: Vec<Arc<Dialog>>,
    tasks: HashMap<ContextId, Task, RandomState>,
    /// Contexts whose sender waits until the peer has read on.
    settling: Vec<ContextId>,
    spent: Spent,
    blocks: Blocks,
    desk: Desk,
    /// Whether to leave once no context is open.
    retiring: bool,
    /// Polled whenever it is set, and then it wakes the driver's task.
    timer: Pin<Box<Sleep>>,
    patience: Patience,
    portion: Portion,
    actor: Actor,
    link: Link,
}

/// Why the pipe is of no more use.
enum Broken {
    /// The peer closed it, or the kernel did.
    Ended,
    /// The peer reads no more, but what it wrote before it closed is still to be read.
    Unwritable,
    /// What came through it breaks the protocol.
    Violated(String),
    /// Both sides have said goodbye.
    Parted,
}

impl Driver {
    pub(crate) fn new(
        actor: Actor,
        link: Link,
        pipe: Pipe,
        role: Role,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let usual = Config::default();
        let config = Config {
            // One of a family may take its end of the pipe late, where the machine is busy or the process was
            // stopped: it is there nevertheless, and what is called meanwhile has a bound of its own.
            handshake_timeout: usual.handshake_timeout.filter(|_| !link.is_within_family()),
            start_timeout: actor.limits().start,
            max_sent: link.max_sent(),
            max_frame: MAX_FRAME,
            ..usual
        };
        let desk = Desk::new(&pipe, actor.lenders(), link.lending());
        Self {
            session: Session::new(role, config, now()).with_lender(desk.lender()),
            pipe,
            commands,
            input: BytesMut::new(),
            aside: BytesMut::new(),
            output: Parts::default(),
            calls: HashMap::default(),
            casualties: Vec::new(),
            tasks: HashMap::default(),
            settling: Vec::new(),
            spent: Spent::default(),
            blocks: Blocks::default(),
            desk,
            retiring: false,
            timer: Box::pin(tokio::time::sleep_until((now() + NEVER).into())),
            patience: Patience::default(),
            portion: Portion::default(),
            actor,
            link,
        }
    }

    /// Drives the pipe to its end.
    pub(crate) async fn run(mut self) {
        let broken = poll_fn(|cx| self.poll(cx)).await;
        let until = tokio::time::Instant::now() + self.actor.limits().obituary;
        if let Broken::Unwritable = broken {
            let _ = timeout_at(until, poll_fn(|cx| self.poll_rest(cx))).await;
        }
        let error = match broken {
            Broken::Violated(violation) => {
                tracing::error!(peer = %self.link.peer(), violation, "the peer broke the protocol");
                let error = RemoteError::of(&PeerMisbehaved { violation });
                self.link.violated(error.clone());
                error
            }
            // Only a call that is still open is worth the wait for how the peer died.
            Broken::Ended | Broken::Unwritable | Broken::Parted => {
                if !self.calls.is_empty() || !self.casualties.is_empty() {
                    let _ = timeout_at(until, self.link.exited()).await;
                }
                self.link.obituary()
            }
        };
        self.commands.close();
        self.session.handle_disconnect(&error);
        self.handle_events(usize::MAX);
        for dialog in self.casualties {
            dialog.end(Some(Err(Box::new(error.clone()))));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        for turn in 0..TURNS {
            let mut progress = false;
            // The first turn has said whom to wake.
            if turn == 0 || !self.commands.is_empty() {
                while let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
                    self.handle_command(command);
                    progress = true;
                }
            }
            if self.retiring && self.session.open_contexts() == 0 {
                self.session.goodbye("nobody has a portal to the actor any more");
            }
            let mut again = false;
            match self.poll_output(cx) {
                Ok(wrote) => {
                    if wrote && self.session.open_contexts() == 0 {
                        // Who has had its last answer often asks at once.
                        self.pipe.hurry();
                        again = self.retiring;
                    }
                    progress |= wrote;
                }
                Err(broken) => return Poll::Ready(broken),
            }
            self.settle();
            self.link.room().look(|| self.session.unsent_in_all() + self.output.size());
            self.spent.sweep(|block| self.blocks.put(block, now()));
            // What has been read comes first.
            match if self.session.has_events() { Ok(true) } else { self.poll_input(cx) } {
                Ok(read) => {
                    again |= read;
                    progress |= read;
                }
                Err(broken) => {
                    // The session's last frame says why; a peer that cannot take it now never will.
                    if let Broken::Violated(_) = broken {
                        let _ = self.poll_output(cx);
                    }
                    return Poll::Ready(broken);
                }
            }
            let called = self.handle_portion();
            if progress {
                self.patience.worked();
            }
            // Whatever comes before it may set it.
            again |= self.poll_timer(cx);
            if self.session.is_closed() && self.output.size() == 0 && !self.session.has_output() {
                return Poll::Ready(Broken::Parted);
            }
            if called {
                // After those that have begun or ended, who often have something to send.
                break;
            }
            if !again {
                if self.patience.looks(&System, self.pipe.place()) {
                    if self.pipe.comes_soon() {
                        continue;
                    }
                    // All others come first, and the reactor.
                    let _ = pin!(tokio::task::yield_now()).poll(cx);
                    return Poll::Pending;
                }
                // Whatever comes from now on wakes this task.
                if self.pipe.poll_rest(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads until the end of file.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.poll_input(cx) {
                Ok(true) => {
                    self.handle_events(usize::MAX);
                    // However much there is, the time for it passes.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ok(false) => ready!(self.pipe.poll_rest(cx)),
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Start { dialog, bytes, deadline } => {
                self.link.room().hold(bytes);
                let Some((dialog, kwargs)) = dialog.take() else { return };
                self.spent.watch(&kwargs);
                let deadline = deadline.map(|until| until.into_std().saturating_duration_since(now()));
                let options = StartOptions { deadline, dialog: dialog.is_linked() };
                match self.session.start(dialog.function(), kwargs, options, now()) {
                    Ok(context) => {
                        dialog.number(context);
                        self.calls.insert(context, dialog);
                    }
                    // One that is closing has a dying peer.
                    Err(refused) => {
                        let error = refused.limit().map(|limit| RemoteError::of(&limit));
                        let error = error.unwrap_or_else(|| self.link.obituary());
                        dialog.end(Some(Err(Box::new(error))));
                    }
                }
            }
            Command::Cancel { dialog } => {
                if let Some(context) = dialog.context() {
                    self.session.cancel(context, self.actor.id());
                }
            }
            // The dialogs keep the limits on what they send.
            Command::Started { context, value } => {
                self.spent.watch(&value);
                let _ = self.session.started(context, value);
            }
            Command::Send { context, messages } => {
                for message in messages.payloads() {
                    if let Payload::Here(bytes) = &message {
                        self.spent.watch(bytes);
                    }
                    self.desk.sent(&message, now);
                }
                let _ = self.session.send_all(context, messages.payloads());
            }
            Command::Settle { context } => self.settling.push(context),
            Command::Stop { context } => self.session.stop(context),
            Command::Grant { context, credit, overrun } => self.session.grant(context, credit, overrun),
            Command::Finish { context, outcome, bytes } => {
                self.link.room().hold(bytes);
                self.tasks.remove(&context);
                if let Ok(value) = &outcome {
                    self.spent.watch(value);
                }
                self.session.finish(context, outcome);
            }
            Command::Retire => self.retiring = true,
            Command::Close => self.session.goodbye("the actor is leaving"),
        }
    }

    /// Reads what is there, up to one block; says whether anything was.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Result<bool, Broken> {
        let most = self.make_room();
        let read = pin!(self.pipe.looking().read_buf(&mut (&mut self.input).limit(most))).poll(cx);
        if read.is_ready() {
            self.patience.came(&System);
        }
        match read {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Err(Broken::Violated(error.to_string()))
            }
            Poll::Ready(Err(_) | Ok(0)) => Err(Broken::Ended),
            Poll::Ready(Ok(_)) => match self.session.handle_input(&mut self.input, now()) {
                Ok(()) => Ok(true),
                Err(violation) => Err(Broken::Violated(violation.to_string())),
            },
        }
    }

    /// Makes room for what comes; gives how much of it to read.
    fn make_room(&mut self) -> usize {
        match frame::length(&self.input) {
            Some(whole) if whole > LARGE_FRAME => {
                if self.input.capacity() < whole {
                    let mut block = self.blocks.take(whole);
                    block.extend_from_slice(&self.input);
                    self.input.clear();
                    self.aside = mem::replace(&mut self.input, block);
                }
                // What follows it is not to share its block.
                whole - self.input.len()
            }
            _ => {
                if self.aside.capacity() > 0 && self.input.is_empty() {
                    let rest = mem::replace(&mut self.input, mem::take(&mut self.aside));
                    self.blocks.put(rest, now());
                }
                // What was read before may still be held, and then more room is another block.
                if self.input.capacity() - self.input.len() < READ_BYTES / 4 {
                    self.input.reserve(READ_BYTES);
                }
                self.input.capacity() - self.input.len()
            }
        }
    }

    /// Does what is due; says whether anything was.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let mut due = false;
        while let Some(deadline) =
            [self.session.poll_timeout(), self.blocks.poll_timeout(), self.desk.poll_timeout()]
                .into_iter()
                .flatten()
                .min()
        {
            // A timer that fires early costs one look; resetting it for every call costs more.
            let armed = !self.timer.is_elapsed() && self.timer.deadline().into_std() <= deadline;
            if armed {
                break;
            }
            self.timer.as_mut().reset(deadline.into());
            // Were it put off for the sake of other tasks, it would wake nobody.
            if pin!(unconstrained(self.timer.as_mut())).poll(cx).is_pending() {
                break;
            }
            self.session.handle_timeout(now());
            self.blocks.handle_timeout(now());
            self.desk.handle_timeout(now());
            due = true;
        }
        due
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Result<bool, Broken> {
        let mut wrote = 0;
        while wrote < WRITE_MOST {
            self.session.poll_transmit(&mut self.output, WRITE_BYTES);
            if self.output.size() == 0 {
                return Ok(wrote > 0);
            }
            let parts = self.output.slices().map(IoSlice::new);
            match self.pipe.poll_offer(cx, &parts) {
                Poll::Pending => return Ok(wrote > 0),
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.output.advance(count);
                    wrote += count;
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(Broken::Violated(error.to_string()));
                }
                Poll::Ready(_) => return Err(Broken::Unwritable),
            }
        }
        cx.waker().wake_by_ref();
        Ok(true)
    }

    /// Handles what the session has to say, up to a portion; says whether calls have begun or ended.
    fn handle_portion(&mut self) -> bool {
        if !self.session.has_events() {
            return false;
        }
        let place = self.pipe.place();
        let calls = self.portion.begin(&System, place);
        let left = self.handle_events(calls);
        if self.session.has_events() {
            self.portion.cut(&System, place);
        }
        left < calls
    }

    /// Handles what the session has to say, until so many calls have begun or ended; gives how many of
    /// those are left.
    fn handle_events(&mut self, mut calls: usize) -> usize {
        while calls > 0
            && let Some(event) = self.session.poll_event()
        {
            if let Event::Start { .. } | Event::Ended { .. } = event {
                calls -= 1;
            }
            match event {
                Event::Start { context, function, kwargs, deadline, dialog } => {
                    self.spent.watch(&kwargs);
                    self.spent.watch_received(&kwargs);
                    let call = Incoming { context, function, kwargs, deadline, linked: dialog };
                    if let Some(task) = self.actor.dispatch(&self.link, call) {
                        self.tasks.insert(context, task);
                    }
                }
                Event::Cancel { context, by } => {
                    if let Some(task) = self.tasks.get(&context) {
                        task.cancel(by.as_ref().unwrap_or(self.link.peer()));
                    }
                }
                Event::Acknowledged { context } => self.dialog(context, Dialog::acknowledged),
                Event::Started { context, value } => {
                    self.spent.watch_received(&value);
                    self.dialog(context, |dialog| dialog.arrived(value));
                }
                Event::Message { context, payload } => {
                    let mut allowed = None;
                    if let Payload::Here(bytes) = &payload {
                        self.spent.watch_received(bytes);
                    }
                    self.dialog(context, |dialog| allowed = dialog.deliver(payload));
                    if let Some((credit, overrun)) = allowed {
                        self.session.grant(context, credit, overrun);
                    }
                }
                Event::Credit { context, credit, overrun } => {
                    self.dialog(context, |dialog| dialog.allowed(credit, overrun));
                }
                Event::Stopped { context } => self.dialog(context, Dialog::stopped),
                Event::Ended { context, outcome } => {
                    if let Ok(value) = &outcome {
                        self.spent.watch_received(value);
                    }
                    if let Some(dialog) = self.calls.remove(&context) {
                        if self.died_of(&dialog, &outcome) {
                            self.casualties.push(dialog);
                        } else {
                            dialog.end(Some(outcome));
                        }
                    }
                }
                Event::Opened | Event::Pong { .. } | Event::Closed { .. } => {}
            }
        }
        calls
    }

    /// Lets those send on of whose messages few wait.
    fn settle(&mut self) {
        for context in mem::take(&mut self.settling) {
            match self.session.unsent(context) {
                much if much > UNSENT_BYTES / 2 => self.settling.push(context),
                few => self.dialog(context, |dialog| dialog.settled(few)),
            }
        }
    }

    /// Whether a task has ended only because its actor is ended here to be started again.
    fn died_of(&self, dialog: &Dialog, outcome: &Outcome) -> bool {
        self.link.is_superseded()
            && !dialog.was_cancelled()
            && outcome.as_ref().is_err_and(|error| {
                error.is::<ContextCancelled>() && error.canceller.as_ref() == Some(self.actor.id())
            })
    }

    /// Tells the dialog of a context of either side; none is left of one that has ended here.
    fn dialog(&self, context: ContextId, tell: impl FnOnce(&Dialog)) {
        let calling = self.calls.get(&context).map(|dialog| &**dialog);
        if let Some(dialog) = calling.or_else(|| self.tasks.get(&context).map(Task::dialog)) {
            tell(dialog);
        }
    }
}

/// The runtime's clock, which tests may stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
