//! Things that happen in an order nobody likes.
//!
//! Owns: one test for each race that has once lost something, with the broker or the peer
//! played by hand. Must not know: the in-memory broker. Invariant of what is tested: the
//! outcome does not depend on which of two ready things is looked at first.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use greenroom_abi::RemoteError;
use greenroom_abi::kind::{ActorDied, Exit, LimitExceeded, PeerMisbehaved, SpawnFailed};
use greenroom_transport::{Attachment, Channel, Pipe, attach, memory_channel, memory_pipe, socket_pipe};
use greenroom_wire::control::{self, Limits, SpawnSpec, ToActor, ToBroker};
use greenroom_wire::{Config, Event, Role, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::kit::*;
use crate::{Actor, Idle, Nursery, Portal};

/// An actor whose broker is played by the test.
fn operator() -> (Actor, Channel) {
    let (actor, outbox) = Actor::new(identity("operator"), Limits::default(), Box::new(Idle));
    let (ours, theirs) = memory_channel();
    let running = actor.clone();
    tokio::spawn(async move { running.run(theirs, outbox).await });
    (actor, ours)
}

async fn heard(channel: &Channel) -> ToBroker {
    let packet = channel.receive().await.expect("receives").expect("a message");
    control::decode(&packet.bytes).expect("a request")
}

async fn say(channel: &Channel, message: ToActor, attachments: Vec<Attachment>) {
    channel.send(packet(&message, attachments)).await.expect("sends");
}

/// The child `leaf`, of which the test plays the pipe's other end and the process.
async fn leaf(nursery: &Nursery, channel: &Channel) -> (Portal, Peer) {
    leaf_over(memory_pipe(), nursery, channel).await
}

async fn leaf_over(
    (near, far): (Attachment, Attachment),
    nursery: &Nursery,
    channel: &Channel,
) -> (Portal, Peer) {
    let answer = async {
        let ToBroker::Spawn { request, .. } = heard(channel).await else { panic!("a spawn") };
        say(channel, ToActor::Spawned { request, result: Ok(id("leaf")) }, vec![near]).await;
    };
    let (started, ()) = tokio::join!(nursery.start(spec("leaf", &["leaf"]), None), answer);
    let session = Session::new(Role::Acceptor, Config::default(), std::time::Instant::now());
    (started.expect("starts"), Peer { pipe: Pipe::from_attachment(far).expect("a pipe"), session })
}

/// The other end of a link, driven step by step.
struct Peer {
    pipe: Pipe,
    session: Session,
}

impl Peer {
    /// Reads until a call arrives, and answers it at once.
    async fn answer(&mut self, outcome: Bytes) {
        let mut input = BytesMut::new();
        loop {
            self.pipe.read_buf(&mut input).await.expect("reads");
            self.session.handle_input(&mut input, std::time::Instant::now()).expect("is well-behaved");
            while let Some(event) = self.session.poll_event() {
                if let Event::Start { context, .. } = event {
                    self.session.finish(context, Ok(outcome));
                    return self.write().await;
                }
            }
        }
    }

    async fn write(&mut self) {
        let mut output = BytesMut::new();
        self.session.poll_transmit(&mut output, usize::MAX);
        self.pipe.write_all(&output).await.expect("writes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_dies_as_soon_as_it_is_ready_is_noticed() {
    let (actor, channel) = operator();
    let nursery = Nursery::open(&actor);
    let (near, far) = memory_pipe();
    let answer = async {
        let ToBroker::Spawn { request, .. } = heard(&channel).await else { panic!("a spawn") };
        drop(far);
        say(&channel, ToActor::Spawned { request, result: Ok(id("leaf")) }, vec![near]).await;
        say(&channel, ToActor::Exited { actor: id("leaf"), exit: Exit::Signal(9) }, Vec::new()).await;
    };
    let (started, ()) = tokio::join!(nursery.start(spec("leaf", &["leaf"]), None), answer);
    started.expect("was started");
    let joined = tokio::time::timeout(Duration::from_secs(10), nursery.join()).await.expect("is noticed");
    let error = joined.expect_err("a death");
    assert_eq!(error.kind(), Some(ActorDied { actor: id("leaf"), exit: Exit::Signal(9) }));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_not_lost_to_the_exit_notice_that_overtakes_it() {
    let (actor, channel) = operator();
    let nursery = Nursery::open(&actor);
    let (portal, mut peer) = leaf(&nursery, &channel).await;
    let call = portal.call("leaf:last", Bytes::new());
    tokio::time::sleep(Duration::from_millis(1)).await;
    say(&channel, ToActor::Exited { actor: id("leaf"), exit: Exit::Code(0) }, Vec::new()).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    peer.answer(value("last words").expect("a value")).await;
    drop(peer);
    assert_eq!(call.await, value("last words"));
    nursery.join().await.expect("a graceful end");
}

#[tokio::test(start_paused = true)]
async fn a_call_open_at_a_graceful_exit_ends_as_the_actors_death() {
    let (actor, channel) = operator();
    let nursery = Nursery::open(&actor);
    let (portal, mut peer) = leaf(&nursery, &channel).await;
    let call = portal.call("leaf:wait", Bytes::new());
    peer.answer(value(()).expect("a value")).await;
    call.await.expect("answered");
    let call = portal.call("leaf:wait", Bytes::new());
    tokio::time::sleep(Duration::from_millis(1)).await;
    say(&channel, ToActor::Exited { actor: id("leaf"), exit: Exit::Code(0) }, Vec::new()).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop(peer);
    assert_eq!(died(&call.await), Some(Exit::Code(0)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_not_lost_to_a_write_that_fails() {
    for pipe in [memory_pipe(), socket_pipe().expect("a pair")] {
        let (actor, channel) = operator();
        let nursery = Nursery::open(&actor);
        let (portal, mut peer) = leaf_over(pipe, &nursery, &channel).await;
        let call = portal.call("leaf:last", Bytes::new());
        // More than the link reads before it next looks at what it has to write.
        let answer = Bytes::from(vec![0x41; 150 << 10]);
        peer.answer(answer.clone()).await;
        drop(peer);
        let other = portal.call("leaf:more", Bytes::new());
        assert!(call.await == Ok(answer), "the answer is lost");
        assert_eq!(died(&other.await), Some(Exit::Unknown));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_to_a_peer_that_is_taking_leave_fails_at_once() {
    let (actor, channel) = operator();
    let nursery = Nursery::open(&actor);
    let (portal, mut peer) = leaf(&nursery, &channel).await;
    let open = portal.call("leaf:wait", Bytes::new());
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut input = BytesMut::new();
    peer.pipe.read_buf(&mut input).await.expect("reads");
    peer.session.handle_input(&mut input, std::time::Instant::now()).expect("is well-behaved");
    peer.session.goodbye("leaving");
    peer.write().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let called = tokio::time::Instant::now();
    assert_eq!(died(&portal.call("leaf:wait", Bytes::new()).await), Some(Exit::Unknown));
    assert_eq!(called.elapsed(), Duration::ZERO);
    say(&channel, ToActor::Exited { actor: id("leaf"), exit: Exit::Code(4) }, Vec::new()).await;
    drop(peer);
    assert_eq!(died(&open.await), Some(Exit::Code(4)));
}

#[tokio::test(start_paused = true)]
async fn a_call_past_a_limit_of_the_link_names_it() {
    let (actor, channel) = operator();
    let nursery = Nursery::open(&actor);
    let (portal, _peer) = leaf(&nursery, &channel).await;
    let error = portal.call(&"f".repeat(5000), Bytes::new()).await.expect_err("too long a name");
    assert_eq!(error.kind::<LimitExceeded>().expect("its kind").limit, "max_text");
}

#[tokio::test(start_paused = true)]
async fn who_breaks_the_protocol_is_told_so() {
    let (actor, channel) = operator();
    let nursery = Nursery::open(&actor);
    let (portal, mut peer) = leaf(&nursery, &channel).await;
    let call = portal.call("leaf:wait", Bytes::new());
    peer.pipe.write_all(&[0, 0, 0, 1, 0x00]).await.expect("writes");
    let error = call.await.expect_err("the link is closed");
    assert!(error.is::<PeerMisbehaved>(), "{error}");
    let mut said = Vec::new();
    peer.pipe.read_to_end(&mut said).await.expect("reads to the end");
    let text = String::from_utf8_lossy(&said);
    let PeerMisbehaved { violation } = error.kind().expect("its kind");
    assert!(text.contains(&violation), "no goodbye that says `{violation}` in {text:?}");
    assert!(died(&portal.call("leaf:wait", Bytes::new()).await).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_request_too_large_to_send_is_refused_and_the_next_is_heard() {
    let (actor, channel) = operator();
    let nursery = Nursery::open(&actor);
    let large = SpawnSpec { env: vec![("A".to_owned(), "x".repeat(1 << 20))], ..spec("leaf", &["leaf"]) };
    let start = tokio::time::timeout(Duration::from_secs(60), nursery.start(large, None));
    let error = start.await.expect("is answered").expect_err("too large");
    assert!(error.is::<LimitExceeded>(), "{error}");
    let (portal, _peer) = leaf(&nursery, &channel).await;
    assert_eq!(portal.peer(), id("leaf"));
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_pipe_is_missing_is_an_error() {
    let (actor, channel) = operator();
    let nursery = Nursery::open(&actor);
    let answer = async {
        let ToBroker::Spawn { request, .. } = heard(&channel).await else { panic!("a spawn") };
        say(&channel, ToActor::Spawned { request, result: Ok(id("leaf")) }, Vec::new()).await;
    };
    let (started, ()) = tokio::join!(nursery.start(spec("leaf", &["leaf"]), None), answer);
    let error: Box<RemoteError> = started.expect_err("no pipe");
    assert!(error.message.contains("pipe"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_pipe_cannot_be_used_is_ended() {
    let (actor, channel) = operator();
    let nursery = Nursery::open(&actor);
    let no_pipe = attach(std::fs::File::open("/dev/null").expect("opens"));
    let answer = async {
        let ToBroker::Spawn { request, .. } = heard(&channel).await else { panic!("a spawn") };
        say(&channel, ToActor::Spawned { request, result: Ok(id("leaf")) }, vec![no_pipe]).await;
        let ToBroker::CancelActor { request, actor } = heard(&channel).await else { panic!("a cancel") };
        say(&channel, ToActor::Ended { request, result: Ok(()) }, Vec::new()).await;
        actor
    };
    let both = async { tokio::join!(nursery.start(spec("leaf", &["leaf"]), None), answer) };
    let (started, ended) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("is ended");
    assert!(started.expect_err("no pipe").is::<SpawnFailed>());
    assert_eq!(ended, "leaf");
}
