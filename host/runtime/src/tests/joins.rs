//! Programs outside the tree.
//!
//! Owns: what `join` takes for an invitation, and what the portal it gives is good for. Must not
//! know: brokers; the actor at the other end is played by hand. Invariant of what is tested: the
//! tasks of such a program live as long as its pipe.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::PermissionDenied;
use greenroom_transport::{Attachment, Pipe, memory_pipe, socket_pipe};
use greenroom_wire::control::Limits;
use greenroom_wire::{MAX_PREAMBLE, Preamble, Role};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::kit::*;
use crate::link::Owner;
use crate::{Actor, Portal, join};

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
