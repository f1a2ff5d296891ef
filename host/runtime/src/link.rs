//! A handle to the link with one peer.
//!
//! Owns: who the peer is, and what one may ask of the driver. Must not know: sessions, bytes.
//! Invariant: what is asked of a link that is gone ends at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{ActorDied, Exit, LimitExceeded};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_transport::Pipe;
use greenroom_wire::{Config, ContextId, Credit, Outcome, Overrun, Role};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::actor::Actor;
use crate::context::{Call, CallOptions, Context};
use crate::dialog::Dialog;
use crate::driver::Driver;
use crate::lending::Lending;
use crate::messages::Messages;
use crate::room::{Bounds, Room};
use crate::slot::{Slot, WeakSlot};

/// How the peer's process ended, once the broker has said so.
pub(crate) type ExitNotice = watch::Receiver<Option<Exit>>;

/// Which of the two at the ends of a link started the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The peer owns this actor.
    Peer,
    /// This actor owns the peer.
    Us,
    /// They were introduced to each other: neither may change the other's state.
    Neither,
}

/// A handle to a link; clones are the same link.
#[derive(Clone, Debug)]
pub(crate) struct Link(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    us: ActorId,
    /// Who was at the other end when the link was made.
    first: Far,
    /// Who came to it since, where a successor was awaited.
    successor: OnceLock<Far>,
    owner: Owner,
    /// The slot that leads here, where that follows restarts.
    slot: OnceLock<WeakSlot>,
    commands: mpsc::UnboundedSender<Command>,
    driven: AtomicBool,
    /// How many calls were made before it was driven.
    waiting: AtomicUsize,
    end_expected: AtomicBool,
    /// Whether the peer gets a successor.
    superseded: AtomicBool,
    /// What the peer did that no honest one does, if that ended the link.
    violation: OnceLock<RemoteError>,
    bounds: Bounds,
    room: Room,
    lending: Lending,
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
        link.0.driven.store(true, Ordering::Relaxed);
        tokio::spawn(Driver::new(actor, link.clone(), pipe, role, commands).run());
        link
    }
}

/// A context that is to be started. Dropped before it was, it ends: its peer is gone.
#[derive(Debug)]
pub(crate) struct Starting(Option<Arc<Dialog>>);

impl Starting {
    /// What is to be started, and its arguments; none if it has ended meanwhile.
    pub(crate) fn take(mut self) -> Option<(Arc<Dialog>, Bytes)> {
        let dialog = self.0.take()?;
        let kwargs = dialog.depart()?;
        Some((dialog, kwargs))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(dialog) = self.0.take() {
            dialog.give_up(|| dialog.link().obituary());
        }
    }
}

/// What the handles ask of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    Start {
        dialog: Starting,
        /// How long its arguments are.
        bytes: usize,
        deadline: Option<Instant>,
    },
    Cancel {
        dialog: Arc<Dialog>,
    },
    Started {
        context: ContextId,
        value: Bytes,
    },
    Send {
        context: ContextId,
        messages: Messages,
    },
    /// To be told once little of what was sent waits for the peer to read.
    Settle {
        context: ContextId,
    },
    Stop {
        context: ContextId,
    },
    Grant {
        context: ContextId,
        credit: Credit,
        overrun: Overrun,
    },
    Finish {
        context: ContextId,
        outcome: Outcome,
        /// How long its value is.
        bytes: usize,
    },
    Retire,
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
        Self::queue(&actor, Far { peer, exit }, owner).drive(actor, pipe, role)
    }

    /// A link to whoever comes after this one's peer. The cancellations that the peer's end brings
    /// are then told as what they are to their callers: its death.
    pub(crate) fn follow(&self) -> Queue {
        self.0.superseded.store(true, Ordering::Relaxed);
        let Shared { us, owner, bounds, .. } = &*self.0;
        Self::waiting(us.clone(), self.far().clone(), *owner, bounds.clone())
    }

    fn queue(actor: &Actor, first: Far, owner: Owner) -> Queue {
        Self::waiting(actor.id().clone(), first, owner, actor.bounds())
    }

    fn waiting(us: ActorId, first: Far, owner: Owner, bounds: Bounds) -> Queue {
        let (sender, commands) = mpsc::unbounded_channel();
        let link = Self(Arc::new(Shared {
            us,
            first,
            successor: OnceLock::new(),
            owner,
            slot: OnceLock::new(),
            commands: sender,
            driven: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            end_expected: AtomicBool::new(false),
            superseded: AtomicBool::new(false),
            violation: OnceLock::new(),
            room: Room::new(&bounds),
            bounds,
            lending: Lending::default(),
        }));
        Queue { link, commands }
    }

    fn far(&self) -> &Far {
        self.0.successor.get().unwrap_or(&self.0.first)
    }

    pub(crate) fn peer(&self) -> &ActorId {
        &self.far().peer
    }

    /// Notes that portals by that slot lead here.
    pub(crate) fn led_by(&self, slot: WeakSlot) {
        let _ = self.0.slot.set(slot);
    }

    /// The slot for a portal to the peer: it follows restarts where others do.
    pub(crate) fn slot(&self) -> Slot {
        self.0.slot.get().and_then(WeakSlot::upgrade).unwrap_or_else(|| Slot::fixed(self.clone()))
    }

    /// Whether the peer is ended here to be started again.
    pub(crate) fn is_superseded(&self) -> bool {
        self.0.superseded.load(Ordering::Relaxed)
    }

    /// The actor at this end.
    pub(crate) fn us(&self) -> &ActorId {
        &self.0.us
    }

    /// Whether the peer owns this actor.
    pub(crate) fn owns_us(&self) -> bool {
        self.0.owner == Owner::Peer
    }

    /// Whether this actor owns the peer.
    pub(crate) fn is_ours(&self) -> bool {
        self.0.owner == Owner::Us
    }

    /// Whether one of the two owns the other.
    pub(crate) fn is_within_family(&self) -> bool {
        self.0.owner != Owner::Neither
    }

    /// How long a cancelled task may take to end before nobody waits for it any more.
    pub(crate) fn cancel_bound(&self) -> Duration {
        self.0.bounds.cancel
    }

    /// The largest payload that this actor may send.
    pub(crate) fn max_sent(&self) -> usize {
        self.0.bounds.payload
    }

    /// What it may have at once.
    pub(crate) fn bounds(&self) -> &Bounds {
        &self.0.bounds
    }

    /// How much waits to be sent.
    pub(crate) fn room(&self) -> &Room {
        &self.0.room
    }

    /// What may be lent to the peer.
    pub(crate) fn lending(&self) -> &Lending {
        &self.0.lending
    }

    /// Starts a call; it is under way before the first poll.
    pub(crate) fn call(&self, function: &str, kwargs: Bytes, options: CallOptions<'_>) -> Call {
        Call::new(self.start(Dialog::calling(self.clone(), function, false, kwargs), options))
    }

    /// Starts a context; it is under way before the first poll, which waits for its first value.
    pub(crate) fn open_context(
        &self,
        function: &str,
        kwargs: Bytes,
        options: CallOptions<'_>,
    ) -> impl Future<Output = Result<(Context, Bytes), Box<RemoteError>>> + use<> {
        let dialog = self.start(Dialog::calling(self.clone(), function, true, kwargs), options);
        if let Some(task) = options.within {
            task.link(&dialog);
        }
        Context::open(dialog)
    }

    fn start(&self, dialog: Arc<Dialog>, options: CallOptions<'_>) -> Arc<Dialog> {
        let deadline = options.deadline();
        if !self.0.driven.load(Ordering::Relaxed) && !self.admits(&dialog, deadline) {
            return dialog;
        }
        let bytes = dialog.departing_bytes();
        if let Err(error) = self.0.room.enter(bytes) {
            dialog.give_up(|| error);
            return dialog;
        }
        // Refused by a link that is gone, the command is dropped, and ends what it was to start.
        let _ = self.command(Command::Start { dialog: Starting(Some(dialog.clone())), bytes, deadline });
        dialog
    }

    /// Does for what waits for a peer to come what no session does yet: keeps its number, and the
    /// time.
    fn admits(&self, dialog: &Arc<Dialog>, deadline: Option<Instant>) -> bool {
        let limit = Config::default().max_contexts;
        // One that has been given up counts as well: it still stands in the queue.
        if self.0.waiting.fetch_add(1, Ordering::Relaxed) >= limit {
            dialog.give_up(|| {
                RemoteError::of(&LimitExceeded { limit: "max_contexts".to_owned(), value: limit as u64 })
            });
            return false;
        }
        if let Some(until) = deadline {
            let waiting = Arc::downgrade(dialog);
            tokio::spawn(async move {
                let begun = Instant::now();
                tokio::time::sleep_until(until).await;
                if let Some(dialog) = waiting.upgrade() {
                    dialog.give_up(|| dialog.too_late(until - begun));
                }
            });
        }
        true
    }

    /// Asks the driver; gives the command back if there is none any more.
    pub(crate) fn command(&self, command: Command) -> Result<(), Command> {
        self.0.commands.send(command).map_err(|refused| refused.0)
    }

    /// Answers an incoming call.
    pub(crate) fn finish(&self, context: ContextId, outcome: Outcome) {
        // On a dead link nobody waits for the answer.
        let bytes = outcome.as_ref().map_or(0, Bytes::len);
        let (bytes, outcome) = match self.0.room.enter(bytes) {
            Ok(()) => (bytes, outcome),
            Err(error) => (0, Err(Box::new(error.relayed_by(self.us())))),
        };
        let _ = self.command(Command::Finish { context, outcome, bytes });
    }

    /// Says goodbye once no context is open: nobody will start one any more.
    pub(crate) fn retire(&self) {
        let _ = self.command(Command::Retire);
    }

    /// Says goodbye once everything is written.
    pub(crate) fn close(&self) {
        let _ = self.command(Command::Close);
    }

    /// Waits for the end of the link.
    pub(crate) async fn closed(&self) {
        self.0.commands.closed().await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.commands.is_closed()
    }

    /// Notes that the link ends because the peer broke the protocol.
    pub(crate) fn violated(&self, how: RemoteError) {
        let _ = self.0.violation.set(how);
    }

    /// How the peer broke the protocol, if that ended the link.
    pub(crate) fn violation(&self) -> Option<&RemoteError> {
        self.0.violation.get()
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
