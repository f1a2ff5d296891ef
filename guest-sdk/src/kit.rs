//! Ports in memory, whose other side is the test.
//!
//! Owns: what a host would do, as far as the SDK sees it. Must not know: the types of what passes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use greenroom_abi::kind::{ContextCancelled, ContextProtocol, StreamClosed};
use greenroom_abi::{RemoteError, payload};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::greenroom::portal::streams::{Batch, Messages, Sent, StreamOptions};
use crate::boundary::{Asked, CalleePort, CallerPort, LocalFuture, StreamPort};
use crate::context::TaskContext;
use crate::contract::{ByName, Contract, Dialog};
use crate::stream::flush_all;

/// Starts with a text, sends and receives numbers, returns one.
pub(crate) type Numbers = ByName<String, i64, i64, u32>;

pub(crate) fn dialog() -> Rc<Dialog> {
    Rc::new(Dialog::new("math:squares".into(), Numbers::types()))
}

/// Polls as long as somebody wakes it; none if it still waits then.
pub(crate) fn settle<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let woken = Arc::new(Flag::default());
    let waker = Waker::from(woken.clone());
    loop {
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        flush_all();
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
        if !woken.0.swap(false, Ordering::Relaxed) {
            return None;
        }
    }
}

/// Whether a waker was woken.
#[derive(Debug, Default)]
pub(crate) struct Flag(pub(crate) AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Those who wait for something to change.
#[derive(Debug, Default)]
struct Bell(RefCell<Vec<Waker>>);

impl Bell {
    fn ring(&self) {
        self.0.take().into_iter().for_each(Waker::wake);
    }

    async fn until<T>(&self, mut check: impl FnMut() -> Option<T>) -> T {
        poll_fn(|waker| match check() {
            Some(value) => Poll::Ready(value),
            None => {
                self.0.borrow_mut().push(waker.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

/// One side of a stream.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    state: RefCell<WireState>,
    bell: Bell,
}

#[derive(Debug, Default)]
struct WireState {
    room: usize,
    /// How many messages may be gathered.
    gather: usize,
    /// How often messages were handed over.
    crossings: usize,
    sent: Vec<Vec<u8>>,
    closed: bool,
    arrived: VecDeque<Vec<u8>>,
    lost: u64,
    ended: bool,
    failure: Option<RemoteError>,
}

impl Wire {
    /// The peer has room for so many more messages.
    pub(crate) fn make_room(&self, messages: usize) {
        self.state.borrow_mut().room += messages;
        self.bell.ring();
    }

    /// Lets so many messages be gathered.
    pub(crate) fn let_gather(&self, messages: usize) {
        self.state.borrow_mut().gather = messages;
    }

    /// How often messages were handed over.
    pub(crate) fn crossings(&self) -> usize {
        self.state.borrow().crossings
    }

    pub(crate) fn arrive<T: Serialize>(&self, messages: impl IntoIterator<Item = T>) {
        let messages = messages.into_iter().map(|message| payload::encode(&message).expect("encodes"));
        self.state.borrow_mut().arrived.extend(messages);
        self.bell.ring();
    }

    pub(crate) fn lose(&self, messages: u64) {
        self.state.borrow_mut().lost += messages;
    }

    pub(crate) fn end(&self) {
        self.state.borrow_mut().ended = true;
        self.bell.ring();
    }

    pub(crate) fn fail(&self, error: RemoteError) {
        self.state.borrow_mut().failure = Some(error);
        self.bell.ring();
    }

    pub(crate) fn sent<T: DeserializeOwned>(&self) -> Vec<T> {
        let sent = &self.state.borrow().sent;
        sent.iter().map(|message| payload::decode(message).expect("decodes")).collect()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.borrow().closed
    }
}

impl StreamPort for Wire {
    fn send(&self, messages: &Messages, tail: &[u8]) -> Asked<Sent> {
        let all = [&messages.bytes, tail].concat();
        let mut state = self.state.borrow_mut();
        if state.closed {
            return Err(RemoteError::of(&StreamClosed { function: "math:squares".into() }));
        }
        state.crossings += 1;
        let count = messages.ends.len().min(state.room);
        state.room -= count;
        let mut start = 0;
        for end in &messages.ends[..count] {
            state.sent.push(all[start..*end as usize].to_owned());
            start = *end as usize;
        }
        let gather = state.gather.min(state.room) as u32;
        Ok(Sent { count: count as u32, gather, gather_bytes: 1000 })
    }

    fn writable(self: Rc<Self>) -> LocalFuture<'static, ()> {
        Box::pin(async move {
            let ready = || {
                let state = self.state.borrow();
                (state.room > 0 || state.closed).then_some(())
            };
            self.bell.until(ready).await;
        })
    }

    fn receive(&self, max: u32) -> Asked<Batch> {
        let mut state = self.state.borrow_mut();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let count = state.arrived.len().min(max as usize);
        let (mut messages, mut tail) = (Messages { bytes: Vec::new(), ends: Vec::new() }, Vec::new());
        for mut message in state.arrived.drain(..count) {
            messages.bytes.append(&mut tail);
            tail = payload::split(&message).map_or(Vec::new(), |at| message.split_off(at));
            messages.bytes.extend(message);
            messages.ends.push((messages.bytes.len() + tail.len()) as u32);
        }
        let ended = state.ended && state.arrived.is_empty();
        Ok(Batch { lost: std::mem::take(&mut state.lost), messages, tail, ended })
    }

    fn readable(self: Rc<Self>) -> LocalFuture<'static, ()> {
        Box::pin(async move {
            let ready = || {
                let state = self.state.borrow();
                (!state.arrived.is_empty() || state.ended || state.failure.is_some()).then_some(())
            };
            self.bell.until(ready).await;
        })
    }

    fn close(&self) {
        self.state.borrow_mut().closed = true;
        self.bell.ring();
    }
}

/// The other side of a context.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// The stream, as this side opens it.
    pub(crate) wire: Rc<Wire>,
    state: RefCell<PeerState>,
    bell: Bell,
}

#[derive(Debug, Default)]
struct PeerState {
    opened: bool,
    started: Vec<Vec<u8>>,
    outcome: Option<Asked<Vec<u8>>>,
    cancelled: bool,
}

impl Peer {
    pub(crate) fn give<T: Serialize>(&self, result: T) {
        self.end(Ok(payload::encode(&result).expect("encodes")));
    }

    pub(crate) fn fail(&self, message: &str) {
        self.end(Err(RemoteError::new("Oops", message)));
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.state.borrow().cancelled
    }

    pub(crate) fn started<T: DeserializeOwned>(&self) -> Vec<T> {
        let started = &self.state.borrow().started;
        started.iter().map(|first| payload::decode(first).expect("decodes")).collect()
    }

    fn end(&self, outcome: Asked<Vec<u8>>) {
        self.state.borrow_mut().outcome.get_or_insert(outcome);
        self.bell.ring();
    }

    fn open(&self) -> Asked<Rc<dyn StreamPort>> {
        if std::mem::replace(&mut self.state.borrow_mut().opened, true) {
            let reason = "opened twice".into();
            return Err(RemoteError::of(&ContextProtocol { function: "math:squares".into(), reason }));
        }
        Ok(Rc::new(Lent(self.wire.clone())))
    }
}

/// A stream in the SDK's hands: dropping it closes it.
#[derive(Debug)]
struct Lent(Rc<Wire>);

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl StreamPort for Lent {
    fn send(&self, messages: &Messages, tail: &[u8]) -> Asked<Sent> {
        self.0.send(messages, tail)
    }

    fn writable(self: Rc<Self>) -> LocalFuture<'static, ()> {
        self.0.clone().writable()
    }

    fn receive(&self, max: u32) -> Asked<Batch> {
        self.0.receive(max)
    }

    fn readable(self: Rc<Self>) -> LocalFuture<'static, ()> {
        self.0.clone().readable()
    }

    fn close(&self) {
        self.0.close();
    }
}

impl CallerPort for Peer {
    fn open_stream(&self, _: StreamOptions) -> Asked<Rc<dyn StreamPort>> {
        self.open()
    }

    fn wait_for_result(self: Rc<Self>) -> LocalFuture<'static, Asked<Vec<u8>>> {
        Box::pin(async move { self.bell.until(|| self.state.borrow().outcome.clone()).await })
    }

    fn failed(self: Rc<Self>) -> LocalFuture<'static, RemoteError> {
        let failure = move |peer: &Self| peer.state.borrow().outcome.clone()?.err();
        Box::pin(async move { self.bell.until(|| failure(&self)).await })
    }

    fn cancel(self: Rc<Self>) -> LocalFuture<'static, Asked<()>> {
        Box::pin(async move {
            self.state.borrow_mut().cancelled = true;
            self.end(Err(RemoteError::of(&ContextCancelled { function: "math:squares".into() })));
            match self.wait_for_result().await {
                Err(error) if !error.is::<ContextCancelled>() => Err(error),
                _ => Ok(()),
            }
        })
    }
}

impl CalleePort for Peer {
    fn started(&self, value: &[u8]) -> Asked<()> {
        self.state.borrow_mut().started.push(value.to_owned());
        Ok(())
    }

    fn open_stream(&self, _: StreamOptions) -> Asked<Rc<dyn StreamPort>> {
        self.open()
    }

    fn task(&self) -> &TaskContext {
        unreachable!("outside a component there is no task")
    }
}
