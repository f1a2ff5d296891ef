//! The visitor's side of the station.
//!
//! Owns: asking a host, and how long that may take. Must not know: whom the answer is for.
//! Invariant: a host that is stopped, busy or gone is told as such, in time.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use greenroom_abi::ActorId;
use greenroom_wire::Preamble;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Answer, LogRecord, Place, Reply, Request, frame};
use crate::registry::{Registry, RegistryError};

/// How long an answer may take: longer than the end of an actor that has to be killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long between two attempts to connect to a host that is busy.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks a host. `target` is whom it is about, as the user calls it.
///
/// # Errors
/// [`RegistryError::Unreachable`] when it does not answer in time, [`RegistryError::Refused`] with
/// what it answered instead.
pub async fn ask(
    registry: &dyn Registry,
    host: &str,
    target: &str,
    request: &Request,
) -> Result<Answer, RegistryError> {
    Ok(open(registry, host, target, request).await?.0)
}

/// Asks a host for a way to an actor: gives who is at the two ends, and the pipe.
///
/// # Errors
/// As [`ask`].
pub async fn connect(
    registry: &dyn Registry,
    host: &str,
    target: &str,
    place: Place,
    guest: ActorId,
) -> Result<(Preamble, OwnedFd), RegistryError> {
    match open(registry, host, target, &Request::Connect { place, guest }).await? {
        (Answer::Connected(preamble), pipe) => {
            let pipe = pipe.into_std().map_err(|error| unreachable_because(target, &error))?;
            Ok((preamble, pipe.into()))
        }
        _ => Err(beside_the_point(target)),
    }
}

/// Asks a host for lines of its logs.
///
/// # Errors
/// As [`ask`].
pub async fn follow(
    registry: &dyn Registry,
    host: &str,
    target: &str,
    place: Option<Place>,
    follow: bool,
) -> Result<LogStream, RegistryError> {
    match open(registry, host, target, &Request::Logs { place, follow }).await? {
        (Answer::Logs, pipe) => Ok(LogStream { pipe }),
        _ => Err(beside_the_point(target)),
    }
}

/// Lines of a host's logs.
#[derive(Debug)]
pub struct LogStream {
    pipe: UnixStream,
}

impl LogStream {
    /// The next line; none once there are no more, which for a follower is when the host ends.
    ///
    /// # Errors
    /// When the host says something else.
    ///
    /// # Cancel safety
    /// None: a line of which a part has come is lost.
    pub async fn next(&mut self) -> io::Result<Option<LogRecord>> {
        match frame::read(&mut self.pipe, frame::MAX_ANSWER).await {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error),
        }
    }
}

async fn open(
    registry: &dyn Registry,
    host: &str,
    target: &str,
    request: &Request,
) -> Result<(Answer, UnixStream), RegistryError> {
    let end = Instant::now() + PATIENCE;
    let bytes = frame::encode(request).map_err(|error| unreachable_because(target, &error))?;
    let talk = async {
        let mut pipe = reach(registry, host).await?;
        // A host that lets nobody in says so without listening: its answer counts.
        let said = pipe.write_all(&bytes).await;
        match frame::read::<Reply>(&mut pipe, frame::MAX_ANSWER).await {
            Ok(reply) => Ok((reply, pipe)),
            Err(error) => Err(said.err().unwrap_or(error)),
        }
    };
    match timeout_at(end, talk).await {
        Ok(Ok((Ok(answer), pipe))) => Ok((answer, pipe)),
        Ok(Ok((Err(error), _))) => Err(RegistryError::Refused(error)),
        Ok(Err(error)) => Err(unreachable_because(target, &error)),
        Err(_) => {
            let reason = format!("nothing came within {PATIENCE:?}; is it stopped?");
            Err(RegistryError::Unreachable { target: target.to_owned(), reason })
        }
    }
}

/// Connects, as soon as the host has room.
async fn reach(registry: &dyn Registry, host: &str) -> io::Result<UnixStream> {
    loop {
        match registry.connect(host) {
            Ok(pipe) => {
                pipe.set_nonblocking(true)?;
                return UnixStream::from_std(pipe);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

fn unreachable_because(target: &str, error: &io::Error) -> RegistryError {
    let reason = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => "it has just ended".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => "it ended instead".to_owned(),
        _ => error.to_string(),
    };
    RegistryError::Unreachable { target: target.to_owned(), reason }
}

fn beside_the_point(target: &str) -> RegistryError {
    let reason = "it answered something else; is it of another version?".to_owned();
    RegistryError::Unreachable { target: target.to_owned(), reason }
}
