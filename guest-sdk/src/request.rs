//! Requests to a peer that are made when they are first polled, and may be given a deadline until
//! then.
//!
//! Owns: [`Request`] and [`Lazy`]. Must not know: what comes back.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, mem};

use greenroom_abi::RemoteError;

use crate::bindings::greenroom::portal::portal;
use crate::boundary::{Asked, LocalFuture};
use crate::time::nanoseconds;

/// A function of a peer, with its arguments.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) portal: Rc<portal::Portal>,
    pub(crate) function: String,
    /// The arguments, if they could be encoded.
    pub(crate) kwargs: Result<Vec<u8>, RemoteError>,
    pub(crate) timeout: Option<Duration>,
}

impl Request {
    /// The deadline as the host takes it.
    pub(crate) fn timeout(&self) -> Option<u64> {
        self.timeout.map(nanoseconds)
    }
}

/// A request that is made when it is first polled.
pub(crate) enum Lazy<T> {
    Unmade(Box<Request>),
    Made(LocalFuture<'static, Asked<T>>),
    Over,
}

impl<T> Lazy<T> {
    pub(crate) fn new(request: Request) -> Self {
        Self::Unmade(Box::new(request))
    }

    /// Gives it a deadline. One that is made keeps what it has.
    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        if let Self::Unmade(request) = self {
            request.timeout = Some(timeout);
        }
    }

    pub(crate) fn poll(
        &mut self,
        waker: &mut Context<'_>,
        make: impl FnOnce(Request) -> LocalFuture<'static, Asked<T>>,
    ) -> Poll<Asked<T>> {
        let mut made = match mem::replace(self, Self::Over) {
            Self::Unmade(request) => make(*request),
            Self::Made(made) => made,
            Self::Over => panic!("a request that is over is not polled"),
        };
        let polled = Pin::new(&mut made).poll(waker);
        if polled.is_pending() {
            *self = Self::Made(made);
        }
        polled
    }
}

impl<T> fmt::Debug for Lazy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmade(request) => request.fmt(f),
            Self::Made(_) => f.write_str("Made"),
            Self::Over => f.write_str("Over"),
        }
    }
}
