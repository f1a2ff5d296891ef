//! Where a portal leads, now and after a restart.
//!
//! Owns: the link that calls go through, while the peer lives, while its successor is awaited and
//! once there will be none. Must not know: why a child is started again. Invariant: a call made
//! while a successor is awaited goes to it, or ends when there is none.
//!
//! ```text
//!   Live ──the peer died or is to be replaced──► Awaited ──successor is up──► Live
//!     └──────────ended for good──────► Final ◄──────ended for good──┘
//! ```

use std::sync::{Arc, Weak};

use greenroom_abi::ActorId;
use tokio::sync::watch;

use crate::cancel::Cancellation;
use crate::link::{Link, Queue};

/// Shared by all clones of a portal and by whoever restarts its peer.
#[derive(Clone, Debug)]
pub(crate) struct Slot(Arc<Inner>);

/// A slot, as the links that it led to know it.
#[derive(Clone, Debug)]
pub(crate) struct WeakSlot(Weak<Inner>);

impl WeakSlot {
    pub(crate) fn upgrade(&self) -> Option<Slot> {
        self.0.upgrade().map(Slot)
    }
}

#[derive(Debug)]
struct Inner {
    state: watch::Sender<State>,
    /// Asked for by whoever ends the peer through its portal.
    dismissal: Cancellation,
}

#[derive(Debug)]
enum State {
    /// It leads to a peer that may get a successor.
    Live(Link),
    Awaited(Queue),
    /// It leads there and nowhere else, whether alive or not.
    Final(Link),
}

impl State {
    fn link(&self) -> &Link {
        match self {
            Self::Live(link) | Self::Final(link) => link,
            Self::Awaited(queue) => queue.link(),
        }
    }
}

impl Slot {
    /// One that never leads anywhere else.
    pub(crate) fn fixed(link: Link) -> Self {
        Self::new(State::Final(link))
    }

    /// One that follows restarts, until it is settled.
    pub(crate) fn following(link: Link) -> Self {
        let slot = Self::new(State::Live(link.clone()));
        link.led_by(slot.weak());
        slot
    }

    fn weak(&self) -> WeakSlot {
        WeakSlot(Arc::downgrade(&self.0))
    }

    fn new(state: State) -> Self {
        let (state, dismissal) = (watch::Sender::new(state), Cancellation::default());
        Self(Arc::new(Inner { state, dismissal }))
    }

    /// The link for a call that is made now.
    pub(crate) fn link(&self) -> Link {
        {
            let state = self.0.state.borrow();
            let gone = |link: &Link| link.has_exited() || link.is_closed();
            match &*state {
                // Its end has not been looked at yet.
                State::Live(link) if gone(link) && !self.is_dismissed() => {}
                settled => return settled.link().clone(),
            }
        }
        self.vacate();
        self.last()
    }

    /// The link to the process that was there last.
    pub(crate) fn last(&self) -> Link {
        self.0.state.borrow().link().clone()
    }

    /// Has new calls wait for a successor.
    pub(crate) fn vacate(&self) {
        self.0.state.send_if_modified(|state| {
            let State::Live(link) = state else { return false };
            *state = State::Awaited(link.follow());
            true
        });
    }

    /// Leads to the successor that `connect` makes of the queue, and with it the calls that waited.
    /// When that fails they end, and later ones wait on.
    pub(crate) fn fill<E>(&self, connect: impl FnOnce(Queue) -> Result<Link, E>) -> Result<Link, E> {
        let mut connected = None;
        self.0.state.send_modify(|state| {
            let last = state.link().clone();
            let queue = match std::mem::replace(state, State::Final(last.clone())) {
                State::Awaited(queue) => queue,
                State::Live(_) | State::Final(_) => last.follow(),
            };
            let outcome = connect(queue);
            *state = match &outcome {
                Ok(link) => {
                    link.led_by(self.weak());
                    State::Live(link.clone())
                }
                Err(_) => State::Awaited(last.follow()),
            };
            connected = Some(outcome);
        });
        connected.expect("the closure has run")
    }

    /// There will be no successor: calls that wait for one end, and so does every later one.
    pub(crate) fn settle(&self) {
        self.0.state.send_modify(|state| *state = State::Final(state.link().clone()));
    }

    /// Waits until there will be no successor.
    pub(crate) async fn settled(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.0.state.subscribe().wait_for(|state| matches!(state, State::Final(_))).await;
    }

    pub(crate) fn is_awaited(&self) -> bool {
        matches!(*self.0.state.borrow(), State::Awaited(_))
    }

    /// Notes that the peer is to end for good.
    pub(crate) fn dismiss(&self, by: &ActorId) {
        self.0.dismissal.ask(by);
    }

    pub(crate) fn is_dismissed(&self) -> bool {
        self.0.dismissal.by().is_some()
    }

    /// Waits until somebody wants the peer to end for good.
    pub(crate) async fn dismissed(&self) {
        self.0.dismissal.wait().await;
    }
}
