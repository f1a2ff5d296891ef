//! Failures as a person sees them.
//!
//! Owns: kinds of failure, their exit status, and how each is printed. Must not know: where
//! they come from. Invariant: one line says what was wrong; a hint, if any, says what to do.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use greenroom::{GrantError, HostError, LoadError, RemoteError, harmless};

use crate::grants;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CliError {
    status: u8,
    said: Said,
}

/// How it is told.
#[derive(Debug)]
enum Said {
    /// In a line, with what to do about it.
    Line { message: String, hint: Option<String> },
    /// By a text that is laid out and safe to show.
    Report(String),
}

/// The status of bad usage and bad input.
const INPUT: u8 = 2;

impl CliError {
    /// What the user gave cannot be used.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::ended(INPUT, message)
    }

    /// The work itself failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::ended(1, message)
    }

    /// The run was ended from outside.
    pub(crate) fn ended(status: u8, message: impl Into<String>) -> Self {
        Self { status, said: Said::Line { message: message.into(), hint: None } }
    }

    /// A text that is laid out, and harmless to a terminal.
    pub(crate) fn report_of(status: u8, text: String) -> Self {
        Self { status, said: Said::Report(text) }
    }

    /// Message and hint, if what the user gave cannot be used.
    pub(crate) fn as_input(&self) -> Option<(&str, Option<&str>)> {
        match &self.said {
            Said::Line { message, hint } if self.status == INPUT => Some((message, hint.as_deref())),
            _ => None,
        }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Said::Line { hint: said, .. } = &mut self.said {
            *said = Some(hint.into());
        }
        self
    }

    /// With another exit status.
    pub(crate) fn status(mut self, status: u8) -> Self {
        self.status = status;
        self
    }

    /// What it says, on its own.
    pub(crate) fn message(&self) -> &str {
        match &self.said {
            Said::Line { message, .. } | Said::Report(message) => message,
        }
    }

    /// Prints it and gives the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        let style = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
        // Where even this cannot be written, the status still tells.
        let mut stderr = anstream::stderr();
        match &self.said {
            Said::Report(text) => {
                let _ = writeln!(stderr, "{text}");
            }
            Said::Line { message, hint } => {
                let _ = writeln!(stderr, "{style}error{style:#}: {}", plain(message));
                if let Some(hint) = hint {
                    let _ = writeln!(stderr, "  hint: {}", plain(hint));
                }
            }
        }
        ExitCode::from(self.status)
    }
}

impl From<LoadError> for CliError {
    fn from(error: LoadError) -> Self {
        let hint = match &error {
            LoadError::NotWasm { .. } => Some("give a component, such as `greenroom build` makes"),
            LoadError::Cache { .. } => Some("set XDG_CACHE_HOME to a folder that you own"),
            _ => None,
        };
        let input = Self::input(error.to_string());
        match hint {
            Some(hint) => input.hint(hint),
            None => input,
        }
    }
}

impl From<GrantError> for CliError {
    fn from(error: GrantError) -> Self {
        Self::input(error.to_string())
    }
}

impl From<HostError> for CliError {
    fn from(error: HostError) -> Self {
        Self::ended(125, error.to_string())
    }
}

impl From<&RemoteError> for CliError {
    /// The boxed error with its whole path and trace.
    fn from(error: &RemoteError) -> Self {
        let failed = Self::failed(describe(error));
        match grants::lacking(&error.message) {
            Some(hint) => failed.hint(hint),
            None => failed,
        }
    }
}

/// Text that may come from a guest, so that it can neither steer a terminal nor pass for a line of
/// this program's own.
fn plain(text: &str) -> String {
    let text = harmless(text);
    let mut lines = text.split('\n');
    let mut shown = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        shown.push_str(if line.starts_with("  ") { "\n" } else { "\n  " });
        shown.push_str(line);
    }
    shown
}

fn describe(error: &RemoteError) -> String {
    let mut text = format!("{}: {}", error.src_type, error.message);
    if !error.relay_path.is_empty() {
        let path: Vec<String> = error.relay_path.iter().map(|hop| format!("`{hop}`")).collect();
        let _ = write!(text, "\n  path: {}", path.join(" -> "));
    }
    if let Some(canceller) = &error.canceller {
        let _ = write!(text, "\n  cancelled by: `{canceller}`");
    }
    for (number, line) in error.trace.lines().enumerate() {
        let _ = write!(text, "\n  {} {line}", if number == 0 { "trace:" } else { "      " });
    }
    text
}
