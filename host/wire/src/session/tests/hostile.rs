//! What a peer may not do.
//!
//! Owns: a table with every violation that depends on what came before, and what it does to the
//! session. Must not know: honest conversations. Invariant: whatever arrives, the session ends
//! every context once or goes on; it never panics.

use greenroom_abi::kind;

use super::lending::Board;
use super::*;
use crate::cbor::HeaderError;
use crate::config::{MAX_HANDSHAKE_FRAME, MAX_PENDING_PONGS, MIN_MAX_FRAME};
use crate::flow::{Credit, Overrun};
use crate::violation::ApiMisuse;

const HELLO: Message<'static> = Message::Hello { version: 1, max_frame: 131_072 };
const WELCOME: Message<'static> = Message::Welcome { version: 1, max_frame: 131_072 };

/// Limits that a test can reach.
fn tight() -> Config {
    Config { max_contexts: 3, max_payload: 100, max_buffered: 150, ..Config::default() }
}

fn start(number: u64) -> Message<'static> {
    Message::Start { context: id(number), function: "a:b", kwargs: b"", deadline_us: None, dialog: false }
}

fn more(number: u64, chunk: &[u8]) -> Message<'_> {
    Message::More { context: id(number), chunk }
}

fn give_back(number: u64) -> Message<'static> {
    Message::Return { context: id(number), payload: b"" }
}

fn ack(number: u64) -> Message<'static> {
    Message::StartAck { context: id(number) }
}

fn cancel(number: u64) -> Message<'static> {
    Message::Cancel { context: id(number), by: None }
}

fn open(number: u64) -> Message<'static> {
    Message::Start { context: id(number), function: "a:b", kwargs: b"", deadline_us: None, dialog: true }
}

fn first(number: u64) -> Message<'static> {
    Message::Started { context: id(number), payload: b"" }
}

fn say(number: u64) -> Message<'static> {
    Message::Yield { context: id(number), payload: b"123" }
}

fn lend(number: u64) -> Message<'static> {
    Message::Lend { context: id(number), place: 0, size: 2 }
}

fn grant(number: u64) -> Message<'static> {
    let credit = Credit { messages: 1, bytes: 1 };
    Message::Credit { context: id(number), credit, overrun: Overrun::Wait }
}

fn stop(number: u64) -> Message<'static> {
    Message::Stop { context: id(number) }
}

fn fail(number: u64) -> Message<'static> {
    Message::Error { context: id(number), payload: OOPS }
}

/// An encoded remote error.
const OOPS: &[u8] = b"\xa3\x6aboxed_type\x64Oops\x68src_type\x64Oops\x67message\x62no";

/// Lets the peer send two messages in context 1, the second of them if the first has at most four
/// bytes.
fn grant_two(session: &mut Session) {
    session.grant(id(1), Credit { messages: 2, bytes: 5 }, Overrun::Wait);
    session.poll_transmit(&mut BytesMut::new(), usize::MAX);
}

/// A session to which each message is given alone; stops at the first violation.
fn feed(session: &mut Session, messages: &[Message<'_>]) -> Result<(), Violation> {
    for message in messages {
        let mut buffer = BytesMut::new();
        message.encode(&mut buffer);
        session.handle_input(&mut buffer, Instant::now())?;
    }
    Ok(())
}

/// An acceptor for what its peer says.
fn acceptor() -> Session {
    Session::new(Role::Acceptor, tight(), Instant::now())
}

/// An initiator that has sent a start of context 1, sent half of that of 3, and only queued 5.
fn initiator() -> Session {
    let now = Instant::now();
    let config = Config { max_payload: 2 * CHUNK, max_buffered: 2 * CHUNK, ..Config::default() };
    let mut session = Session::new(Role::Initiator, config, now);
    for size in [0, CHUNK + 1, 0] {
        session.start("a:b", Bytes::from(vec![0; size]), CALL, now).expect("not refused");
    }
    let mut out = BytesMut::new();
    session.poll_transmit(&mut out, 100);
    session
}

/// Gives the messages, of which only the last may be a violation, and checks all that follows.
fn violate(mut session: Session, messages: &[Message<'_>], expected: PeerMisbehaved) {
    let name = expected.to_string();
    let (last, before) = messages.split_last().expect("at least one");
    feed(&mut session, before).unwrap_or_else(|early| panic!("{early} before {name}"));
    assert_eq!(feed(&mut session, &[*last]), Err(Violation::PeerMisbehaved(expected.clone())));
    assert_closed(session, &expected);
}

/// Checks that a session has told its driver and its peer about a violation, and forgot the rest.
fn assert_closed(mut session: Session, expected: &PeerMisbehaved) {
    let name = expected.to_string();
    assert!(session.is_closed(), "{name}");
    assert_eq!((session.open_contexts(), session.poll_timeout()), (0, None), "{name}");
    let events: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
    let violation = Violation::PeerMisbehaved(expected.clone());
    let closed = Event::Closed { reason: CloseReason::Violation(violation.clone()) };
    assert_eq!(events.last(), Some(&closed));
    for event in &events {
        if let Event::Ended { outcome: Err(error), .. } = event {
            assert_eq!(error.kind(), Some(kind::PeerMisbehaved { violation: name.clone() }));
        }
    }
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
    let starts = count(|event| matches!(event, Event::Start { .. }));
    let cancels = count(|event| matches!(event, Event::Cancel { .. }));
    assert_eq!(starts, cancels, "{name}");

    let mut out = BytesMut::new();
    session.poll_transmit(&mut out, usize::MAX);
    let reason = violation.to_string();
    assert_eq!(Message::decode(&out[4..]), Ok(Message::Goodbye { reason: &reason }));
    let again = session.handle_input(&mut out, Instant::now());
    assert_eq!(again, Err(Violation::ApiMisuse(ApiMisuse::InputAfterViolation)));
    assert!(session.poll_event().is_none());
}

#[test]
fn in_the_handshake() {
    use PeerMisbehaved::*;
    let cases: &[(&[Message<'_>], PeerMisbehaved)] = &[
        (&[start(1)], BeforeHandshake(8)),
        (&[Message::Ping { token: 1 }], BeforeHandshake(2)),
        (&[WELCOME], UnexpectedHandshake(1)),
        (&[HELLO, HELLO], UnexpectedHandshake(0)),
        (&[Message::Hello { version: 0, max_frame: 131_072 }], UnsupportedVersion(0)),
        (&[Message::Hello { version: 1, max_frame: 73_727 }], MaxFrameTooSmall(73_727)),
    ];
    for (messages, expected) in cases {
        violate(acceptor(), messages, expected.clone());
    }
    let cases: &[(&[Message<'_>], PeerMisbehaved)] = &[
        (&[HELLO], UnexpectedHandshake(0)),
        (&[give_back(1)], BeforeHandshake(15)),
        (&[WELCOME, WELCOME], UnexpectedHandshake(1)),
        (&[Message::Welcome { version: 2, max_frame: 131_072 }], UnsupportedVersion(2)),
    ];
    for (messages, expected) in cases {
        violate(initiator(), messages, expected.clone());
    }
    feed(&mut acceptor(), &[Message::Hello { version: 7, max_frame: 131_072 }])
        .expect("a later version speaks this one too");
}

#[test]
fn as_a_caller() {
    use PeerMisbehaved::*;
    let full = [9; 100];
    let large = PayloadTooLarge { context: id(1), limit: 100 };
    let over = Message::Start {
        context: id(1),
        function: "a:b",
        kwargs: &[9; 101],
        deadline_us: None,
        dialog: false,
    };
    let cases: &[(&[Message<'_>], PeerMisbehaved)] = &[
        (&[HELLO, start(2)], NotYours(id(2))),
        (&[HELLO, start(1), start(1)], NotNew(id(1))),
        (&[HELLO, start(3), start(1)], NotNew(id(1))),
        (&[HELLO, start(1), more(1, b"x")], NotNew(id(1))),
        (&[HELLO, more(1, b"x"), cancel(1), start(1)], NotNew(id(1))),
        (&[HELLO, start(1), start(3), more(5, b"x"), start(7)], TooManyContexts(3)),
        (&[HELLO, start(1), start(3), more(5, b"x"), more(7, b"x")], TooManyContexts(3)),
        (&[HELLO, cancel(1)], NeverStarted(id(1))),
        (&[HELLO, start(1), cancel(3)], NeverStarted(id(3))),
        (&[HELLO, cancel(2)], NotYours(id(2))),
        (&[HELLO, more(1, b"")], EmptyChunk(id(1))),
        (&[HELLO, over], large.clone()),
        (&[HELLO, more(1, &full), more(1, b"x")], large.clone()),
        (
            &[
                HELLO,
                more(1, &full),
                Message::Start {
                    context: id(1),
                    function: "a:b",
                    kwargs: b"x",
                    deadline_us: None,
                    dialog: false,
                },
            ],
            large,
        ),
        (&[HELLO, more(1, &full), more(3, &full)], TooMuchBuffered(150)),
    ];
    for (messages, expected) in cases {
        violate(acceptor(), messages, expected.clone());
    }
}

#[test]
fn as_a_callee() {
    use PeerMisbehaved::*;
    let unreadable = Message::Error { context: id(1), payload: b"\x01\x02" };
    let reason = "bytes follow the item at offset 1".to_owned();
    let half = vec![9; CHUNK];
    let cases: &[(&[Message<'_>], PeerMisbehaved)] = &[
        (&[WELCOME, give_back(7)], NotOpen(id(7))),
        (&[WELCOME, give_back(2)], NotOpen(id(2))),
        (&[WELCOME, give_back(1), give_back(1)], NotOpen(id(1))),
        (&[WELCOME, give_back(1), ack(1)], NotOpen(id(1))),
        (&[WELCOME, give_back(1), more(1, b"x")], NotOpen(id(1))),
        (&[WELCOME, ack(1), ack(1)], AckedTwice(id(1))),
        (&[WELCOME, more(1, b"x"), ack(1)], AckedTwice(id(1))),
        (&[WELCOME, ack(3)], StillStarting(id(3))),
        (&[WELCOME, give_back(3)], StillStarting(id(3))),
        (&[WELCOME, more(3, b"x")], StillStarting(id(3))),
        (&[WELCOME, ack(5)], NotOpen(id(5))),
        (&[WELCOME, give_back(5)], NotOpen(id(5))),
        (&[WELCOME, more(5, b"x")], NotOpen(id(5))),
        (&[WELCOME, start(1)], NotYours(id(1))),
        (&[WELCOME, cancel(1)], NotYours(id(1))),
        (&[WELCOME, more(1, b"")], EmptyChunk(id(1))),
        (
            &[WELCOME, more(1, &half), more(1, &half), more(1, b"x")],
            PayloadTooLarge { context: id(1), limit: 2 * CHUNK },
        ),
        (&[WELCOME, unreadable], UnreadableError { context: id(1), reason }),
    ];
    for (messages, expected) in cases {
        violate(initiator(), messages, expected.clone());
    }
}

/// An acceptor with a dialog 1 and a plain call 3.
fn called() -> Session {
    let mut session = acceptor();
    feed(&mut session, &[HELLO, open(1), start(3)]).expect("honest");
    session
}

#[test]
fn as_the_caller_of_a_dialog() {
    use PeerMisbehaved::*;
    let cases: &[(&[Message<'_>], PeerMisbehaved)] = &[
        (&[say(3)], NotDialog(id(3))),
        (&[grant(3)], NotDialog(id(3))),
        (&[stop(3)], NotDialog(id(3))),
        (&[lend(1)], NotLent(id(1))),
        (&[more(3, b"x")], NotNew(id(3))),
        (&[first(1)], NotOpen(id(1))),
        (&[first(3)], NotOpen(id(3))),
        (&[say(5)], NeverStarted(id(5))),
        (&[grant(5)], NeverStarted(id(5))),
        (&[stop(5)], NeverStarted(id(5))),
        (&[say(2)], NotOpen(id(2))),
        (&[grant(2)], NotOpen(id(2))),
        (&[stop(2)], NotOpen(id(2))),
        (&[more(5, b"x"), say(5)], StillStarting(id(5))),
        (&[more(5, b"x"), grant(5)], StillStarting(id(5))),
        (&[more(5, b"x"), stop(5)], StillStarting(id(5))),
        (&[open(1)], NotNew(id(1))),
        (&[say(1)], NoCredit(id(1))),
        (&[more(1, b"x")], NoCredit(id(1))),
        (&[more(1, b"")], EmptyChunk(id(1))),
        (&[stop(1), say(1)], AfterStop(id(1))),
        (&[stop(1), more(1, b"x")], AfterStop(id(1))),
        (&[stop(1), stop(1)], AfterStop(id(1))),
        (&[cancel(1), say(1)], AfterStop(id(1))),
        (&[cancel(1), more(1, b"x")], AfterStop(id(1))),
        (&[cancel(1), stop(1)], AfterStop(id(1))),
        (&[stop(1), cancel(1), cancel(1), grant(1), grant(1), first(1)], NotOpen(id(1))),
    ];
    for (messages, expected) in cases {
        violate(called(), messages, expected.clone());
    }
    let cases: &[(&[Message<'_>], PeerMisbehaved)] = &[
        (&[say(1), say(1), say(1)], NoCredit(id(1))),
        (&[say(1), say(1), more(1, b"x")], NoCredit(id(1))),
        (&[more(1, b"xy"), say(1), say(1)], NoCredit(id(1))),
        (&[more(1, b"x"), more(1, b"y"), stop(1), say(1)], AfterStop(id(1))),
        (&[more(1, &[9; 100]), say(1)], PayloadTooLarge { context: id(1), limit: 100 }),
    ];
    for (messages, expected) in cases {
        let mut session = called();
        grant_two(&mut session);
        violate(session, messages, expected.clone());
    }
}

#[test]
fn as_a_lender() {
    use PeerMisbehaved::*;
    let large = Message::Lend { context: id(1), place: 0, size: 100 };
    let cases: &[(&[Message<'_>], PeerMisbehaved)] = &[
        (&[Message::Lend { context: id(1), place: 0, size: 101 }], NotLent(id(1))),
        (&[Message::Lend { context: id(1), place: 1, size: 100 }], NotLent(id(1))),
        (&[Message::Lend { context: id(1), place: u64::MAX, size: u64::MAX }], NotLent(id(1))),
        (&[Message::Lend { context: id(3), place: 0, size: 1 }], NotDialog(id(3))),
        (&[lend(5)], NeverStarted(id(5))),
        (&[lend(1), lend(1), lend(1)], NoCredit(id(1))),
        (&[say(1), large], PayloadTooLarge { context: id(1), limit: 100 }),
        (&[more(1, b"x"), lend(1)], NotLent(id(1))),
        (&[stop(1), lend(1)], AfterStop(id(1))),
    ];
    for (messages, expected) in cases {
        let mut session = called();
        let board = Board::new(100);
        session.lender = Some(Box::new(board.clone()));
        grant_two(&mut session);
        violate(session, messages, expected.clone());
        assert_eq!(board.held(), 0, "what it lent it has again: {expected}");
    }
}

#[test]
fn credit_counts_from_when_it_was_sent() {
    let mut session = called();
    session.grant(id(1), Credit { messages: 1, bytes: 1 }, Overrun::Wait);
    violate(session, &[say(1)], PeerMisbehaved::NoCredit(id(1)));
}

/// An initiator that has sent the starts of a dialog 1 and a plain call 3, and given up the dialogs
/// 5, 7 and the call 9.
fn caller() -> Session {
    let now = Instant::now();
    let mut session = Session::new(Role::Initiator, Config::default(), now);
    for (dialog, ms) in [(true, None), (false, None), (true, Some(5)), (true, Some(5)), (false, Some(5))] {
        let options = StartOptions { deadline: ms.map(Duration::from_millis), dialog };
        session.start("a:b", Bytes::new(), options, now).expect("not refused");
    }
    session.poll_transmit(&mut BytesMut::new(), usize::MAX);
    feed(&mut session, &[WELCOME]).expect("honest");
    session.handle_timeout(now + Duration::from_millis(5));
    while let Some(Event::Opened | Event::Ended { .. }) = session.poll_event() {}
    session.poll_transmit(&mut BytesMut::new(), usize::MAX);
    session
}

#[test]
fn as_the_callee_of_a_dialog() {
    use PeerMisbehaved::*;
    let cases: &[(&[Message<'_>], PeerMisbehaved)] = &[
        (&[first(3)], NotDialog(id(3))),
        (&[say(3)], NotDialog(id(3))),
        (&[grant(3)], NotDialog(id(3))),
        (&[stop(3)], NotDialog(id(3))),
        (&[first(11)], NotOpen(id(11))),
        (&[say(11)], NotOpen(id(11))),
        (&[grant(11)], NotOpen(id(11))),
        (&[stop(11)], NotOpen(id(11))),
        (&[give_back(1), say(1)], NotOpen(id(1))),
        (&[give_back(1), grant(1)], NotOpen(id(1))),
        (&[first(1), ack(1)], AckedTwice(id(1))),
        (&[stop(1), ack(1)], AckedTwice(id(1))),
        (&[grant(1), ack(1), first(1), ack(1)], AckedTwice(id(1))),
        (&[first(1), first(1)], StartedTwice(id(1))),
        (&[say(1)], BeforeStarted(id(1))),
        (&[first(1), say(1)], NoCredit(id(1))),
        (&[first(1), more(1, b"x"), say(1)], NoCredit(id(1))),
        (&[stop(1), first(1)], AfterStop(id(1))),
        (&[stop(1), say(1)], AfterStop(id(1))),
        (&[first(1), stop(1), say(1)], AfterStop(id(1))),
        (&[first(1), stop(1), stop(1)], AfterStop(id(1))),
        (&[first(1), stop(1), more(1, b"x"), say(1)], AfterStop(id(1))),
        (&[more(5, b"")], EmptyChunk(id(5))),
    ];
    for (messages, expected) in cases {
        violate(caller(), messages, expected.clone());
    }
    let cases: &[(&[Message<'_>], PeerMisbehaved)] = &[
        (&[more(1, b"x"), say(1)], BeforeStarted(id(1))),
        (&[first(1), say(1), say(1), say(1)], NoCredit(id(1))),
        (&[first(1), say(1), say(1), more(1, b"x"), say(1)], NoCredit(id(1))),
    ];
    for (messages, expected) in cases {
        let mut session = caller();
        grant_two(&mut session);
        violate(session, messages, expected.clone());
    }
    let mut session = initiator();
    feed(&mut session, &[WELCOME]).expect("honest");
    violate(session, &[say(3)], StillStarting(id(3)));
}

/// What a session lets pass, and how many events it tells of it.
#[test]
fn what_no_honest_side_would_mind() {
    let as_caller: &[(&[Message<'_>], usize)] = &[
        (&[more(1, b"x"), cancel(1)], 1),
        (&[more(1, b"x"), say(1), say(1), stop(1), grant(1), cancel(1), grant(1)], 6),
        // Number 5 was left out, which nobody can tell from one that has ended.
        (&[start(7), more(5, b"x"), say(5), grant(5), stop(5)], 1),
    ];
    for (messages, count) in as_caller {
        let mut session = called();
        while session.poll_event().is_some() {}
        grant_two(&mut session);
        feed(&mut session, messages).expect("allowed");
        assert_eq!(std::iter::from_fn(|| session.poll_event()).count(), *count, "{messages:?}");
    }
    let large = Message::Error { context: id(1), payload: &OOPS[1..] };
    let as_callee: &[(&[Message<'_>], usize)] = &[
        (&[grant(1), ack(1), more(1, b"x"), first(1), more(1, b"x"), say(1), say(1), give_back(1)], 6),
        (&[stop(1), more(1, b"x"), give_back(1)], 2),
        (&[more(1, b"x"), stop(1), fail(1)], 1),
        (&[first(1), more(1, b"x"), stop(1), more(1, &OOPS[..1]), large], 2),
        // Parts without credit may be those of an end.
        (&[first(1), say(1), say(1), more(1, b"x"), give_back(1)], 4),
        // Nobody waits for these.
        (&[first(5), say(5), first(5), stop(5), say(5), grant(5), more(5, b"x"), ack(5), give_back(5)], 0),
        (&[more(7, b"x"), fail(7), more(9, b"x"), ack(9), give_back(9)], 0),
    ];
    for (messages, count) in as_callee {
        let mut session = caller();
        grant_two(&mut session);
        feed(&mut session, messages).expect("allowed");
        assert_eq!(std::iter::from_fn(|| session.poll_event()).count(), *count, "{messages:?}");
        assert_eq!(session.allowance.buffered(), 0);
    }
}

#[test]
fn what_crossed_the_end_of_its_context_is_dropped() {
    for is_sent in [false, true] {
        let mut session = called();
        while session.poll_event().is_some() {}
        feed(&mut session, &[more(5, b"x"), cancel(5)]).expect("honest");
        for context in [id(1), id(3)] {
            session.finish(context, Ok(Bytes::new()));
        }
        if is_sent {
            session.poll_transmit(&mut BytesMut::new(), usize::MAX);
        }
        for number in [1, 3, 5] {
            let messages = [more(number, b"x"), say(number), grant(number), stop(number), stop(number)];
            feed(&mut session, &messages).expect("it cannot know yet");
        }
        assert_eq!((session.poll_event(), session.allowance.buffered()), (None, 0));
        violate(session, &[open(1)], PeerMisbehaved::NotNew(id(1)));
    }
}

#[test]
fn a_peer_that_reads_nothing_does_not_grow_the_queue_of_credits() {
    let mut session = called();
    session.poll_transmit(&mut BytesMut::new(), usize::MAX);
    for _ in 0..10_000 {
        session.grant(id(1), Credit { messages: 1, bytes: 2 }, Overrun::Wait);
    }
    let mut out = BytesMut::new();
    session.poll_transmit(&mut out, usize::MAX);
    let credit = Credit { messages: 10_000, bytes: 20_000 };
    let expected = Message::Credit { context: id(1), credit, overrun: Overrun::Wait };
    assert_eq!(Message::decode(&out[4..]), Ok(expected));
}

#[test]
fn after_goodbye() {
    let mut session = initiator();
    feed(&mut session, &[WELCOME, Message::Goodbye { reason: "" }]).expect("honest");
    assert!(!session.is_closed(), "the driver is to say how its contexts end");
    let violation = feed(&mut session, &[give_back(1)]).expect_err("a violation");
    assert_eq!(violation, PeerMisbehaved::AfterGoodbye.into());
    assert!(session.is_closed());
    assert!(!session.has_output(), "nobody is there to be told");
    let events: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
    assert_eq!(events.len(), 5, "{events:?}");
}

#[test]
fn in_a_frame() {
    let too_large = |length, limit| PeerMisbehaved::FrameTooLarge { length, limit };
    for (before, limit) in [(vec![], MAX_HANDSHAKE_FRAME), (vec![HELLO], MIN_MAX_FRAME)] {
        let mut session = acceptor();
        feed(&mut session, &before).expect("honest so far");
        let mut prefix = BytesMut::from(&(limit as u32).to_be_bytes()[..]);
        assert_eq!(session.handle_input(&mut prefix, Instant::now()), Ok(()), "waits for the rest");
        let mut prefix = BytesMut::from(&(limit as u32 + 1).to_be_bytes()[..]);
        let expected = too_large(limit + 1, limit);
        assert_eq!(session.handle_input(&mut prefix, Instant::now()), Err(expected.clone().into()));
        assert!(prefix.is_empty());
        assert_closed(session, &expected);
    }
    let mut session = acceptor();
    feed(&mut session, &[HELLO, start(1)]).expect("honest so far");
    let expected = PeerMisbehaved::Header(HeaderError::Truncated);
    let mut empty = BytesMut::from(&[0; 4][..]);
    assert_eq!(session.handle_input(&mut empty, Instant::now()), Err(expected.clone().into()));
    assert_closed(session, &expected);
}

#[test]
fn what_came_before_a_violation_counts() {
    let mut session = acceptor();
    let mut buffer = BytesMut::new();
    for message in [HELLO, start(1), start(3), start(3), start(5)] {
        message.encode(&mut buffer);
    }
    let violation = session.handle_input(&mut buffer, Instant::now()).expect_err("a violation");
    assert_eq!(violation, PeerMisbehaved::NotNew(id(3)).into());
    let events: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
    let cancelled = |number| Event::Cancel { context: id(number), by: None };
    let expected = [
        Event::Opened,
        started(id(1), "a:b", b""),
        started(id(3), "a:b", b""),
        cancelled(1),
        cancelled(3),
        Event::Closed { reason: CloseReason::Violation(violation) },
    ];
    assert_eq!(events, expected);
}

#[test]
fn a_flood_of_pings_does_not_grow_the_queue() {
    let mut session = acceptor();
    feed(&mut session, &[HELLO]).expect("honest");
    session.poll_transmit(&mut BytesMut::new(), usize::MAX);
    for token in 0..10_000 {
        feed(&mut session, &[Message::Ping { token }]).expect("allowed");
    }
    let mut out = BytesMut::new();
    session.poll_transmit(&mut out, usize::MAX);
    let mut answered = Vec::new();
    while let Some(frame) = frame::take(&mut out, MIN_MAX_FRAME).expect("an honest frame") {
        match Message::decode(&frame).expect("an honest message") {
            Message::Pong { token } => answered.push(token),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(answered, Vec::from_iter(10_000 - MAX_PENDING_PONGS as u64..10_000));
    feed(&mut session, &[Message::Pong { token: 1 }]).expect("allowed");
    assert_eq!(session.poll_event(), Some(Event::Opened));
    assert_eq!(session.poll_event(), None, "nobody asked for that pong");
}

#[test]
fn a_caller_that_reads_nothing_is_stopped_by_the_context_limit() {
    let mut session = acceptor();
    feed(&mut session, &[HELLO]).expect("honest");
    for number in [1, 3, 5] {
        feed(&mut session, &[start(number)]).expect("allowed");
        session.finish(id(number), Ok(Bytes::new()));
    }
    assert_eq!(session.open_contexts(), 3, "the ends have not been sent");
    let violation = feed(&mut session, &[start(7)]).expect_err("a violation");
    assert_eq!(violation, PeerMisbehaved::TooManyContexts(3).into());
}

#[test]
fn texts_of_this_side_are_shortened_to_what_a_peer_accepts() {
    let mut pair = Pair::open();
    let context = pair.call("a:b", b"");
    pair.right.take_events();
    let by = ActorId { name: "é".repeat(MAX_TEXT), uuid: "x".repeat(MAX_TEXT + 1) };
    pair.left.session.cancel(context, &by);
    pair.settle();
    let events = pair.right.take_events();
    let [Event::Cancel { by: Some(by), .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((by.name.len(), by.uuid.len()), (MAX_TEXT, MAX_TEXT));
}
