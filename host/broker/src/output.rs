//! What actors write to their standard streams.
//!
//! Owns: cutting it into lines, and the last lines of standard error for obituaries. Must not
//! know: terminals. Invariant: a line is at most [`MAX_LINE_BYTES`] long; a reader that is slow, and
//! the bound on lines in a second, hold up only the actor that writes, and nothing is lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use greenroom_sabotage::Protection;
use greenroom_wire::Bucket;
use greenroom_wire::control::{Limits, OUTPUT_PIECES};
use tokio::sync::mpsc;

use crate::harmless::harmless;
use crate::report::{Report, Stream};
use crate::station::Reporter;

/// Where a line without an end is cut.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// How many lines of standard error an obituary holds.
const TAIL_LINES: usize = 16;

/// How much of each line an obituary holds.
const TAIL_LINE_CHARS: usize = 256;

/// The last lines of an actor's standard error.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(TAIL_LINE_CHARS).collect());
    }

    /// The lines, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// A piece of output, wherever it was cut.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) stream: Stream,
    pub(crate) bytes: Vec<u8>,
    /// Whether the actor waits to be told that it has been shown.
    pub(crate) is_awaited: bool,
}

/// Where an actor's output is put. Whoever puts more than is being shown waits.
pub(crate) type Pieces = mpsc::Sender<Piece>;

/// Reports an actor's output, line by line, until its end; `shown` is called for each piece that is
/// awaited.
pub(crate) fn report(
    tail: Tail,
    reporter: Reporter,
    limits: &Limits,
    shown: impl Fn() + Send + 'static,
) -> (Pieces, impl Future<Output = ()> + Send + 'static) {
    let (sender, mut pieces) = mpsc::channel::<Piece>(OUTPUT_PIECES);
    let mut pace = Bucket::new(limits.output_rate, limits.output_rate);
    let reporting = async move {
        let mut unfinished = [(Stream::Stdout, Vec::new()), (Stream::Stderr, Vec::new())];
        loop {
            let piece = pieces.recv().await;
            for (stream, pending) in &mut unfinished {
                if let Some(piece) = piece.as_ref().filter(|piece| piece.stream == *stream) {
                    pending.extend_from_slice(&piece.bytes);
                }
                let mut done = 0;
                while let Some((line, rest)) = cut(&pending[done..], piece.is_none()) {
                    let text = harmless(&String::from_utf8_lossy(line)).into_owned();
                    done += rest;
                    if *stream == Stream::Stderr {
                        tail.push(&text);
                    }
                    let actor = reporter.actor.name.clone();
                    let report = Report::Output { actor, stream: *stream, line: text };
                    while let Err(wait) = pace.take(Instant::now())
                        && !Protection::OutputRate.is_off()
                    {
                        tokio::time::sleep(wait).await;
                    }
                    if !reporter.send(report).await {
                        return;
                    }
                }
                pending.drain(..done);
                if pending.is_empty() {
                    // Most actors write little, and seldom.
                    *pending = Vec::new();
                }
            }
            match piece {
                Some(piece) if piece.is_awaited => shown(),
                Some(_) => {}
                None => return,
            }
        }
    };
    (sender, reporting)
}

/// The first line in `bytes`, and where the next begins.
fn cut(bytes: &[u8], at_end: bool) -> Option<(&[u8], usize)> {
    match bytes.iter().take(MAX_LINE_BYTES).position(|byte| *byte == b'\n') {
        Some(end) => Some((bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), end + 1)),
        None if bytes.len() >= MAX_LINE_BYTES => Some((&bytes[..MAX_LINE_BYTES], MAX_LINE_BYTES)),
        None if at_end && !bytes.is_empty() => Some((bytes, bytes.len())),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_lines_and_never_grows_without_end() {
        assert_eq!(cut(b"one\r\ntwo", false), Some((&b"one"[..], 5)));
        assert_eq!(cut(b"two", false), None);
        assert_eq!(cut(b"two", true), Some((&b"two"[..], 3)));
        assert_eq!(cut(b"", true), None);
        let long = vec![b'x'; MAX_LINE_BYTES + 1];
        assert_eq!(cut(&long, false), Some((&long[..MAX_LINE_BYTES], MAX_LINE_BYTES)));
    }
}
