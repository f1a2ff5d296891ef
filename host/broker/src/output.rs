//! What actors write to their standard streams.
//!
//! Owns: cutting it into lines, and the last lines of standard error for obituaries. Must not
//! know: terminals. Invariant: a line is at most [`MAX_LINE_BYTES`] long; a reader that is slow, and
//! the bound on lines in a second, hold up only the actor that writes, and nothing is lost.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use greenroom_sabotage::Protection;
use greenroom_wire::Bucket;
use greenroom_wire::control::Limits;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

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

/// Reports what comes through a pipe, line by line, until its end.
///
/// # Errors
/// When the pipe cannot be registered with the reactor.
pub(crate) fn read(
    pipe: OwnedFd,
    stream: Stream,
    tail: Option<Tail>,
    reporter: Reporter,
    limits: &Limits,
) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut pipe = pipe::Receiver::from_owned_fd(pipe)?;
    let mut pace = Bucket::new(limits.output_rate, limits.output_rate);
    Ok(async move {
        let mut pending = Vec::new();
        let mut buffer = vec![0; MAX_LINE_BYTES];
        loop {
            let count = pipe.read(&mut buffer).await.unwrap_or(0);
            pending.extend_from_slice(&buffer[..count]);
            while let Some((line, rest)) = cut(&pending, count == 0) {
                let text = harmless(&String::from_utf8_lossy(line)).into_owned();
                pending.drain(..rest);
                if let Some(tail) = &tail {
                    tail.push(&text);
                }
                let report = Report::Output { actor: reporter.actor.name.clone(), stream, line: text };
                while let Err(wait) = pace.take(Instant::now())
                    && !Protection::OutputRate.is_off()
                {
                    tokio::time::sleep(wait).await;
                }
                if !reporter.send(report).await {
                    return;
                }
            }
            if count == 0 {
                return;
            }
        }
    })
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
