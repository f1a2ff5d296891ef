//! The last lines that the actors of a tree wrote and logged.
//!
//! Owns: which lines are kept, telling followers of new ones, the way of a report to the program.
//! Must not know: who follows. Invariant: neither keeping a line nor a slow follower ever holds up
//! an actor; only the program that takes the reports does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use greenroom_abi::ActorId;
use tokio::sync::{broadcast, mpsc};

use super::{BookedLine, LineSource};
use crate::report::{Report, Stream};

/// How many lines are kept.
const LINES: usize = 1000;

/// How many bytes of text are kept.
const BYTES: usize = 256 * 1024;

/// How many lines a follower may be behind.
const BEHIND: usize = 1024;

/// What the actors of a tree have said.
#[derive(Clone, Debug)]
pub(crate) struct Logbook(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    news: broadcast::Sender<Arc<BookedLine>>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Arc<BookedLine>>,
    bytes: usize,
}

impl Default for Logbook {
    fn default() -> Self {
        let (news, _) = broadcast::channel(BEHIND);
        Self(Arc::new(Shared { kept: Mutex::default(), news }))
    }
}

impl Logbook {
    fn book(&self, line: BookedLine) {
        let line = Arc::new(line);
        let mut kept = self.kept();
        kept.bytes += line.text.len();
        kept.lines.push_back(line.clone());
        while kept.lines.len() > LINES || kept.bytes > BYTES {
            let Some(oldest) = kept.lines.pop_front() else { break };
            kept.bytes -= oldest.text.len();
        }
        // Under the lock, so that a follower gets each line once. Without followers it is lost.
        let _ = self.0.news.send(line);
    }

    /// What is kept, oldest first, and what comes after it.
    pub(super) fn open(&self) -> (Vec<Arc<BookedLine>>, broadcast::Receiver<Arc<BookedLine>>) {
        let kept = self.kept();
        (kept.lines.iter().cloned().collect(), self.0.news.subscribe())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An actor's way to report.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    pub(crate) actor: ActorId,
    pub(crate) path: Vec<String>,
    pub(crate) book: Logbook,
    pub(crate) reports: mpsc::Sender<Report>,
}

impl Reporter {
    /// Keeps what a report says, and hands it to the program, waiting until that takes it. Says
    /// whether anybody ever will.
    pub(crate) async fn send(&self, report: Report) -> bool {
        let line = match &report {
            Report::Output { stream: Stream::Stdout, line, .. } => Some((LineSource::Stdout, line)),
            Report::Output { stream: Stream::Stderr, line, .. } => Some((LineSource::Stderr, line)),
            Report::Log { line, .. } => {
                let (level, target, task) = (line.level, line.target.clone(), line.task.clone());
                Some((LineSource::Log { level, target, task }, &line.message))
            }
            Report::Progress { .. } => None,
        };
        if let Some((source, text)) = line {
            let (actor, path) = (self.actor.clone(), self.path.clone());
            self.book.book(BookedLine { time: now_ms(), actor, path, source, text: text.clone() });
        }
        self.reports.send(report).await.is_ok()
    }
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> BookedLine {
        let actor = ActorId { name: "a".to_owned(), uuid: String::new() };
        BookedLine { time: 0, actor, path: Vec::new(), source: LineSource::Stdout, text: text.to_owned() }
    }

    #[test]
    fn the_last_lines_are_kept_within_both_bounds() {
        let book = Logbook::default();
        for number in 0..LINES + 5 {
            book.book(line(&number.to_string()));
        }
        let (kept, _) = book.open();
        assert_eq!((kept.len(), kept[0].text.as_str()), (LINES, "5"));
        for _ in 0..40 {
            book.book(line(&"x".repeat(8 * 1024)));
        }
        let (kept, _) = book.open();
        let bytes: usize = kept.iter().map(|line| line.text.len()).sum();
        assert_eq!((kept.len(), bytes), (32, BYTES));
        book.book(line(&"x".repeat(BYTES + 1)));
        assert!(book.open().0.is_empty(), "one that is too long for all is not kept");
    }

    #[test]
    fn a_follower_gets_each_line_once_and_a_slow_one_is_told_how_many_it_lost() {
        let book = Logbook::default();
        book.book(line("before"));
        let (kept, mut news) = book.open();
        book.book(line("after"));
        assert_eq!(kept.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["before"]);
        assert_eq!(news.try_recv().expect("a line").text, "after");
        for number in 0..BEHIND + 3 {
            book.book(line(&number.to_string()));
        }
        assert!(matches!(news.try_recv(), Err(broadcast::error::TryRecvError::Lagged(3))));
        assert_eq!(news.try_recv().expect("a line").text, "3");
    }
}
