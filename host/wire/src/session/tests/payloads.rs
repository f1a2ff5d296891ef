//! Large payloads: chunks, fairness, and what overtakes them.
//!
//! Owns: the tests of what is on the wire in which order. Must not know: hostile peers.

use greenroom_abi::kind::ContextCancelled;

use super::*;

/// A payload of which every byte tells its place.
fn pattern(size: usize) -> Bytes {
    (0..size).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect::<Vec<_>>().into()
}

/// The frames that a session wants to send now, each as a kind and its context.
fn frames(session: &mut Session) -> Vec<(&'static str, u64)> {
    let mut out = BytesMut::new();
    session.poll_transmit(&mut out, usize::MAX);
    let mut frames = Vec::new();
    while let Some(frame) = frame::take(&mut out, 20 * CHUNK).expect("an honest frame") {
        frames.push(match Message::decode(&frame).expect("an honest message") {
            Message::More { context, .. } => ("more", context.get()),
            Message::Start { context, .. } => ("start", context.get()),
            Message::Return { context, .. } => ("return", context.get()),
            Message::Error { context, .. } => ("error", context.get()),
            Message::Cancel { context, .. } => ("cancel", context.get()),
            Message::StartAck { context } => ("ack", context.get()),
            Message::Ping { .. } => ("ping", 0),
            other => panic!("{other:?}"),
        });
    }
    frames
}

#[test]
fn payloads_of_every_size_arrive_whole() {
    let mut pair = Pair::open();
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 1_000_000] {
        let sent = pattern(size);
        let context = pair.left.session.start("a:b", sent.clone(), CALL, pair.now).expect("not refused");
        pair.settle();
        assert_eq!(pair.right.take_events(), [started(context, "a:b", &sent)], "{size}");
        pair.right.session.finish(context, Ok(sent.clone()));
        pair.settle();
        assert_eq!(pair.left.take_events(), [ended(context, Ok(sent))], "{size}");

        let context = pair.call("a:b", b"");
        pair.right.take_events();
        let error = RemoteError { value: Some(pattern(size).to_vec()), ..error("Oops") };
        pair.right.session.finish(context, Err(Box::new(error.clone())));
        pair.settle();
        assert_eq!(pair.left.take_events(), [ended(context, Err(Box::new(error)))], "{size}");
    }
    pair.assert_idle();
}

#[test]
fn a_context_that_is_alone_sends_all_that_both_sides_take() {
    let whole = 10 * CHUNK;
    let large = Config { max_frame: whole + AROUND, ..Config::default() };
    let small = Config { max_frame: 3 * CHUNK + AROUND, ..Config::default() };
    for (left, right, expected) in [
        (&large, &large, vec![("start", 3)]),
        (&large, &small, vec![("more", 3), ("more", 3), ("more", 3), ("start", 3)]),
        (&small, &large, vec![("more", 3), ("more", 3), ("more", 3), ("start", 3)]),
    ] {
        let mut pair = Pair::of(left.clone(), right.clone());
        pair.settle();
        pair.call("a:b", b"");
        pair.settle();
        let sent = pattern(whole);
        pair.left.session.start("a:b", sent.clone(), CALL, pair.now).expect("not refused");
        assert_eq!(frames(&mut pair.left.session), expected);
        // Nor does it let others wait for long.
        pair.left.session.start("a:b", sent.clone(), CALL, pair.now).expect("not refused");
        pair.left.session.start("a:b", bytes(b"small"), CALL, pair.now).expect("not refused");
        assert_eq!(frames(&mut pair.left.session)[..2], [("more", 5), ("start", 7)]);
    }
}

#[test]
fn a_payload_that_is_not_copied_ends_what_is_written() {
    let mut pair = Pair::open();
    let (large, small) = (pattern(CHUNK), bytes(b"small"));
    let options = StartOptions { deadline: Some(Duration::from_secs(9)), dialog: false };
    for (payload, options, apart) in
        [(&large, CALL, true), (&small, CALL, false), (&large, options, false), (&small, options, false)]
    {
        let context =
            pair.left.session.start("a:b", payload.clone(), options, pair.now).expect("not refused");
        let other = pair.left.session.start("c:d", small.clone(), CALL, pair.now).expect("not refused");
        let mut out = Parts::default();
        assert!(pair.left.session.poll_transmit(&mut out, usize::MAX));
        assert_eq!(out.slices()[1].as_ptr() == payload.as_ptr(), apart);
        pair.right.wire.push_back((pair.now, out.slices().concat()));
        assert_eq!(pair.left.session.has_output(), apart, "the next waits for its turn");
        pair.settle();
        let events = pair.right.take_events();
        let Event::Start { kwargs, .. } = &events[0] else { panic!("{events:?}") };
        assert_eq!((events.len(), kwargs), (2, payload));
        for context in [context, other] {
            pair.right.session.finish(context, Ok(small.clone()));
        }
        pair.settle();
        pair.left.take_events();
    }
    pair.assert_idle();
}

#[test]
fn fragments_of_every_size_make_no_difference() {
    let conversation = |fragment| {
        let mut pair = Pair::new(Config::default());
        pair.fragment = fragment;
        let context = pair.left.session.start("a:b", pattern(70), CALL, pair.now).expect("not refused");
        pair.left.session.ping(1);
        pair.settle();
        pair.left.session.cancel(context, &actor("boss"));
        pair.settle();
        pair.right.session.finish(context, Err(Box::new(error("Oops"))));
        pair.settle();
        pair.right.session.goodbye("done");
        pair.settle();
        (pair.left.take_events(), pair.right.take_events())
    };
    let whole = conversation(usize::MAX);
    assert_eq!((whole.0.len(), whole.1.len()), (4, 4), "{whole:?}");
    for fragment in 1..150 {
        assert_eq!(conversation(fragment), whole, "in pieces of {fragment}");
    }
}

#[test]
fn a_cut_at_every_byte_ends_every_context_once() {
    let prepare = || {
        let mut pair = Pair::new(Config::default());
        for size in [3, CHUNK + 3, 5] {
            pair.left.session.start("a:b", pattern(size), CALL, pair.now).expect("not refused");
        }
        let mut out = BytesMut::new();
        pair.left.session.poll_transmit(&mut out, usize::MAX);
        (pair, out)
    };
    let length = prepare().1.len();
    let near_headers = (0..length).filter(|at| *at < 200 || *at > length - 100 || at % 4_099 == 0);
    for at in near_headers {
        let (mut pair, out) = prepare();
        pair.right.wire.push_back((pair.now, out[..at].to_vec()));
        pair.right.receive(pair.now);
        pair.cut(&error("ActorDied"));
        let ends = pair.left.take_events();
        assert_eq!(ends.len(), 4, "three contexts and the session, cut at {at}");
        let events = pair.right.take_events();
        let count = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
        let starts = count(|event| matches!(event, Event::Start { .. }));
        assert_eq!(count(|event| matches!(event, Event::Cancel { .. })), starts, "cut at {at}");
        assert!(matches!(events.last(), Some(Event::Closed { .. })), "cut at {at}");
        pair.assert_idle();
    }
}

#[test]
fn contexts_take_turns_and_open_in_order() {
    let mut pair = Pair::open();
    for size in [3 * CHUNK, 10, 2 * CHUNK, 0] {
        pair.left.session.start("a:b", pattern(size), CALL, pair.now).expect("not refused");
    }
    let expected =
        [("more", 1), ("start", 3), ("more", 5), ("start", 7), ("more", 1), ("start", 5), ("start", 1)];
    assert_eq!(frames(&mut pair.left.session), expected);
}

#[test]
fn control_and_errors_overtake_data() {
    let mut pair = Pair::open();
    let contexts = [(); 4].map(|()| pair.call("a:b", b""));
    pair.right.take_events();
    let own = pair.right.session.start("c:d", Bytes::new(), CALL, pair.now).expect("not refused");
    pair.settle();
    for context in &contexts[..2] {
        pair.right.session.finish(*context, Ok(pattern(2 * CHUNK)));
    }
    pair.right.session.poll_transmit(&mut BytesMut::new(), 1);
    pair.right.session.finish(contexts[2], Err(Box::new(error("Oops"))));
    pair.right.session.cancel(own, &actor("boss"));
    pair.right.session.ping(1);
    pair.now += Duration::from_millis(50);
    pair.right.session.handle_timeout(pair.now);
    let control = [("cancel", 2), ("ping", 0), ("ack", 7), ("error", 5)];
    let data = [("more", 3), ("return", 1), ("return", 3)];
    assert_eq!(frames(&mut pair.right.session), [&control[..], &data].concat());
}

#[test]
fn a_large_error_overtakes_with_its_first_frame_only() {
    let mut pair = Pair::open();
    let contexts = [(); 2].map(|()| pair.call("a:b", b""));
    pair.right.session.finish(contexts[0], Ok(pattern(CHUNK + 1)));
    let large = RemoteError::new("Oops", "x".repeat(2 * CHUNK));
    pair.right.session.finish(contexts[1], Err(Box::new(large)));
    let expected = [("more", 3), ("more", 1), ("more", 3), ("return", 1), ("error", 3)];
    assert_eq!(frames(&mut pair.right.session), expected);
}

#[test]
fn a_cancel_of_a_start_on_its_way_ends_at_once() {
    let mut pair = Pair::open();
    let kwargs = pattern(10 * CHUNK);
    let context = pair.left.session.start("a:b", kwargs.clone(), CALL, pair.now).expect("not refused");
    let mut out = BytesMut::new();
    pair.left.session.poll_transmit(&mut out, 1);
    pair.right.wire.push_back((pair.now, out.to_vec()));
    pair.right.receive(pair.now);
    assert_eq!(pair.right.session.allowance.buffered(), CHUNK);

    pair.left.session.cancel(context, &actor("boss"));
    let events = pair.left.take_events();
    let [Event::Ended { outcome: Err(error), .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(error.kind(), Some(ContextCancelled { function: "a:b".to_owned() }));
    assert_eq!(error.canceller, Some(actor("boss")));
    assert_eq!(pair.left.session.open_contexts(), 1);

    pair.settle();
    assert_eq!(pair.right.take_events(), [], "no task ever ran");
    assert_eq!(pair.left.take_events(), [], "and the peer's end is not told again");
    pair.assert_idle();
    let next = pair.call("a:b", b"");
    assert_eq!(pair.right.take_events(), [started(next, "a:b", b"")]);
}

#[test]
fn a_small_payload_is_a_slice_of_what_was_read() {
    let mut pair = Pair::open();
    pair.left.session.start("a:b", pattern(1000), CALL, pair.now).expect("not refused");
    let mut buffer = BytesMut::new();
    pair.left.session.poll_transmit(&mut buffer, usize::MAX);
    let read = buffer.as_ptr() as usize..buffer.as_ptr() as usize + buffer.len();
    pair.right.session.handle_input(&mut buffer, pair.now).expect("honest");
    let Some(Event::Start { kwargs, .. }) = pair.right.session.poll_event() else { panic!("no start") };
    assert!(read.contains(&(kwargs.as_ptr() as usize)));
}

#[test]
fn the_budget_is_passed_by_one_frame_at_most() {
    let mut pair = Pair::open();
    for _ in 0..3 {
        pair.left.session.start("a:b", pattern(2 * CHUNK), CALL, pair.now).expect("not refused");
    }
    let mut out = BytesMut::new();
    assert!(!pair.left.session.poll_transmit(&mut out, 0));
    assert!(pair.left.session.poll_transmit(&mut out, 1));
    assert!(out.len() < CHUNK + 20);
    let before = out.len();
    assert!(!pair.left.session.poll_transmit(&mut out, before));
    assert!(pair.left.session.poll_transmit(&mut out, before + 1));
    assert!(pair.left.session.has_output());
}
