//! The tasks that tell the broker's loop of everything that happens.
//!
//! Owns: reading and writing control channels, waiting for the ends of processes, asking the
//! registry. Must not know: what any of it means. Invariant: whatever may take long is done here,
//! and never in the loop.

use core::net::IpAddr;
use std::borrow::Borrow;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use greenroom_abi::kind::Exit;
use greenroom_abi::{ActorId, RemoteError};
use greenroom_sabotage::Protection;
use greenroom_transport::{Attachment, Channel, Packet};
use greenroom_wire::control::{self, ActorEntry, Limits, LogLine, RequestId, ToBroker};
use greenroom_wire::{Gate, Passage};
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use crate::harmless::harmless;
use crate::lookup::Turns;
use crate::registry::beyond::Beyond;
use crate::registry::{Entry, Publication, RegistryError};
use crate::report::Report;
use crate::station::Reporter;
use crate::tree::Key;

/// How long the last lines of a dead actor's output may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// How many lines that count others an actor may log beside its own, in a second.
const COUNTS: usize = 4;

/// How long after its control channel an actor may end.
const HANG_UP: Duration = Duration::from_secs(1);

/// How many messages of one actor may wait for the loop.
const MAX_UNHEARD: usize = 16;

/// How many packets may wait for an actor before it is read no further. What is sent to it unasked
/// is bounded by what leads to it.
const MAX_UNTAKEN: usize = 256;

/// What a search beyond the tree came to: who was found, and the pipe there.
pub(crate) type FoundBeyond = Result<Option<(ActorId, Attachment)>, Box<RemoteError>>;

/// Everything that can happen to the tree.
pub(crate) enum Event {
    Message { actor: Key, message: ToBroker, turn: OwnedSemaphorePermit },
    Exited { actor: Key, exit: Exit },
    Misbehaved { actor: Key, how: String },
    Published { actor: Key, result: Result<Box<dyn Publication>, RegistryError> },
    FoundBeyond { asker: Key, request: RequestId, result: FoundBeyond },
    LookedUp { asker: Key, request: RequestId, result: Result<Vec<IpAddr>, RemoteError> },
    ListedBeyond { asker: Key, request: RequestId, result: Result<Vec<ActorEntry>, RegistryError> },
}

/// Where those tasks tell.
#[derive(Clone)]
pub(crate) struct Watch(mpsc::UnboundedSender<Event>);

/// A search beyond the tree; dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Lookout(tokio::task::AbortHandle);

impl Drop for Lookout {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watch {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, events) = mpsc::unbounded_channel();
        (Self(sender), events)
    }

    /// Reads and writes an actor's control channel.
    ///
    /// An actor is read on only while few of its messages wait for the loop, and few answers for it:
    /// whoever asks much holds up nobody else, and whoever takes no answers gets no more.
    pub(crate) fn channel(
        &self,
        actor: Key,
        reporter: Reporter,
        limits: &Limits,
        channel: Channel,
    ) -> mpsc::UnboundedSender<Packet> {
        let channel = Arc::new(channel);
        let (packets, outgoing) = mpsc::unbounded_channel::<Packet>();
        let outgoing = Arc::new(Outgoing { packets: Mutex::new(outgoing), taken: Notify::new() });
        let (writer, queue) = (channel.clone(), outgoing.clone());
        tokio::spawn(async move {
            while let Some(packet) = queue.next().await {
                if writer.send(packet).await.is_err() {
                    break;
                }
            }
            queue.close();
        });
        let (events, limits) = (self.0.clone(), limits.clone());
        tokio::spawn(async move {
            if let Err(how) = listen(actor, &reporter, &limits, &channel, &outgoing, &events).await {
                let _ = events.send(Event::Misbehaved { actor, how });
            }
        });
        packets
    }

    /// Waits for the end of an actor's process and of its output.
    ///
    /// # Errors
    /// When the process cannot be registered with the reactor.
    pub(crate) fn process(
        &self,
        actor: Key,
        pidfd: Arc<OwnedFd>,
        reap: Box<dyn FnOnce() -> Exit + Send>,
        stdout: impl Future<Output = ()> + Send + 'static,
        stderr: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let pidfd = readable(pidfd)?;
        let events = self.0.clone();
        let words = tokio::spawn(async move { tokio::join!(stdout, stderr) });
        tokio::spawn(async move {
            let _ = pidfd.readable().await;
            let exit = reap();
            let _ = tokio::time::timeout(LAST_WORDS, words).await;
            let _ = events.send(Event::Exited { actor, exit });
        });
        Ok(())
    }

    /// Has an actor made known beyond its tree.
    pub(crate) fn publish(&self, actor: Key, beyond: Beyond, entry: Entry) {
        let events = self.0.clone();
        tokio::spawn(async move {
            let result = beyond.publish(entry).await;
            // A publication that nobody takes is dropped, and ends with that.
            let _ = events.send(Event::Published { actor, result });
        });
    }

    /// Looks beyond the tree for an actor's question.
    pub(crate) fn find_beyond(
        &self,
        asker: Key,
        request: RequestId,
        beyond: Beyond,
        who: ActorId,
        name: String,
        wait: bool,
    ) -> Lookout {
        let events = self.0.clone();
        let looking = tokio::spawn(async move {
            let result = match wait {
                true => beyond.wait(&name, &who).await.map(Some),
                false => beyond.find(&name, &who).await,
            };
            let _ = events.send(Event::FoundBeyond { asker, request, result });
        });
        Lookout(looking.abort_handle())
    }

    /// Looks up the name of a host for an actor's question.
    pub(crate) fn look_up(&self, asker: Key, request: RequestId, turns: Turns, name: String) {
        let events = self.0.clone();
        tokio::spawn(async move {
            let result = turns.look_up(&name).await;
            let _ = events.send(Event::LookedUp { asker, request, result });
        });
    }

    /// Lists who there is in the tree and beyond, for an actor's question.
    pub(crate) fn list_beyond(
        &self,
        asker: Key,
        request: RequestId,
        beyond: Beyond,
        own: Vec<ActorEntry>,
        name: Option<String>,
    ) {
        let events = self.0.clone();
        tokio::spawn(async move {
            let named = |entry: &Entry| name.as_ref().is_none_or(|name| entry.id.name == *name);
            let result = beyond.list().await.map(|others| {
                own.into_iter().chain(others.into_iter().filter(named).map(ActorEntry::from)).collect()
            });
            let _ = events.send(Event::ListedBeyond { asker, request, result });
        });
    }
}

/// A line as it may be shown.
fn shown(LogLine { level, target, message, task }: LogLine, limits: &Limits) -> LogLine {
    // An actor shortens its lines itself; this is for one that does not.
    let shortened = |text| if Protection::BrokerLogLine.is_off() { text } else { limits.shortened(text) };
    let shown = |text| harmless(&shortened(text)).into_owned();
    LogLine { level, target: shown(target), message: shown(message), task: task.map(shown) }
}

/// What waits to be sent to an actor.
struct Outgoing {
    packets: Mutex<mpsc::UnboundedReceiver<Packet>>,
    /// One has left.
    taken: Notify,
}

impl Outgoing {
    async fn next(&self) -> Option<Packet> {
        let packet = poll_fn(|cx| self.packets().poll_recv(cx)).await;
        self.taken.notify_one();
        packet
    }

    /// Waits until there are few.
    async fn settle(&self) {
        while self.packets().len() > MAX_UNTAKEN && !Protection::Backlog.is_off() {
            self.taken.notified().await;
        }
    }

    /// Nobody takes any more.
    fn close(&self) {
        let mut packets = self.packets();
        packets.close();
        while packets.try_recv().is_ok() {}
        self.taken.notify_one();
    }

    fn packets(&self) -> MutexGuard<'_, mpsc::UnboundedReceiver<Packet>> {
        self.packets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads an actor's messages until it has no more.
///
/// # Errors
/// What it did that no honest actor does.
async fn listen(
    actor: Key,
    reporter: &Reporter,
    limits: &Limits,
    channel: &Channel,
    outgoing: &Outgoing,
    events: &mpsc::UnboundedSender<Event>,
) -> Result<(), String> {
    let turns = Arc::new(Semaphore::new(MAX_UNHEARD));
    // An actor counts its lines itself; this is for one that does not. Seconds begin when they like.
    let mut gate = Gate::new(2 * limits.log_rate + COUNTS);
    loop {
        outgoing.settle().await;
        let packet = match channel.receive().await {
            Ok(Some(packet)) => packet,
            Ok(None) => {
                // The end of the process follows, and with it the event that counts; if not, it is
                // one that nobody could ask to end.
                tokio::time::sleep(HANG_UP).await;
                if Protection::HungUp.is_off() {
                    return Ok(());
                }
                return Err("it has closed its control channel, and goes on".to_owned());
            }
            // It left without reading everything; what it said is still to be read.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => continue,
            Err(error) => return Err(error.to_string()),
        };
        if !packet.attachments.is_empty() {
            return Err("it sends descriptors, which nobody takes from an actor".to_owned());
        }
        let name = || reporter.actor.name.clone();
        let mut admit = || match gate.pass(Instant::now()) {
            Passage::Through { dropped } => Some(dropped),
            Passage::Dropped { .. } if Protection::BrokerLogRate.is_off() => Some(0),
            Passage::Dropped { .. } => None,
        };
        let report = match control::decode(&packet.bytes) {
            Ok(ToBroker::Log(line)) => {
                let Some(dropped) = admit() else { continue };
                if dropped > 0 {
                    let line = limits.dropped(dropped);
                    let _ = reporter.send(Report::Log { actor: name(), line }).await;
                }
                Report::Log { actor: name(), line: shown(line, limits) }
            }
            Ok(ToBroker::Progress { done, total, message }) => {
                if admit().is_none() {
                    continue;
                }
                let message = harmless(&limits.shortened(message)).into_owned();
                Report::Progress { actor: name(), done, total, message }
            }
            Ok(message) => {
                // The semaphore is never closed.
                let Ok(turn) = turns.clone().acquire_owned().await else { return Ok(()) };
                if events.send(Event::Message { actor, message, turn }).is_err() {
                    return Ok(());
                }
                continue;
            }
            Err(error) => return Err(error.to_string()),
        };
        if !reporter.send(report).await {
            return Ok(());
        }
    }
}

#[expect(unsafe_code, reason = "tokio makes the promise of I/O safety explicit")]
pub(crate) fn readable<F: Borrow<OwnedFd> + AsRawFd>(pidfd: F) -> io::Result<AsyncFd<F>> {
    // SAFETY: an `OwnedFd` always gives the same open descriptor, shared or not, and whoever holds one
    // keeps it open.
    unsafe { AsyncFd::register_with_interest(pidfd, tokio::io::Interest::READABLE) }.map_err(Into::into)
}
