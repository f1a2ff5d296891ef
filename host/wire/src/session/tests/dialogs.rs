//! Dialogs: first values, streams, their ends, and what overtakes them.
//!
//! Owns: the tests of what two honest sides of a dialog tell each other. Must not know: hostile
//! peers.

use super::*;
use crate::flow::{Credit, Overrun};

const DIALOG: StartOptions = StartOptions { deadline: None, dialog: true };

/// More than any test uses.
const PLENTY: Credit = Credit { messages: 1000, bytes: 100 * CHUNK as u64 };

/// A dialog that has been opened, and started with nothing; each side has granted plenty.
fn dialog() -> (Pair, ContextId) {
    let mut pair = Pair::open();
    let context = pair.left.session.start("a:b", Bytes::new(), DIALOG, pair.now).expect("not refused");
    pair.right.session.grant(context, PLENTY, Overrun::Wait);
    pair.left.session.grant(context, PLENTY, Overrun::Error);
    pair.settle();
    pair.right.session.grant(context, PLENTY, Overrun::DropOldest);
    pair.right.session.started(context, Bytes::new()).expect("fits");
    pair.settle();
    let start = Event::Start {
        context,
        function: "a:b".to_owned(),
        kwargs: Bytes::new(),
        deadline: None,
        dialog: true,
    };
    let credit = |overrun| Event::Credit { context, credit: PLENTY, overrun };
    assert_eq!(pair.right.take_events(), [start, credit(Overrun::Error)]);
    let started = Event::Started { context, value: Bytes::new() };
    assert_eq!(pair.left.take_events(), [credit(Overrun::DropOldest), started]);
    (pair, context)
}

fn message(context: ContextId, payload: &Bytes) -> Event {
    Event::Message { context, payload: payload.clone().into() }
}

#[test]
fn a_dialog_streams_both_ways_until_each_side_stops() {
    let (mut pair, context) = dialog();
    let large = Bytes::from(vec![7; 2 * CHUNK + 1]);
    for payload in [bytes(b"one"), large.clone(), Bytes::new()] {
        pair.left.session.send(context, payload.clone()).expect("fits");
        pair.right.session.send(context, payload).expect("fits");
    }
    pair.left.session.stop(context);
    pair.settle();
    let messages = [bytes(b"one"), large, Bytes::new()].map(|payload| message(context, &payload));
    let stopped = Event::Stopped { context };
    assert_eq!(pair.right.take_events(), [&messages[..], std::slice::from_ref(&stopped)].concat());
    assert_eq!(pair.left.take_events(), messages);

    pair.right.session.send(context, bytes(b"more")).expect("fits");
    pair.right.session.stop(context);
    pair.right.session.finish(context, Ok(bytes(b"\x09")));
    pair.settle();
    let more = message(context, &bytes(b"more"));
    assert_eq!(pair.left.take_events(), [more, stopped, ended(context, Ok(bytes(b"\x09")))]);
    pair.assert_idle();
}

#[test]
fn payloads_of_every_size_arrive_whole_and_in_order() {
    let (mut pair, context) = dialog();
    let sizes = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 1_000_000];
    let payloads = sizes.map(|size| Bytes::from(vec![size as u8; size]));
    for payload in &payloads {
        pair.left.session.send(context, payload.clone()).expect("fits");
        pair.right.session.send(context, payload.clone()).expect("fits");
    }
    pair.right.session.finish(context, Ok(payloads[6].clone()));
    pair.settle();
    let messages = payloads.each_ref().map(|payload| message(context, payload));
    let end = ended(context, Ok(payloads[6].clone()));
    assert_eq!(pair.left.take_events(), [&messages[..], &[end]].concat());
    // The end was sent before the last of them had arrived, which is nobody's fault.
    let arrived = pair.right.take_events();
    assert_eq!(arrived, messages[..arrived.len()]);
    pair.assert_idle();
}

#[test]
fn a_large_first_value_arrives_whole_and_acknowledges() {
    let mut pair = Pair::open();
    let context = pair.left.session.start("a:b", Bytes::new(), DIALOG, pair.now).expect("not refused");
    pair.settle();
    let value = Bytes::from(vec![7; 2 * CHUNK]);
    pair.right.session.started(context, value.clone()).expect("fits");
    let mut out = BytesMut::new();
    pair.right.session.poll_transmit(&mut out, 1);
    pair.left.session.handle_input(&mut out, pair.now).expect("honest");
    assert_eq!(pair.left.session.poll_timeout(), None, "its part is a sign of life");
    pair.advance(Duration::from_secs(60));
    assert_eq!(pair.left.take_events(), [Event::Started { context, value }]);
    assert_eq!(pair.right.session.poll_timeout(), None, "no acknowledgement is needed");
    pair.right.session.finish(context, Ok(Bytes::new()));
    pair.settle();
    pair.assert_idle();
}

#[test]
fn a_slow_dialog_is_acknowledged_before_its_first_value() {
    let mut pair = Pair::open();
    let context = pair.left.session.start("a:b", Bytes::new(), DIALOG, pair.now).expect("not refused");
    pair.settle();
    pair.right.session.grant(context, PLENTY, Overrun::Wait);
    pair.advance(Duration::from_millis(50));
    pair.right.session.started(context, Bytes::new()).expect("fits");
    pair.settle();
    let credit = Event::Credit { context, credit: PLENTY, overrun: Overrun::Wait };
    let started = Event::Started { context, value: Bytes::new() };
    assert_eq!(pair.left.take_events(), [credit, Event::Acknowledged { context }, started]);
}

#[test]
fn credit_waits_for_the_start_of_its_context_and_is_added_up() {
    let mut pair = Pair::open();
    let kwargs = Bytes::from(vec![7; 2 * CHUNK]);
    let context = pair.left.session.start("a:b", kwargs.clone(), DIALOG, pair.now).expect("not refused");
    pair.left.session.grant(context, Credit { messages: 1, bytes: 10 }, Overrun::Error);
    pair.left.session.grant(context, Credit { messages: 2, bytes: 20 }, Overrun::DropOldest);
    pair.settle();
    let start = Event::Start { context, function: "a:b".to_owned(), kwargs, deadline: None, dialog: true };
    let credit = Credit { messages: 3, bytes: 30 };
    let credit = Event::Credit { context, credit, overrun: Overrun::DropOldest };
    assert_eq!(pair.right.take_events(), [start, credit]);
    // Even nothing is told: it says that the stream is open.
    pair.right.session.grant(context, Credit::default(), Overrun::Wait);
    pair.settle();
    let nothing = Event::Credit { context, credit: Credit::default(), overrun: Overrun::Wait };
    assert_eq!(pair.left.take_events(), [nothing]);
}

#[test]
fn credit_and_cancels_overtake_data() {
    let (mut pair, context) = dialog();
    let other = pair.left.session.start("a:b", Bytes::new(), DIALOG, pair.now).expect("not refused");
    pair.settle();
    pair.right.take_events();
    for _ in 0..10 {
        pair.left.session.send(context, Bytes::from(vec![0; CHUNK])).expect("fits");
    }
    pair.left.session.grant(context, PLENTY, Overrun::Wait);
    pair.left.session.cancel(other, &actor("boss"));
    let mut out = BytesMut::new();
    pair.left.session.poll_transmit(&mut out, 60);
    pair.right.session.handle_input(&mut out, pair.now).expect("honest");
    let cancel = Event::Cancel { context: other, by: Some(actor("boss")) };
    let credit = Event::Credit { context, credit: PLENTY, overrun: Overrun::Wait };
    assert_eq!(pair.right.take_events()[..2], [cancel, credit]);
}

#[test]
fn contexts_with_streams_take_turns() {
    for (size, order) in [(1, [0, 1, 2, 3, 4]), (1024, [0, 1, 4, 2, 3])] {
        let (mut pair, context) = dialog();
        let call = pair.left.session.start("a:b", Bytes::new(), CALL, pair.now).expect("not refused");
        let messages = [1, 2, 3].map(|number| Bytes::from(vec![number; size]));
        for message in &messages {
            pair.left.session.send(context, message.clone()).expect("fits");
        }
        let later = pair.left.session.start("a:c", Bytes::new(), CALL, pair.now).expect("not refused");
        pair.settle();
        let [one, two, three] = messages.map(|payload| message(context, &payload));
        let all = [started(call, "a:b", b""), one, two, three, started(later, "a:c", b"")];
        assert_eq!(pair.right.take_events(), order.map(|place| all[place].clone()), "of {size} bytes");
    }
}

#[test]
fn an_error_does_not_wait_for_the_stream() {
    let (mut pair, context) = dialog();
    for _ in 0..3 {
        pair.right.session.send(context, Bytes::from(vec![7; 3 * CHUNK])).expect("fits");
    }
    pair.right.session.stop(context);
    pair.right.session.poll_transmit(&mut BytesMut::new(), 0);
    let oops = || Err(Box::new(error("Oops")));
    pair.right.session.finish(context, oops());
    pair.settle();
    assert_eq!(pair.left.take_events(), [ended(context, oops())], "nothing had left");
    pair.assert_idle();
}

#[test]
fn an_error_tears_the_message_that_is_being_sent() {
    for size in [10, 2 * CHUNK] {
        let (mut pair, context) = dialog();
        let other = pair.call("a:b", b"");
        pair.right.take_events();
        pair.right.session.send(context, bytes(b"whole")).expect("fits");
        pair.right.session.send(context, Bytes::from(vec![7; 3 * CHUNK])).expect("fits");
        pair.right.session.finish(other, Ok(Bytes::from(vec![7; 3 * CHUNK])));
        let mut out = BytesMut::new();
        pair.right.session.poll_transmit(&mut out, CHUNK + 100);
        pair.left.session.handle_input(&mut out, pair.now).expect("honest");
        assert_eq!(pair.left.take_events(), [message(context, &bytes(b"whole"))]);
        assert!(pair.left.session.allowance.buffered() > CHUNK);

        let failed = RemoteError { value: Some(vec![7; size]), ..error("Oops") };
        pair.right.session.finish(context, Err(Box::new(failed.clone())));
        pair.settle();
        let events = pair.left.take_events();
        let (end, rest) = (ended(context, Err(Box::new(failed))), Event::Stopped { context });
        assert_eq!(events.iter().filter(|event| **event == end).count(), 1);
        assert!(!events.contains(&rest), "it has not come to its end");
        pair.assert_idle();
    }
}

#[test]
fn a_first_value_that_is_being_sent_is_torn_as_well() {
    let mut pair = Pair::open();
    let context = pair.left.session.start("a:b", Bytes::new(), DIALOG, pair.now).expect("not refused");
    pair.settle();
    pair.right.session.started(context, Bytes::from(vec![7; 3 * CHUNK])).expect("fits");
    let mut out = BytesMut::new();
    pair.right.session.poll_transmit(&mut out, 1);
    pair.left.session.handle_input(&mut out, pair.now).expect("honest");
    pair.right.session.finish(context, Err(Box::new(error("Oops"))));
    pair.settle();
    let end = ended(context, Err(Box::new(error("Oops"))));
    assert_eq!(pair.left.take_events(), [end]);
    pair.assert_idle();
}

#[test]
fn a_value_too_large_to_send_is_an_error_like_others() {
    let mut pair = Pair::new(Config { max_payload: 500, ..Config::default() });
    pair.settle();
    pair.left.take_events();
    let context = pair.left.session.start("a:b", Bytes::new(), DIALOG, pair.now).expect("not refused");
    pair.settle();
    let large = || Bytes::from(vec![0; 501]);
    let refused = Err(Refused::PayloadTooLarge { size: 501, limit: 500 });
    assert_eq!(pair.right.session.started(context, large()), refused);
    assert_eq!(pair.right.session.send(context, large()), refused);
    pair.right.session.started(context, Bytes::new()).expect("fits");
    pair.right.session.finish(context, Ok(large()));
    pair.settle();
    let events = pair.left.take_events();
    let [Event::Started { .. }, Event::Ended { outcome: Err(error), .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(error.src_type, "LimitExceeded");
    pair.assert_idle();
}

#[test]
fn a_first_value_of_one_frame_goes_before_the_error() {
    for (size, goes) in [(0, true), (CHUNK, true), (CHUNK + 1, false)] {
        let mut pair = Pair::open();
        let context = pair.left.session.start("a:b", Bytes::new(), DIALOG, pair.now).expect("not refused");
        pair.settle();
        pair.right.session.started(context, Bytes::from(vec![7; size])).expect("fits");
        pair.right.session.finish(context, Err(Box::new(error("Oops"))));
        pair.settle();
        let events = pair.left.take_events();
        let end = ended(context, Err(Box::new(error("Oops"))));
        assert_eq!((events.len(), events.last()), (1 + usize::from(goes), Some(&end)), "{size}");
        pair.assert_idle();
    }
}

#[test]
fn a_cancel_drops_what_the_caller_has_queued_and_goes_on_listening() {
    let (mut pair, context) = dialog();
    pair.left.session.send(context, Bytes::from(vec![7; 3 * CHUNK])).expect("fits");
    pair.left.session.send(context, bytes(b"never")).expect("fits");
    let mut out = BytesMut::new();
    pair.left.session.poll_transmit(&mut out, 1);
    pair.right.session.handle_input(&mut out, pair.now).expect("honest");
    assert_eq!(pair.right.session.allowance.buffered(), CHUNK);
    pair.left.session.cancel(context, &actor("boss"));
    pair.left.session.poll_transmit(&mut out, 1);
    assert!(!pair.left.session.has_output(), "only the cancel was left");
    pair.right.session.handle_input(&mut out, pair.now).expect("honest");
    pair.left.session.send(context, bytes(b"nor this")).expect("is ignored");
    pair.left.session.stop(context);
    pair.left.session.grant(context, PLENTY, Overrun::Wait);
    pair.settle();
    let cancel = Event::Cancel { context, by: Some(actor("boss")) };
    let credit = Event::Credit { context, credit: PLENTY, overrun: Overrun::Wait };
    assert_eq!(pair.right.take_events(), [cancel, credit]);
    assert_eq!(pair.right.session.allowance.buffered(), 0);

    pair.right.session.send(context, bytes(b"last words")).expect("fits");
    pair.right.session.finish(context, Ok(Bytes::new()));
    pair.settle();
    let words = message(context, &bytes(b"last words"));
    assert_eq!(pair.left.take_events(), [words, ended(context, Ok(Bytes::new()))]);
    pair.assert_idle();
}

#[test]
fn what_crosses_the_end_is_dropped() {
    let (mut pair, context) = dialog();
    pair.right.session.finish(context, Ok(Bytes::new()));
    for payload in [bytes(b"late"), Bytes::from(vec![7; 2 * CHUNK])] {
        pair.left.session.send(context, payload).expect("fits");
    }
    pair.left.session.stop(context);
    pair.left.session.grant(context, PLENTY, Overrun::Wait);
    pair.settle();
    assert_eq!(pair.right.take_events(), []);
    assert_eq!(pair.left.take_events(), [ended(context, Ok(Bytes::new()))]);
    pair.assert_idle();
}

#[test]
fn the_end_drops_what_the_caller_still_has_to_say() {
    let (mut pair, context) = dialog();
    pair.right.session.finish(context, Ok(Bytes::new()));
    let mut end = BytesMut::new();
    pair.right.session.poll_transmit(&mut end, usize::MAX);
    pair.left.session.send(context, bytes(b"late")).expect("fits");
    pair.left.session.grant(context, PLENTY, Overrun::Wait);
    pair.left.session.handle_input(&mut end, pair.now).expect("honest");
    assert!(!pair.left.session.has_output());
    pair.left.session.send(context, bytes(b"later")).expect("is ignored");
    pair.left.session.grant(context, PLENTY, Overrun::Wait);
    pair.left.take_events();
    pair.assert_idle();
}

#[test]
fn commands_without_a_place_do_nothing() {
    let mut pair = Pair::open();
    let call = pair.call("a:b", b"");
    let dialog = pair.left.session.start("a:c", Bytes::new(), DIALOG, pair.now).expect("not refused");
    pair.settle();
    let mut session = |misuse: fn(&mut Session, ContextId)| {
        for context in [call, id(99)] {
            misuse(&mut pair.left.session, context);
            misuse(&mut pair.right.session, context);
        }
        assert!(!pair.left.session.has_output() && !pair.right.session.has_output());
    };
    session(|session, context| session.started(context, Bytes::new()).expect("fits"));
    session(|session, context| session.send(context, Bytes::new()).expect("fits"));
    session(|session, context| session.stop(context));
    session(|session, context| session.grant(context, PLENTY, Overrun::Wait));

    pair.right.session.send(dialog, Bytes::new()).expect("before the first value: is ignored");
    pair.left.session.started(dialog, Bytes::new()).expect("by the caller: is ignored");
    assert!(!pair.left.session.has_output() && !pair.right.session.has_output());
    for value in [bytes(b"1"), bytes(b"2")] {
        pair.right.session.started(dialog, value).expect("fits");
    }
    pair.right.session.stop(dialog);
    pair.right.session.stop(dialog);
    pair.right.session.send(dialog, Bytes::new()).expect("behind the stop: is ignored");
    pair.settle();
    let first = Event::Started { context: dialog, value: bytes(b"1") };
    assert_eq!(pair.left.take_events(), [first, Event::Stopped { context: dialog }]);
}

#[test]
fn a_goodbye_sends_the_streams_that_have_ended_only() {
    let (mut pair, context) = dialog();
    let open = pair.left.session.start("a:b", Bytes::new(), DIALOG, pair.now).expect("not refused");
    pair.settle();
    pair.right.take_events();
    pair.right.session.started(open, Bytes::new()).expect("fits");
    pair.right.session.send(context, bytes(b"before")).expect("fits");
    pair.right.session.finish(context, Ok(Bytes::new()));
    pair.right.session.goodbye("done");
    pair.right.session.send(open, Bytes::new()).expect("is ignored");
    pair.settle();
    let before = message(context, &bytes(b"before"));
    assert_eq!(pair.left.take_events(), [before, ended(context, Ok(Bytes::new()))]);
    pair.left.session.send(open, Bytes::new()).expect("is ignored");
    pair.left.session.grant(open, PLENTY, Overrun::Wait);
    assert!(!pair.left.session.has_output());
    pair.cut(&error("ActorDied"));
    let closed = Event::Closed { reason: CloseReason::PeerGoodbye { reason: "done".to_owned() } };
    assert_eq!(pair.left.take_events(), [ended(open, Err(Box::new(error("ActorDied")))), closed]);
    pair.assert_idle();
}

#[test]
fn a_small_message_is_a_slice_of_what_was_read() {
    let (mut pair, context) = dialog();
    pair.left.session.send(context, Bytes::from(vec![7; 1000])).expect("fits");
    let mut buffer = BytesMut::new();
    pair.left.session.poll_transmit(&mut buffer, usize::MAX);
    let read = buffer.as_ptr() as usize..buffer.as_ptr() as usize + buffer.len();
    pair.right.session.handle_input(&mut buffer, pair.now).expect("honest");
    let Some(Event::Message { payload, .. }) = pair.right.session.poll_event() else { panic!("none") };
    assert!(read.contains(&(payload.to_bytes().as_ptr() as usize)));
}
