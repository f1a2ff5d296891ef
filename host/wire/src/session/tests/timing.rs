//! Acknowledgements and timeouts.
//!
//! Owns: the tests of what time brings about. Must not know: large payloads, hostile peers.

use greenroom_abi::kind::{DeadlineExceeded, StartTimeout};

use super::*;
use crate::flow::{Credit, Overrun};

const MS: Duration = Duration::from_millis(1);

/// The start timeout that a context ended with, by function and milliseconds.
fn timed_out(events: &[Event]) -> Vec<(ContextId, String, u64)> {
    let kinds = events.iter().map(|event| match event {
        Event::Ended { context, outcome: Err(error) } => {
            let kind: StartTimeout = error.kind().unwrap_or_else(|| panic!("{error}"));
            (*context, kind.function, kind.waited_ms)
        }
        other => panic!("{other:?}"),
    });
    kinds.collect()
}

#[test]
fn a_quick_call_is_not_acknowledged() {
    let mut pair = Pair::open();
    let context = pair.call("a:b", b"");
    assert_eq!(pair.right.session.poll_timeout(), Some(pair.now + 50 * MS));
    pair.advance(49 * MS);
    pair.right.session.finish(context, Ok(Bytes::new()));
    assert_eq!(pair.right.session.poll_timeout(), None);
    pair.transmit();
    let sent: usize = pair.left.wire.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(sent, 4 + 6, "one frame, the `Return`");
}

#[test]
fn a_slow_call_is_acknowledged_once_and_may_take_for_ever() {
    let mut pair = Pair::open();
    let context = pair.call("a:b", b"");
    let quick = pair.call("a:c", b"");
    pair.right.session.finish(quick, Ok(Bytes::new()));
    pair.advance(50 * MS);
    assert_eq!(pair.left.session.poll_timeout(), None, "acknowledged: nothing to wait for");
    assert_eq!(pair.right.session.poll_timeout(), None);
    let events = [ended(quick, Ok(Bytes::new())), Event::Acknowledged { context }];
    assert_eq!(pair.left.take_events(), events);
    pair.advance(Duration::from_secs(1_000_000));
    assert_eq!(pair.left.take_events(), []);
    pair.right.session.finish(context, Ok(bytes(b"\x01")));
    pair.settle();
    assert_eq!(pair.left.take_events(), [ended(context, Ok(bytes(b"\x01")))]);
    pair.assert_idle();
}

#[test]
fn a_start_without_an_answer_times_out_and_is_cancelled() {
    let mut pair = Pair::open();
    pair.latency = Duration::from_secs(6);
    let sent = pair.call("a:b", b"");
    pair.advance(9_999 * MS);
    assert_eq!(pair.left.take_events(), []);
    pair.advance(MS);
    assert_eq!(timed_out(&pair.left.take_events()), [(sent, "a:b".to_owned(), 10_000)]);
    assert_eq!(pair.left.session.open_contexts(), 1, "the peer still owes its end");
    pair.left.session.cancel(sent, &actor("boss"));
    pair.advance(6_000 * MS);
    let cancel = Event::Cancel { context: sent, by: None };
    assert_eq!(pair.right.take_events(), [started(sent, "a:b", b""), cancel]);

    // The peer's acknowledgement and end come late, and are swallowed.
    let large = Bytes::from(vec![0; 3 * CHUNK]);
    pair.right.session.finish(sent, Ok(large));
    pair.advance(6_000 * MS);
    assert_eq!(pair.left.take_events(), []);
    pair.assert_idle();
}

#[test]
fn a_start_that_cannot_be_sent_times_out_here() {
    let mut pair = Pair::open();
    let context = pair.left.session.start("a:b", Bytes::new(), CALL, pair.now).expect("not refused");
    assert_eq!(pair.left.session.poll_timeout(), Some(pair.now + 10_000 * MS));
    pair.left.session.handle_timeout(pair.now + 10_000 * MS);
    assert_eq!(timed_out(&pair.left.take_events()), [(context, "a:b".to_owned(), 10_000)]);
    pair.assert_idle();
}

#[test]
fn a_cancelled_start_without_an_answer_times_out_without_a_second_cancel() {
    let mut pair = Pair::open();
    let context = pair.left.session.start("a:b", Bytes::new(), CALL, pair.now).expect("not refused");
    pair.left.session.poll_transmit(&mut BytesMut::new(), usize::MAX);
    pair.left.session.cancel(context, &actor("boss"));
    pair.left.session.poll_transmit(&mut BytesMut::new(), usize::MAX);
    pair.left.session.handle_timeout(pair.now + 10_000 * MS);
    assert_eq!(timed_out(&pair.left.take_events()), [(context, "a:b".to_owned(), 10_000)]);
    assert!(!pair.left.session.has_output());
}

#[test]
fn a_large_start_has_time_as_long_as_it_moves_on() {
    let mut pair = Pair::open();
    let kwargs = Bytes::from(vec![0; 10 * CHUNK]);
    let context = pair.left.session.start("a:b", kwargs, CALL, pair.now).expect("not refused");
    let mut out = BytesMut::new();
    // One chunk each 9 seconds: slow, but moving.
    for _ in 0..5 {
        out.clear();
        pair.left.session.poll_transmit(&mut out, 1);
        pair.now += 9_000 * MS;
        pair.left.session.handle_timeout(pair.now);
        assert_eq!(pair.left.take_events(), []);
    }
    // It stands still for one whole timeout.
    for _ in 0..2 {
        pair.now = pair.left.session.poll_timeout().expect("is still watched");
        pair.left.session.handle_timeout(pair.now);
    }
    assert_eq!(timed_out(&pair.left.take_events()), [(context, "a:b".to_owned(), 10_000)]);
    out.clear();
    pair.left.session.poll_transmit(&mut out, usize::MAX);
    assert_eq!(Message::decode(&out[4..]), Ok(Message::Cancel { context, by: None }));
}

#[test]
fn a_large_start_that_has_left_is_given_a_whole_timeout() {
    let mut pair = Pair::open();
    let begun = pair.now;
    let kwargs = Bytes::from(vec![0; CHUNK + 1]);
    pair.left.session.start("a:b", kwargs, CALL, begun).expect("not refused");
    pair.left.session.poll_transmit(&mut BytesMut::new(), usize::MAX);
    pair.left.session.handle_timeout(begun + 10_000 * MS);
    assert_eq!(pair.left.take_events(), []);
    assert_eq!(pair.left.session.poll_timeout(), Some(begun + 20_000 * MS));
    pair.left.session.handle_timeout(begun + 20_000 * MS);
    assert_eq!(timed_out(&pair.left.take_events()).len(), 1);
}

#[test]
fn a_large_outcome_may_take_longer_than_the_start_timeout() {
    let mut pair = Pair::open();
    let context = pair.call("a:b", b"");
    let cancelled = pair.call("a:b", b"");
    pair.left.session.cancel(cancelled, &actor("boss"));
    pair.settle();
    let large = Bytes::from(vec![7; 3 * CHUNK]);
    for context in [context, cancelled] {
        pair.right.session.finish(context, Ok(large.clone()));
    }
    for _ in 0..2 {
        let mut out = BytesMut::new();
        pair.right.session.poll_transmit(&mut out, 1);
        pair.left.session.handle_input(&mut out, pair.now).expect("honest");
    }
    assert_eq!(pair.left.session.poll_timeout(), None, "both have shown a sign of life");
    pair.advance(Duration::from_secs(60));
    let end = |context| ended(context, Ok(large.clone()));
    assert_eq!(pair.left.take_events(), [end(context), end(cancelled)]);
    pair.assert_idle();
}

#[test]
fn a_handshake_that_takes_too_long_closes() {
    for role in [Role::Initiator, Role::Acceptor] {
        let now = Instant::now();
        let mut end = End::new(role, Config::default(), now);
        let context = end.session.start("a:b", Bytes::new(), CALL, now).expect("not refused");
        assert_eq!(end.session.poll_timeout(), Some(now + 5_000 * MS));
        end.session.handle_timeout(now + 4_999 * MS);
        assert_eq!(end.take_events(), []);
        end.session.handle_timeout(now + 5_000 * MS);
        let mut events = end.take_events();
        assert_eq!(events.pop(), Some(Event::Closed { reason: CloseReason::HandshakeTimeout }));
        assert_eq!(timed_out(&events), [(context, "a:b".to_owned(), 5_000)]);
        assert!(end.session.is_closed());
        let mut out = BytesMut::new();
        end.session.poll_transmit(&mut out, usize::MAX);
        let reason = "the handshake took too long";
        assert_eq!(Message::decode(&out[4..]), Ok(Message::Goodbye { reason }));
        assert!(!end.session.has_output());
    }
}

/// However long the other side takes, only its calls are given up.
#[test]
fn a_handshake_without_a_bound_may_take_for_ever() {
    let now = Instant::now();
    let patient = Config { handshake_timeout: None, ..Config::default() };
    let mut ends = [Role::Initiator, Role::Acceptor].map(|role| End::new(role, patient.clone(), now));
    let mut hello = BytesMut::new();
    ends[0].session.poll_transmit(&mut hello, usize::MAX);
    for end in &mut ends {
        assert_eq!(end.session.poll_timeout(), None, "nobody waits");
        let context = end.session.start("a:b", Bytes::new(), CALL, now).expect("not refused");
        end.session.handle_timeout(now + 10_000 * MS);
        assert_eq!(timed_out(&end.take_events()), [(context, "a:b".to_owned(), 10_000)]);
    }
    let [mut left, mut right] = ends;
    let later = now + Duration::from_secs(1_000_000);
    right.session.handle_input(&mut hello, later).expect("honest");
    let mut welcome = BytesMut::new();
    right.session.poll_transmit(&mut welcome, usize::MAX);
    left.session.handle_input(&mut welcome, later).expect("honest");
    for end in [left, right] {
        assert!(!end.session.is_closed());
        assert_eq!(end.session.open_contexts(), 0);
    }
}

#[test]
fn a_peer_that_stays_after_goodbye_is_guilty() {
    let mut pair = Pair::open();
    let context = pair.call("a:b", b"");
    pair.right.session.goodbye("no");
    pair.advance(4_999 * MS);
    assert_eq!(pair.left.take_events(), []);
    pair.advance(MS);
    let events = pair.left.take_events();
    let [Event::Ended { context: other, outcome: Err(error) }, Event::Closed { reason }] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!((*other, error.src_type.as_str()), (context, "PeerMisbehaved"));
    assert_eq!(reason, &CloseReason::Violation(PeerMisbehaved::Lingering.into()));
}

/// The deadlines that contexts ended with, by function and milliseconds.
fn overdue(events: &[Event]) -> Vec<(ContextId, String, u64)> {
    let kinds = events.iter().map(|event| match event {
        Event::Ended { context, outcome: Err(error) } => {
            let kind: DeadlineExceeded = error.kind().unwrap_or_else(|| panic!("{error}"));
            (*context, kind.function, kind.limit_ms)
        }
        other => panic!("{other:?}"),
    });
    kinds.collect()
}

fn within(ms: u64, dialog: bool) -> StartOptions {
    StartOptions { deadline: Some(Duration::from_millis(ms)), dialog }
}

#[test]
fn a_deadline_ends_the_call_and_cancels_it() {
    let mut pair = Pair::open();
    let mut start =
        |ms| pair.left.session.start("a:b", Bytes::new(), within(ms, false), pair.now).expect("not refused");
    let (later, sooner) = (start(300), start(200));
    assert_eq!(pair.left.session.poll_timeout(), Some(pair.now + 200 * MS));
    pair.settle();
    assert_eq!(pair.right.take_events().len(), 2);
    pair.advance(199 * MS);
    let acknowledged = [later, sooner].map(|context| Event::Acknowledged { context });
    assert_eq!(pair.left.take_events(), acknowledged);
    pair.advance(MS);
    assert_eq!(overdue(&pair.left.take_events()), [(sooner, "a:b".to_owned(), 200)]);
    assert_eq!(pair.right.take_events(), [Event::Cancel { context: sooner, by: None }]);

    // The peer's end is dropped; the other call ends in time.
    pair.right.session.finish(sooner, Ok(bytes(b"\x01")));
    pair.right.session.finish(later, Ok(bytes(b"\x02")));
    pair.settle();
    assert_eq!(pair.left.take_events(), [ended(later, Ok(bytes(b"\x02")))]);
    pair.assert_idle();
}

#[test]
fn a_deadline_that_is_short_by_the_time_to_the_driver_is_told_in_full() {
    let now = Instant::now();
    let mut session = Session::new(Role::Initiator, Config::default(), now);
    let options = StartOptions { deadline: Some(Duration::from_micros(999_970)), dialog: false };
    session.start("a:b", Bytes::new(), options, now).expect("starts");
    session.handle_timeout(now + Duration::from_secs(1));
    let events: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
    assert_eq!(overdue(&events)[0].2, 1000);
}

#[test]
fn a_deadline_drops_what_has_come_of_the_end() {
    let mut pair = Pair::open();
    let context = pair.left.session.start("a:b", Bytes::new(), within(200, true), pair.now);
    let context = context.expect("not refused");
    pair.settle();
    pair.right.session.finish(context, Ok(Bytes::from(vec![7; 3 * CHUNK])));
    let mut out = BytesMut::new();
    pair.right.session.poll_transmit(&mut out, 1);
    pair.left.session.handle_input(&mut out, pair.now).expect("honest");
    assert_eq!(pair.left.session.allowance.buffered(), CHUNK);
    pair.left.session.handle_timeout(pair.now + 200 * MS);
    assert_eq!(pair.left.session.allowance.buffered(), 0);
    assert_eq!(overdue(&pair.left.take_events()).len(), 1);
    pair.settle();
    assert_eq!(pair.left.take_events(), []);
    pair.assert_idle();
}

#[test]
fn a_deadline_drops_streams_both_ways() {
    let mut pair = Pair::open();
    let context = pair.left.session.start("a:b", Bytes::new(), within(40, true), pair.now);
    let context = context.expect("not refused");
    let plenty = Credit { messages: 9, bytes: u64::MAX };
    pair.settle();
    pair.left.session.grant(context, plenty, Overrun::Wait);
    pair.right.session.grant(context, plenty, Overrun::Wait);
    pair.settle();
    pair.left.take_events();
    pair.right.take_events();
    pair.right.session.started(context, Bytes::new()).expect("fits");
    for session in [&mut pair.left.session, &mut pair.right.session] {
        session.send(context, Bytes::from(vec![7; 3 * CHUNK])).expect("fits");
    }
    // Parts of both messages have left; those of the callee are still on their way.
    let mut out = BytesMut::new();
    pair.left.session.poll_transmit(&mut out, 1);
    pair.right.session.handle_input(&mut out, pair.now).expect("honest");
    pair.right.session.poll_transmit(&mut out, CHUNK);
    pair.now += 40 * MS;
    pair.left.session.handle_timeout(pair.now);
    pair.left.session.grant(context, plenty, Overrun::Wait);
    pair.left.session.handle_input(&mut out, pair.now).expect("honest");
    assert_eq!(overdue(&pair.left.take_events()).len(), 1);
    pair.right.session.grant(context, plenty, Overrun::Wait);
    pair.right.session.stop(context);
    pair.settle();
    assert_eq!(pair.right.take_events(), [Event::Cancel { context, by: None }]);
    pair.right.session.finish(context, Ok(Bytes::new()));
    pair.settle();
    assert_eq!(pair.left.take_events(), []);
    pair.assert_idle();
}

#[test]
fn a_deadline_of_a_start_that_was_not_sent_is_told_to_nobody() {
    let mut pair = Pair::open();
    let context = pair.left.session.start("a:b", Bytes::new(), within(0, false), pair.now);
    let context = context.expect("not refused");
    assert_eq!(pair.left.session.poll_timeout(), Some(pair.now));
    pair.left.session.handle_timeout(pair.now);
    assert_eq!(overdue(&pair.left.take_events()), [(context, "a:b".to_owned(), 0)]);
    pair.assert_idle();

    // Of one that was sent in part, the peer hears that it is not to come.
    let kwargs = Bytes::from(vec![7; 3 * CHUNK]);
    let context = pair.left.session.start("a:b", kwargs, within(5, false), pair.now);
    let context = context.expect("not refused");
    let mut out = BytesMut::new();
    pair.left.session.poll_transmit(&mut out, 1);
    pair.right.session.handle_input(&mut out, pair.now).expect("honest");
    pair.left.session.handle_timeout(pair.now + 5 * MS);
    pair.settle();
    assert_eq!(overdue(&pair.left.take_events()), [(context, "a:b".to_owned(), 5)]);
    assert_eq!(pair.right.take_events(), []);
    pair.assert_idle();
}

#[test]
fn a_cancelled_call_still_has_its_deadline() {
    let mut pair = Pair::open();
    let context = pair.left.session.start("a:b", Bytes::new(), within(200, false), pair.now);
    let context = context.expect("not refused");
    pair.settle();
    pair.left.session.cancel(context, &actor("boss"));
    pair.advance(200 * MS);
    let events = pair.left.take_events();
    assert_eq!(overdue(&events[1..]), [(context, "a:b".to_owned(), 200)]);
    let cancels = pair.right.take_events().len() - 1;
    assert_eq!(cancels, 1, "no second one");
    pair.right.session.finish(context, Ok(Bytes::new()));
    pair.settle();
    pair.assert_idle();
}

#[test]
fn deadlines_end_with_their_contexts() {
    let mut pair = Pair::open();
    for ending in 0..4 {
        let context = pair.left.session.start("a:b", Bytes::new(), within(60_000, false), pair.now);
        let context = context.expect("not refused");
        match ending {
            0 => pair.left.session.cancel(context, &actor("boss")),
            1 => pair.left.session.handle_timeout(pair.now + 10_000 * MS),
            2 => {
                pair.settle();
                pair.right.session.finish(context, Ok(Bytes::new()));
                pair.settle();
            }
            _ => pair.left.session.goodbye("done"),
        }
        assert_eq!(pair.left.take_events().len(), 1, "{ending}");
        assert_eq!(pair.left.session.poll_timeout(), None, "{ending}");
    }
    let mut pair = Pair::open();
    let endless = StartOptions { deadline: Some(Duration::MAX), dialog: false };
    let context = pair.left.session.start("a:b", Bytes::new(), endless, pair.now).expect("not refused");
    pair.advance(Duration::from_secs(1_000_000));
    assert_eq!(pair.left.take_events(), [Event::Acknowledged { context }]);
    assert_eq!(pair.left.session.poll_timeout(), None);
}
