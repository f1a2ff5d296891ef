//! Pipes of all kinds, put to the same tests.
//!
//! Owns: order, wholeness, being woken, ends. Must not know: what the bytes are. Invariant of what is tested:
//! whatever holds for one kind holds for all.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

/// Many times what a pipe holds, so that there is no room again and again.
const BYTES: usize = 8 << 20;

fn shared_pipe() -> (Attachment, Attachment) {
    let ends = actor_pipe().expect("descriptors");
    assert!(matches!(ends, (Attachment::Shared(_), Attachment::Shared(_))), "descriptors are plenty");
    ends
}

fn kinds() -> [(Pipe, Pipe); 3] {
    [shared_pipe(), socket_pipe().expect("descriptors"), memory_pipe()].map(|(a, b)| (opened(a), opened(b)))
}

fn opened(end: Attachment) -> Pipe {
    Pipe::from_attachment(end).expect("a pipe")
}

/// The byte at each place of what is sent: none that is near is alike.
fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

/// Sends and receives so many bytes at once, in one task, as a driver does: it rests only where it has found
/// nothing to do.
async fn exchange(mut pipe: Pipe) {
    let all: Vec<u8> = (0..BYTES).map(byte).collect();
    let mut into = vec![0; 1 << 16];
    let (mut sent, mut received) = (0, 0);
    poll_fn(|cx| {
        loop {
            let mut progress = false;
            let mut buffer = ReadBuf::new(&mut into);
            if received < BYTES && pipe.poll_look(cx, &mut buffer).is_ready() {
                let expected = (received..).map(byte);
                assert!(buffer.filled().iter().copied().eq(expected.take(buffer.filled().len())));
                received += buffer.filled().len();
                progress = true;
            }
            let block = &all[sent..BYTES.min(sent + 100_000)];
            let parts = [&block[..block.len() / 3], &block[block.len() / 3..]].map(IoSlice::new);
            if sent < BYTES
                && let Poll::Ready(count) = pipe.poll_offer(cx, &parts)
            {
                sent += count.expect("the other end is there");
                progress = true;
            }
            match (sent, received) {
                (BYTES, BYTES) => return Poll::Ready(()),
                _ if !progress => ready!(pipe.poll_rest(cx)),
                _ => {}
            }
        }
    })
    .await;
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("nothing hangs")
}

#[tokio::test]
async fn both_ends_send_more_than_there_is_room_for() {
    for (a, b) in kinds() {
        let (a, b) = (tokio::spawn(exchange(a)), tokio::spawn(exchange(b)));
        in_time(async { (a.await.expect("it ends"), b.await.expect("it ends")) }).await;
    }
}

/// On threads of their own, so that one end works while the other goes to rest.
#[test]
fn nobody_is_left_asleep() {
    for (a, b) in [shared_pipe(), socket_pipe().expect("descriptors")] {
        let threads = [(a, true), (b, false)].map(|(end, begins)| {
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(in_time(async {
                    let mut pipe = opened(end);
                    if begins {
                        pipe.write_all(&[0]).await.expect("there is room");
                    }
                    for round in 0..20_000 {
                        let byte = pipe.read_u8().await.expect("an answer");
                        assert_eq!(byte, (round * 2 + u32::from(begins)) as u8);
                        pipe.write_all(&[byte.wrapping_add(1)]).await.expect("there is room");
                    }
                    // The last answer of who has begun is read by nobody.
                    pipe
                }))
            })
        });
        for thread in threads {
            thread.join().expect("it ends");
        }
    }
}

#[tokio::test]
async fn an_end_that_is_dropped_is_the_end_of_file() {
    for (mut a, mut b) in kinds() {
        a.write_all(b"last words").await.expect("there is room");
        drop(a);
        let mut said = String::new();
        in_time(b.read_to_string(&mut said)).await.expect("the end of file");
        assert_eq!(said, "last words");
        assert!(b.write_all(b"?").await.is_err(), "nobody is there");
    }
}

#[tokio::test]
async fn who_waits_hears_of_the_end() {
    for (a, mut b) in kinds() {
        let waits = tokio::spawn(async move { b.read_u8().await.map_err(|error| error.kind()) });
        tokio::task::yield_now().await;
        drop(a);
        let end = in_time(waits).await.expect("it ends");
        assert_eq!(end.expect_err("nothing comes"), io::ErrorKind::UnexpectedEof);
    }
    for (a, mut b) in kinds() {
        let waits = tokio::spawn(async move { b.write_all(&vec![0; BYTES]).await });
        tokio::task::yield_now().await;
        drop(a);
        assert!(in_time(waits).await.expect("it ends").is_err());
    }
}

#[tokio::test]
async fn one_direction_ends_alone() {
    for (mut a, mut b) in kinds() {
        a.write_all(b"all").await.expect("there is room");
        a.shutdown().await.expect("it ends");
        let mut said = String::new();
        in_time(b.read_to_string(&mut said)).await.expect("the end of file");
        assert_eq!(said, "all");
        b.write_all(b"answer").await.expect("the other direction goes on");
        drop(b);
        said.clear();
        in_time(a.read_to_string(&mut said)).await.expect("the end of file");
        assert_eq!(said, "answer");
    }
}

#[test]
fn descriptors_are_scarce_where_a_quarter_is_in_use() {
    let (_hears, rings) = rustix::pipe::pipe().expect("descriptors");
    let number = u64::from(rings.as_raw_fd().unsigned_abs());
    let given = [rings];
    assert!(are_plenty(&given, None));
    assert!(are_plenty(&given, Some(PLENTY * (number + 1))));
    assert!(!are_plenty(&given, Some(PLENTY * number)));
}
