//! What the broker tells the program it runs in.
//!
//! Owns: output, log lines and progress on their way to a person. Must not know: terminals.
//! Invariant: each report names the actor it comes from.

pub use greenroom_wire::control::Stream;

use greenroom_wire::control::LogLine;

/// One thing to show.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A line that an actor wrote, without its line end.
    Output {
        /// The actor's name.
        actor: String,
        /// Where it wrote.
        stream: Stream,
        /// The line; what is not UTF-8 is replaced.
        line: String,
    },
    /// A line for the log.
    Log {
        /// The actor's name.
        actor: String,
        /// The line.
        line: LogLine,
    },
    /// How far a long job has come.
    Progress {
        /// The actor's name.
        actor: String,
        /// Units done.
        done: u64,
        /// Units in all; 0 if unknown.
        total: u64,
        /// What is being done.
        message: String,
    },
}
