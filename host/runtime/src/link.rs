//! One pipe to one peer: drives the session, carries calls out and tasks in.
//!
//! Owns: reading, writing, the timer, and which call or task belongs to which context. Must
//! not know: what functions do. Invariant: each call made through a link ends once, also when
//! the pipe breaks in the middle of it.
//!
//! ```text
//!   Running ──end of file, broken pipe, violation──► Dying ──exit notice or timeout──► Closed
//!      └────────────────────goodbye flushed──────────────────────────────────────────────►┘
//! ```

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use greenroom_abi::kind::{ActorDied, ContextCancelled, Exit, PeerMisbehaved};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_transport::Pipe;
use greenroom_wire::{Config, ContextId, Event, Outcome, Role, Session};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Sleep, timeout_at};

use crate::actor::Actor;
use crate::task::Task;

/// How much is read before what was read is handled. One socket buffer's worth.
const READ_BYTES: usize = 64 * 1024;

/// How much is encoded before it is written.
const WRITE_BYTES: usize = 64 * 1024;

/// What one poll may read, in turns, so that one busy link does not starve the others.
const TURNS: usize = 16;

/// How the peer's process ended, once the broker has said so.
pub(crate) type ExitNotice = watch::Receiver<Option<Exit>>;

/// Whether the peer at the other end started this actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The peer owns this actor.
    Peer,
    /// This actor owns the peer.
    Us,
}

/// A handle to a link; clones are the same link.
#[derive(Clone, Debug)]
pub(crate) struct Link(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Who was at the other end when the link was made.
    first: Far,
    /// Who came to it since, where a successor was awaited.
    successor: OnceLock<Far>,
    owner: Owner,
    commands: mpsc::UnboundedSender<Command>,
    next_call: AtomicU64,
    end_expected: AtomicBool,
    /// Whether the peer gets a successor.
    superseded: AtomicBool,
}

/// Who is at the other end, and how word of their exit comes.
#[derive(Clone, Debug)]
struct Far {
    peer: ActorId,
    exit: ExitNotice,
}

/// What is asked of a link whose peer is still to come. Dropping it ends the calls that wait.
#[derive(Debug)]
pub(crate) struct Queue {
    link: Link,
    commands: mpsc::UnboundedReceiver<Command>,
}

impl Queue {
    /// The link to put calls into.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Leads to a peer that has come.
    pub(crate) fn lead(self, actor: Actor, peer: ActorId, pipe: Pipe, role: Role, exit: ExitNotice) -> Link {
        let _ = self.link.0.successor.set(Far { peer, exit });
        self.drive(actor, pipe, role)
    }

    fn drive(self, actor: Actor, pipe: Pipe, role: Role) -> Link {
        let Self { link, commands } = self;
        let config = Config { start_timeout: actor.limits().start, ..Config::default() };
        let driver = Driver {
            session: Session::new(role, config, now()),
            pipe,
            commands,
            input: BytesMut::new(),
            output: BytesMut::new(),
            calls: HashMap::new(),
            casualties: Vec::new(),
            contexts: HashMap::new(),
            tasks: HashMap::new(),
            timer: Box::pin(tokio::time::sleep_until(now().into())),
            actor,
            link: link.clone(),
        };
        tokio::spawn(driver.run());
        link
    }
}

/// What the handles ask of the driver.
#[derive(Debug)]
enum Command {
    Start {
        call: u64,
        function: String,
        kwargs: Bytes,
        reply: oneshot::Sender<Outcome>,
        begun: oneshot::Sender<()>,
    },
    Cancel {
        call: u64,
    },
    Finish {
        context: ContextId,
        outcome: Outcome,
    },
    Close,
}

impl Link {
    /// Starts driving a pipe.
    pub(crate) fn drive(
        actor: Actor,
        peer: ActorId,
        owner: Owner,
        pipe: Pipe,
        role: Role,
        exit: ExitNotice,
    ) -> Self {
        Self::queue(Far { peer, exit }, owner).drive(actor, pipe, role)
    }

    /// A link to whoever comes after this one's peer. The cancellations that the peer's end brings
    /// are then told as what they are to their callers: its death.
    pub(crate) fn follow(&self) -> Queue {
        self.0.superseded.store(true, Ordering::Relaxed);
        Self::queue(self.far().clone(), self.0.owner)
    }

    fn queue(first: Far, owner: Owner) -> Queue {
        let (sender, commands) = mpsc::unbounded_channel();
        let link = Self(Arc::new(Shared {
            first,
            successor: OnceLock::new(),
            owner,
            commands: sender,
            next_call: AtomicU64::new(0),
            end_expected: AtomicBool::new(false),
            superseded: AtomicBool::new(false),
        }));
        Queue { link, commands }
    }

    fn far(&self) -> &Far {
        self.0.successor.get().unwrap_or(&self.0.first)
    }

    pub(crate) fn peer(&self) -> &ActorId {
        &self.far().peer
    }

    /// Whether the peer owns this actor.
    pub(crate) fn owns_us(&self) -> bool {
        self.0.owner == Owner::Peer
    }

    /// Starts a call; it is under way before the first poll.
    pub(crate) fn call(&self, function: &str, kwargs: Bytes) -> Call {
        let call = self.0.next_call.fetch_add(1, Ordering::Relaxed);
        let (reply, outcome) = oneshot::channel();
        let (begun_sender, begun) = oneshot::channel();
        let command =
            Command::Start { call, function: function.to_owned(), kwargs, reply, begun: begun_sender };
        // A closed link drops the command and with it `reply`: the call then ends as `ActorDied`.
        let _ = self.0.commands.send(command);
        Call { link: self.clone(), call, outcome: Some(outcome), begun: Some(begun) }
    }

    /// Answers an incoming call.
    pub(crate) fn finish(&self, context: ContextId, outcome: Outcome) {
        // On a dead link nobody waits for the answer.
        let _ = self.0.commands.send(Command::Finish { context, outcome });
    }

    /// Says goodbye once everything is written.
    pub(crate) fn close(&self) {
        let _ = self.0.commands.send(Command::Close);
    }

    /// Waits for the end of the link.
    pub(crate) async fn closed(&self) {
        self.0.commands.closed().await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.commands.is_closed()
    }

    /// Waits for the exit notice of whoever is the peer now.
    pub(crate) fn exited(&self) -> impl Future<Output = Exit> + Send + use<> {
        let mut exit = self.far().exit.clone();
        async move {
            let notice = exit.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone());
            notice.unwrap_or(Exit::Unknown)
        }
    }

    /// Whether the peer's exit notice has come.
    pub(crate) fn has_exited(&self) -> bool {
        self.far().exit.borrow().is_some()
    }

    /// Notes that this actor is having the peer ended: its death is then no surprise.
    pub(crate) fn expect_end(&self) {
        self.0.end_expected.store(true, Ordering::Relaxed);
    }

    pub(crate) fn end_expected(&self) -> bool {
        self.0.end_expected.load(Ordering::Relaxed)
    }

    /// What a call to a dead peer ends with.
    pub(crate) fn obituary(&self) -> RemoteError {
        let Far { peer, exit } = self.far();
        let exit = exit.borrow().clone().unwrap_or(Exit::Unknown);
        RemoteError::of(&ActorDied { actor: peer.clone(), exit })
    }
}

/// A call under way. Dropping it cancels the remote task.
#[derive(Debug)]
pub struct Call {
    link: Link,
    call: u64,
    outcome: Option<oneshot::Receiver<Outcome>>,
    begun: Option<oneshot::Receiver<()>>,
}

impl Call {
    /// Waits until the peer has acknowledged the task or ended it.
    pub(crate) async fn begun(&mut self) {
        if let Some(begun) = self.begun.take() {
            let _ = begun.await;
        }
    }
}

impl Future for Call {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(outcome) = &mut self.outcome else {
            return Poll::Ready(Err(Box::new(self.link.obituary())));
        };
        let ended = ready!(Pin::new(outcome).poll(cx));
        self.outcome = None;
        Poll::Ready(ended.unwrap_or_else(|_| Err(Box::new(self.link.obituary()))))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.outcome.is_some() {
            let _ = self.link.0.commands.send(Command::Cancel { call: self.call });
        }
    }
}

/// A call that waits for its end.
struct Waiting {
    call: u64,
    reply: oneshot::Sender<Outcome>,
    begun: Option<oneshot::Sender<()>>,
}

/// The one task that touches the pipe and the session.
struct Driver {
    session: Session,
    pipe: Pipe,
    commands: mpsc::UnboundedReceiver<Command>,
    input: BytesMut,
    output: BytesMut,
    calls: HashMap<ContextId, Waiting>,
    /// Callers who will be told of the peer's death once the pipe has ended.
    casualties: Vec<oneshot::Sender<Outcome>>,
    contexts: HashMap<u64, ContextId>,
    tasks: HashMap<ContextId, Task>,
    timer: Pin<Box<Sleep>>,
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
    async fn run(mut self) {
        let broken = poll_fn(|cx| self.poll(cx)).await;
        let until = tokio::time::Instant::now() + self.actor.limits().obituary;
        if let Broken::Unwritable = broken {
            let _ = timeout_at(until, poll_fn(|cx| self.poll_rest(cx))).await;
        }
        let error = match broken {
            Broken::Violated(violation) => {
                tracing::error!(peer = %self.link.peer(), violation, "the peer broke the protocol");
                RemoteError::of(&PeerMisbehaved { violation })
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
        self.handle_events();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        for _ in 0..TURNS {
            let mut progress = false;
            while let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
                self.handle_command(command);
                progress = true;
            }
            match self.poll_input(cx) {
                Ok(read) => progress |= read,
                Err(broken) => {
                    // The session's last frame says why; a peer that cannot take it now never will.
                    if let Broken::Violated(_) = broken {
                        let _ = self.poll_output(cx);
                    }
                    return Poll::Ready(broken);
                }
            }
            self.poll_timer(cx);
            progress |= self.handle_events();
            match self.poll_output(cx) {
                Ok(wrote) => progress |= wrote,
                Err(broken) => return Poll::Ready(broken),
            }
            if self.session.is_closed() && self.output.is_empty() && !self.session.has_output() {
                return Poll::Ready(Broken::Parted);
            }
            if !progress {
                return Poll::Pending;
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
                    self.handle_events();
                }
                Ok(false) => return Poll::Pending,
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Start { call, function, kwargs, reply, begun } => {
                match self.session.start(&function, kwargs, None, now()) {
                    Ok(context) => {
                        self.contexts.insert(call, context);
                        self.calls.insert(context, Waiting { call, reply, begun: Some(begun) });
                    }
                    // One that is closing has a dying peer, which the dropped `reply` says.
                    Err(refused) => {
                        if let Some(limit) = refused.limit() {
                            let _ = reply.send(Err(Box::new(RemoteError::of(&limit))));
                        }
                    }
                }
            }
            Command::Cancel { call } => {
                if let Some(context) = self.contexts.get(&call) {
                    self.session.cancel(*context, self.actor.id());
                }
            }
            Command::Finish { context, outcome } => {
                self.tasks.remove(&context);
                self.session.finish(context, outcome);
            }
            Command::Close => self.session.goodbye("the actor is leaving"),
        }
    }

    /// Reads what is there, up to one buffer; says whether anything was.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Result<bool, Broken> {
        self.input.reserve(READ_BYTES);
        match pin!(self.pipe.read_buf(&mut self.input)).poll(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(_) | Ok(0)) => Err(Broken::Ended),
            Poll::Ready(Ok(_)) => match self.session.handle_input(&mut self.input, now()) {
                Ok(()) => Ok(true),
                Err(violation) => Err(Broken::Violated(violation.to_string())),
            },
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) {
        while let Some(deadline) = self.session.poll_timeout() {
            // A timer that fires early costs one look; resetting it for every call costs more.
            if self.timer.is_elapsed() || self.timer.deadline().into_std() > deadline {
                self.timer.as_mut().reset(deadline.into());
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return;
            }
            self.session.handle_timeout(now());
        }
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Result<bool, Broken> {
        let mut wrote = false;
        loop {
            if self.output.len() < WRITE_BYTES {
                self.session.poll_transmit(&mut self.output, WRITE_BYTES);
            }
            if self.output.is_empty() {
                return Ok(wrote);
            }
            match Pin::new(&mut self.pipe).poll_write(cx, &self.output) {
                Poll::Pending => return Ok(wrote),
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.output.advance(count);
                    wrote = true;
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(_) => return Err(Broken::Unwritable),
            }
        }
    }

    /// Handles what the session has to say; says whether it said anything.
    fn handle_events(&mut self) -> bool {
        let mut handled = false;
        while let Some(event) = self.session.poll_event() {
            handled = true;
            match event {
                Event::Start { context, function, kwargs, .. } => {
                    if let Some(task) = self.actor.dispatch(&self.link, context, function, kwargs) {
                        self.tasks.insert(context, task);
                    }
                }
                Event::Cancel { context, by } => {
                    if let Some(task) = self.tasks.get(&context) {
                        task.cancel(by.as_ref().unwrap_or(self.link.peer()));
                    }
                }
                Event::Acknowledged { context } => {
                    if let Some(begun) = self.calls.get_mut(&context).and_then(|call| call.begun.take()) {
                        let _ = begun.send(());
                    }
                }
                Event::Ended { context, outcome } => {
                    if let Some(waiting) = self.calls.remove(&context) {
                        self.contexts.remove(&waiting.call);
                        if self.died_of(&outcome) {
                            self.casualties.push(waiting.reply);
                            continue;
                        }
                        // Whoever dropped the call has no use for its outcome.
                        let _ = waiting.reply.send(outcome);
                    }
                }
                Event::Opened | Event::Pong { .. } | Event::Closed { .. } => {}
            }
        }
        debug_assert_eq!(self.calls.len(), self.contexts.len(), "every call has its context");
        handled
    }

    /// Whether a task has ended only because its actor is ended here to be started again.
    fn died_of(&self, outcome: &Outcome) -> bool {
        let superseded = self.link.0.superseded.load(Ordering::Relaxed);
        superseded
            && outcome.as_ref().is_err_and(|error| {
                error.is::<ContextCancelled>() && error.canceller.as_ref() == Some(self.actor.id())
            })
    }
}

/// The runtime's clock, which tests may stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
