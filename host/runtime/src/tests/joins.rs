//! Programs outside the tree.
//!
//! Owns: what `join` takes for an invitation, and what the portal it gives is good for. Must not
//! know: brokers; the actor at the other end is played by hand. Invariant of what is tested: the
//! tasks of such a program live as long as its pipe.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use greenroom_abi::kind::{Exit, PermissionDenied};
use greenroom_transport::{Attachment, Pipe, memory_pipe, socket_pipe};
use greenroom_wire::control::Limits;
use greenroom_wire::{Config, Credit, MAX_PREAMBLE, Overrun, Preamble, Role, Session, StartOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::kit::*;
use crate::link::Owner;
use crate::{Actor, Portal, StreamOptions, join};

/// Writes what a program is told first, and gives both ends of its pipe.
async fn told(bytes: &[u8], (inside, outside): (Attachment, Attachment)) -> (Pipe, Attachment) {
    let mut inside = Pipe::from_attachment(inside).expect("a pipe");
    inside.write_all(bytes).await.expect("writes");
    (inside, outside)
}

fn preamble() -> Vec<u8> {
    Preamble { you: id("client"), peer: id("daemon") }.encode().expect("encodes")
}

/// A daemon, and a program that has joined it.
async fn joined() -> (Actor, Portal) {
    let library = Library::default()
        .with("leaf:wait", |task, _| forever(task))
        .with("leaf:who", |task, _| async move { value(task.caller()) });
    let guest = library.guest(&["leaf".to_owned()]).expect("there is one");
    let (actor, _) = Actor::new(identity("daemon"), Limits::default(), Box::new(guest));
    let (inside, outside) = told(&preamble(), memory_pipe()).await;
    let Pipe::Memory(inside) = inside else { panic!("a memory pipe") };
    let notice = actor.watch_peer(&id("client"));
    actor
        .link(id("client"), Attachment::Memory(inside), notice, Role::Acceptor, Owner::Neither)
        .expect("links");
    (actor, join(outside, 7).await.expect("joins"))
}

async fn refused(bytes: &[u8], kind: io::ErrorKind) {
    let (inside, outside) = told(bytes, memory_pipe()).await;
    drop(inside);
    assert_eq!(join(outside, 7).await.expect_err("no invitation").kind(), kind, "{bytes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_program_outside_is_known_as_the_broker_said() {
    let (_daemon, portal) = joined().await;
    assert_eq!(portal.peer(), id("daemon"));
    assert_eq!(portal.call("leaf:who", Bytes::new()).await, value(id("client")));
}

#[tokio::test(start_paused = true)]
async fn a_program_outside_can_end_nobody() {
    let (daemon, portal) = joined().await;
    let error = portal.cancel_actor().await.expect_err("there is nobody to ask");
    assert!(error.is::<PermissionDenied>(), "{error}");
    let error = portal.call("self:cancel", Bytes::new()).await.expect_err("no owner");
    assert!(error.is::<PermissionDenied>(), "{error}");
    assert_eq!(daemon.canceller(), None);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_and_the_last_portal_leave_nothing() {
    let (daemon, portal) = joined().await;
    let other = portal.clone();
    let call = portal.call("leaf:wait", Bytes::new());
    drop(portal);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((daemon.task_count(), daemon.open_links()), (1, 1));
    drop((call, other));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((daemon.task_count(), daemon.open_links()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_actor_is_there_until_its_pipe_is_lost() {
    let (inside, outside) = told(&preamble(), memory_pipe()).await;
    let portal = join(outside, 7).await.expect("joins");
    let second = Duration::from_secs(1);
    timeout(second, portal.closed()).await.expect_err("it is there");
    drop(inside);
    let exit = timeout(second, portal.closed()).await.expect("it is gone");
    assert_eq!(exit, Exit::Unknown, "nobody can say how");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_waited_for_when_the_actor_is_lost() {
    let (inside, outside) = told(&preamble(), memory_pipe()).await;
    let portal = join(outside, 7).await.expect("joins");
    let call = portal.call("leaf:wait", Bytes::new());
    let lost = Instant::now();
    drop(inside);
    assert!(died(&call.await).is_some());
    assert_eq!(lost.elapsed(), Duration::ZERO, "nobody can say how it died");
}

#[tokio::test]
async fn a_socket_is_joined_like_memory() {
    let (_inside, outside) = told(&preamble(), socket_pipe().expect("a pair")).await;
    assert_eq!(join(outside, 7).await.expect("joins").peer(), id("daemon"));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_invitation_is_refused() {
    let whole = preamble();
    for cut in [0, 3, 4, whole.len() - 1] {
        refused(&whole[..cut], io::ErrorKind::UnexpectedEof).await;
    }
    let mut wrong = whole;
    wrong[4] = 0x01;
    refused(&wrong, io::ErrorKind::InvalidData).await;
    let long = u32::try_from(MAX_PREAMBLE + 1).expect("fits").to_be_bytes();
    refused(&long, io::ErrorKind::InvalidData).await;
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_given_up() {
    let (_inside, outside) = told(&preamble()[..9], memory_pipe()).await;
    let began = Instant::now();
    assert_eq!(join(outside, 7).await.expect_err("it says no more").kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 5);
}

/// Hands a session's output over, and takes in what there is.
async fn exchange(session: &mut Session, pipe: &mut Pipe) {
    let (mut out, mut input, now) = (BytesMut::new(), BytesMut::new(), Instant::now().into_std());
    session.poll_transmit(&mut out, 1 << 16);
    pipe.write_all(&out).await.expect("writes");
    while let Ok(read) = timeout(Duration::from_millis(1), pipe.read_buf(&mut input)).await {
        assert!(read.expect("reads") > 0);
        session.handle_input(&mut input, now).expect("keeps to the protocol");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_allows_everything_and_reads_nothing_is_waited_for() {
    const SIZE: usize = 100_000;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let library = Library::default().with("leaf:push", move |task, _| {
        let sent = counted.clone();
        async move {
            task.started(Bytes::new())?;
            let stream = task.open_stream(StreamOptions::default())?;
            loop {
                stream.send(Bytes::from(vec![0; SIZE])).await?;
                assert!(sent.fetch_add(1, Ordering::Relaxed) < 1000, "it grows");
            }
        }
    });
    let guest = library.guest(&["leaf".to_owned()]).expect("there is one");
    let (actor, _) = Actor::new(identity("daemon"), Limits::default(), Box::new(guest));
    let (inside, outside) = memory_pipe();
    let notice = actor.watch_peer(&id("client"));
    actor.link(id("client"), inside, notice, Role::Acceptor, Owner::Neither).expect("links");
    let mut pipe = Pipe::from_attachment(outside).expect("a pipe");
    let mut session = Session::new(Role::Initiator, Config::default(), Instant::now().into_std());
    let dialog = StartOptions { dialog: true, ..StartOptions::default() };
    let context =
        session.start("leaf:push", Bytes::new(), dialog, Instant::now().into_std()).expect("starts");
    exchange(&mut session, &mut pipe).await;
    for _ in 0..10 {
        session.grant(context, Credit { messages: u64::MAX, bytes: u64::MAX }, Overrun::Wait);
        let mut out = BytesMut::new();
        session.poll_transmit(&mut out, 1 << 16);
        pipe.write_all(&out).await.expect("writes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let held = sent.load(Ordering::Relaxed) * SIZE;
    assert!((16 << 20..17 << 20).contains(&held), "{held} bytes");
    // Whoever reads on gets more.
    exchange(&mut session, &mut pipe).await;
    assert!(sent.load(Ordering::Relaxed) * SIZE > held);
}
