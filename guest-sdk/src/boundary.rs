//! The door to the host, as far as contexts and streams go through it.
//!
//! Owns: the three traits that the SDK drives, and their form in a component. Must not know: the
//! types of what passes. Invariant: a future that came out of here keeps its handle, so no handle
//! is dropped while the host still works for it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use greenroom_abi::RemoteError;

use crate::bindings::greenroom::portal::portal::RemoteContext;
use crate::bindings::greenroom::portal::streams::{Batch, Messages, MsgStream, Sent, StreamOptions};
use crate::context::TaskContext;

/// A future of the component's, which runs on one thread.
pub(crate) type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What came of a request to the host.
pub(crate) type Asked<T> = Result<T, RemoteError>;

/// One side of a stream.
pub(crate) trait StreamPort: fmt::Debug {
    /// Hands over messages, the end of the last of which may lie apart: as many as the peer has room for.
    fn send(&self, messages: &Messages, tail: &[u8]) -> Asked<Sent>;
    /// Resolves once it may have room again.
    fn writable(self: Rc<Self>) -> LocalFuture<'static, ()>;
    /// Takes what has arrived.
    fn receive(&self, max: u32) -> Asked<Batch>;
    /// Resolves once something has.
    fn readable(self: Rc<Self>) -> LocalFuture<'static, ()>;
    /// Ends this side's direction.
    fn close(&self);
}

/// The caller's end of a context.
pub(crate) trait CallerPort: fmt::Debug {
    /// Opens this side's end of the stream.
    fn open_stream(&self, options: StreamOptions) -> Asked<Rc<dyn StreamPort>>;
    /// Resolves with the outcome of the peer's task; until then messages are dropped.
    fn wait_for_result(self: Rc<Self>) -> LocalFuture<'static, Asked<Vec<u8>>>;
    /// Resolves once the peer's task has failed.
    fn failed(self: Rc<Self>) -> LocalFuture<'static, RemoteError>;
    /// Cancels the peer's task, and resolves once it has ended.
    fn cancel(self: Rc<Self>) -> LocalFuture<'static, Asked<()>>;
}

/// The callee's end of a context.
pub(crate) trait CalleePort: fmt::Debug {
    /// Gives the caller its first value.
    fn started(&self, value: &[u8]) -> Asked<()>;
    /// Opens this side's end of the stream.
    fn open_stream(&self, options: StreamOptions) -> Asked<Rc<dyn StreamPort>>;
    /// The task that answers.
    fn task(&self) -> &TaskContext;
}

impl StreamPort for MsgStream {
    fn send(&self, messages: &Messages, tail: &[u8]) -> Asked<Sent> {
        Ok(self.send(messages, tail)?)
    }

    fn writable(self: Rc<Self>) -> LocalFuture<'static, ()> {
        Box::pin(async move { MsgStream::writable(&self).await })
    }

    fn receive(&self, max: u32) -> Asked<Batch> {
        Ok(self.receive(max)?)
    }

    fn readable(self: Rc<Self>) -> LocalFuture<'static, ()> {
        Box::pin(async move { MsgStream::readable(&self).await })
    }

    fn close(&self) {
        self.close();
    }
}

impl CallerPort for RemoteContext {
    fn open_stream(&self, options: StreamOptions) -> Asked<Rc<dyn StreamPort>> {
        Ok(Rc::new(self.open_stream(options)?))
    }

    fn wait_for_result(self: Rc<Self>) -> LocalFuture<'static, Asked<Vec<u8>>> {
        Box::pin(async move { Ok(RemoteContext::wait_for_result(&self).await?) })
    }

    fn failed(self: Rc<Self>) -> LocalFuture<'static, RemoteError> {
        Box::pin(async move { RemoteContext::failed(&self).await.into() })
    }

    fn cancel(self: Rc<Self>) -> LocalFuture<'static, Asked<()>> {
        Box::pin(async move { Ok(RemoteContext::cancel(&self).await?) })
    }
}

impl CalleePort for TaskContext {
    fn started(&self, value: &[u8]) -> Asked<()> {
        Ok(self.handle().started(value)?)
    }

    fn open_stream(&self, options: StreamOptions) -> Asked<Rc<dyn StreamPort>> {
        Ok(Rc::new(self.handle().open_stream(options)?))
    }

    fn task(&self) -> &TaskContext {
        self
    }
}
