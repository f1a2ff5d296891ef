//! What an actor and its broker say to each other on the control channel.
//!
//! Owns: the messages, their encoding, and which descriptors travel beside them. Must not
//! know: sockets, processes. Invariant: one packet is one message, one CBOR item, behind the actor's
//! mark where an actor says it; whatever an actor says is a request, whatever the broker says is so.

use core::net::IpAddr;

use greenroom_abi::kind::{DecodeError, EncodeError, Exit};
use greenroom_abi::{ActorId, RemoteError, payload};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use crate::limits::{Limit, LimitError, Limits, Unit};
pub use crate::rights::Rights;

/// Numbers an actor's requests, so that each answer finds its question.
pub type RequestId = u64;

/// From an actor to its broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToBroker {
    /// The modules are loaded: the actor can be called.
    Ready,
    /// The modules cannot be loaded; the actor is about to exit.
    LoadFailed {
        /// Why, in words.
        reason: String,
    },
    /// Start a child, which takes the right [`Rights::spawn`]. Answered by [`ToActor::Spawned`].
    Spawn {
        /// Echoed in the answer.
        request: RequestId,
        /// What to start.
        spec: SpawnSpec,
    },
    /// Forget a [`ToBroker::Spawn`] that is not yet answered: the child, if there is one, is
    /// killed, and the answer is an error.
    AbandonSpawn {
        /// The request to forget.
        request: RequestId,
    },
    /// End an actor and all below it. Answered by [`ToActor::Ended`] once it is gone.
    CancelActor {
        /// Echoed in the answer.
        request: RequestId,
        /// Whom to end, by uuid.
        actor: String,
    },
    /// Look for an actor: of the tree, and, with the right [`Rights::discover`], of the machine.
    /// Answered by [`ToActor::Found`].
    Find {
        /// Echoed in the answer.
        request: RequestId,
        /// The name it was started under.
        name: String,
        /// Whether to wait for one if there is none.
        wait: bool,
    },
    /// Forget a [`ToBroker::Find`]. If its answer is not under way yet, none comes.
    AbandonFind {
        /// The request to forget.
        request: RequestId,
    },
    /// Tell who there is: in the tree, and, with the right [`Rights::discover`], on the machine.
    /// Answered by one or more [`ToActor::Listed`].
    List {
        /// Echoed in the answers.
        request: RequestId,
        /// Only those of this name.
        name: Option<String>,
    },
    /// The pipe of a [`ToActor::Introduced`], [`ToActor::Found`] or [`ToActor::FoundBeyond`] has
    /// been taken. An actor that
    /// leaves too many lying is introduced to nobody until it has.
    Taken,
    /// Let a program outside the tree call an actor. Answered by [`ToActor::Invited`]. For the
    /// operator only: it alone has ways to other programs.
    Invite {
        /// Echoed in the answer.
        request: RequestId,
        /// Whom the program may call, by uuid.
        actor: String,
        /// What the program is to be called in the tree.
        name: String,
    },
    /// Tell the addresses of a host to which the actor may connect. Answered by
    /// [`ToActor::LookedUp`].
    LookUp {
        /// Echoed in the answer.
        request: RequestId,
        /// The host's name.
        name: String,
    },
    /// The answer to [`ToActor::Measure`].
    Measured {
        /// How many tasks run in the actor.
        tasks: u32,
    },
    /// What the actor's guests have written: at most [`OUTPUT_BYTES`], of which it has at most
    /// [`OUTPUT_PIECES`] under way. Answered by [`ToActor::Shown`].
    Output {
        /// Where.
        stream: Stream,
        /// What, wherever it was cut.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// A line for the log.
    Log(LogLine),
    /// How far a long job has come.
    Progress {
        /// Units done.
        done: u64,
        /// Units in all; 0 if unknown.
        total: u64,
        /// What is being done.
        message: String,
    },
}

/// From the broker to an actor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToActor {
    /// The first message: who the actor is and what it runs. Attached: the pipe to its parent (a pipe
    /// is one descriptor, or three), then one file per component, then one folder per directory grant, each in order, then
    /// standard input, if the actor has it.
    Init(Box<Init>),
    /// The answer to [`ToBroker::Spawn`]. Attached if it succeeded: the pipe to the child.
    Spawned {
        /// Which request this answers.
        request: RequestId,
        /// Who the child is, or why there is none.
        result: Result<ActorId, Box<RemoteError>>,
    },
    /// The answer to [`ToBroker::CancelActor`].
    Ended {
        /// Which request this answers.
        request: RequestId,
        /// Whether the actor was ended.
        result: Result<(), Box<RemoteError>>,
    },
    /// The answer to [`ToBroker::Find`]. Attached if there is one: the pipe to it.
    Found {
        /// Which request this answers.
        request: RequestId,
        /// The actor of that name, if there is one, or why nobody can tell.
        result: Result<Option<ActorId>, Box<RemoteError>>,
    },
    /// The answer to [`ToBroker::Find`] where the actor is of another tree: nobody will tell how it
    /// ends. Attached: the pipe to it.
    FoundBeyond {
        /// Which request this answers.
        request: RequestId,
        /// The actor of that name.
        actor: ActorId,
    },
    /// The answer to [`ToBroker::List`], or a part of it.
    Listed {
        /// Which request this answers.
        request: RequestId,
        /// The next entries: those of the own tree first, each in the order in which they could be
        /// called; or why nobody can tell.
        result: Result<Vec<ActorEntry>, Box<RemoteError>>,
        /// Whether another part follows.
        more: bool,
    },
    /// The answer to [`ToBroker::Invite`]. Attached if there is one: the program's end of the
    /// pipe, with a [`Preamble`](crate::Preamble) waiting in it.
    Invited {
        /// Which request this answers.
        request: RequestId,
        /// Who the program is in the tree; none if the actor is gone or is being ended.
        result: Result<Option<ActorId>, Box<RemoteError>>,
    },
    /// The answer to [`ToBroker::LookUp`].
    LookedUp {
        /// Which request this answers.
        request: RequestId,
        /// Its addresses; none if nobody knows the name.
        result: Result<Vec<IpAddr>, Box<RemoteError>>,
    },
    /// Somebody has been given a way to this actor, and may call it. Attached: the pipe.
    Introduced {
        /// Who.
        actor: ActorId,
    },
    /// An actor that this one has a pipe to has exited.
    Exited {
        /// Who.
        actor: ActorId,
        /// How its process ended.
        exit: Exit,
    },
    /// One more [`ToBroker::Output`] has been shown.
    Shown,
    /// Say how busy you are. Answered by [`ToBroker::Measured`], and not asked again before that.
    Measure,
    /// Cancel everything that runs, then exit: the first rung of the ladder.
    Cancel {
        /// Who asked.
        by: ActorId,
    },
    /// Exit at once: the second rung.
    Exit,
}

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The most bytes of output in one message.
pub const OUTPUT_BYTES: usize = 8 * 1024;

/// How many messages of output an actor may have under way that are not shown yet.
pub const OUTPUT_PIECES: usize = 8;

/// What a child is to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SpawnSpec {
    /// Its name.
    pub name: String,
    /// What to enable in it: `module` or `module:function`.
    pub modules: Vec<String>,
    /// The directories it may see, out of those that its parent sees.
    pub dirs: Vec<DirGrant>,
    /// Its environment variables.
    pub env: Vec<(String, String)>,
    /// Its arguments, as a program has them.
    pub args: Vec<String>,
    /// Whether the other programs of the user on this machine are to find it. Takes the right
    /// [`Rights::publish`] of its parent.
    pub publish: bool,
    /// Whether it is to be the only one of its name, wherever it is found.
    pub unique: bool,
    /// What it may do, out of what its parent may.
    pub rights: Rights,
    /// Which of its limits are to be lower than its parent's, by name, and how low.
    pub limits: Vec<(String, u64)>,
}

/// One actor that can be called, as it is told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorEntry {
    /// Who it is.
    pub id: ActorId,
    /// The name of its tree.
    pub tree: String,
    /// The names from the root of the tree down to it.
    pub path: Vec<String>,
    /// Its process.
    pub pid: u32,
    /// Since when it can be called, in milliseconds since 1970.
    pub started: u64,
    /// Whether other programs find it.
    pub published: bool,
}

/// A directory of a parent, passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirGrant {
    /// Where the parent sees it.
    pub source: String,
    /// Where the child will see it.
    pub target: String,
    /// Whether the child may write.
    pub writable: bool,
}

impl DirGrant {
    /// A directory that the child may read, under the path by which the parent sees it.
    pub fn read_only(path: impl Into<String>) -> Self {
        let path = path.into();
        Self { source: path.clone(), target: path, writable: false }
    }

    /// A directory that the child may write too, which takes a parent that may.
    pub fn writable(path: impl Into<String>) -> Self {
        Self { writable: true, ..Self::read_only(path) }
    }

    /// The same directory, seen by the child under another path.
    #[must_use]
    pub fn seen_as(self, target: impl Into<String>) -> Self {
        Self { target: target.into(), ..self }
    }
}

/// All that a new actor must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Init {
    /// Who it is.
    pub id: ActorId,
    /// What each of its messages begins with. What comes from it without is text that its process has
    /// written to its standard streams. No guest knows it, whatever it can have its process write.
    #[serde(with = "serde_bytes")]
    pub mark: Vec<u8>,
    /// The names from the root of the tree down to it.
    pub path: Vec<String>,
    /// Whether it is the root of its tree.
    pub is_root: bool,
    /// Who started it and owns it; at the other end of the attached pipe.
    pub parent: ActorId,
    /// How many of the attachments are components.
    pub components: usize,
    /// The allowlist; empty, like the components, for one that was forked where both are ready.
    pub modules: Vec<EnabledModule>,
    /// The guest paths of the attached folders, and whether each is writable.
    pub dirs: Vec<(String, bool)>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Arguments.
    pub args: Vec<String>,
    /// Whether the last attachment is a pipe from which standard input is read.
    pub stdin: bool,
    /// What it may do.
    pub rights: Rights,
    /// The bounds it lives in.
    pub limits: Limits,
    /// The walls that it is not to raise around itself, by name.
    pub without: Vec<String>,
    /// What its own host writes to the log, in `tracing`'s filter syntax; nothing if none.
    pub log: Option<String>,
}

impl Init {
    /// What is attached, parted: the pipe to the parent, and all that comes after it.
    pub fn attached<T>(&self, mut attachments: Vec<T>) -> (Vec<T>, Vec<T>) {
        let after = self.components + self.dirs.len() + usize::from(self.stdin);
        let rest = attachments.split_off(attachments.len().saturating_sub(after));
        (attachments, rest)
    }
}

/// One entry of the allowlist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnabledModule {
    /// The name callers use.
    pub name: String,
    /// Which of the attached components.
    pub component: usize,
    /// Only this interface of it; otherwise all it exports.
    pub interface: Option<String>,
    /// Only these functions; otherwise all.
    pub functions: Option<Vec<String>>,
    /// How long its instances live; none if each function is to have what suits it: portal
    /// functions a resident instance, plain functions a fresh one for each task.
    pub isolation: Option<Isolation>,
    /// The names of the error types that its plain functions return, each with the numbers of those
    /// functions among the component's exports. Compiled code has none.
    pub errors: Vec<(String, Vec<usize>)>,
}

/// How long an instance of a module lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// As long as its actor: all tasks share it.
    Actor,
    /// As long as one task: each gets a fresh one.
    Task,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// How grave.
    pub level: LogLevel,
    /// The part of the program that speaks.
    pub target: String,
    /// What it says.
    pub message: String,
    /// The task that speaks, as `module:function#number`.
    pub task: Option<String>,
}

/// How grave a log line is, gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is odd.
    Warn,
    /// Something happened.
    Info,
    /// For whoever looks for a fault.
    Debug,
    /// Every step.
    Trace,
}

/// The bytes of a control message.
///
/// # Errors
/// Never in practice: every field can be encoded.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, EncodeError> {
    payload::encode(message)
}

/// Reads a control message.
///
/// # Errors
/// [`DecodeError`] when the bytes are not one: the peer misbehaves.
pub fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, DecodeError> {
    payload::decode(bytes)
}
