//! A handle to the link with one peer.
//!
//! Owns: who the peer is, and what one may ask of the driver. Must not know: sessions, bytes.
//! Invariant: what is asked of a link that is gone ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{ActorDied, Exit};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_transport::Pipe;
use greenroom_wire::{ContextId, Credit, Outcome, Overrun, Role};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::actor::Actor;
use crate::context::{Call, CallOptions, Context};
use crate::dialog::Dialog;
use crate::driver::Driver;

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
    peer: ActorId,
    us: ActorId,
    owner: Owner,
    commands: mpsc::UnboundedSender<Command>,
    exit: ExitNotice,
    end_expected: AtomicBool,
    cancel_bound: Duration,
}

/// What the handles ask of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    Start { dialog: Arc<Dialog>, kwargs: Bytes, deadline: Option<Instant> },
    Cancel { dialog: Arc<Dialog> },
    Started { context: ContextId, value: Bytes },
    Send { context: ContextId, message: Bytes },
    Stop { context: ContextId },
    Grant { context: ContextId, credit: Credit, overrun: Overrun },
    Finish { context: ContextId, outcome: Outcome },
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
        let (sender, commands) = mpsc::unbounded_channel();
        let link = Self(Arc::new(Shared {
            peer,
            us: actor.id().clone(),
            owner,
            commands: sender,
            exit,
            end_expected: AtomicBool::new(false),
            // A task that will not end loses its instance after the grace; then the peer answers.
            cancel_bound: actor.limits().grace + actor.limits().ask,
        }));
        tokio::spawn(Driver::new(actor, link.clone(), pipe, role, commands).run());
        link
    }

    pub(crate) fn peer(&self) -> &ActorId {
        &self.0.peer
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

    /// How long a cancelled task may take to end before nobody waits for it any more.
    pub(crate) fn cancel_bound(&self) -> Duration {
        self.0.cancel_bound
    }

    /// Starts a call; it is under way before the first poll.
    pub(crate) fn call(&self, function: &str, kwargs: Bytes, options: CallOptions<'_>) -> Call {
        Call::new(self.start(Dialog::calling(self.clone(), function, false), kwargs, options))
    }

    /// Starts a context; it is under way before the first poll, which waits for its first value.
    pub(crate) fn open_context(
        &self,
        function: &str,
        kwargs: Bytes,
        options: CallOptions<'_>,
    ) -> impl Future<Output = Result<(Context, Bytes), Box<RemoteError>>> + use<> {
        let dialog = self.start(Dialog::calling(self.clone(), function, true), kwargs, options);
        if let Some(task) = options.within {
            task.link(&dialog);
        }
        Context::open(dialog)
    }

    fn start(&self, dialog: Arc<Dialog>, kwargs: Bytes, options: CallOptions<'_>) -> Arc<Dialog> {
        let command = Command::Start { dialog: dialog.clone(), kwargs, deadline: options.deadline() };
        if self.command(command).is_err() {
            dialog.end(Some(Err(Box::new(self.obituary()))));
        }
        dialog
    }

    /// Asks the driver; gives the command back if there is none any more.
    pub(crate) fn command(&self, command: Command) -> Result<(), Command> {
        self.0.commands.send(command).map_err(|refused| refused.0)
    }

    /// Answers an incoming call.
    pub(crate) fn finish(&self, context: ContextId, outcome: Outcome) {
        // On a dead link nobody waits for the answer.
        let _ = self.command(Command::Finish { context, outcome });
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

    /// Waits for the peer's exit notice.
    pub(crate) async fn exited(&self) -> Exit {
        let mut exit = self.0.exit.clone();
        let notice = exit.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone());
        notice.unwrap_or(Exit::Unknown)
    }

    /// Whether the peer's exit notice has come.
    pub(crate) fn has_exited(&self) -> bool {
        self.0.exit.borrow().is_some()
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
        let exit = self.0.exit.borrow().clone().unwrap_or(Exit::Unknown);
        RemoteError::of(&ActorDied { actor: self.0.peer.clone(), exit })
    }
}
