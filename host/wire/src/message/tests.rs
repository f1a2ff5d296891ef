//! The golden frames, in both directions.
//!
//! Owns: the comparison of `tests/golden` with this crate's messages. Must not know: sessions.
//! Invariant: a message without a golden frame fails the test, and so does a golden frame
//! without a message.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::*;

const FRAMES: &str = include_str!("../../tests/golden/frames.txt");
const REJECTED: &str = include_str!("../../tests/golden/rejected.txt");

/// What each golden frame means.
fn messages() -> BTreeMap<&'static str, Message<'static>> {
    let context = |number| ContextId::new(number).expect("not zero");
    let error: &[u8] = b"\xa3\x6aboxed_type\x64Oops\x68src_type\x64Oops\x67message\x62no";
    let uuid = "6f1c0d9e-4b7a-4c39-9d3e-2f6f4e1f8a10";
    let start = |number, function, kwargs, deadline_us| Message::Start {
        context: context(number),
        function,
        kwargs,
        deadline_us,
        dialog: false,
    };
    let dialog = |number, function, deadline_us| Message::Start {
        context: context(number),
        function,
        kwargs: b"",
        deadline_us,
        dialog: true,
    };
    let credit = |number, messages, bytes, overrun| Message::Credit {
        context: context(number),
        credit: Credit { messages, bytes },
        overrun,
    };
    BTreeMap::from([
        ("hello", Message::Hello { version: 1, max_frame: 131_072 }),
        ("welcome", Message::Welcome { version: 1, max_frame: 131_072 }),
        ("ping", Message::Ping { token: 7 }),
        ("pong", Message::Pong { token: u64::MAX }),
        ("goodbye", Message::Goodbye { reason: "the actor has ended" }),
        ("start", start(1, "math:square", b"\xa1\x61x\x03", None)),
        ("start-without-arguments", start(2, "math:zero", b"", None)),
        ("start-with-deadline", start(23, "math/ops:square", b"\xa1\x61x\x03", Some(1_500_000))),
        ("start-of-a-dialog", dialog(3, "chat:talk", None)),
        ("start-of-a-dialog-with-deadline", dialog(5, "chat:talk", Some(24))),
        ("start-ack", Message::StartAck { context: context(24) }),
        ("started", Message::Started { context: context(1), payload: b"\x09" }),
        ("yield", Message::Yield { context: context(1), payload: b"\x09" }),
        ("yield-of-nothing", Message::Yield { context: context(2), payload: b"" }),
        ("credit", credit(1, 1, 1, Overrun::Wait)),
        ("credit-or-error", credit(2, 0, 0, Overrun::Error)),
        ("credit-or-drop-oldest", credit(3, 64, u64::MAX, Overrun::DropOldest)),
        ("stop", Message::Stop { context: context(1) }),
        ("cancel", Message::Cancel { context: context(255), by: Some(("root", uuid)) }),
        ("cancel-by-nobody", Message::Cancel { context: context(256), by: None }),
        ("return", Message::Return { context: context(65_535), payload: b"\x09" }),
        ("error", Message::Error { context: context(65_536), payload: error }),
        ("more", Message::More { context: context(1 << 32), chunk: b"\x01\x02\x03" }),
        ("lend", Message::Lend { context: context(1), place: 3, size: 1 << 20 }),
        ("more-of-the-last-context", Message::More { context: context(u64::MAX), chunk: b"\0" }),
    ])
}

/// One block of a golden file.
struct Golden(BTreeMap<&'static str, &'static str>);

impl Golden {
    fn read(file: &'static str) -> Vec<Self> {
        let blocks = file.split("\n\n").map(|block| {
            let lines = block.lines().filter(|line| !line.starts_with('#'));
            Self(lines.map(|line| line.split_once(": ").expect("`key: value`")).collect())
        });
        blocks.filter(|block| !block.0.is_empty()).collect()
    }

    fn get(&self, key: &str) -> &'static str {
        self.0.get(key).unwrap_or_else(|| panic!("no `{key}` in {:?}", self.0))
    }

    /// The whole frame.
    fn bytes(&self) -> Vec<u8> {
        let digits = self.get("hex").as_bytes();
        digits
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).expect("ASCII"))
            .map(|pair| u8::from_str_radix(pair, 16).expect("two hexadecimal digits"))
            .collect()
    }

    /// What follows the length, after a check of the length.
    fn content(&self) -> Vec<u8> {
        let mut frame = BytesMut::from(&self.bytes()[..]);
        let content = frame::take(&mut frame, usize::MAX).expect("no limit").expect("is whole");
        assert!(frame.is_empty(), "{}", self.get("name"));
        content.to_vec()
    }
}

#[test]
fn writes_and_reads_every_golden_frame() {
    let mut messages = messages();
    let known = messages.clone();
    for golden in Golden::read(FRAMES) {
        let name = golden.get("name");
        let message = match golden.0.get("reads-as") {
            Some(other) => known[other],
            None => {
                let message = messages.remove(name).unwrap_or_else(|| panic!("no message for {name}"));
                let mut out = BytesMut::new();
                message.encode(&mut out);
                assert_eq!(out, golden.bytes(), "{name}");
                message
            }
        };
        assert_eq!(Message::decode(&golden.content()), Ok(message), "{name}");
        assert_eq!(diagnostic(&golden.content()), golden.get("diag"), "{name}");
    }
    assert_eq!(messages, BTreeMap::new(), "messages without a golden frame");
}

#[test]
fn rejects_every_golden_violation() {
    let rejected = Golden::read(REJECTED);
    assert_eq!(rejected.len(), 36);
    for golden in rejected {
        let content = golden.content();
        let error = Message::decode(&content).expect_err(golden.get("name"));
        assert_eq!(error.to_string(), golden.get("error"), "{}", golden.get("name"));
    }
}

#[test]
fn a_frame_cut_anywhere_is_rejected() {
    for golden in Golden::read(FRAMES) {
        let content = golden.content();
        for cut in 0..content.len() {
            assert!(Message::decode(&content[..cut]).is_err(), "{} cut to {cut}", golden.get("name"));
        }
    }
}

#[test]
fn every_message_has_a_number_of_its_own() {
    let numbers: Vec<_> = messages().values().map(Message::number).collect();
    let kinds: std::collections::BTreeSet<_> = numbers.iter().collect();
    assert_eq!(
        kinds.into_iter().copied().collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    );
}

/// Prints one item in diagnostic notation, reading it without this crate's reader.
fn diagnostic(bytes: &[u8]) -> String {
    let mut text = String::new();
    let rest = print_item(bytes, &mut text);
    assert!(rest.is_empty(), "bytes after {text}");
    text
}

fn print_item<'a>(bytes: &'a [u8], text: &mut String) -> &'a [u8] {
    let width = match bytes[0] & 0x1f {
        info @ 24..=27 => 1 << (info - 24),
        _ => 0,
    };
    let (argument, mut rest) = bytes[1..].split_at(width);
    let value = match width {
        0 => u64::from(bytes[0] & 0x1f),
        _ => argument.iter().fold(0, |sum, byte| sum * 256 + u64::from(*byte)),
    };
    let length = value as usize;
    match bytes[0] >> 5 {
        0 => write!(text, "{value}").expect("a String takes it"),
        1 => write!(text, "-{}", value + 1).expect("a String takes it"),
        2 => {
            let hex: String = rest[..length].iter().map(|byte| format!("{byte:02x}")).collect();
            write!(text, "h'{hex}'").expect("a String takes it");
            rest = &rest[length..];
        }
        3 => {
            write!(text, "\"{}\"", std::str::from_utf8(&rest[..length]).expect("UTF-8"))
                .expect("a String takes it");
            rest = &rest[length..];
        }
        4 => {
            text.push('[');
            for index in 0..length {
                text.push_str(if index > 0 { ", " } else { "" });
                rest = print_item(rest, text);
            }
            text.push(']');
        }
        5 => {
            text.push('{');
            for index in 0..length {
                text.push_str(if index > 0 { ", " } else { "" });
                rest = print_item(rest, text);
                text.push_str(": ");
                rest = print_item(rest, text);
            }
            text.push('}');
        }
        6 => {
            write!(text, "{value}(").expect("a String takes it");
            rest = print_item(rest, text);
            text.push(')');
        }
        _ => {
            assert_eq!(bytes[0], 0xf6, "the only simple value in use");
            text.push_str("null");
        }
    }
    rest
}
