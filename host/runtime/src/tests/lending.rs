//! Large messages between actors that share memory.
//!
//! Owns: which are lent, and that all arrive. Must not know: where they lie. Invariant of what is tested: whether
//! a message is lent makes no difference to who receives it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use greenroom_transport::actor_pipe;
use greenroom_wire::Role;
use greenroom_wire::control::Limits;
use tokio::sync::Mutex;

use super::kit::*;
use crate::link::{Link, Owner};
use crate::{Actor, Batch, CallOptions, Context, Idle, MsgStream, StreamOptions};

const LARGE: usize = 1 << 20;

/// What the child has received, until a test takes it.
type Received = Arc<Mutex<Vec<Batch>>>;

fn library(received: &Received) -> Library {
    let received = received.clone();
    Library::default().with("talk:take", move |task, _| {
        let received = received.clone();
        async move {
            task.started(value(())?)?;
            let stream = task.open_stream(StreamOptions::default())?;
            loop {
                stream.readable().await;
                let batch = stream.try_receive(1)?;
                if batch.ended {
                    return value("done");
                }
                received.lock().await.push(batch);
            }
        }
    })
}

/// A link of that parent to a child that shares memory with it.
fn child(parent: &Actor, name: &str, received: &Received) -> (Actor, [Link; 2]) {
    let guest = library(received).guest(&["talk".to_owned()]).expect("is there");
    let (child, _) = Actor::new(identity(name), Limits::default(), Box::new(guest));
    let (near, far) = actor_pipe().expect("descriptors");
    let watched = [parent.watch_peer(&id(name)), child.watch_peer(&id("parent"))];
    let [down, up] = watched;
    let down = parent.link(id(name), near, down, Role::Initiator, Owner::Us).expect("links");
    let up = child.link(id("parent"), far, up, Role::Acceptor, Owner::Peer).expect("links");
    (child, [down, up])
}

fn parent() -> Actor {
    Actor::new(identity("parent"), Limits::default(), Box::new(Idle)).0
}

async fn open(link: &Link) -> (Context, MsgStream) {
    let opened = link.open_context("talk:take", Bytes::new(), CallOptions::default()).await;
    let context = opened.expect("opens").0;
    let stream = context.open_stream(StreamOptions::default()).expect("opens");
    (context, stream)
}

/// The head of a byte string of so many bytes, up to 4 GiB.
fn head(size: usize) -> Vec<u8> {
    [&[0x5a][..], &(size as u32).to_be_bytes()].concat()
}

/// Sends a byte string whose content lies apart.
async fn send(stream: &MsgStream, content: &[u8]) {
    let head = head(content.len());
    let end = (head.len() + content.len()) as u32;
    while stream.try_send_all([&head, content], vec![end]).expect("is open") == 0 {
        stream.writable().await;
    }
}

/// Waits for that many messages, and takes them.
async fn take(received: &Received, count: usize) -> Vec<Batch> {
    let enough = async {
        loop {
            let mut received = received.lock().await;
            if received.len() >= count {
                return std::mem::take(&mut *received);
            }
            drop(received);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), enough).await.expect("they arrive")
}

/// The only message, and whether it was lent.
fn look(batch: &Batch) -> (Bytes, bool) {
    let message = batch.messages.iter().next().expect("one");
    (message, batch.messages.clone().into_parts().1.is_some())
}

/// Whether the second of two messages is lent: before the first, nothing is.
async fn second_is_lent(stream: &MsgStream, received: &Received) -> bool {
    let mut lent = [false; 2];
    for lent in &mut lent {
        send(stream, &content(0)).await;
        *lent = look(&take(received, 1).await[0]).1;
    }
    lent[1]
}

fn content(number: u8) -> Vec<u8> {
    (0..LARGE).map(|at| number.wrapping_add((at % 251) as u8)).collect()
}

#[tokio::test(start_paused = true)]
async fn large_messages_are_lent_as_long_as_they_come_one_after_the_other() {
    let (parent, received) = (parent(), Received::default());
    let (_child, [down, _up]) = child(&parent, "child", &received);
    let (context, stream) = open(&down).await;
    for number in 0..10 {
        send(&stream, &content(number)).await;
        let batch = take(&received, 1).await;
        let (message, lent) = look(&batch[0]);
        assert!(message == [head(LARGE), content(number)].concat(), "message {number} is another");
        assert_eq!(lent, number > 0, "message {number}");
    }
    tokio::time::sleep(Duration::from_millis(2500)).await;
    for lent in [false, true] {
        send(&stream, &content(1)).await;
        assert_eq!(look(&take(&received, 1).await[0]).1, lent, "the first in a while is not");
    }
    stream.close();
    assert_eq!(context.wait_for_result().await, value("done"));
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_is_written() {
    let (parent, received) = (parent(), Received::default());
    let (_child, [down, _up]) = child(&parent, "child", &received);
    let (_context, stream) = open(&down).await;
    let mut held = Vec::new();
    for number in 0..12 {
        send(&stream, &content(number)).await;
        held.append(&mut take(&received, 1).await);
    }
    let lent: Vec<bool> = held.iter().map(|batch| look(batch).1).collect();
    assert_eq!(lent, (0..12).map(|number| (1..=8).contains(&number)).collect::<Vec<_>>());
    for (number, batch) in held.iter().enumerate() {
        assert!(look(batch).0[5..] == content(number as u8), "message {number} is another");
    }
    drop(held);
    send(&stream, &content(1)).await;
    assert!(look(&take(&received, 1).await[0]).1, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn what_is_small_or_no_byte_string_is_written() {
    let (parent, received) = (parent(), Received::default());
    let (_child, [down, _up]) = child(&parent, "child", &received);
    let (_context, stream) = open(&down).await;
    send(&stream, &content(0)).await;
    send(&stream, &content(0)[..60_000]).await;
    let content = content(0);
    for head in [&head(LARGE - 1)[..], b"\x7a\0\x10\0\0", b""] {
        let end = (head.len() + LARGE) as u32;
        while stream.try_send_all([head, &content], vec![end]).expect("is open") == 0 {
            stream.writable().await;
        }
    }
    send(&stream, &content).await;
    let lent: Vec<bool> = take(&received, 6).await.iter().map(|batch| look(batch).1).collect();
    assert_eq!(lent, [false, false, false, false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn few_links_of_an_actor_lend_at_once() {
    let (parent, received) = (parent(), Received::default());
    let mut lent = Vec::new();
    let mut links = Vec::new();
    for number in 0..10 {
        let (child, [down, up]) = child(&parent, &format!("child{number}"), &received);
        let (context, stream) = open(&down).await;
        lent.push(second_is_lent(&stream, &received).await);
        links.push((child, down, up, context, stream));
    }
    assert_eq!(lent, [[true; 8].as_slice(), &[false; 2]].concat());
    links.remove(0).1.close();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (_, _, _, _, stream) = &links[8];
    assert!(second_is_lent(stream, &received).await, "a link that has ended leaves its place");
}
