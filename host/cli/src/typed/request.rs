//! Requests to a peer that are made when they are first polled, and may be given a deadline until
//! then.
//!
//! Owns: [`Request`] and [`Lazy`]. Must not know: what comes back.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, mem};

use bytes::Bytes;
use greenroom_abi::{Kwargs, RemoteError};
use greenroom_runtime::{CallOptions, Portal};

/// What a request comes to.
pub(super) type Asked<T> = Result<T, Box<RemoteError>>;

/// A request under way.
pub(super) type Made<T> = Pin<Box<dyn Future<Output = Asked<T>> + Send>>;

/// A function of a peer, with its arguments.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) portal: Portal,
    pub(super) function: String,
    pub(super) kwargs: Kwargs,
    pub(super) timeout: Option<Duration>,
}

impl Request {
    pub(super) fn new(portal: &Portal, function: &str, kwargs: Kwargs) -> Self {
        Self { portal: portal.clone(), function: function.to_owned(), kwargs, timeout: None }
    }

    pub(super) fn options(&self) -> CallOptions<'static> {
        CallOptions { timeout: self.timeout, ..CallOptions::default() }
    }
}

/// Arguments as they travel.
///
/// # Errors
/// `EncodeError`, naming the argument.
pub(super) fn payload(kwargs: Kwargs) -> Asked<Bytes> {
    match kwargs.into_payload() {
        Ok(payload) => Ok(payload.into()),
        Err(error) => Err(Box::new(RemoteError::of(&error))),
    }
}

/// A request that is made when it is first polled.
pub(super) enum Lazy<T> {
    Unmade(Box<Request>),
    Made(Made<T>),
    Over,
}

impl<T> Lazy<T> {
    pub(super) fn new(request: Request) -> Self {
        Self::Unmade(Box::new(request))
    }

    /// Gives it a deadline. One that is made keeps what it has.
    pub(super) fn set_timeout(&mut self, timeout: Duration) {
        if let Self::Unmade(request) = self {
            request.timeout = Some(timeout);
        }
    }

    pub(super) fn poll(
        &mut self,
        waker: &mut Context<'_>,
        make: impl FnOnce(Request) -> Made<T>,
    ) -> Poll<Asked<T>> {
        let mut made = match mem::replace(self, Self::Over) {
            Self::Unmade(request) => make(*request),
            Self::Made(made) => made,
            Self::Over => panic!("a request that is over is not polled"),
        };
        let polled = made.as_mut().poll(waker);
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
