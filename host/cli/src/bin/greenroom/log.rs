//! The host's own log.
//!
//! Owns: its filter, and writing it to standard error. Must not know: what actors log. Invariant: a
//! terminal that is held holds up nobody.

use std::io::IsTerminal;

use tracing_appender::non_blocking::WorkerGuard;

use crate::args::Level;

/// Starts the host's own log; it ends with the value. Lines go through a queue, so that a
/// terminal that is held does not hold the broker; when the queue is full they are dropped.
pub(crate) fn start(level: Level) -> WorkerGuard {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(colour);
    subscriber.with_env_filter(tracing_subscriber::EnvFilter::new(filter(level))).init();
    guard
}

/// The host's own log: its crates at this level, others only when they fail.
pub(crate) fn filter(level: Level) -> String {
    let level = format!("{level:?}").to_lowercase();
    format!("greenroom={level}")
}
