//! Calls, cancels, goodbyes and lost links.
//!
//! Owns: the tests of who is told what, and when. Must not know: time and large payloads.

use greenroom_abi::kind::{ContextCancelled, LimitExceeded};

use super::*;

#[test]
fn a_call_is_two_frames() {
    let mut pair = Pair::open();
    let context = pair.call("math:square", b"\xa1\x61x\x03");
    assert_eq!(pair.right.take_events(), [started(context, "math:square", b"\xa1\x61x\x03")]);
    pair.right.session.finish(context, Ok(bytes(b"\x09")));
    pair.settle();
    assert_eq!(pair.left.take_events(), [ended(context, Ok(bytes(b"\x09")))]);
    pair.assert_idle();
}

#[test]
fn both_sides_call_under_their_own_ids() {
    let mut pair = Pair::open();
    let left = [pair.call("a:b", b""), pair.call("a:b", b"")];
    let right = pair.right.session.start("c:d", Bytes::new(), CALL, pair.now).expect("not refused");
    assert_eq!((left, right), ([id(1), id(3)], id(2)));
    pair.settle();
    assert_eq!(pair.left.take_events(), [started(right, "c:d", b"")]);
    for context in left {
        pair.right.session.finish(context, Ok(Bytes::new()));
    }
    pair.left.session.finish(right, Err(Box::new(error("Oops"))));
    pair.settle();
    assert_eq!(pair.right.take_events().last(), Some(&ended(right, Err(Box::new(error("Oops"))))));
    pair.assert_idle();
}

#[test]
fn starts_go_behind_hello_without_a_round_trip() {
    let mut pair = Pair::new(Config::default());
    let context = pair.left.session.start("a:b", Bytes::new(), CALL, pair.now).expect("not refused");
    pair.transmit();
    pair.right.receive(pair.now);
    assert_eq!(pair.right.take_events(), [Event::Opened, started(context, "a:b", b"")]);
}

#[test]
fn the_acceptor_speaks_only_when_spoken_to() {
    let mut pair = Pair::new(Config::default());
    let context = pair.right.session.start("a:b", Bytes::new(), CALL, pair.now).expect("not refused");
    pair.right.session.ping(5);
    assert!(!pair.right.session.has_output());
    assert!(!pair.right.session.poll_transmit(&mut BytesMut::new(), 1000));
    pair.settle();
    assert_eq!(pair.left.take_events(), [Event::Opened, started(context, "a:b", b"")]);
    assert_eq!(pair.right.take_events(), [Event::Opened, Event::Pong { token: 5 }]);
}

#[test]
fn a_deadline_arrives_as_the_time_left() {
    let mut pair = Pair::open();
    let left = Duration::from_micros(1_234_567);
    pair.left
        .session
        .start("a:b", Bytes::new(), StartOptions { deadline: Some(left), dialog: false }, pair.now)
        .expect("not refused");
    pair.settle();
    let deadline = match pair.right.take_events().as_slice() {
        [Event::Start { deadline, .. }] => *deadline,
        other => panic!("{other:?}"),
    };
    assert_eq!(deadline, Some(left));
}

#[test]
fn a_cancelled_task_still_tells_its_end() {
    let mut pair = Pair::open();
    let context = pair.call("a:b", b"");
    pair.right.take_events();
    pair.left.session.cancel(context, &actor("boss"));
    pair.left.session.cancel(context, &actor("another"));
    pair.settle();
    assert_eq!(pair.right.take_events(), [Event::Cancel { context, by: Some(actor("boss")) }]);
    assert_eq!(pair.left.take_events(), []);
    assert_eq!(pair.left.session.open_contexts(), 1);
    pair.right.session.finish(context, Ok(bytes(b"\x01")));
    pair.settle();
    assert_eq!(pair.left.take_events(), [ended(context, Ok(bytes(b"\x01")))]);
    pair.assert_idle();
}

#[test]
fn a_cancel_before_the_start_was_sent_ends_here() {
    let mut pair = Pair::open();
    let context = pair.left.session.start("a:b", Bytes::new(), CALL, pair.now).expect("not refused");
    pair.left.session.cancel(context, &actor("boss"));
    assert!(!pair.left.session.has_output());
    let events = pair.left.take_events();
    let [Event::Ended { outcome: Err(error), .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(error.kind(), Some(ContextCancelled { function: "a:b".to_owned() }));
    assert_eq!(error.canceller, Some(actor("boss")));
    let next = pair.call("c:d", b"");
    assert_eq!(pair.right.take_events(), [started(next, "c:d", b"")], "a gap in the ids is no violation");
}

#[test]
fn a_cancel_that_comes_too_late_is_ignored() {
    let mut pair = Pair::open();
    let context = pair.call("a:b", b"");
    pair.right.take_events();
    pair.right.session.finish(context, Ok(bytes(b"\x01")));
    pair.left.session.cancel(context, &actor("boss"));
    pair.settle();
    assert_eq!(pair.right.take_events(), []);
    assert_eq!(pair.left.take_events(), [ended(context, Ok(bytes(b"\x01")))]);
    pair.left.session.cancel(context, &actor("boss"));
    assert!(!pair.left.session.has_output());
    pair.assert_idle();
}

#[test]
fn a_second_finish_is_ignored() {
    let mut pair = Pair::open();
    let context = pair.call("a:b", b"");
    pair.right.session.finish(context, Ok(bytes(b"\x01")));
    pair.right.session.finish(context, Ok(bytes(b"\x02")));
    pair.settle();
    pair.right.session.finish(context, Ok(bytes(b"\x03")));
    pair.settle();
    assert_eq!(pair.left.take_events(), [ended(context, Ok(bytes(b"\x01")))]);
}

#[test]
fn a_lost_link_ends_everything_once() {
    let mut pair = Pair::open();
    let running = pair.call("a:b", b"");
    let cancelled = pair.call("a:c", b"");
    pair.left.session.cancel(cancelled, &actor("boss"));
    pair.settle();
    let unsent = pair.left.session.start("a:d", Bytes::new(), CALL, pair.now).expect("not refused");
    pair.right.take_events();

    let lost = error("ActorDied");
    pair.cut(&lost);
    let closed = Event::Closed { reason: CloseReason::Disconnected(Box::new(lost.clone())) };
    let end = |context| ended(context, Err(Box::new(lost.clone())));
    assert_eq!(pair.left.take_events(), [end(running), end(cancelled), end(unsent), closed.clone()]);
    // The second one knows already that it was cancelled.
    assert_eq!(pair.right.take_events(), [Event::Cancel { context: running, by: None }, closed]);

    pair.right.session.finish(running, Ok(Bytes::new()));
    pair.cut(&lost);
    assert_eq!((pair.left.take_events(), pair.right.take_events()), (vec![], vec![]));
    let refused = pair.left.session.start("a:b", Bytes::new(), CALL, pair.now);
    assert_eq!(refused, Err(Refused::Closed));
    assert!(pair.left.session.is_closed());
    pair.assert_idle();
}

#[test]
fn goodbye_sends_what_has_ended_and_closes() {
    let mut pair = Pair::open();
    let done = pair.call("a:b", b"");
    let running = pair.call("a:c", b"");
    pair.right.take_events();
    let own = pair.right.session.start("c:d", Bytes::new(), CALL, pair.now).expect("not refused");
    pair.settle();
    pair.left.take_events();

    pair.right.session.finish(done, Ok(bytes(b"\x01")));
    pair.right.session.goodbye("the actor has ended");
    assert!(!pair.right.session.is_closed());
    assert_eq!(pair.right.session.start("a:b", Bytes::new(), CALL, pair.now), Err(Refused::Closed));
    pair.settle();
    assert!(pair.right.session.is_closed());
    let events = pair.right.take_events();
    let [Event::Ended { context, outcome: Err(error) }, cancel, closed] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((*context, error.is::<ContextCancelled>()), (own, true));
    assert_eq!(cancel, &Event::Cancel { context: running, by: None });
    assert_eq!(closed, &Event::Closed { reason: CloseReason::Goodbye });

    // What ended is delivered; the rest ends with what the driver knows of the peer's end.
    assert_eq!(
        pair.left.take_events(),
        [ended(done, Ok(bytes(b"\x01"))), Event::Cancel { context: own, by: None }]
    );
    assert_eq!(pair.left.session.start("a:b", Bytes::new(), CALL, pair.now), Err(Refused::Closed));
    let died = super::error("ActorDied");
    pair.cut(&died);
    let reason = CloseReason::PeerGoodbye { reason: "the actor has ended".to_owned() };
    assert_eq!(pair.left.take_events(), [ended(running, Err(Box::new(died))), Event::Closed { reason }]);
    pair.assert_idle();
}

#[test]
fn goodbye_to_an_idle_peer_closes_both() {
    for early in [false, true] {
        let mut pair = if early { Pair::new(Config::default()) } else { Pair::open() };
        pair.right.session.goodbye("no");
        pair.settle();
        let reason = CloseReason::PeerGoodbye { reason: "no".to_owned() };
        assert_eq!(pair.left.take_events(), [Event::Closed { reason }]);
        assert_eq!(pair.right.take_events(), [Event::Closed { reason: CloseReason::Goodbye }]);
        pair.assert_idle();
    }
}

#[test]
fn limits_refuse_before_anything_is_sent() {
    let mut pair = Pair::new(Config { max_contexts: 2, max_payload: 10, ..Config::default() });
    pair.settle();
    let start = |pair: &mut Pair, function: &str, size| {
        pair.left.session.start(function, Bytes::from(vec![0; size]), CALL, pair.now)
    };
    let refused = start(&mut pair, "a:b", 11).expect_err("too large");
    assert_eq!(refused, Refused::PayloadTooLarge { size: 11, limit: 10 });
    assert_eq!(refused.limit(), Some(LimitExceeded { limit: "payload".to_owned(), value: 10 }));
    let long = "x".repeat(MAX_TEXT + 1);
    let refused = start(&mut pair, &long, 0).expect_err("too long");
    assert_eq!(refused, Refused::FunctionTooLong { size: MAX_TEXT + 1, limit: MAX_TEXT });

    let first = start(&mut pair, "a:b", 10).expect("not refused");
    start(&mut pair, &long[1..], 0).expect("not refused");
    assert_eq!(start(&mut pair, "a:b", 0), Err(Refused::TooManyContexts { limit: 2 }));
    pair.settle();
    pair.right.session.finish(first, Ok(Bytes::new()));
    pair.settle();
    start(&mut pair, "a:b", 0).expect("one has ended");
    pair.settle();
}

#[test]
fn an_outcome_that_cannot_be_sent_is_an_error_to_its_call_only() {
    let mut pair = Pair::new(Config { max_payload: 500, ..Config::default() });
    pair.settle();
    let contexts = [(); 3].map(|()| pair.call("a:b", b""));
    let many = RemoteError { relay_path: vec![actor("a"); 70_000], ..error("Oops") };
    pair.right.session.finish(contexts[0], Ok(Bytes::from(vec![0; 501])));
    pair.right.session.finish(contexts[1], Err(Box::new(RemoteError::new("Oops", "x".repeat(500)))));
    pair.right.session.finish(contexts[2], Err(Box::new(many)));
    pair.left.take_events();
    pair.settle();
    let types: Vec<_> = pair
        .left
        .take_events()
        .into_iter()
        .map(|event| match event {
            Event::Ended { context, outcome: Err(error) } => (context, error.src_type),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = ["LimitExceeded", "LimitExceeded", "EncodeError"].map(str::to_owned);
    for (context, expected) in contexts.into_iter().zip(expected) {
        assert!(types.contains(&(context, expected)), "{types:?}");
    }
    pair.assert_idle();
}

#[test]
fn pings_are_answered() {
    let mut pair = Pair::open();
    pair.left.session.ping(7);
    pair.right.session.ping(u64::MAX);
    pair.settle();
    assert_eq!(pair.left.take_events(), [Event::Pong { token: 7 }]);
    assert_eq!(pair.right.take_events(), [Event::Pong { token: u64::MAX }]);
}
