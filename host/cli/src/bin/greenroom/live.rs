//! What the commands that talk to live actors have in common.
//!
//! Owns: the way to the machine's registry, its failures as a person sees them, units. Must not
//! know: any one command. Invariant: a signal ends every wait here, with the status that shells expect.

use std::time::Duration;

use greenroom::{Entry, Machine, RegistryError, Target};

use crate::error::CliError;
use crate::prepare::host_failed;
use crate::signals::exit_on_signal;

/// What this program is called in the eyes of the actors it calls.
pub(crate) const PROGRAM: &str = "greenroom-cli";

/// The exit status when there is no such actor.
pub(crate) const NO_SUCH_ACTOR: u8 = 3;

/// The exit status when something took too long.
pub(crate) const TIMED_OUT: u8 = 124;

/// How the commands of this kind print what they find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Layout {
    /// Columns for people, in a fixed order
    #[default]
    Text,
    /// One JSON value
    Json,
}

/// A runtime for this thread.
///
/// # Errors
/// When the system refuses.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(host_failed)
}

/// The machine's registry.
///
/// # Errors
/// When its folder cannot be used.
pub(crate) fn machine() -> Result<Machine, CliError> {
    Ok(Machine::open()?)
}

/// Works with the machine's registry. A signal ends the program, whatever it waits for; the tasks
/// that it has started in actors are cancelled with that.
///
/// # Errors
/// Those of the work; when there can be no registry.
pub(crate) fn work<T>(work: impl AsyncFnOnce(&Machine) -> Result<T, CliError>) -> Result<T, CliError> {
    let machine = machine()?;
    exit_on_signal().map_err(host_failed)?;
    runtime()?.block_on(work(&machine))
}

/// Whom a text on the command line means.
///
/// # Errors
/// When it can mean nobody.
pub(crate) fn target(text: &str) -> Result<Target, CliError> {
    text.parse::<Target>().map_err(|error| CliError::input(error.to_string()))
}

/// That there is no actor of a name.
pub(crate) fn nobody(name: &str) -> CliError {
    CliError::ended(NO_SUCH_ACTOR, format!("there is no actor `{name}`"))
        .hint("`greenroom ps` shows who is there")
}

impl From<RegistryError> for CliError {
    fn from(error: RegistryError) -> Self {
        let text = error.to_string();
        match error {
            RegistryError::NotFound { .. } => {
                Self::ended(NO_SUCH_ACTOR, text).hint("`greenroom ps` shows who is there")
            }
            RegistryError::Ambiguous { .. } => Self::input(text),
            RegistryError::NameTaken { .. } => Self::failed(text),
            RegistryError::Refused(error) => Self::from(&*error),
            RegistryError::Unsafe { .. }
            | RegistryError::System { .. }
            | RegistryError::Busy { .. }
            | RegistryError::Unreachable { .. } => Self::ended(125, text),
        }
    }
}

/// An entry on one line: name, uuid, process, tree.
pub(crate) fn address(entry: &Entry) -> String {
    format!("{}  {}  pid {}  tree {}", entry.id.name, entry.id.uuid, entry.pid, entry.tree)
}

/// An entry as JSON.
pub(crate) fn entry_json(entry: &Entry) -> serde_json::Value {
    serde_json::json!({
        "name": entry.id.name,
        "uuid": entry.id.uuid,
        "tree": entry.tree,
        "path": entry.path,
        "pid": entry.pid,
        "host_pid": entry.host_pid,
        "started": humantime::format_rfc3339_millis(entry.started()).to_string(),
        "unique": entry.unique,
    })
}

/// A time in its two largest units: `3d 4h`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m {s}s"),
        (0, h, m, _) => format!("{h}h {m}m"),
        (d, h, _, _) => format!("{d}d {h}h"),
    }
}

/// An amount of memory: `1.5 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: &[&str] = &["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut unit, mut whole, mut rest) = (0, bytes >> 10, bytes & 1023);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        (unit, rest, whole) = (unit + 1, whole & 1023, whole >> 10);
    }
    let name = UNITS[unit];
    if whole < 10 { format!("{whole}.{} {name}", rest * 10 / 1024) } else { format!("{whole} {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_people() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3700, "1h 1m"), (90_000, "1d 1h")] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
        for (amount, text) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (12 << 20, "12 MiB"), (5 << 30, "5.0 GiB")]
        {
            assert_eq!(bytes(amount), text);
        }
    }
}
