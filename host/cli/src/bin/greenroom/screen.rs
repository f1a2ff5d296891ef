//! What actors say, on the terminal.
//!
//! Owns: prefixes, log lines, the progress bar. Must not know: actors' work. Invariant: no
//! control character of a guest reaches the terminal.

use std::io::{IsTerminal, Write};

use greenroom::{LogLevel, LogLine, Report, Stream, harmless_line};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::{mpsc, oneshot};

use crate::args::Level;

/// Shows reports until their source ends, in a thread of its own: a terminal that is held must
/// not hold the actors' supervision. What it gives resolves once all have been shown.
pub(crate) fn show(
    mut reports: mpsc::Receiver<Report>,
    level: Level,
) -> std::io::Result<oneshot::Receiver<()>> {
    let (done, shown) = oneshot::channel();
    std::thread::Builder::new().name("screen".to_owned()).spawn(move || {
        let mut screen = Screen { level, bar: None };
        while let Some(report) = reports.blocking_recv() {
            screen.show(report);
        }
        if let Some(bar) = screen.bar {
            bar.finish_and_clear();
        }
        // Whoever no longer waits has given up on the terminal.
        let _ = done.send(());
    })?;
    Ok(shown)
}

struct Screen {
    level: Level,
    bar: Option<ProgressBar>,
}

impl Screen {
    fn show(&mut self, report: Report) {
        match report {
            Report::Output { actor, stream, line } => self.print(stream, &format!("[{actor}] {line}")),
            Report::Log { actor, line } if shown(line.level) <= self.level => {
                self.print(Stream::Stderr, &describe(&actor, &line));
            }
            Report::Log { .. } => {}
            Report::Progress { actor, done, total, message } => self.progress(&actor, done, total, &message),
        }
    }

    fn print(&self, stream: Stream, line: &str) {
        let line = harmless_line(line);
        let write = || {
            // A closed terminal or pipe is no reason to stop the actors.
            let _ = match stream {
                Stream::Stdout => writeln!(std::io::stdout(), "{line}"),
                Stream::Stderr => writeln!(std::io::stderr(), "{line}"),
            };
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn progress(&mut self, actor: &str, done: u64, total: u64, message: &str) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let template = "{prefix} [{bar:32}] {pos}/{len} {wide_msg}";
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style.progress_chars("=> "))
        });
        bar.set_prefix(harmless_line(actor).into_owned());
        bar.set_message(harmless_line(message).into_owned());
        bar.set_length(total);
        bar.set_position(done);
    }
}

fn describe(actor: &str, line: &LogLine) -> String {
    let level = word(line.level);
    let task = line.task.as_deref().unwrap_or("-");
    format!("{level} [{actor}] {task}: {}", line.message)
}

/// How a level stands before a line.
pub(crate) fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "ERROR",
        LogLevel::Warn => " WARN",
        LogLevel::Info => " INFO",
        LogLevel::Debug => "DEBUG",
        LogLevel::Trace => "TRACE",
    }
}

fn shown(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::Error,
        LogLevel::Warn => Level::Warn,
        LogLevel::Info => Level::Info,
        LogLevel::Debug => Level::Debug,
        LogLevel::Trace => Level::Trace,
    }
}
