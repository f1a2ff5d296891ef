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
    Event::Message { context, payload: payload.clone() }
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
