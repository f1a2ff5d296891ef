//! One life of a host: from its start until the tree is gone.
//!
//! Owns: the order in which things end. Must not know: what is done meanwhile. Invariant: whatever
//! ends it, the tree is gone before it returns.

use std::time::Duration;

use greenroom::{Host, Setup};
use tokio::signal::unix::SignalKind;

use crate::args::Level;
use crate::error::CliError;
use crate::prepare::host_failed;
use crate::screen;
use crate::signals::{Signals, status};

/// How long a session that was ended from outside waits for a terminal, or a pipe, that takes
/// nothing more: a person who interrupts a pager's source expects the prompt.
const LAST_LINES: Duration = Duration::from_millis(500);

/// What ended a session.
pub(crate) enum Ended<T> {
    /// The work was done.
    Returned(T),
    /// A signal asked for the end.
    Signalled(SignalKind),
    /// It was to stop.
    Stopped,
}

/// Starts a host and does `work` in it, until that is done, a signal comes or `stop` resolves; then
/// ends all there is. A second signal ends this program at once.
///
/// If `held` is a status, this program exits with it when the session was stopped and the terminal
/// takes no more lines.
pub(crate) async fn session<T>(
    setup: Setup,
    log: Level,
    signals: &mut Signals,
    stop: impl Future<Output = ()>,
    held: Option<u8>,
    work: impl AsyncFnOnce(&Host) -> T,
) -> Result<Ended<T>, CliError> {
    let (host, reports) = Host::start(setup)?;
    let shown = screen::show(reports, log).map_err(host_failed)?;
    let ended = tokio::select! {
        done = work(&host) => Ended::Returned(done),
        kind = signals.next() => Ended::Signalled(kind),
        () = stop => Ended::Stopped,
    };
    tokio::select! {
        // What the nursery has to say was said by the work, or is no longer asked for.
        _ = host.nursery().cancel() => {}
        kind = signals.next() => std::process::exit(i32::from(status(kind))),
    }
    drop(host);
    // All reports are in; the screen ends with them, once somebody has taken its last line.
    let patience = async {
        match ended {
            Ended::Returned(_) => std::future::pending().await,
            Ended::Signalled(_) | Ended::Stopped => tokio::time::sleep(LAST_LINES).await,
        }
    };
    tokio::select! {
        biased;
        _ = shown => {}
        kind = signals.next() => std::process::exit(i32::from(status(kind))),
        () = patience => match (&ended, held) {
            (Ended::Signalled(kind), _) => std::process::exit(i32::from(status(*kind))),
            (_, Some(held)) => std::process::exit(i32::from(held)),
            (_, None) => {}
        },
    }
    Ok(ended)
}
