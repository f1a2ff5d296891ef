//! The host's side of the station.
//!
//! Owns: who is let in, how many at once, how long each may take. Must not know: the tree. Invariant:
//! a visitor, whatever it does or leaves undone, holds up neither the broker nor the other visitors.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use greenroom_abi::kind::{LimitExceeded, PeerMisbehaved};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_sabotage::Protection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::{Answer, LogRecord, Logbook, Place, Reply, Request, TreeStatus, frame, measure};

/// Visitors at once.
pub(super) const VISITORS: usize = 64;

/// Of those, the ones that follow the logs, which may stay for ever.
pub(super) const FOLLOWERS: usize = 16;

/// How long a visitor has for its request, and to take an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// In how many parts that is waited for.
const PARTS: u32 = 8;

/// How long actors have to say how many tasks run in them.
const COUNTING: Duration = Duration::from_millis(200);

/// How long nobody is let in after the system has refused to.
const PAUSE: Duration = Duration::from_millis(100);

/// What only the broker's loop can do for a visitor.
pub(crate) enum Visit {
    /// Hand its end of the pipe to an actor, after the answer has been written to it.
    Connect { place: Place, guest: ActorId, pipe: OwnedFd, slot: OwnedSemaphorePermit },
    /// Tell what an actor can be called for.
    Describe { place: Place, reply: oneshot::Sender<Reply> },
    /// Tell what the tree knows of its actors.
    Status { reply: oneshot::Sender<Draft> },
    /// End an actor.
    Cancel { place: Place, reply: oneshot::Sender<Reply> },
    /// Tell the path of an actor.
    Locate { place: Place, reply: oneshot::Sender<Result<Vec<String>, Box<RemoteError>>> },
}

/// A status without what must be asked for elsewhere.
pub(crate) struct Draft {
    pub(crate) status: TreeStatus,
    /// For actors, by their place in the status: how many tasks run in them.
    pub(crate) tasks: Vec<(usize, oneshot::Receiver<u32>)>,
}

/// What visitors come through.
#[derive(Clone)]
struct Door {
    visits: mpsc::UnboundedSender<Visit>,
    book: Logbook,
    visitors: Arc<Semaphore>,
    followers: Arc<Semaphore>,
}

/// Lets visitors in, in tasks of their own, as long as the runtime lives.
///
/// # Errors
/// When the listener cannot be registered with the reactor.
pub(crate) fn serve(
    listener: std::os::unix::net::UnixListener,
    book: Logbook,
    visits: mpsc::UnboundedSender<Visit>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let (visitors, followers) = (Arc::new(Semaphore::new(VISITORS)), Arc::new(Semaphore::new(FOLLOWERS)));
    let door = Door { visits, book, visitors, followers };
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((pipe, _)) => door.admit(pipe),
                Err(error) => {
                    tracing::warn!(%error, "the station cannot let anybody in");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    });
    Ok(())
}

impl Door {
    fn admit(&self, pipe: UnixStream) {
        let user = rustix::process::geteuid().as_raw();
        match pipe.peer_cred() {
            Ok(peer) if peer.uid() == user || Protection::StationPeers.is_off() => {}
            other => return tracing::warn!(?other, "a stranger at the station"),
        }
        let Ok(slot) = self.visitors.clone().try_acquire_owned() else {
            // Its socket is new, and has room for this.
            let _ = frame::encode(&too_many("visitors", VISITORS)).map(|bytes| pipe.try_write(&bytes));
            return;
        };
        let door = self.clone();
        tokio::spawn(async move {
            if let Err(error) = door.tend(pipe, slot).await {
                tracing::debug!(%error, "a visitor left the station early");
            }
        });
    }

    async fn tend(&self, mut pipe: UnixStream, slot: OwnedSemaphorePermit) -> io::Result<()> {
        let request = match patiently(frame::read(&mut pipe, frame::MAX_REQUEST)).await {
            Some(Ok(request)) => request,
            Some(Err(error)) if error.kind() != io::ErrorKind::InvalidData => return Err(error),
            Some(Err(error)) => return answer(&mut pipe, misbehaved(format!("no request: {error}"))).await,
            None => return answer(&mut pipe, misbehaved(format!("no request within {PATIENCE:?}"))).await,
        };
        tracing::trace!(?request, "at the station");
        match request {
            Request::Connect { place, guest } => {
                let pipe = pipe.into_std()?.into();
                let _ = self.visits.send(Visit::Connect { place, guest, pipe, slot });
                Ok(())
            }
            Request::Describe { place } => {
                let reply = self.ask(|reply| Visit::Describe { place, reply }).await?;
                answer(&mut pipe, reply).await
            }
            Request::Status => {
                let draft = self.ask(|reply| Visit::Status { reply }).await?;
                answer(&mut pipe, Ok(Answer::Status(measured(draft).await))).await
            }
            Request::Cancel { place } => {
                let reply = self.ask(|reply| Visit::Cancel { place, reply }).await?;
                answer(&mut pipe, reply).await
            }
            Request::Logs { place, follow } => self.tell(pipe, place, follow).await,
        }
    }

    /// Has the broker's loop do something.
    async fn ask<T>(&self, visit: impl FnOnce(oneshot::Sender<T>) -> Visit) -> io::Result<T> {
        let (reply, answer) = oneshot::channel();
        let _ = self.visits.send(visit(reply));
        answer.await.map_err(|_| io::Error::other("the broker is ending"))
    }

    async fn tell(&self, mut pipe: UnixStream, place: Option<Place>, follow: bool) -> io::Result<()> {
        let top = match place {
            None => Vec::new(),
            Some(place) => match self.ask(|reply| Visit::Locate { place, reply }).await? {
                Ok(path) => path,
                Err(error) => return answer(&mut pipe, Err(error)).await,
            },
        };
        let stay = match follow {
            false => None,
            true => match self.followers.clone().try_acquire_owned() {
                Ok(stay) => Some(stay),
                Err(_) => return answer(&mut pipe, too_many("followers", FOLLOWERS)).await,
            },
        };
        let (kept, mut news) = self.book.open();
        // The lines follow on the same way.
        timeout(PATIENCE, pipe.write_all(&encoded(&Ok(Answer::Logs))?)).await??;
        let (mut ears, mut mouth) = pipe.split();
        for line in kept.into_iter().filter(|line| line.path.starts_with(&top)) {
            let record = LogRecord::Line(line.as_ref().clone());
            match stay {
                // It is behind, which is its own affair, and told when it has caught up.
                Some(_) => write(&mut mouth, &record).await?,
                None => timeout(PATIENCE, write(&mut mouth, &record)).await??,
            }
        }
        if stay.is_none() {
            return mouth.shutdown().await;
        }
        loop {
            let record = tokio::select! {
                news = news.recv() => match news {
                    Ok(line) if line.path.starts_with(&top) => LogRecord::Line(line.as_ref().clone()),
                    Ok(_) => continue,
                    Err(RecvError::Lagged(missed)) => LogRecord::Missed(missed),
                    Err(RecvError::Closed) => return Ok(()),
                },
                () = gone(&mut ears) => return Ok(()),
            };
            write(&mut mouth, &record).await?;
        }
    }
}

/// Waits for that as long as this process has patience, in several parts: while it was stopped, it has
/// not listened, and what came meanwhile counts.
async fn patiently<T>(it: impl Future<Output = T>) -> Option<T> {
    let mut it = std::pin::pin!(it);
    for _ in 0..PARTS {
        if let Ok(done) = timeout(PATIENCE / PARTS, &mut it).await {
            return Some(done);
        }
    }
    None
}

/// Waits until a visitor that has nothing more to say leaves, or says something.
async fn gone(ears: &mut ReadHalf<'_>) {
    let _ = ears.read_u8().await;
}

async fn write(mouth: &mut WriteHalf<'_>, record: &LogRecord) -> io::Result<()> {
    mouth.write_all(&frame::encode(record)?).await
}

async fn answer(pipe: &mut UnixStream, reply: Reply) -> io::Result<()> {
    let bytes = encoded(&reply)?;
    timeout(PATIENCE, async {
        pipe.write_all(&bytes).await?;
        pipe.shutdown().await
    })
    .await?
}

/// The bytes of a reply; of an error instead if it is too long.
pub(crate) fn encoded(reply: &Reply) -> io::Result<Vec<u8>> {
    frame::encode(reply).or_else(|error| {
        let limit = LimitExceeded { limit: "station_answer".to_owned(), value: frame::MAX_ANSWER as u64 };
        tracing::warn!(%error, "an answer of the station is too long");
        frame::encode(&Reply::Err(Box::new(RemoteError::of(&limit))))
    })
}

fn too_many(who: &str, limit: usize) -> Reply {
    let limit = LimitExceeded { limit: format!("station_{who}"), value: limit as u64 };
    Err(Box::new(RemoteError::of(&limit)))
}

fn misbehaved(violation: String) -> Reply {
    Err(Box::new(RemoteError::of(&PeerMisbehaved { violation })))
}

/// A status with what actors and the system say.
async fn measured(Draft { mut status, tasks }: Draft) -> TreeStatus {
    let end = tokio::time::Instant::now() + COUNTING;
    for (place, count) in tasks {
        // Those behind one that says nothing have answered by then, if they do at all.
        if let Ok(Ok(count)) = tokio::time::timeout_at(end, count).await {
            status.actors[place].tasks = Some(count);
        }
    }
    let unmeasured = status.clone();
    let measuring = tokio::task::spawn_blocking(move || {
        for actor in &mut status.actors {
            actor.memory = measure::memory(actor.pid);
            actor.cpu_ms = measure::cpu_ms(actor.pid);
        }
        status
    });
    measuring.await.unwrap_or(unmeasured)
}
