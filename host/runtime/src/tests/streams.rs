//! Streams: both directions, backpressure, overruns, half-close, broadcast.
//!
//! Owns: D5 to D8. Must not know: how credit is counted on the wire. Invariant of what is
//! tested: without an overrun mode nothing is lost and nothing grows; with one, what is lost is
//! known.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{EncodeError, Lagged, StreamClosed, StreamOverrun};
use greenroom_abi::payload::decode;
use tokio::time::{Instant, timeout};

use super::kit::*;
use crate::{CallOptions, Context, MsgStream, Overrun, Portal, StreamOptions};

const MOMENT: Duration = Duration::from_millis(20);

fn message(number: u64) -> Bytes {
    value(number).expect("encodes")
}

async fn number(stream: &MsgStream) -> Option<u64> {
    stream.receive().await.expect("no failure").map(|message| decode(&message).expect("a number"))
}

fn capacity(capacity: u32, overrun: Overrun) -> StreamOptions {
    StreamOptions { capacity, overrun }
}

/// How many messages a source has handed over.
type Sent = Arc<AtomicUsize>;

fn library(sent: &Sent) -> Library {
    let [count, pushed] = [(); 2].map(|()| sent.clone());
    Library::default()
        .with("talk:double", |task, _| async move {
            task.started(value(())?)?;
            let stream = task.open_stream(StreamOptions::default())?;
            while let Some(x) = number(&stream).await {
                stream.send(message(2 * x)).await?;
            }
            value("done")
        })
        .with("talk:count", move |task, kwargs| {
            let count = count.clone();
            async move {
                task.started(value(())?)?;
                let stream = task.open_stream(StreamOptions::default())?;
                for number in 0..arguments(&kwargs) {
                    stream.send(message(number)).await?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                value("counted")
            }
        })
        .with("talk:push", move |task, kwargs| {
            let pushed = pushed.clone();
            async move {
                let size: usize = arguments(&kwargs);
                task.started(value(())?)?;
                let stream = task.open_stream(StreamOptions::default())?;
                loop {
                    stream.send(Bytes::from(vec![0x40; size])).await?;
                    pushed.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
        .with("talk:deaf", |task, _| async move {
            task.started(value(())?)?;
            drop(task.open_stream(StreamOptions::default())?);
            tokio::time::sleep(Duration::from_secs(5)).await;
            value("done")
        })
        .with("talk:sleepy", |task, kwargs| async move {
            let (capacity_, sleep): (u32, Duration) = arguments(&kwargs);
            task.started(value(())?)?;
            let stream = task.open_stream(capacity(capacity_, Overrun::Error))?;
            tokio::time::sleep(sleep).await;
            let mut received = 0;
            while number(&stream).await.is_some() {
                received += 1;
            }
            value(received)
        })
}

async fn open(portal: &Portal, function: &str, kwargs: Bytes) -> Context {
    portal.open_context(function, kwargs, CallOptions::default()).await.expect("opens").0
}

async fn world(sent: &Sent) -> (World, Portal) {
    let world = World::new(library(sent));
    let leaf = world.daemon("leaf", &["talk"]).await;
    (world, leaf)
}

#[tokio::test(start_paused = true)]
async fn d5_messages_go_both_ways_and_closing_ends_one() {
    let (_world, leaf) = world(&Sent::default()).await;
    let context = open(&leaf, "talk:double", Bytes::new()).await;
    let stream = context.open_stream(StreamOptions::default()).expect("opens");
    for x in 0..10 {
        stream.send(message(x)).await.expect("is taken");
    }
    stream.close();
    let closed = stream.send(message(1)).await.expect_err("this direction is closed");
    assert!(closed.is::<StreamClosed>());
    for x in 0..10 {
        assert_eq!(number(&stream).await, Some(2 * x));
    }
    assert_eq!(number(&stream).await, None);
    assert_eq!(number(&stream).await, None);
    assert_eq!(context.wait_for_result().await, value("done"));
}

#[tokio::test(start_paused = true)]
async fn d5_messages_may_lie_in_two_places() {
    let (_world, leaf) = world(&Sent::default()).await;
    let context = open(&leaf, "talk:double", Bytes::new()).await;
    let stream = context.open_stream(StreamOptions::default()).expect("opens");
    tokio::time::sleep(MOMENT).await;
    let one = message(1000);
    for cut in 0..=one.len() {
        let sent = stream.try_send_all([&one[..cut], &one[cut..]], vec![one.len() as u32]);
        assert_eq!(sent, Ok(1));
        assert_eq!(number(&stream).await, Some(2000));
    }
    // Far more than there is room for.
    let sent = stream.try_send_all([&[1; 700], &[2; 1300]], (1..=2000).collect()).expect("is taken");
    assert!((701..2000).contains(&sent), "{sent}");
    for at in 0..sent {
        assert_eq!(number(&stream).await, Some(if at < 700 { 2 } else { 4 }));
    }
    for ends in [&[][..], &[1], &[1, 3], &[2, 1, 2], &[u32::MAX]] {
        let error = stream.try_send_all([&[1], &[2]], ends.to_vec()).expect_err("they end elsewhere");
        assert!(error.is::<EncodeError>(), "{ends:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn d6_a_full_receiver_makes_the_sender_wait_and_loses_nothing() {
    let sent = Sent::default();
    let (_world, leaf) = world(&sent).await;
    let context = open(&leaf, "talk:count", kwargs("count", 5_000)).await;
    tokio::time::sleep(MOMENT).await;
    assert_eq!(sent.load(Ordering::Relaxed), 0, "nothing is sent to a stream that is not open");
    let stream = context.open_stream(capacity(100, Overrun::Wait)).expect("opens");
    tokio::time::sleep(MOMENT).await;
    assert_eq!(sent.load(Ordering::Relaxed), 100);
    for expected in 0..10 {
        assert_eq!(number(&stream).await, Some(expected));
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(sent.load(Ordering::Relaxed) <= 110);
    for expected in 10..5_000 {
        assert_eq!(number(&stream).await, Some(expected));
    }
    assert_eq!(number(&stream).await, None);
    assert_eq!(context.wait_for_result().await, value("counted"));
}

#[tokio::test(start_paused = true)]
async fn d6_large_messages_are_bounded_by_bytes_and_empty_ones_by_number() {
    for (size, most) in [(1 << 20, 5), (8 << 20, 1), (0, 1024)] {
        let sent = Sent::default();
        let (_world, leaf) = world(&sent).await;
        let context = open(&leaf, "talk:push", kwargs("size", size)).await;
        let stream = context.open_stream(StreamOptions::default()).expect("opens");
        tokio::time::sleep(MOMENT).await;
        let first = sent.load(Ordering::Relaxed);
        assert!((1..=most).contains(&first), "{first} messages of {size} bytes");
        for _ in 0..3 * most {
            assert_eq!(stream.receive().await.expect("no failure").expect("a message").len(), size);
        }
        context.cancel().await.expect("it is absorbed");
    }
}

#[tokio::test(start_paused = true)]
async fn d6_a_sender_that_is_not_to_wait_gets_an_overrun() {
    let (_world, leaf) = world(&Sent::default()).await;
    let context = open(&leaf, "talk:sleepy", kwargs("options", (4, MOMENT))).await;
    let stream = context.open_stream(StreamOptions::default()).expect("opens");
    for x in 0..4 {
        stream.send(message(x)).await.expect("there is room");
    }
    let error = stream.send(message(4)).await.expect_err("it is full");
    assert_eq!(error.kind::<StreamOverrun>(), Some(StreamOverrun { capacity: 4 }));
    // It has not ended anything: once there is room the next one goes.
    tokio::time::sleep(2 * MOMENT).await;
    stream.send(message(5)).await.expect("there is room again");
    stream.close();
    assert_eq!(context.wait_for_result().await, value(5));
}

#[tokio::test(start_paused = true)]
async fn d6_a_receiver_that_drops_the_oldest_knows_how_many() {
    let sent = Sent::default();
    let (_world, leaf) = world(&sent).await;
    let context = open(&leaf, "talk:count", kwargs("count", 1_000)).await;
    let stream = context.open_stream(capacity(10, Overrun::DropOldest)).expect("opens");
    tokio::time::sleep(MOMENT).await;
    assert_eq!(sent.load(Ordering::Relaxed), 1_000, "the sender did not wait");
    let error = stream.receive().await.expect_err("some are lost");
    assert_eq!(error.kind::<Lagged>(), Some(Lagged { lost: 990 }));
    for expected in 990..1_000 {
        assert_eq!(number(&stream).await, Some(expected));
    }
    assert_eq!(number(&stream).await, None);
}

#[tokio::test(start_paused = true)]
async fn d2_waiting_for_the_result_drains_the_stream() {
    let sent = Sent::default();
    let (_world, leaf) = world(&sent).await;
    // Never opened.
    let context = open(&leaf, "talk:count", kwargs("count", 5_000)).await;
    assert_eq!(context.wait_for_result().await, value("counted"));
    // Opened, and left in the middle.
    let context = open(&leaf, "talk:count", kwargs("count", 5_000)).await;
    let stream = context.open_stream(capacity(7, Overrun::Wait)).expect("opens");
    assert_eq!(number(&stream).await, Some(0));
    assert_eq!(context.wait_for_result().await, value("counted"));
    assert_eq!(number(&stream).await, None, "what was left is dropped");
}

#[tokio::test(start_paused = true)]
async fn d5_a_stream_that_is_dropped_holds_up_nobody() {
    let sent = Sent::default();
    let (_world, leaf) = world(&sent).await;
    let context = open(&leaf, "talk:count", kwargs("count", 5_000)).await;
    drop(context.open_stream(capacity(7, Overrun::Wait)).expect("opens"));
    tokio::time::sleep(MOMENT).await;
    assert_eq!(sent.load(Ordering::Relaxed), 5_000);
    assert_eq!(context.wait_for_result().await, value("counted"));
    // The other way about.
    let context = open(&leaf, "talk:deaf", Bytes::new()).await;
    let stream = context.open_stream(StreamOptions::default()).expect("opens");
    for x in 0..5_000 {
        timeout(MOMENT, stream.send(message(x))).await.expect("does not wait").expect("is taken");
    }
    assert_eq!(number(&stream).await, None, "a dropped stream is closed");
}

#[tokio::test(start_paused = true)]
async fn d7_a_cancel_and_an_error_do_not_queue_behind_data() {
    let sent = Sent::default();
    let (world, leaf) = world(&sent).await;
    let context = open(&leaf, "talk:push", kwargs("size", 1 << 20)).await;
    let stream = context.open_stream(StreamOptions::default()).expect("opens");
    tokio::time::sleep(MOMENT).await;
    let asked = Instant::now();
    context.cancel().await.expect("it is absorbed");
    assert!(asked.elapsed() <= Duration::from_millis(301), "{:?}", asked.elapsed());
    drop(stream);
    assert_eq!(world.actor(&leaf).task_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn d8_subscribers_get_every_message_and_a_slow_one_lags() {
    let (_world, leaf) = world(&Sent::default()).await;
    let context = open(&leaf, "talk:count", kwargs("count", 100)).await;
    let stream = Arc::new(context.open_stream(StreamOptions::default()).expect("opens"));
    let (one, mut slow) = (stream.subscribe(16), stream.subscribe(16));
    let two = one.clone();
    let read = |mut subscription: crate::Subscription| async move {
        let mut numbers = Vec::new();
        while let Some(message) = subscription.receive().await.expect("is not slow") {
            numbers.push(decode::<u64>(&message).expect("a number"));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        numbers
    };
    let all: Vec<u64> = (0..100).collect();
    let (one, two) = tokio::join!(read(one), read(two));
    assert_eq!((&one, &two), (&all, &all));
    let error = slow.receive().await.expect_err("was too slow");
    assert_eq!(error.kind::<Lagged>(), Some(Lagged { lost: 84 }));
    for expected in 84..100 {
        let message = slow.receive().await.expect("no failure").expect("a message");
        assert_eq!(decode::<u64>(&message).expect("a number"), expected);
    }
    assert_eq!(slow.receive().await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn waits_that_are_given_up_leave_nothing_behind() {
    let (_world, leaf) = world(&Sent::default()).await;
    let context = open(&leaf, "talk:double", Bytes::new()).await;
    let stream = Arc::new(context.open_stream(StreamOptions::default()).expect("opens"));
    let context = Arc::new(context);
    for _ in 0..100 {
        let (stream, context) = (stream.clone(), context.clone());
        // Each with a waker of its own.
        let waiting = tokio::spawn(async move {
            tokio::join!(stream.readable(), context.failed());
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        waiting.abort();
        let _ = waiting.await;
    }
    assert_eq!(context.waiters(), 0);
}

#[tokio::test(start_paused = true)]
async fn d8_a_subscriber_knows_of_all_that_was_dropped_before_it() {
    let (_world, leaf) = world(&Sent::default()).await;
    let context = open(&leaf, "talk:count", kwargs("count", 1_000)).await;
    let stream = Arc::new(context.open_stream(capacity(10, Overrun::DropOldest)).expect("opens"));
    let (mut quick, mut slow) = (stream.subscribe(4), stream.subscribe(4));
    tokio::time::sleep(MOMENT).await;
    // What one has dropped and the other was too slow for comes as one loss.
    for (subscription, first) in [(&mut quick, 990), (&mut slow, 996)] {
        let error = subscription.receive().await.expect_err("some are lost");
        assert_eq!(error.kind::<Lagged>(), Some(Lagged { lost: first }));
        for expected in first..1_000 {
            let message = subscription.receive().await.expect("no failure").expect("a message");
            assert_eq!(decode::<u64>(&message).expect("a number"), expected);
        }
        assert_eq!(subscription.receive().await, Ok(None));
    }
}
