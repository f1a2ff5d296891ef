//! The station, as visitors use and misuse it.
//!
//! Owns: the bounds in number, length and time. The tree behind it is played.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream as Plain;
use std::sync::Arc;
use std::time::Instant;

use greenroom_abi::kind::{LimitExceeded, PeerMisbehaved};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::server::{FOLLOWERS, PATIENCE, VISITORS};
use super::*;
use crate::registry::{Directory, Registry, RegistryError, Seat};
use crate::report::{Report, Stream};

/// A station in a registry of its own.
struct Station {
    registry: Arc<Directory>,
    host: String,
    book: Logbook,
    visits: mpsc::UnboundedReceiver<Visit>,
    _seat: Box<dyn Seat>,
    _folder: tempfile::TempDir,
}

impl Station {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Directory::at(&folder.path().join("greenroom")).expect("a registry");
        let host = Uuid::new_v4().to_string();
        let (seat, listener) = registry.enter(&host).expect("there is room");
        let (visitors, visits) = mpsc::unbounded_channel();
        let book = Logbook::default();
        serve(listener, book.clone(), visitors).expect("it listens");
        Self { registry: Arc::new(registry), host, book, visits, _seat: seat, _folder: folder }
    }

    fn pipe(&self) -> tokio::net::UnixStream {
        let pipe = self.registry.connect(&self.host).expect("it listens");
        pipe.set_nonblocking(true).expect("a socket");
        tokio::net::UnixStream::from_std(pipe).expect("a socket")
    }

    /// What it answers to bytes.
    async fn answer(&self, bytes: &[u8]) -> Reply {
        let mut pipe = self.pipe();
        pipe.write_all(bytes).await.expect("it reads");
        frame::read(&mut pipe, frame::MAX_ANSWER).await.expect("an answer")
    }

    async fn say(&self, text: &str) {
        let (reports, _taken) = mpsc::channel(1);
        let (path, book) = (vec!["a".to_owned(), text.to_owned()], self.book.clone());
        let reporter = Reporter { actor: guest(text), path, book, reports };
        let line = text.to_owned();
        assert!(reporter.send(Report::Output { actor: String::new(), stream: Stream::Stdout, line }).await);
    }

    async fn follow(&self, follow: bool) -> Result<LogStream, RegistryError> {
        client::follow(&*self.registry, &self.host, "a", None, follow).await
    }
}

fn place() -> Place {
    Place { actor: Uuid::new_v4().to_string(), below: vec!["child".to_owned()] }
}

async fn text(lines: &mut LogStream) -> String {
    match lines.next().await.expect("it is understood").expect("there is more") {
        LogRecord::Line(line) => line.text,
        LogRecord::Missed(count) => format!("missed {count}"),
    }
}

#[tokio::test]
async fn what_is_asked_reaches_the_broker_and_its_answer_the_visitor() {
    let mut station = Station::open();
    let (registry, host) = (station.registry.clone(), station.host.clone());
    let asked = tokio::spawn(async move {
        let cancelled = ask(&*registry, &host, "a", &Request::Cancel { place: place() }).await;
        let refused = ask(&*registry, &host, "a", &Request::Describe { place: place() }).await;
        (cancelled, refused)
    });
    let Some(Visit::Cancel { place, reply }) = station.visits.recv().await else { panic!("a cancel") };
    assert_eq!(place.below, ["child"]);
    reply.send(Ok(Answer::Ended)).expect("it is waited for");
    let Some(Visit::Describe { reply, .. }) = station.visits.recv().await else { panic!("a question") };
    let error = Box::new(RemoteError::new("NoSuchActor", "gone"));
    reply.send(Err(error.clone())).expect("it is waited for");
    let (cancelled, refused) = asked.await.expect("no panic");
    assert_eq!(cancelled.expect("an answer"), Answer::Ended);
    assert!(matches!(refused, Err(RegistryError::Refused(told)) if told == error));
}

#[tokio::test]
async fn a_connection_becomes_the_pipe_with_nothing_read_ahead() {
    let mut station = Station::open();
    let (registry, host) = (station.registry.clone(), station.host.clone());
    let who = guest("client");
    let asked = tokio::spawn(async move { connect(&*registry, &host, "a", place(), who).await });
    let Some(Visit::Connect { guest, pipe, slot, .. }) = station.visits.recv().await else { panic!("one") };
    drop(slot);
    let ends = Preamble { you: guest, peer: super::guest("actor") };
    let mut inside = Plain::from(pipe);
    let answer = encoded(&Ok(Answer::Connected(ends.clone()))).expect("it can be encoded");
    inside.write_all(&[&answer[..], b"and more"].concat()).expect("there is room");
    let (told, pipe) = asked.await.expect("no panic").expect("it is let in");
    assert_eq!(told, ends);
    let mut outside = Plain::from(pipe);
    outside.set_nonblocking(false).expect("a socket");
    let mut more = [0; 8];
    outside.read_exact(&mut more).expect("what follows is there");
    assert_eq!(&more, b"and more");
}

#[tokio::test]
async fn what_is_no_request_is_told_and_holds_nobody_up() {
    let station = Station::open();
    let too_long = u32::try_from(frame::MAX_REQUEST + 1).expect("it fits").to_be_bytes();
    for wrong in [&b"\0\0\0\x02\xff\xff"[..], b"\0\0\0\x01\xf6", b"\0\0\0\x00", &too_long, b"GET / HTTP"] {
        let error = station.answer(wrong).await.expect_err("no request");
        assert!(error.is::<PeerMisbehaved>() && error.message.contains("no request"), "{error}");
    }
    // One that says half a request, and one that says nothing, are given up in time.
    let began = Instant::now();
    let (half, nothing) = tokio::join!(station.answer(b"\0\0\0\x09\xff"), station.answer(b""));
    for told in [half, nothing] {
        assert!(told.expect_err("no request").message.contains("within"));
    }
    assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE * 3, "{:?}", began.elapsed());
}

#[tokio::test]
async fn only_so_many_are_let_in_at_once_and_all_get_an_answer() {
    let station = Station::open();
    let mut silent: Vec<_> = (0..VISITORS).map(|_| station.pipe()).collect();
    // Somebody is let in once all before it were.
    let refused = station.answer(b"").await.expect_err("there is no room");
    assert_eq!(
        refused.downcast().map(|limit: LimitExceeded| limit.limit),
        Some("station_visitors".to_owned())
    );
    drop(silent.pop());
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let error = station.answer(b"\0\0\0\x01\xf6").await.expect_err("no request");
    assert!(error.is::<PeerMisbehaved>(), "{error}");
}

#[tokio::test]
async fn a_host_that_answers_nothing_is_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Directory::at(&folder.path().join("greenroom")).expect("a registry");
    let host = Uuid::new_v4().to_string();
    let entered = registry.enter(&host).expect("there is room");
    let stopped = ask(&registry, &host, "clock", &Request::Status).await.expect_err("nobody lets it in");
    assert!(stopped.to_string().contains("`clock` does not answer: nothing came within"), "{stopped}");
    drop(entered);
    let gone = ask(&registry, &host, "clock", &Request::Status).await.expect_err("it is gone");
    assert!(gone.to_string().contains("it has just ended"), "{gone}");
}

#[tokio::test]
async fn lines_are_told_to_those_who_ask_and_go_on_for_those_who_follow() {
    let mut station = Station::open();
    station.say("one").await;
    station.say("two").await;
    let mut all = station.follow(false).await.expect("lines");
    assert_eq!([text(&mut all).await, text(&mut all).await], ["one", "two"]);
    assert_eq!(all.next().await.expect("an end"), None);

    let mut following = station.follow(true).await.expect("lines");
    assert_eq!([text(&mut following).await, text(&mut following).await], ["one", "two"]);
    station.say("three").await;
    assert_eq!(text(&mut following).await, "three");

    // Of one actor alone.
    let (registry, host) = (station.registry.clone(), station.host.clone());
    let asked =
        tokio::spawn(async move { client::follow(&*registry, &host, "a", Some(place()), false).await });
    let Some(Visit::Locate { reply, .. }) = station.visits.recv().await else { panic!("a question") };
    reply.send(Ok(vec!["a".to_owned(), "two".to_owned()])).expect("it is waited for");
    let mut two = asked.await.expect("no panic").expect("lines");
    assert_eq!(text(&mut two).await, "two");
    assert_eq!(two.next().await.expect("an end"), None);
}

#[tokio::test]
async fn a_follower_that_does_not_read_holds_nobody_up_and_is_told_what_it_missed() {
    const LINES: usize = 20_000;
    let station = Station::open();
    let mut slow = station.follow(true).await.expect("lines");
    let began = Instant::now();
    for number in 0..LINES {
        station.say(&format!("{number}")).await;
        tokio::task::yield_now().await;
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    let (mut seen, mut missed) = (0, 0);
    while seen + missed < LINES {
        match slow.next().await.expect("it is understood").expect("there is more") {
            LogRecord::Line(_) => seen += 1,
            LogRecord::Missed(count) => missed += usize::try_from(count).expect("not so many"),
        }
    }
    assert!(missed > 0 && seen + missed == LINES, "{seen} seen, {missed} missed");
}

#[tokio::test]
async fn only_so_many_follow_and_one_that_leaves_makes_room() {
    let station = Station::open();
    let mut all = Vec::new();
    for _ in 0..FOLLOWERS {
        all.push(station.follow(true).await.expect("lines"));
    }
    let full = station.follow(true).await.expect_err("there is no room");
    assert!(full.to_string().contains("station_followers"), "{full}");
    station.follow(false).await.expect("who does not stay is no follower");
    drop(all.pop());
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    station.follow(true).await.expect("there is room again");
}

#[tokio::test]
async fn a_status_waits_only_so_long_for_actors_that_do_not_count() {
    let mut station = Station::open();
    let (registry, host) = (station.registry.clone(), station.host.clone());
    let asked = tokio::spawn(async move { ask(&*registry, &host, "a", &Request::Status).await });
    let Some(Visit::Status { reply }) = station.visits.recv().await else { panic!("a question") };
    let actor = |name: &str, pid| ActorStatus {
        id: guest(name),
        path: vec![name.to_owned()],
        pid,
        published: true,
        stage: ActorStage::Ready,
        uptime_ms: 1,
        tasks: None,
        memory: None,
        cpu_ms: None,
        modules: Vec::new(),
    };
    let actors = vec![actor("stopped", u32::MAX), actor("busy", std::process::id())];
    let (tree, version) = ("tree".to_owned(), String::new());
    let status = TreeStatus { tree, host: String::new(), host_pid: 1, version, without: Vec::new(), actors };
    let ((_silent, first), (second, third)) = (oneshot(), oneshot());
    second.send(3).expect("it is waited for");
    let tasks = vec![(0, first), (1, third)];
    let began = Instant::now();
    assert!(reply.send(Draft { status, tasks }).is_ok());
    let Ok(Ok(Answer::Status(status))) = asked.await else { panic!("a status") };
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    assert_eq!(status.actors.iter().map(|actor| actor.tasks).collect::<Vec<_>>(), [None, Some(3)]);
    assert_eq!(status.actors[0].memory, None);
    assert!(status.actors[1].memory.is_some() && status.actors[1].cpu_ms.is_some());
}

fn oneshot() -> (tokio::sync::oneshot::Sender<u32>, tokio::sync::oneshot::Receiver<u32>) {
    tokio::sync::oneshot::channel()
}

#[tokio::test]
async fn a_visitor_that_leaves_at_once_is_no_matter() {
    let station = Station::open();
    for _ in 0..VISITORS * 3 {
        drop(station.pipe());
        tokio::task::yield_now().await;
    }
    let mut pipe = station.pipe();
    pipe.write_all(b"\0\0\0\x01\xf6").await.expect("it reads");
    assert!(pipe.read_u32().await.is_ok_and(|length| length > 0));
}
