//! The tasks that tell the broker's loop of everything that happens.
//!
//! Owns: reading and writing control channels, waiting for the ends of processes, asking the
//! registry. Must not know: what any of it means. Invariant: whatever may take long is done here,
//! and never in the loop.

use core::net::IpAddr;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use greenroom_abi::kind::Exit;
use greenroom_abi::{ActorId, RemoteError};
use greenroom_sabotage::Protection;
use greenroom_transport::{Attachment, Channel, Packet};
use greenroom_wire::control::{
    self, ActorEntry, Limits, LogLine, OUTPUT_BYTES, RequestId, Stream, ToActor, ToBroker,
};
use greenroom_wire::{Gate, Passage};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::child::Child;
use crate::harmless::harmless;
use crate::lookup::Turns;
use crate::output::{self, Piece, Pieces, Tail};
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

/// What is wrong with one that has not ended by then.
const HUNG_UP: &str = "it has closed its control channel, and goes on";

/// For how long no process is looked at once all were, for each that is left: some ten times as long as
/// that took.
const REST: Duration = Duration::from_micros(5);

/// A rest that is not worth taking.
const SHORT: Duration = Duration::from_millis(1);

/// How many processes are collected in one turn: it is the kernel that takes them apart.
const COLLECTED: usize = 64;

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
pub(crate) struct Watch {
    events: mpsc::UnboundedSender<Event>,
    children: Arc<Mutex<HashMap<Key, Watched>>>,
    /// One of them may have ended, whether the system has said so or not.
    stir: Arc<Notify>,
}

/// A process whose end is waited for.
struct Watched {
    child: Arc<Child>,
    words: JoinHandle<()>,
    /// How it has ended.
    exit: Option<Exit>,
}

/// What leads to an actor, and from it.
pub(crate) struct Line {
    /// What is to be sent to it.
    pub(crate) packets: mpsc::UnboundedSender<Packet>,
    /// Ends once all its output has been reported.
    pub(crate) words: JoinHandle<()>,
}

/// A search beyond the tree; dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Lookout(tokio::task::AbortHandle);

impl Drop for Lookout {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watch {
    /// Watches over those that will be named.
    ///
    /// # Errors
    /// When the process has no descriptors left to be told of the ends of its children.
    pub(crate) fn new() -> io::Result<(Self, mpsc::UnboundedReceiver<Event>)> {
        let (events, received) = mpsc::unbounded_channel();
        let watch = Self { events, children: Arc::default(), stir: Arc::default() };
        tokio::spawn(watch.clone().collect(signal(SignalKind::child())?));
        Ok((watch, received))
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
        tail: Tail,
        mark: Vec<u8>,
        channel: Channel,
    ) -> Line {
        let channel = Arc::new(channel);
        let (packets, outgoing) = mpsc::unbounded_channel::<Packet>();
        let answers = packets.clone();
        let (pieces, reporting) = output::report(tail, reporter.clone(), limits, move || {
            if let Ok(bytes) = control::encode(&ToActor::Shown) {
                let _ = answers.send(Packet { bytes, attachments: Vec::new() });
            }
        });
        let words = tokio::spawn(reporting);
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
        let (watch, limits, spoken) = (self.clone(), limits.clone(), Spoken { mark, pieces });
        tokio::spawn(async move {
            let heard = listen(actor, &reporter, &limits, &channel, &outgoing, spoken, &watch.events);
            let Err(how) = heard.await else { return };
            if how == HUNG_UP {
                // The end of the process follows, and with it the event that counts; if not, it is
                // one that nobody could ask to end.
                tokio::time::sleep(HANG_UP).await;
                watch.stir.notify_one();
                if Protection::HungUp.is_off() {
                    return;
                }
            }
            let _ = watch.events.send(Event::Misbehaved { actor, how });
        });
        Line { packets, words }
    }

    /// Waits for the end of an actor's process and of its output.
    pub(crate) fn process(&self, actor: Key, child: Arc<Child>, words: JoinHandle<()>) {
        self.children().insert(actor, Watched { child, words, exit: None });
    }

    /// Collects the processes that end. The system says only that some have, so all are looked at; for
    /// that it takes no more than a fraction of the time, however many there are.
    async fn collect(self, mut ends: Signal) {
        loop {
            tokio::select! {
                _ = ends.recv() => {}
                () = self.stir.notified() => {}
            }
            let (ended, left) = self.ended();
            let is_all = ended.len() < COLLECTED;
            for (actor, Watched { words, exit, .. }) in ended {
                let (events, exit) = (self.events.clone(), exit.unwrap_or(Exit::Unknown));
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(LAST_WORDS, words).await;
                    let _ = events.send(Event::Exited { actor, exit });
                });
            }
            let rest = REST * u32::try_from(left).unwrap_or(u32::MAX);
            if !is_all {
                self.stir.notify_one();
                tokio::task::yield_now().await;
            } else if rest >= SHORT {
                tokio::time::sleep(rest).await;
            }
        }
    }

    /// Takes out some that have ended, and says how; and how many are left.
    fn ended(&self) -> (Vec<(Key, Watched)>, usize) {
        let mut children = self.children();
        let ended = children.extract_if(|_, watched| {
            watched.exit = watched.child.collect();
            watched.exit.is_some()
        });
        let ended = ended.take(COLLECTED).collect();
        (ended, children.len())
    }

    fn children(&self) -> MutexGuard<'_, HashMap<Key, Watched>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has an actor made known beyond its tree.
    pub(crate) fn publish(&self, actor: Key, beyond: Beyond, entry: Entry) {
        let events = self.events.clone();
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
        let events = self.events.clone();
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
        let events = self.events.clone();
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
        let events = self.events.clone();
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

/// What comes over an actor's channel beside messages, and where all output goes.
struct Spoken {
    /// What messages begin with.
    mark: Vec<u8>,
    pieces: Pieces,
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
    spoken: Spoken,
    events: &mpsc::UnboundedSender<Event>,
) -> Result<(), String> {
    let turns = Arc::new(Semaphore::new(MAX_UNHEARD));
    // An actor counts its lines itself; this is for one that does not. Seconds begin when they like.
    let mut gate = Gate::new(2 * limits.log_rate + COUNTS);
    loop {
        outgoing.settle().await;
        let packet = match channel.receive().await {
            Ok(Some(packet)) => packet,
            Ok(None) => return Err(HUNG_UP.to_owned()),
            // It left without reading everything; what it said is still to be read.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => continue,
            Err(error) => return Err(error.to_string()),
        };
        if !packet.attachments.is_empty() {
            return Err("it sends descriptors, which nobody takes from an actor".to_owned());
        }
        let Some(message) = packet.bytes.strip_prefix(spoken.mark.as_slice()) else {
            // Its process has written this, whatever it may look like.
            let piece = Piece { stream: Stream::Stderr, bytes: packet.bytes, is_awaited: false };
            let _ = spoken.pieces.send(piece).await;
            continue;
        };
        let name = || reporter.actor.name.clone();
        let mut admit = || match gate.pass(Instant::now()) {
            Passage::Through { dropped } => Some(dropped),
            Passage::Dropped { .. } if Protection::BrokerLogRate.is_off() => Some(0),
            Passage::Dropped { .. } => None,
        };
        let report = match control::decode(message) {
            Ok(ToBroker::Output { bytes, .. }) if bytes.len() > OUTPUT_BYTES => {
                return Err("it writes more at once than it may".to_owned());
            }
            Ok(ToBroker::Output { stream, bytes }) => {
                // An honest actor leaves room for it; who does not waits here, with all it has to say.
                let _ = spoken.pieces.send(Piece { stream, bytes, is_awaited: true }).await;
                continue;
            }
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

#[cfg(test)]
mod tests {
    use greenroom_transport::{channel_from_fd, socket_channel};

    use super::*;
    use crate::report::Stream;
    use crate::station::Logbook;

    fn plain(message: &ToBroker) -> Packet {
        Packet { bytes: control::encode(message).expect("encodes"), attachments: Vec::new() }
    }

    #[tokio::test]
    async fn what_has_no_mark_is_text_whatever_it_looks_like() {
        let (ours, theirs) = socket_channel().expect("a pair");
        let beside = theirs.try_clone().expect("a copy");
        let (watch, mut events) = Watch::new().expect("watches");
        let (reports, mut told) = mpsc::channel(8);
        let id = ActorId { name: "one".to_owned(), uuid: String::new() };
        let reporter = Reporter { actor: id, path: Vec::new(), book: Logbook::default(), reports };
        let (tail, mark) = (Tail::default(), vec![7; 16]);
        let channel = channel_from_fd(ours).expect("registers");
        let line =
            watch.channel(Key::nil(), reporter, &Limits::default(), tail.clone(), mark.clone(), channel);

        let forged = plain(&ToBroker::Ready).bytes;
        rustix::io::write(&beside, &forged).expect("writes");
        rustix::io::write(&beside, b"\n").expect("writes");
        let actor = channel_from_fd(theirs).expect("registers").marked(mark);
        let bytes = b"out\n".to_vec();
        actor.send(plain(&ToBroker::Output { stream: Stream::Stdout, bytes })).await.expect("sends");
        actor.send(plain(&ToBroker::Ready)).await.expect("sends");

        let heard = events.recv().await;
        assert!(matches!(heard, Some(Event::Message { message: ToBroker::Ready, .. })), "the marked one");
        for (wanted, text) in [(Stream::Stderr, "eReady"), (Stream::Stdout, "out")] {
            let Some(Report::Output { stream, line, .. }) = told.recv().await else { panic!("no output") };
            assert_eq!((stream, line.as_str()), (wanted, text));
        }
        let answer = actor.receive().await.expect("receives").expect("an answer");
        assert_eq!(control::decode::<ToActor>(&answer.bytes), Ok(ToActor::Shown));
        assert_eq!(tail.lines(), ["eReady"]);
        drop((actor, beside));
        line.words.await.expect("the output ends with the channel");
        assert!(events.try_recv().is_err(), "one message came");
    }
}
