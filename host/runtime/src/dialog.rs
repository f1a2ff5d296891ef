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

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::RemoteError;
use greenroom_abi::kind::{
    ContextProtocol, DeadlineExceeded, Kind, LimitExceeded, StreamClosed, StreamOverrun,
};
use greenroom_wire::{Balance, ContextId, Credit, Outcome, Overrun, Payload};

use crate::dispatch::cancelled;
use crate::inlet::{Inlet, Window};
use crate::link::{Command, Link};
use crate::messages::Messages;
use crate::stream::{Batch, Room, StreamOptions};
use crate::waiters::{Place, Waiters};

/// How many bytes of a stream wait at most for a peer that allows more than it reads. Far more than
/// a window, so that nobody who reads what they allow is ever waited for.
pub(crate) const UNSENT_BYTES: usize = 16 << 20;

/// How many bytes are worth a turn of the driver's.
const LARGE_BYTES: usize = 256 << 10;

/// What a message takes beside its content while it waits.
const MESSAGE_BYTES: usize = 64;

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
    #[cfg(test)]
    _counted: census::Counted,
}

#[derive(Debug)]
struct State {
    /// None until the driver has put a call on its way.
    context: Option<ContextId>,
    /// The arguments of a call that is not on its way yet: nobody else has heard of it.
    waiting: Option<Bytes>,
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

/// What is sent.
#[derive(Debug, Default)]
struct Outlet {
    balance: Balance,
    /// The peer's window, once its stream is open.
    window: Option<Window>,
    closed: bool,
    /// How many bytes have been sent since the driver last said how many of them wait.
    unsettled: usize,
    /// The driver has been asked that.
    settling: bool,
    waiters: Waiters,
}

impl Outlet {
    fn can_send(&self) -> bool {
        self.balance.can_send() && !self.settling
    }
}

/// What is waited for.
type List = fn(&mut State) -> &mut Waiters;

/// A wait. Dropped, it gives its place back.
struct Wait<'a> {
    dialog: &'a Dialog,
    list: List,
    place: Place,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.place.is_taken() {
            (self.list)(&mut self.dialog.state()).leave(&mut self.place);
        }
    }
}

impl Dialog {
    /// A context that is about to be started here.
    pub(crate) fn calling(link: Link, function: &str, linked: bool, kwargs: Bytes) -> Arc<Self> {
        Self::new(link, function.into(), linked, None, Some(kwargs))
    }

    /// A context that the peer has started.
    pub(crate) fn called(link: Link, function: String, linked: bool, context: ContextId) -> Arc<Self> {
        Self::new(link, function.into(), linked, Some(context), None)
    }

    fn new(
        link: Link,
        function: Box<str>,
        linked: bool,
        context: Option<ContextId>,
        waiting: Option<Bytes>,
    ) -> Arc<Self> {
        let state = State {
            context,
            waiting,
            phase: Phase::Calling,
            begun: false,
            first: None,
            cancelled: false,
            opened: false,
            inlet: Inlet::default(),
            outlet: Outlet::default(),
            watchers: Waiters::default(),
        };
        let state = Mutex::new(state);
        Arc::new(Self {
            link,
            function,
            linked,
            state,
            #[cfg(test)]
            _counted: census::Counted::new(),
        })
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

    /// Waits until `ready` gives something; asks it whenever those in the `list` are woken.
    async fn until<T>(&self, list: List, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut wait = Wait { dialog: self, list, place: Place::default() };
        poll_fn(|cx| {
            let mut state = self.state();
            match ready(&mut state) {
                Some(value) => Poll::Ready(value),
                None => {
                    list(&mut state).wait(&mut wait.place, cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn failed<K: Kind>(kind: &K) -> Failure {
        Box::new(RemoteError::of(kind))
    }

    fn check_size(&self, size: usize) -> Result<(), Failure> {
        let limit = self.link.max_sent();
        if size <= limit {
            return Ok(());
        }
        Err(Self::failed(&LimitExceeded { limit: "payload".to_owned(), value: limit as u64 }))
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

    /// Puts a call on its way: gives its arguments, unless it has ended.
    pub(crate) fn depart(&self) -> Option<Bytes> {
        self.state().waiting.take()
    }

    /// How long the arguments are that are still to be put on their way.
    pub(crate) fn departing_bytes(&self) -> usize {
        self.state().waiting.as_ref().map_or(0, Bytes::len)
    }

    /// Ends a call that was never put on its way.
    pub(crate) fn give_up(&self, error: impl FnOnce() -> RemoteError) {
        let mut state = self.state();
        if state.waiting.is_some() {
            state.end(Some(Err(Box::new(error()))));
        }
    }

    /// What it ends with past its deadline, if that was so long from its start.
    pub(crate) fn too_late(&self, given: Duration) -> RemoteError {
        RemoteError::of(&DeadlineExceeded::new(&*self.function, given))
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
    pub(crate) fn deliver(&self, message: Payload) -> Option<(Credit, Overrun)> {
        self.state().inlet.deliver(message)
    }

    /// The peer may be sent more.
    pub(crate) fn allowed(&self, credit: Credit, overrun: Overrun) {
        let outlet = &mut self.state().outlet;
        outlet.balance.add(credit);
        // The first credit is the whole window; the latest wish counts.
        outlet.window.get_or_insert(Window { capacity: credit.messages, overrun }).overrun = overrun;
        outlet.waiters.wake();
    }

    /// So many bytes of what was sent still wait for the peer to read.
    pub(crate) fn settled(&self, unsent: usize) {
        let outlet = &mut self.state().outlet;
        outlet.settling = false;
        outlet.unsettled = unsent;
        outlet.waiters.wake();
    }

    /// The peer will send nothing more.
    pub(crate) fn stopped(&self) {
        self.state().inlet.stop();
    }

    /// The context is over, with the peer's outcome if this side called it.
    pub(crate) fn end(&self, outcome: Option<Outcome>) {
        self.state().end(outcome);
    }
}

impl State {
    fn end(&mut self, outcome: Option<Outcome>) {
        if matches!(self.phase, Phase::Ended(_)) {
            return;
        }
        self.inlet.end(matches!(outcome, Some(Err(_))));
        self.phase = Phase::Ended(outcome);
        self.waiting = None;
        self.watchers.wake();
        self.outlet.waiters.wake();
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
        let allowed = state.inlet.open(Window { capacity: options.capacity(), overrun: options.overrun });
        drop(state);
        self.grant(allowed);
        Ok(())
    }

    /// How many of messages of these sizes are to be handed over now, from the first on: as many as the
    /// peer has room for, which is taken.
    pub(crate) fn admit(&self, sizes: impl ExactSizeIterator<Item = usize>) -> Result<usize, Failure> {
        let mut state = self.state();
        self.check_sendable(&state)?;
        let State { outlet, context: Some(_), .. } = &mut *state else { return Ok(0) };
        if outlet.settling {
            return Ok(0);
        }
        let (mut count, mut wrong, offered) = (0, None, sizes.len());
        for size in sizes {
            wrong = self.check_size(size).err();
            if wrong.is_some() || !outlet.balance.can_send() {
                break;
            }
            outlet.balance.spend(size);
            outlet.unsettled += size + MESSAGE_BYTES;
            count += 1;
        }
        match (count, wrong, outlet.window) {
            (0, Some(wrong), _) => Err(wrong),
            (0, None, Some(Window { capacity, overrun: Overrun::Error })) if offered > 0 => {
                Err(Self::failed(&StreamOverrun { capacity }))
            }
            _ => Ok(count),
        }
    }

    /// Hands over messages that were admitted.
    ///
    /// # Errors
    /// As [`Dialog::admit`], where the stream or the context has ended since.
    pub(crate) fn send(&self, messages: Messages) -> Result<(), Failure> {
        let mut state = self.state();
        self.check_sendable(&state)?;
        let State { outlet, context: Some(context), .. } = &mut *state else { return Err(self.closed()) };
        // A link that closes now ends the context, which the next sender learns.
        let _ = self.link.command(Command::Send { context: *context, messages });
        if outlet.unsettled > UNSENT_BYTES {
            self.settle(outlet, *context);
        }
        Ok(())
    }

    /// Has whoever sends more wait until what was sent is on its way, so many bytes, if the peer could take them
    /// meanwhile.
    pub(crate) fn rest_behind(&self, bytes: usize) {
        if bytes < LARGE_BYTES || !self.link.lending().is_elsewhere() {
            return;
        }
        let mut state = self.state();
        let State { outlet, context: Some(context), .. } = &mut *state else { return };
        if matches!(outlet.window, Some(Window { overrun: Overrun::Wait, .. })) {
            self.settle(outlet, *context);
        }
    }

    /// Has the sender wait until the driver says how much it still has.
    fn settle(&self, outlet: &mut Outlet, context: ContextId) {
        if !std::mem::replace(&mut outlet.settling, true) {
            let _ = self.link.command(Command::Settle { context });
        }
    }

    /// How much the peer has room for now, and may be sent at once.
    pub(crate) fn room(&self) -> Room {
        let outlet = &self.state().outlet;
        if outlet.settling {
            return Room::default();
        }
        let room = Room::from(outlet.balance.left());
        Room { bytes: room.bytes.min(self.link.max_sent() as u64), ..room }
    }

    /// Waits until a message can be sent, or will never be again.
    pub(crate) async fn writable(&self) {
        self.until(
            |state| &mut state.outlet.waiters,
            |state| {
                let outlet = &state.outlet;
                let refuses = matches!(outlet.window, Some(Window { overrun: Overrun::Error, .. }));
                let ready =
                    outlet.can_send() || (refuses && !outlet.settling) || self.check_sendable(state).is_err();
                ready.then_some(())
            },
        )
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
        let (batch, allowed) = state.inlet.take(max);
        drop(state);
        self.grant(allowed);
        Ok(batch)
    }

    /// The size of the next message; 0 if there is none.
    pub(crate) fn next_bytes(&self) -> usize {
        self.state().inlet.next_bytes()
    }

    /// Waits until something has arrived or nothing will any more.
    pub(crate) async fn readable(&self) {
        self.until(|state| state.inlet.waiters(), |state| state.inlet.is_readable().then_some(())).await;
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
        if !matches!(state.phase, Phase::Linked) {
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
    /// Asks the peer's task to end. A call that is not on its way yet ends here.
    pub(crate) fn cancel(self: &Arc<Self>) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Ended(_)) || std::mem::replace(&mut state.cancelled, true) {
            return;
        }
        if state.waiting.is_some() {
            return state.end(Some(Err(Box::new(cancelled(&self.function, self.link.us())))));
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
        let begun = |state: &mut State| (state.begun || matches!(state.phase, Phase::Ended(_))).then_some(());
        self.until(|state| &mut state.watchers, begun).await;
    }

    /// Waits for the callee's first value.
    pub(crate) async fn first(&self) -> Outcome {
        self.until(
            |state| &mut state.watchers,
            |state| match (state.first.take(), &state.phase) {
                (Some(first), _) => Some(Ok(first)),
                (None, Phase::Ended(Some(Err(error)))) => Some(Err(error.clone())),
                (None, Phase::Ended(_)) => Some(Err(self.misused("it returned without calling `started`"))),
                (None, Phase::Calling | Phase::Linked) => None,
            },
        )
        .await
    }

    /// Waits for the peer's outcome.
    pub(crate) async fn outcome(&self) -> Outcome {
        self.until(|state| &mut state.watchers, |state| self.outcome_of(state)).await
    }

    /// As [`Dialog::outcome`], for a future of which `place` is a part.
    pub(crate) fn poll_outcome(&self, place: &mut Place, cx: &Context<'_>) -> Poll<Outcome> {
        let mut state = self.state();
        match self.outcome_of(&state) {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.watchers.wait(place, cx);
                Poll::Pending
            }
        }
    }

    /// Gives up a wait for the outcome.
    pub(crate) fn leave(&self, place: &mut Place) {
        self.state().watchers.leave(place);
    }

    fn outcome_of(&self, state: &State) -> Option<Outcome> {
        let Phase::Ended(outcome) = &state.phase else { return None };
        Some(outcome.clone().unwrap_or_else(|| Err(self.closed())))
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
        self.check_size(value.len())?;
        state.phase = Phase::Linked;
        if let Some(context) = state.context {
            let _ = self.link.command(Command::Started { context, value });
        }
        Ok(())
    }
}

/// What tests count to see that nothing is left.
#[cfg(test)]
impl Dialog {
    pub(crate) fn waiters(&self) -> usize {
        let mut state = self.state();
        state.watchers.len() + state.outlet.waiters.len() + state.inlet.waiters().len()
    }
}

/// Counts the dialogs there are.
#[cfg(test)]
pub(crate) mod census {
    use std::cell::Cell;

    thread_local! {
        static ALIVE: Cell<i64> = const { Cell::new(0) };
    }

    /// How many more dialogs this thread has made than dropped.
    pub(crate) fn alive() -> i64 {
        ALIVE.get()
    }

    #[derive(Debug)]
    pub(super) struct Counted;

    impl Counted {
        pub(super) fn new() -> Self {
            ALIVE.set(ALIVE.get() + 1);
            Self
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            ALIVE.set(ALIVE.get() - 1);
        }
    }
}
