//! The station: where a host answers programs that are not in its tree.
//!
//! Owns: what is asked and answered there. Must not know: where hosts are known, terminals.
//! Invariant: whoever asks is a program of the same user, and acts as the operator; each
//! connection is one request.

mod client;
mod frame;
mod logbook;
mod measure;
mod server;
#[cfg(test)]
mod tests;

use greenroom_abi::{ActorId, RemoteError};
use greenroom_engine::{FunctionType, Signature};
use greenroom_wire::Preamble;
use greenroom_wire::control::LogLevel;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use client::{LogStream, ask, connect, follow};
pub(crate) use logbook::{Logbook, Reporter, now_ms};
pub(crate) use server::{Draft, Visit, encoded, serve};

/// What a program asks a host for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// A way to an actor. Once this is answered, the connection is the pipe to it.
    Connect {
        /// To whom.
        place: Place,
        /// Who asks: who is to be called, in the actor's eyes.
        guest: ActorId,
    },
    /// What an actor can be called for.
    Describe {
        /// Which actor.
        place: Place,
    },
    /// How the actors of the tree are.
    Status,
    /// The end of an actor and all below it. Answered once it is gone.
    Cancel {
        /// Of whom.
        place: Place,
    },
    /// What actors have written and logged: the last lines, and, for a follower, those to come.
    Logs {
        /// Only of this actor and those below it.
        place: Option<Place>,
        /// Whether to go on with what comes.
        follow: bool,
    },
}

/// An actor, by its own uuid or by one that stands above it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Whose.
    pub actor: String,
    /// The names from there down to the actor that is meant; none if it is this one.
    pub below: Vec<String>,
}

/// What a host answers, unless it is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Request::Connect`]: who is at the two ends of the pipe.
    Connected(Preamble),
    /// To [`Request::Describe`].
    Functions(Vec<FunctionInfo>),
    /// To [`Request::Status`].
    Status(TreeStatus),
    /// To [`Request::Cancel`].
    Ended,
    /// To [`Request::Logs`]: [`LogRecord`]s follow, one a frame, until the end of the connection.
    Logs,
}

/// Who a program is in the eyes of an actor that it connects to.
pub fn guest(name: &str) -> ActorId {
    ActorId { name: name.to_owned(), uuid: Uuid::new_v4().to_string() }
}

/// What comes back for a request.
pub(crate) type Reply = Result<Answer, Box<RemoteError>>;

/// A function that an actor can be called for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionInfo {
    /// The name to call it by: `module:function`.
    pub name: String,
    /// How it is called.
    pub kind: FunctionKind,
    /// The first line of its documentation, if there is any.
    pub doc: String,
}

/// How a function is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FunctionKind {
    /// As a portal function. What its module says of it is the module's word.
    Portal(Option<Signature>),
    /// As a plain function, with values of these types.
    Plain(FunctionType),
}

/// How the actors of a tree are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeStatus {
    /// The tree's name.
    pub tree: String,
    /// Its host, by uuid.
    pub host: String,
    /// The process of its host.
    pub host_pid: u32,
    /// The version of its host.
    pub version: String,
    /// The walls that its actors have not raised around themselves, by name.
    #[serde(default)]
    pub without: Vec<String>,
    /// Its actors, each behind the one that started it.
    pub actors: Vec<ActorStatus>,
}

/// How an actor is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorStatus {
    /// Who it is.
    pub id: ActorId,
    /// The names from the root of the tree down to it.
    pub path: Vec<String>,
    /// Its process.
    pub pid: u32,
    /// Whether other programs find it.
    pub published: bool,
    /// How far its life has come.
    pub stage: ActorStage,
    /// For how many milliseconds its process has been there.
    pub uptime_ms: u64,
    /// How many tasks run in it; none if it does not say in time, as one that is stopped.
    pub tasks: Option<u32>,
    /// How much memory it has for itself alone, in bytes, unless its process is gone.
    pub memory: Option<u64>,
    /// How much processor time it has used, in milliseconds, unless its process is gone.
    pub cpu_ms: Option<u64>,
    /// The modules that are enabled in it.
    pub modules: Vec<String>,
}

/// How far an actor's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActorStage {
    /// It is being started.
    Starting,
    /// It can be called.
    Ready,
    /// It is being ended.
    Ending,
    /// Its process is gone, those below it are being ended.
    Gone,
}

/// One thing that a follower of the logs is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogRecord {
    /// A line.
    Line(BookedLine),
    /// So many lines are missing here: this follower was too slow for them.
    Missed(u64),
}

/// A line that an actor wrote or logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookedLine {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Who.
    pub actor: ActorId,
    /// The names from the root of the tree down to it.
    pub path: Vec<String>,
    /// How.
    pub source: LineSource,
    /// The line, without its end.
    pub text: String,
}

/// How a line came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LineSource {
    /// Written to standard output.
    Stdout,
    /// Written to standard error.
    Stderr,
    /// Logged.
    Log {
        /// How grave.
        level: LogLevel,
        /// The part of the program that speaks.
        target: String,
        /// The task that speaks, as `module:function#number`.
        task: Option<String>,
    },
}
