//! What a root's actors have to say, to whoever listens.
//!
//! Owns: passing reports on. Must not know: terminals. Invariant: actors never wait for a listener
//! that is not there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use greenroom_broker::{Report, Stream};
use greenroom_wire::control::{LogLevel, LogLine};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How many reports may wait for a listener before the actors that make them wait.
const WAITING: usize = 64;

/// How long a listener may take to take the last of them.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Who listens, if anybody does.
type Listener = Arc<Mutex<Option<mpsc::Sender<Report>>>>;

/// What actors have to say, in order. See [`Root::reports`](crate::Root::reports).
#[derive(Debug)]
pub struct Reports(mpsc::Receiver<Report>);

impl Reports {
    /// The next; none once the root is closed, or another listener has taken over.
    ///
    /// # Cancel safety
    /// A wait that is dropped has taken nothing.
    pub async fn next(&mut self) -> Option<Report> {
        self.0.recv().await
    }
}

/// Takes all reports, as long as the broker is there.
#[derive(Debug)]
pub(crate) struct Teller {
    listener: Listener,
    telling: JoinHandle<()>,
}

impl Teller {
    /// Begins to take reports.
    pub(crate) fn start(mut reports: mpsc::Receiver<Report>) -> Self {
        let listener = Listener::default();
        let told = listener.clone();
        let telling = tokio::spawn(async move {
            while let Some(report) = reports.recv().await {
                let listening = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let left = match listening {
                    Some(listener) => listener.send(report).await.err().map(|unsent| unsent.0),
                    None => Some(report),
                };
                if let Some(report) = left {
                    trace(&report);
                }
            }
            told.lock().unwrap_or_else(PoisonError::into_inner).take();
        });
        Self { listener, telling }
    }

    /// From now on reports go to this listener.
    pub(crate) fn listen(&self) -> Reports {
        let (sender, receiver) = mpsc::channel(WAITING);
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Reports(receiver)
    }

    /// Waits until all are told, once there is no broker any more.
    pub(crate) async fn finish(self) {
        // A listener that takes nothing more has lost interest.
        let _ = tokio::time::timeout(LAST_WORDS, self.telling).await;
    }
}

/// Passes a report on to whoever has subscribed to `tracing`.
fn trace(report: &Report) {
    match report {
        Report::Output { actor, stream: Stream::Stdout, line } => {
            tracing::info!(target: "greenroom", actor, stream = "stdout", "{line}");
        }
        Report::Output { actor, stream: Stream::Stderr, line } => {
            tracing::warn!(target: "greenroom", actor, stream = "stderr", "{line}");
        }
        Report::Log { actor, line: LogLine { level, message, task, .. } } => {
            let task = task.as_deref();
            match level {
                LogLevel::Error => tracing::error!(target: "greenroom", actor, task, "{message}"),
                LogLevel::Warn => tracing::warn!(target: "greenroom", actor, task, "{message}"),
                LogLevel::Info => tracing::info!(target: "greenroom", actor, task, "{message}"),
                LogLevel::Debug => tracing::debug!(target: "greenroom", actor, task, "{message}"),
                LogLevel::Trace => tracing::trace!(target: "greenroom", actor, task, "{message}"),
            }
        }
        Report::Progress { actor, done, total, message } => {
            tracing::debug!(target: "greenroom", actor, done, total, "{message}");
        }
    }
}
