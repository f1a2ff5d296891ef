//! What a module tells people: log lines and progress.
//!
//! Owns: forwarding both to the host, the log through the `log` crate's macros. Must not know:
//! which lines are shown, which is the host's to choose.

use std::sync::Once;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::bindings::greenroom::portal::runtime::{self, LogLevel};

/// The `log` crate's logger: every line goes to the host, which knows the actor and the task.
struct HostLog;

impl Log for HostLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
            Level::Trace => LogLevel::Trace,
        };
        runtime::log(level, record.target(), &record.args().to_string());
    }

    fn flush(&self) {}
}

/// Installs the logger, once. A module that installed its own first keeps it.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if log::set_logger(&HostLog).is_ok() {
            log::set_max_level(LevelFilter::Trace);
        }
    });
}

/// Tells the user how far a long job has come: `done` of `total` units, where a total of 0
/// stands for unknown. Shown by `greenroom run` on a terminal, otherwise dropped.
pub fn progress(done: u64, total: u64, message: impl AsRef<str>) {
    runtime::progress(done, total, message.as_ref());
}
