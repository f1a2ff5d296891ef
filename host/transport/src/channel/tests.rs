//! Channels of both kinds, put to the same tests.
//!
//! Owns: order, wholeness, attachments, ends. Must not know: what packets say. Invariant of what
//! is tested: whatever holds for sockets holds for memory.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::pipe::{Pipe, memory_pipe, socket_pipe};

fn sockets() -> (Channel, Channel) {
    let (a, b) = socket_channel().expect("a pair");
    (channel_from_fd(a).expect("registers"), channel_from_fd(b).expect("registers"))
}

fn plain(bytes: impl Into<Vec<u8>>) -> Packet {
    Packet { bytes: bytes.into(), attachments: Vec::new() }
}

/// The next packet's bytes; a test that waits for what never comes fails.
async fn next(channel: &Channel) -> Option<Vec<u8>> {
    let received = tokio::time::timeout(Duration::from_secs(10), channel.receive()).await.expect("in time");
    received.expect("receives").map(|packet| packet.bytes)
}

async fn carries_a_pipe((a, b): (Channel, Channel), (near, far): (Attachment, Attachment)) {
    a.send(Packet { bytes: b"take this".to_vec(), attachments: vec![far] }).await.expect("sends");
    let mut packet = b.receive().await.expect("receives").expect("a packet");
    assert_eq!(packet.bytes, b"take this");
    let mut far = Pipe::from_attachment(packet.attachments.remove(0)).expect("a pipe");
    let mut near = Pipe::from_attachment(near).expect("a pipe");
    near.write_all(b"hello").await.expect("writes");
    drop(near);
    let mut text = String::new();
    far.read_to_string(&mut text).await.expect("reads");
    assert_eq!(text, "hello");
    drop(a);
    assert!(b.receive().await.expect("end").is_none());
}

#[tokio::test]
async fn packets_carry_pipes_and_channels_end() {
    carries_a_pipe(sockets(), socket_pipe().expect("a pair")).await;
    carries_a_pipe(memory_channel(), memory_pipe()).await;
}

#[tokio::test]
async fn packets_keep_their_order_and_their_bounds() {
    for (a, b) in [sockets(), memory_channel()] {
        let sent: Vec<Vec<u8>> = (1..=50u8).map(|number| vec![number; usize::from(number) * 100]).collect();
        let send = async {
            for bytes in sent.clone() {
                a.send(plain(bytes)).await.expect("sends");
            }
            drop(a);
        };
        let receive = async {
            for bytes in &sent {
                assert_eq!(next(&b).await.as_ref(), Some(bytes));
            }
            assert_eq!(next(&b).await, None);
        };
        tokio::join!(send, receive);
    }
}

#[tokio::test]
async fn refuses_a_packet_that_could_not_arrive() {
    for (a, b) in [sockets(), memory_channel()] {
        a.send(plain(vec![7; MAX_PACKET_BYTES])).await.expect("the largest");
        let refused = a.send(plain(vec![7; MAX_PACKET_BYTES + 1])).await.expect_err("too large");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        let attachments = (0..=MAX_ATTACHMENTS).map(|_| memory_pipe().0).collect();
        let refused = a.send(Packet { bytes: vec![1], attachments }).await.expect_err("too many");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        a.send(plain("after")).await.expect("sends");
        assert_eq!(next(&b).await.map(|bytes| bytes.len()), Some(MAX_PACKET_BYTES));
        assert_eq!(next(&b).await, Some(b"after".to_vec()));
    }
}

#[tokio::test]
async fn a_full_packet_of_descriptors_arrives_whole_and_closed_on_exec() {
    let (a, b) = sockets();
    let attachments = (0..MAX_ATTACHMENTS).map(|_| socket_pipe().expect("a pair").0).collect();
    a.send(Packet { bytes: vec![1], attachments }).await.expect("sends");
    let packet = b.receive().await.expect("receives").expect("a packet");
    assert_eq!(packet.attachments.len(), MAX_ATTACHMENTS);
    for attachment in packet.attachments {
        let Attachment::Fd(fd) = attachment else { panic!("a descriptor") };
        let flags = rustix::io::fcntl_getfd(fd).expect("is open");
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
}

#[tokio::test]
async fn a_marked_channel_says_which_packets_are_its_own() {
    let (a, b) = socket_channel().expect("a pair");
    let beside = a.try_clone().expect("a copy");
    let b = channel_from_fd(b).expect("registers");
    let a = channel_from_fd(a).expect("registers").marked(b"mark:".to_vec());
    a.send(plain("own")).await.expect("sends");
    rustix::io::write(&beside, b"other").expect("writes");
    a.send(plain(vec![7; MAX_PACKET_BYTES])).await.expect("the largest");
    assert_eq!(next(&b).await, Some(b"mark:own".to_vec()));
    assert_eq!(next(&b).await, Some(b"other".to_vec()));
    assert_eq!(next(&b).await.map(|bytes| bytes.len()), Some(MAX_PACKET_BYTES + 5));
}

#[tokio::test]
async fn memory_cannot_leave_its_process() {
    let (a, _b) = sockets();
    let packet = Packet { bytes: vec![1], attachments: vec![memory_pipe().0] };
    assert_eq!(a.send(packet).await.expect_err("memory").kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn sending_to_nobody_is_a_broken_pipe() {
    for (a, b) in [sockets(), memory_channel()] {
        drop(b);
        assert_eq!(a.send(plain("hello")).await.expect_err("gone").kind(), io::ErrorKind::BrokenPipe);
    }
}

#[tokio::test]
async fn a_receive_that_is_given_up_loses_nothing() {
    for (a, b) in [sockets(), memory_channel()] {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(b.receive()).poll(&mut cx).is_pending());
        a.send(plain("kept")).await.expect("sends");
        assert_eq!(next(&b).await, Some(b"kept".to_vec()));
    }
}

#[tokio::test]
async fn a_send_that_is_given_up_sends_nothing_and_the_rest_arrives() {
    let (a, b) = sockets();
    let mut cx = Context::from_waker(Waker::noop());
    let mut sent = 0usize;
    // Until the socket is full, and one more, which is given up.
    while let Poll::Ready(result) = pin!(a.send(plain(vec![1; 64 * 1024]))).poll(&mut cx) {
        result.expect("sends");
        sent += 1;
        assert!(sent < 1000, "a socket that is never full");
    }
    let (last, received) = tokio::join!(a.send(plain("last")), async {
        let mut whole = 0;
        while next(&b).await.expect("more") != b"last" {
            whole += 1;
        }
        whole
    });
    last.expect("sends");
    assert_eq!(received, sent);
}
