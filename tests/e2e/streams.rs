//! Streams: both directions, their ends, what a full receiver does, and what the types forbid.
//!
//! Owns: clauses D5 to D9, and what C13 says of messages.

use std::sync::Arc;

use greenroom::{CallOptions, Limits, Overrun, StreamOptions, payload};
use greenroom_tests::kind::{ContextProtocol, Lagged, MsgTypeError, StreamClosed, StreamOverrun};
use greenroom_tests::{Options, World, alone, undisturbed, until};
use serde_json::{Value, json};

use crate::talk::{Note, SOON, code, held, notes, open, open_as_host, party, probe, signal};

const CALLEE: &[&str] = &["callee"];

fn number(number: i64) -> bytes::Bytes {
    payload::encode(&number).expect("it can be encoded").into()
}

/// Waits until the contexts that the root has opened have sent so many numbers.
async fn sent(world: &World, numbers: u32) {
    until(&format!("{numbers} numbers are sent"), SOON, async || {
        (world.call(&[], "stage:sent", &json!({})).await == Ok(numbers)).then_some(())
    })
    .await;
    // What was handed over has left before these calls, with which it takes turns, are over.
    for _ in 0..20 {
        assert!(world.call::<u32>(CALLEE, "talk:drops", &json!({})).await.is_ok());
    }
}

#[test]
fn d5_each_direction_is_closed_on_its_own() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let there =
            json!([{"Start": 0}, {"Open": [0, "Wait"]}, "ReceiveAll", {"Send": 2}, {"Send": 3}, "Receive"]);
        let here = json!([{"Open": [0, "Wait"]}, {"Send": 1}, "Close", "ReceiveAll", "Receive", "Outcome"]);
        let seen = open(&world, &[], "callee", &there, &here).await;
        let callee =
            vec![Note::Done, Note::Done, Note::Got(vec![1]), Note::End, Note::Done, Note::Done, Note::End];
        let caller = vec![
            Note::Began(0),
            Note::Done,
            Note::Done,
            Note::Done,
            Note::Got(vec![2, 3]),
            Note::End,
            Note::End,
            Note::Outcome(callee.clone()),
        ];
        assert_eq!(seen, Ok(caller));

        // The other way round, with the test as the caller.
        let there = json!([{"Start": 0}, {"Open": [0, "Wait"]}, {"Send": 1}, "Close", "ReceiveAll"]);
        let (context, _) = open_as_host(&world, &there, CallOptions::default()).await.expect("it starts");
        let stream = context.open_stream(StreamOptions::default()).expect("the first time");
        assert_eq!(stream.receive().await, Ok(Some(number(1))));
        assert_eq!(stream.receive().await, Ok(None));
        stream.send(number(2)).await.expect("its own direction goes on");
        stream.close();
        let callee = [Note::Done, Note::Done, Note::Done, Note::Done, Note::Got(vec![2]), Note::End];
        assert_eq!(notes(&context.wait_for_result().await.expect("it ends well")), callee);
        world.end().await;
    });
}

#[test]
fn d5_a_closed_stream_is_not_opened_again() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let twice = json!([{"Open": [0, "Wait"]}, "Close", {"Send": 1}, {"Open": [0, "Wait"]}]);
        let seen_from = |notes: &[Note]| {
            let [Note::Done, Note::Done, closed, again] = notes else { panic!("{notes:?}") };
            assert!(closed.failure().is::<StreamClosed>(), "{closed:?}");
            assert!(again.failure().is::<ContextProtocol>(), "{again:?}");
        };
        let mut steps = twice.as_array().expect("it is one").clone();
        steps.push(json!("Outcome"));
        let mut there = twice.as_array().expect("it is one").clone();
        there.insert(0, json!({"Start": 0}));
        let seen = open(&world, &[], "callee", &json!(there), &json!(steps)).await.expect("it starts");
        let [Note::Began(0), caller @ .., Note::Outcome(callee)] = seen.as_slice() else {
            panic!("{seen:?}")
        };
        seen_from(caller);
        seen_from(&callee[1..]);

        let (context, _) =
            open_as_host(&world, &json!([{"Start": 0}]), CallOptions::default()).await.expect("it starts");
        drop(context.open_stream(StreamOptions::default()).expect("the first time"));
        let again = context.open_stream(StreamOptions::default()).expect_err("the second time");
        assert!(again.is::<ContextProtocol>(), "{again}");
        world.end().await;
    });
}

#[test]
fn d5_dropping_a_stream_holds_up_neither_side() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let there = json!([{"Start": 0}, {"Open": [0, "Wait"]}, {"Count": 3000}, "ReceiveAll"]);
        let here = json!([{"Open": [4, "Wait"]}, "Hangup", "Outcome"]);
        let seen = open(&world, &[], "callee", &there, &here).await;
        let callee = vec![Note::Done, Note::Done, Note::Done, Note::End];
        assert_eq!(seen, Ok(vec![Note::Began(0), Note::Done, Note::Done, Note::Outcome(callee)]));
        world.end().await;
    });
}

#[test]
fn c13_messages_keep_their_order_both_ways_at_once() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let there = json!([{"Start": 0}, {"Open": [64, "Wait"]}, {"Exchange": 3000}]);
        let here = json!([{"Open": [16, "Wait"]}, {"Exchange": 3000}]);
        let seen = open(&world, &[], "callee", &there, &here).await;
        let caller = vec![Note::Began(0), Note::Done, Note::Done, Note::got(0..3000), Note::End];
        assert_eq!(seen, Ok(caller));
        world.end().await;
    });
}

#[test]
fn d6_a_full_receiver_makes_the_sender_wait() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let there = json!([{"Start": 0}, {"Open": [8, "Wait"]}, {"Await": "go"}, "ReceiveAll"]);
        let here = json!([{"Open": [0, "Wait"]}, {"Count": 1000}, "Close", "Outcome"]);
        let talking = open(&world, &[], "callee", &there, &here);
        sent(&world, 8).await;
        assert_eq!(world.call(&[], "stage:sent", &json!({})).await, Ok(8), "and no more");
        signal(&world, CALLEE, "talk", "go").await;
        let seen = talking.await.expect("it starts");
        let callee = vec![Note::Done, Note::Done, Note::got(0..1000), Note::End];
        assert_eq!(seen.last(), Some(&Note::Outcome(callee)), "nothing was lost");

        // The test as the sender: it can tell that there is no room.
        let (context, _) = open_as_host(&world, &there, CallOptions::default()).await.expect("it starts");
        let stream = context.open_stream(StreamOptions::default()).expect("the first time");
        for n in 0..8 {
            stream.send(number(n)).await.expect("there is room");
        }
        assert_eq!(stream.try_send(number(8)), Ok(false));
        let mut ninth = Box::pin(stream.send(number(8)));
        tokio::select! {
            biased;
            sent = &mut ninth => panic!("there was room: {sent:?}"),
            answered = world.call::<u32>(&[], "talk:drops", &json!({})) => assert_eq!(answered, Ok(0)),
        }
        signal(&world, &[], "talk", "go").await;
        ninth.await.expect("there is room again");
        stream.close();
        let callee = [Note::Done, Note::Done, Note::got(0..9), Note::End];
        assert_eq!(notes(&context.wait_for_result().await.expect("it ends well")), callee);
        world.end().await;
    });
}

#[test]
fn d6_overrun_is_an_error_at_the_sender_on_request() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let there = json!([{"Start": 0}, {"Open": [4, "Error"]}, {"Await": "go"}, "ReceiveAll"]);
        let here = json!([{"Open": [0, "Wait"]}, {"Count": 10}, {"Await": "full"}, "Close", "Outcome"]);
        let talking = open(&world, &[], "callee", &there, &here);
        signal(&world, &[], "stage", "full").await;
        signal(&world, CALLEE, "talk", "go").await;
        let seen = talking.await.expect("it starts");
        let [Note::Began(0), Note::Done, overrun, Note::Done, Note::Outcome(callee)] = seen.as_slice() else {
            panic!("{seen:?}")
        };
        assert_eq!(overrun.failure().downcast(), Some(StreamOverrun { capacity: 4 }));
        let fits = [Note::Done, Note::Done, Note::got(0..4), Note::End];
        assert_eq!(callee, &fits, "those before it have come, and the context goes on");
        world.end().await;
    });
}

#[test]
fn d6_the_oldest_are_dropped_on_request_and_the_receiver_is_told() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let there = json!([{"Start": 0}, {"Open": [4, "DropOldest"]}, {"Await": "go"}, "ReceiveAll"]);
        let here = json!([{"Open": [0, "Wait"]}, {"Count": 10}, "Close", "Outcome"]);
        let talking = open(&world, &[], "callee", &there, &here);
        sent(&world, 10).await;
        signal(&world, CALLEE, "talk", "go").await;
        let seen = talking.await.expect("it starts");
        let callee = vec![Note::Done, Note::Done, Note::Lost(6), Note::got(6..10), Note::End];
        assert_eq!(seen.last(), Some(&Note::Outcome(callee)));

        // The test as the receiver.
        let there = json!([{"Start": 0}, {"Open": [0, "Wait"]}, {"Count": 10}, {"Hold": "sent"}]);
        let (context, _) = open_as_host(&world, &there, CallOptions::default()).await.expect("it starts");
        let options = StreamOptions { capacity: 4, overrun: Overrun::DropOldest };
        let stream = context.open_stream(options).expect("the first time");
        held(&world, &[], "talk", "sent", 1).await;
        for _ in 0..20 {
            assert!(world.call::<u32>(&[], "talk:drops", &json!({})).await.is_ok());
        }
        let lagged = stream.receive().await.expect_err("some were dropped");
        assert_eq!(lagged.downcast(), Some(Lagged { lost: 6 }));
        for n in 6..10 {
            assert_eq!(stream.receive().await, Ok(Some(number(n))));
        }
        context.cancel().await.expect("it is absorbed");
        world.end().await;
    });
}

#[test]
fn d7_a_cancel_does_not_queue_behind_data() {
    undisturbed(async |place| {
        let (memory, payload) = (256 << 20, 128 << 20);
        let limits = Limits { memory, payload, copy: payload, queue: memory, ..Limits::default() };
        let world = World::with(place, Options { limits, ..Options::default() }).await;
        let _callee = party(&world, "callee").await;
        // 64 MiB take much longer than this to be sent and received.
        let took: u64 = world
            .call(&[], "stage:pour", &json!({"with": "callee", "mib": 64}))
            .await
            .expect("it is cancelled");
        assert!(took < 250, "{took} ms");
        assert_eq!(world.call(CALLEE, "talk:drops", &json!({})).await, Ok(0), "the actor goes on");
        world.end().await;
    });
}

#[test]
fn d7_an_error_and_credit_do_not_queue_behind_data() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        // Both sides of many streams send all the time, and have room for two messages each: they
        // make way only as long as credit gets through.
        let there = json!([{"Start": 0}, {"Open": [2, "Wait"]}, {"Exchange": 300}]);
        let here = json!([{"Open": [2, "Wait"]}, {"Exchange": 300}]);
        let talks: Vec<_> = (0..8).map(|_| open(&world, &[], "callee", &there, &here)).collect();
        // A callee fails while messages to it wait for room.
        let failing = json!([{"Start": 0}, {"Open": [2, "Wait"]}, "Receive", {"Fail": 6}]);
        let waiting = json!([{"Open": [2, "Wait"]}, {"Count": 100_000}]);
        let seen = open(&world, &[], "callee", &failing, &waiting).await.expect("it starts");
        assert_eq!(code(seen.last().expect("notes").failure()), 6);
        for talk in talks {
            let caller = vec![Note::Began(0), Note::Done, Note::Done, Note::got(0..300), Note::End];
            assert_eq!(talk.await, Ok(caller));
        }
        world.end().await;
    });
}

#[test]
fn d8_subscribers_get_every_message_and_a_slow_one_is_told_what_it_lost() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let there = json!([{"Start": 0}, {"Open": [0, "Wait"]}, {"Count": 200}]);
        let here = json!([{"Open": [0, "Wait"]}, {"Subscribe": 500}, {"Subscribe": 64}, {"Subscribe": 500},
            {"Follow": 0}, {"Follow": 1}, {"Follow": 2}]);
        let seen = open(&world, &[], "callee", &there, &here).await.expect("it starts");
        let fast = [Note::got(0..200), Note::End];
        let slow = [Note::Lost(136), Note::got(136..200), Note::End];
        assert_eq!(seen[5..], [&fast[..], &slow, &fast].concat());

        let (context, _) = open_as_host(&world, &there, CallOptions::default()).await.expect("it starts");
        let stream = Arc::new(context.open_stream(StreamOptions::default()).expect("the first time"));
        let (mut fast, mut slow) = (stream.subscribe(64), stream.subscribe(64));
        for n in 0..200 {
            assert_eq!(fast.receive().await, Ok(Some(number(n))));
        }
        assert_eq!(fast.receive().await, Ok(None));
        let lagged = slow.receive().await.expect_err("it was too slow");
        assert_eq!(lagged.downcast(), Some(Lagged { lost: 136 }));
        for n in 136..200 {
            assert_eq!(slow.receive().await, Ok(Some(number(n))));
        }
        assert_eq!(slow.receive().await, Ok(None));
        world.end().await;
    });
}

/// Which part of the contract a note says is broken, and in which actor that was found.
#[track_caller]
fn broken(note: &Note) -> (String, Option<String>) {
    let error = note.failure();
    let broken: MsgTypeError = error.downcast().unwrap_or_else(|| panic!("another failure: {error}"));
    assert!(broken.function.ends_with("talk:play") && !broken.reason.is_empty(), "{broken}");
    (broken.part, error.src_actor.as_ref().map(|actor| actor.name.clone()))
}

#[test]
fn d9_a_value_that_breaks_the_contract_is_refused_at_the_side_that_broke_it() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let (there, here) = (
            json!([{"Start": 0}, {"Open": [0, "Wait"]}, {"SendText": "a text"}, {"Send": 1}]),
            json!([{"Open": [0, "Wait"]}, "ReceiveAll", "Outcome"]),
        );
        let seen = open(&world, &[], "callee", &there, &here).await.expect("it starts");
        let outcome = seen.last().expect("notes");
        assert_eq!(broken(outcome), ("message to the caller".to_owned(), Some("callee".to_owned())));

        let (there, here) = (
            json!([{"Start": 0}, {"Open": [0, "Wait"]}, "ReceiveAll"]),
            json!([{"Open": [0, "Wait"]}, {"SendText": "a text"}, {"Send": 1}, "Outcome"]),
        );
        let seen = open(&world, &[], "callee", &there, &here).await.expect("it starts");
        for note in &seen[2..] {
            assert_eq!(broken(note).0, "message to the callee", "{seen:?}");
        }

        let there = json!([{"StartText": "a text"}]);
        let error = open(&world, &[], "callee", &there, &json!([])).await.expect_err("it never starts");
        assert_eq!(broken(&Note::Failed(error)), ("first value".to_owned(), Some("callee".to_owned())));
        world.end().await;
    });
}

#[test]
fn d9_a_contract_broken_by_name_ends_that_context_only() {
    alone(async |place| {
        let world = World::new(place).await;
        let _callee = party(&world, "callee").await;
        let pid = world.pid("root/callee");
        let beside = json!([{"Start": 0}, {"Open": [0, "Wait"]}, "ReceiveAll"]);
        let here =
            json!([{"Open": [0, "Wait"]}, {"Send": 1}, {"Await": "go"}, {"Send": 2}, "Close", "Outcome"]);
        let kept = open(&world, &[], "callee", &beside, &here);
        let talk = json!([{"Start": 0}, {"Open": [0, "Wait"]}, {"Send": 1}, {"Hold": "k"}]);
        let listen = json!([{"Start": 0}, {"Open": [0, "Wait"]}, "ReceiveAll"]);
        let misread = |part: &str, there: &Value| {
            world.call::<Vec<Note>>(
                &[],
                "stage:misread",
                &json!({"with": "callee", "part": part, "there": there}),
            )
        };
        let (root, callee) = (Some("root".to_owned()), Some("callee".to_owned()));
        for (part, there, text, found) in [
            ("First", &talk, "first value", &root),
            ("Sends", &talk, "message to the caller", &root),
            ("Receives", &listen, "message to the callee", &callee),
            ("Output", &json!([{"Start": 0}]), "result", &root),
        ] {
            let seen = misread(part, there).await.expect("it is told as a note");
            let (told, actor) = broken(seen.last().expect("notes"));
            assert_eq!(told, text, "{part}: {seen:?}");
            assert!(actor == *found || actor.is_none() && *found == root, "{part}: {seen:?}");
            assert_eq!(probe(&world, CALLEE, "talk", "k").await, 0, "{part}: that context ends");
        }
        // The test knows nothing of types.
        let (context, _) = open_as_host(&world, &listen, CallOptions::default()).await.expect("it starts");
        let stream = context.open_stream(StreamOptions::default()).expect("the first time");
        stream.send(payload::encode(&"a text").expect("it can be encoded").into()).await.expect("it is sent");
        let error = context.wait_for_result().await.expect_err("the callee finds it");
        assert_eq!(broken(&Note::Failed(error)), ("message to the callee".to_owned(), root));

        signal(&world, &[], "stage", "go").await;
        let seen = kept.await.expect("it had started");
        let heard = vec![Note::Done, Note::Done, Note::Got(vec![1, 2]), Note::End];
        assert_eq!(seen.last(), Some(&Note::Outcome(heard)), "the one beside it is unharmed");
        assert_eq!(world.pid("root/callee"), pid);
        world.end().await;
    });
}
