//! Streams whose other side is the test.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, future::join};
use greenroom_abi::RemoteError;
use greenroom_abi::kind::{EncodeError, Lagged, MsgTypeError, StreamClosed};
use serde::ser::SerializeSeq as _;
use serde_bytes::ByteBuf;

use super::{Channel, MsgStream, Overrun, StreamOptions};
use crate::boundary::StreamPort as _;
use crate::kit::{Flag, Wire, dialog, settle};

type Numbers = MsgStream<i64, i64>;

/// The caller's side of a stream of numbers, and what the host has of it.
fn stream() -> (Numbers, Rc<Wire>) {
    let wire = Rc::new(Wire::default());
    (MsgStream::new(Channel::of_caller(wire.clone(), dialog()), StreamOptions::new()), wire)
}

/// As [`stream`], of messages of another type.
fn other_stream<S, R>() -> (MsgStream<S, R>, Rc<Wire>) {
    let wire = Rc::new(Wire::default());
    (MsgStream::new(Channel::of_caller(wire.clone(), dialog()), StreamOptions::new()), wire)
}

fn lost(error: &RemoteError) -> Option<u64> {
    error.kind::<Lagged>().map(|lagged| lagged.lost)
}

#[test]
fn a_sender_waits_only_where_the_peer_is_full() {
    let (stream, wire) = stream();
    wire.make_room(2);
    let mut sending = pin!(stream.send_all([1, 2, 3, 4]));
    assert!(settle(sending.as_mut()).is_none(), "it waits");
    assert_eq!(wire.sent::<i64>(), [1, 2]);
    wire.make_room(5);
    settle(sending).expect("there is room").expect("sent");
    assert_eq!(wire.sent::<i64>(), [1, 2, 3, 4]);
    settle(stream.send_from(futures_util::stream::iter([5]))).expect("there is room").expect("sent");
    assert_eq!(wire.sent::<i64>(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_send_that_is_dropped_has_sent_nothing() {
    let (stream, wire) = stream();
    assert!(settle(stream.send(1)).is_none());
    wire.make_room(2);
    settle(stream.send(2)).expect("there is room").expect("sent");
    assert_eq!(wire.sent::<i64>(), [2]);
}

#[test]
fn what_is_gathered_is_handed_over_when_the_task_waits() {
    let (stream, wire) = stream();
    wire.make_room(100);
    wire.let_gather(10);
    settle(async {
        stream.send(0).await.expect("sent");
        assert_eq!(wire.sent::<i64>(), [0], "whoever sends little hands it over at once");
        stream.send_all(1..10).await.expect("sent");
        assert_eq!((wire.sent::<i64>().len(), wire.crossings()), (1, 1));
        stream.send(10).await.expect("sent");
        assert_eq!((wire.sent::<i64>().len(), wire.crossings()), (11, 2), "as many as may be gathered");
        stream.send_all(11..15).await.expect("sent");
        stream.flush().expect("sent");
        assert_eq!((wire.sent::<i64>().len(), wire.crossings()), (15, 3));
        stream.send_all(15..20).await.expect("sent");
    })
    .expect("there is room");
    assert_eq!(wire.sent::<i64>(), (0..20).collect::<Vec<_>>());
    assert_eq!(wire.crossings(), 4);
    let text = "long".repeat(1000);
    let (stream, wire) = other_stream::<String, i64>();
    wire.make_room(100);
    wire.let_gather(10);
    settle(async {
        stream.send(String::new()).await.expect("sent");
        stream.send(text.clone()).await.expect("sent");
        assert_eq!(wire.crossings(), 2, "as many bytes as may be gathered");
    })
    .expect("there is room");
}

#[test]
fn nothing_is_gathered_that_there_is_no_room_for() {
    let (stream, wire) = stream();
    wire.make_room(5);
    wire.let_gather(100);
    let mut sending = pin!(stream.send_all(0..9));
    assert!(settle(sending.as_mut()).is_none(), "it waits");
    assert_eq!(wire.sent::<i64>(), [0, 1, 2, 3, 4]);
    wire.make_room(100);
    settle(sending).expect("there is room").expect("sent");
    assert_eq!(wire.sent::<i64>(), (0..9).collect::<Vec<_>>());
}

#[test]
fn closing_hands_over_what_was_gathered() {
    for close in [|stream: Numbers| stream.close(), |stream: Numbers| drop(stream)] {
        let (stream, wire) = stream();
        wire.make_room(100);
        wire.let_gather(10);
        settle(async {
            stream.send_all(0..5).await.expect("sent");
            close(stream);
            assert_eq!(wire.sent::<i64>(), [0, 1, 2, 3, 4]);
            assert!(wire.is_closed());
        })
        .expect("there is room");
    }
}

#[test]
fn a_value_that_cannot_be_encoded_leaves_nothing_behind() {
    let (stream, wire) = other_stream::<Option<Refused>, i64>();
    wire.make_room(100);
    wire.let_gather(10);
    settle(async {
        stream.send(None).await.expect("sent");
        stream.send(None).await.expect("sent");
        assert!(stream.send(Some(Refused)).await.expect_err("not encoded").is::<EncodeError>());
        stream.send(None).await.expect("sent");
    })
    .expect("there is room");
    assert_eq!(wire.sent::<Option<i64>>(), [None, None, None]);
}

/// What cannot be encoded.
struct Refused;

impl serde::Serialize for Refused {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(2))?;
        sequence.serialize_element(&1)?;
        Err(serde::ser::Error::custom("never"))
    }
}

#[test]
fn messages_come_in_order_and_then_the_end() {
    let (mut stream, wire) = stream();
    assert!(settle(stream.receive()).is_none(), "nothing has arrived, and the wait is dropped");
    wire.arrive(0..40);
    for expected in 0..20 {
        assert_eq!(settle(stream.receive()).expect("there"), Ok(Some(expected)));
    }
    wire.end();
    let rest: Vec<i64> = settle(stream.by_ref().try_collect()).expect("all there").expect("no error");
    assert_eq!(rest, (20..40).collect::<Vec<_>>());
    assert_eq!(settle(stream.receive()).expect("ended"), Ok(None));
}

#[test]
fn one_direction_ends_without_the_other() {
    let (mut stream, wire) = stream();
    wire.make_room(1);
    stream.close();
    assert!(settle(stream.send(1)).expect("at once").expect_err("closed").is::<StreamClosed>());
    wire.arrive([1]);
    assert_eq!(settle(stream.receive()).expect("there"), Ok(Some(1)));
}

#[test]
fn halves_close_what_they_own() {
    let (stream, wire) = stream();
    let (sender, mut receiver) = stream.split();
    wire.arrive([1]);
    drop(sender);
    assert!(wire.is_closed());
    assert_eq!(settle(receiver.receive()).expect("there"), Ok(Some(1)));
    drop(receiver);
    assert_eq!(Rc::strong_count(&wire), 1, "the host's handle is dropped");
}

#[test]
fn what_was_lost_is_told_once_before_what_is_left() {
    let (mut stream, wire) = stream();
    wire.lose(7);
    wire.arrive([8, 9]);
    wire.end();
    let mut got: Vec<_> = settle(stream.by_ref().collect::<Vec<_>>()).expect("all there");
    assert_eq!(lost(&got.remove(0).expect_err("lagged")), Some(7));
    assert_eq!(got, [Ok(8), Ok(9)]);
}

#[test]
fn a_failure_is_raised_each_time_and_ends_iteration() {
    let (mut stream, wire) = stream();
    let failure = RemoteError::new("Oops", "oops");
    wire.fail(failure.clone());
    let all: Vec<_> = settle(stream.by_ref().collect()).expect("it ends");
    assert_eq!(all, [Err(failure.clone())]);
    assert_eq!(settle(stream.receive()).expect("at once"), Err(failure));
}

#[test]
fn a_message_of_another_type_ends_both_directions() {
    let (mut stream, wire) = stream();
    wire.make_room(1);
    wire.arrive(["three"]);
    wire.arrive([4]);
    let error = settle(stream.receive()).expect("at once").expect_err("no number");
    let breach: MsgTypeError = error.kind().expect("of that kind");
    assert_eq!((breach.function.as_str(), breach.part.as_str()), ("math:squares", "message to the caller"));
    assert_eq!(breach.expected, "i64");
    assert_eq!(settle(stream.receive()).expect("at once"), Err(error.clone()));
    assert_eq!(settle(stream.send(1)).expect("at once"), Err(error));
    assert!(wire.is_closed());
    assert_eq!(Rc::strong_count(&wire), 1, "the host's handle is dropped");
}

#[test]
fn an_encoded_message_is_checked_before_it_is_sent() {
    let (stream, wire) = stream();
    wire.make_room(2);
    let (sender, mut receiver) = stream.split();
    settle(sender.send_encoded(vec![0x03])).expect("there is room").expect("a number");
    assert_eq!(wire.sent::<i64>(), [3]);
    // The receiver, which waits, hears of what the sender does.
    let woken = Arc::new(Flag::default());
    let waker = Waker::from(woken.clone());
    let mut receiving = pin!(receiver.receive());
    assert!(receiving.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    let error = settle(sender.send_encoded(vec![0x61, 0x61])).expect("at once").expect_err("a text");
    let breach: MsgTypeError = error.kind().expect("of that kind");
    assert_eq!(breach.part, "message to the callee");
    assert!(woken.0.load(Ordering::Relaxed));
    assert_eq!(settle(receiving).expect("at once"), Err(error));
    assert_eq!(wire.sent::<i64>(), [3]);
}

#[test]
fn little_is_taken_at_once_where_it_matters() {
    let options = StreamOptions::new();
    for (options, batch) in [
        (options, 256),
        (options.capacity(1), 1),
        (options.capacity(40), 10),
        (options.capacity(100_000), 256),
        (options.capacity(40).overrun(Overrun::DropOldest), 1),
        (options.overrun(Overrun::Error), 1),
    ] {
        assert_eq!(options.batch(), batch, "{options:?}");
    }
}

#[test]
fn every_subscription_receives_every_message_since_it_began() {
    let (mut stream, wire) = stream();
    let mut early = stream.subscribe();
    wire.arrive([1, 2]);
    assert_eq!(settle(early.receive()).expect("there"), Ok(Some(1)));
    let (mut late, mut copy) = (stream.subscribe(), early.clone());
    wire.arrive([3]);
    wire.end();
    for subscription in [&mut early, &mut copy, &mut late] {
        let all: Vec<i64> = settle(subscription.try_collect()).expect("all there").expect("no error");
        assert_eq!(all, [2, 3]);
    }
    assert_eq!(settle(stream.receive()).expect("ended"), Ok(None));
}

#[test]
fn a_slow_subscription_loses_its_oldest_and_is_told_how_many() {
    let (mut stream, wire) = stream();
    let (mut fast, mut slow) = (stream.subscribe(), stream.subscribe_with(3));
    wire.arrive(0..10);
    wire.end();
    let all: Vec<i64> = settle(fast.by_ref().try_collect()).expect("all there").expect("no error");
    assert_eq!(all, (0..10).collect::<Vec<_>>());
    let mut got: Vec<_> = settle(slow.by_ref().collect::<Vec<_>>()).expect("all there");
    assert_eq!(lost(&got.remove(0).expect_err("lagged")), Some(7));
    assert_eq!(got, [Ok(7), Ok(8), Ok(9)]);
}

#[test]
fn what_the_stream_lost_is_lost_to_every_subscription() {
    let (mut stream, wire) = stream();
    let (mut one, mut other) = (stream.subscribe(), stream.subscribe_with(2));
    wire.lose(5);
    wire.arrive([6, 7]);
    assert_eq!(settle(one.receive()).expect("there").as_ref().map_err(lost), Err(Some(5)));
    assert_eq!(settle(one.receive()).expect("there"), Ok(Some(6)));
    // A third entry: the first, which stands for 5, makes room.
    assert_eq!(settle(one.receive()).expect("there"), Ok(Some(7)));
    assert_eq!(settle(other.receive()).expect("there").as_ref().map_err(lost), Err(Some(5)));
    assert_eq!(settle(other.receive()).expect("there"), Ok(Some(6)));
}

#[test]
fn nobody_falls_behind_while_everybody_receives() {
    let (mut stream, wire) = stream();
    let (mut one, mut other) = (stream.subscribe_with(2), stream.subscribe_with(2));
    wire.arrive(0..100);
    wire.end();
    let both = join(one.by_ref().try_collect::<Vec<i64>>(), other.by_ref().try_collect::<Vec<i64>>());
    let (one, other) = settle(both).expect("all there");
    assert_eq!(one.expect("nothing lost"), (0..100).collect::<Vec<_>>());
    assert_eq!(other.expect("nothing lost"), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_subscription_that_goes_strands_nobody() {
    let (mut stream, wire) = stream();
    let (mut stays, mut goes) = (stream.subscribe(), stream.subscribe());
    let woken = Arc::new(Flag::default());
    let waker = Waker::from(woken.clone());
    let mut receiving = Box::pin(stays.receive());
    assert!(receiving.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    assert!(settle(goes.receive()).is_none(), "it was the last to wait");
    drop(goes);
    wire.arrive([1]);
    assert!(woken.0.load(Ordering::Relaxed));
    assert_eq!(settle(receiving).expect("there"), Ok(Some(1)));
}

#[test]
fn the_stream_itself_is_one_more_subscription() {
    let (mut stream, wire) = stream();
    let mut subscription = stream.subscribe();
    wire.make_room(1);
    wire.arrive([1]);
    assert_eq!(settle(subscription.receive()).expect("there"), Ok(Some(1)));
    assert!(settle(stream.receive()).is_none(), "it has just begun");
    wire.arrive([2]);
    assert_eq!(settle(stream.receive()).expect("there"), Ok(Some(2)));
    assert_eq!(settle(subscription.receive()).expect("there"), Ok(Some(2)));
    settle(stream.send(3)).expect("there is room").expect("sent");
    drop(stream);
    assert!(wire.is_closed());
    wire.arrive([4]);
    assert_eq!(settle(subscription.receive()).expect("there"), Ok(Some(4)));
}

#[test]
fn a_failure_reaches_every_subscription() {
    let (mut stream, wire) = stream();
    let (mut one, mut other) = (stream.subscribe(), stream.subscribe());
    wire.arrive(["no number"]);
    let error = settle(one.receive()).expect("at once").expect_err("no number");
    assert!(error.is::<MsgTypeError>());
    let all: Vec<_> = settle(other.by_ref().collect()).expect("it ends");
    assert_eq!(all, [Err(error)]);
}

#[test]
fn subscriptions_account_for_every_message_in_any_order_of_events() {
    for seed in 1..200_u64 {
        let mut state = seed;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let (mut stream, wire) = stream();
        let mut arrived = 0;
        // Each with the next message that it may receive.
        let mut subscriptions = vec![(stream.subscribe_with(1 + seed as usize % 5), 0)];
        for _ in 0..100 {
            let chosen = random(subscriptions.len() as u64) as usize;
            match random(10) {
                0..=3 => {
                    wire.arrive([arrived]);
                    arrived += 1;
                }
                4 if subscriptions.len() < 4 => {
                    let copy = (subscriptions[chosen].0.clone(), subscriptions[chosen].1);
                    subscriptions.push(copy);
                }
                5 if subscriptions.len() > 1 => drop(subscriptions.swap_remove(chosen)),
                _ => {
                    let (subscription, next) = &mut subscriptions[chosen];
                    match settle(subscription.receive()) {
                        Some(Ok(message)) => {
                            assert_eq!(message, Some(*next), "seed {seed}");
                            *next += 1;
                        }
                        Some(Err(error)) => *next += lost(&error).expect("lagged").cast_signed(),
                        None => assert_eq!(*next, arrived, "seed {seed}: it waits for what is there"),
                    }
                }
            }
        }
        wire.end();
        for (mut subscription, mut next) in subscriptions {
            loop {
                match settle(subscription.receive()).expect("it ends") {
                    Ok(Some(message)) => {
                        assert_eq!(message, next, "seed {seed}");
                        next += 1;
                    }
                    Ok(None) => break,
                    Err(error) => next += lost(&error).expect("lagged").cast_signed(),
                }
            }
            assert_eq!(next, arrived, "seed {seed}");
        }
    }
}

#[test]
fn who_gathers_is_told_by_the_next_send_that_the_stream_is_over() {
    let (stream, wire) = stream();
    wire.make_room(100);
    wire.let_gather(10);
    settle(stream.send(0)).expect("there is room").expect("sent");
    wire.close();
    // It is gathered, and lost when the task waits.
    settle(stream.send(1)).expect("there is room").expect("gathered");
    let told = settle(stream.send(2)).expect("nothing to wait for").expect_err("it is over");
    assert!(told.is::<StreamClosed>(), "{told}");
    assert_eq!(wire.sent::<i64>(), [0]);
}

#[test]
fn what_does_not_fit_beside_others_goes_alone() {
    let (stream, wire) = other_stream::<String, i64>();
    wire.make_room(100);
    wire.let_gather(10);
    settle(async {
        stream.send(String::new()).await.expect("sent");
        stream.send("small".to_owned()).await.expect("gathered");
        stream.send("large".repeat(1000)).await.expect("sent");
        assert_eq!(wire.crossings(), 3);
        assert_eq!(wire.sent::<String>().iter().map(String::len).collect::<Vec<_>>(), [0, 5, 5000]);
    })
    .expect("there is room");
}

#[test]
fn large_byte_strings_go_and_come_between_others() {
    let (mut stream, wire) = other_stream::<ByteBuf, ByteBuf>();
    let (small, large) = (ByteBuf::from(vec![1; 10]), ByteBuf::from(vec![2; 100_000]));
    wire.make_room(4);
    wire.let_gather(10);
    settle(async {
        for message in [&small, &small, &large] {
            stream.send(message.clone()).await.expect("sent");
        }
        assert_eq!(wire.crossings(), 3, "what was gathered goes before");
        stream.send(small.clone()).await.expect("sent");
    })
    .expect("there is room");
    {
        let mut waits = pin!(stream.send(large.clone()));
        assert!(settle(waits.as_mut()).is_none(), "there is no room");
        wire.make_room(1);
        settle(waits).expect("there is room").expect("sent");
    }
    let all = [&small, &small, &large, &small, &large].map(Clone::clone);
    assert_eq!(wire.sent::<ByteBuf>(), all);
    wire.arrive(all.clone());
    wire.end();
    let received: Vec<ByteBuf> = settle(stream.by_ref().try_collect()).expect("all there").expect("no error");
    assert_eq!(received, all);
}
