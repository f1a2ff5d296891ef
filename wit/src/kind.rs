//! The standard errors: every failure that Greenroom itself raises, as a value.
//!
//! Owns: the names, fields and messages of the standard errors; a caller downcasts to these.
//! Must not know: which layer raises which. Invariant: one struct, one name, for ever; the
//! CBOR form is the struct's map.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{ActorId, RemoteError};

/// A standard error: a value with a fixed type name.
pub trait Kind: Serialize + DeserializeOwned + fmt::Display {
    /// The `src_type` of errors of this kind.
    const NAME: &'static str;
}

/// The name of a kind: its own, or the one given.
macro_rules! type_name {
    ($name:ident) => {
        stringify!($name)
    };
    ($name:ident $text:literal) => {
        $text
    };
}

/// Declares the standard errors, each with its doc, fields and message.
macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident $(as $text:literal)? { $($(#[$fmeta:meta])* $field:ident: $ty:ty,)* } => |$this:ident, $f:ident| $message:expr;)*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }

            impl Kind for $name {
                const NAME: &'static str = type_name!($name $($text)?);
            }

            impl fmt::Display for $name {
                fn fmt(&self, $f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    let $this = self;
                    $message
                }
            }

            impl std::error::Error for $name {}
        )*

        /// The name of a standard error, from Rust's name for its type.
        pub(crate) fn standard_name(rust: &str) -> Option<&'static str> {
            $(if rust == concat!(module_path!(), "::", stringify!($name)) {
                return Some(type_name!($name $($text)?));
            })*
            None
        }

        /// The names of all standard errors.
        pub const NAMES: &[&str] = &[$(type_name!($name $($text)?)),*];
    };
}

/// `a, b and c`, or `nothing`.
struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("nothing"),
            [one] => write!(f, "`{one}`"),
            [init @ .., last] => {
                let init: Vec<_> = init.iter().map(|s| format!("`{s}`")).collect();
                write!(f, "{} and `{last}`", init.join(", "))
            }
        }
    }
}

kinds! {
    /// The peer's process is gone: every call to it ends with this.
    ActorDied {
        /// Who died.
        actor: ActorId,
        /// How it ended, as far as is known.
        exit: Exit,
    } => |e, f| write!(f, "actor `{}` died: {}", e.actor, e.exit);

    /// The context was cancelled; `canceller` of the error says by whom.
    ContextCancelled {
        /// The function that was cancelled.
        function: String,
    } => |e, f| write!(f, "`{}` was cancelled", e.function);

    /// A call's arguments do not fit the function; it did not run.
    BadArguments {
        /// The function as it was called.
        function: String,
        /// Names that the function does not have.
        unknown: Vec<String>,
        /// Names that were not given.
        missing: Vec<String>,
        /// Names whose values do not fit, each with why.
        ill_typed: Vec<(String, String)>,
    } => |e, f| {
        write!(f, "bad arguments for `{}`", e.function)?;
        if !e.unknown.is_empty() { write!(f, "; unknown: {}", Listed(&e.unknown))?; }
        if !e.missing.is_empty() { write!(f, "; missing: {}", Listed(&e.missing))?; }
        for (name, why) in &e.ill_typed { write!(f, "; `{name}`: {why}")?; }
        Ok(())
    };

    /// The callee was not started with this module.
    ModuleNotExposed {
        /// The module that was asked for.
        module: String,
        /// The actor that was asked.
        actor: ActorId,
        /// What it was started with.
        exposed: Vec<String>,
    } => |e, f| write!(f, "module `{}` is not enabled in actor `{}`, which exposes {}", e.module, e.actor, Listed(&e.exposed));

    /// The module is enabled but has no such callable function.
    FunctionNotFound {
        /// The module.
        module: String,
        /// The function that was asked for.
        function: String,
        /// Callable functions of similar name, nearest first.
        near: Vec<String>,
    } => |e, f| {
        write!(f, "module `{}` has no callable function `{}`", e.module, e.function)?;
        if !e.near.is_empty() { write!(f, "; did you mean {}?", Listed(&e.near))?; }
        Ok(())
    };

    /// The caller may not do this.
    PermissionDenied {
        /// The right that is lacking.
        right: String,
    } => |e, f| write!(f, "permission denied: {}", e.right);

    /// A child could not be started. No process is left behind.
    SpawnFailed {
        /// The name it was to have.
        name: String,
        /// Why, in words.
        reason: String,
        /// How its process ended, where there was one.
        exit: Option<Exit>,
        /// The last lines it wrote to its standard error, oldest first.
        stderr: Vec<String>,
    } => |e, f| {
        write!(f, "cannot start actor `{}`: {}", e.name, e.reason)?;
        if let Some(exit) = &e.exit { write!(f, " ({exit})")?; }
        for line in &e.stderr { write!(f, "\n  | {line}")?; }
        Ok(())
    };

    /// An actor was to be the only one of its name, or there is one that is to be.
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        by: ActorId,
    } => |e, f| write!(f, "the name `{}` is taken by actor `{}` ({})", e.name, e.by, e.by.uuid);

    /// Several failures in one nursery.
    NurseryError {
        /// All of them, in the order they happened; a nested nursery's stands as one.
        errors: Vec<RemoteError>,
    } => |e, f| {
        write!(f, "{} children failed", e.errors.len())?;
        for error in &e.errors { write!(f, "\n  - {}", error.to_string().replace('\n', "\n    "))?; }
        Ok(())
    };

    /// The nursery was cancelled or closed; nothing can be started in it any more.
    NurseryClosed {} => |_e, f| f.write_str("the nursery is closed: nothing can be started in it any more");

    /// The actor has no main task whose result could be waited for.
    NoResult {
        /// The actor in question.
        actor: ActorId,
    } => |e, f| write!(f, "actor `{}` has no main task to wait for: it was started as a daemon", e.actor);

    /// Another task of the instance trapped, and took this one with it.
    InstanceLost {
        /// The module whose instance was lost.
        module: String,
    } => |e, f| write!(f, "the instance of module `{}` was lost with a task that trapped or would not end", e.module);

    /// A value could not be encoded as CBOR.
    EncodeError {
        /// What the encoder said.
        reason: String,
    } => |e, f| write!(f, "cannot encode the value: {}", e.reason);

    /// A payload is not the one well-formed CBOR item it must be, or not of the wanted type.
    DecodeError {
        /// What the decoder said.
        reason: String,
    } => |e, f| write!(f, "cannot decode the value: {}", e.reason);

    /// A limit was reached.
    LimitExceeded {
        /// The limit's name, as in the configuration.
        limit: String,
        /// Its value.
        value: u64,
    } => |e, f| write!(f, "limit `{}` of {} reached", e.limit, e.value);

    /// The peer did not acknowledge the start of a call in time.
    StartTimeout {
        /// The function that was called.
        function: String,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    } => |e, f| write!(f, "`{}` was not acknowledged within {} ms", e.function, e.waited_ms);

    /// The peer broke the protocol; the link to it is closed.
    PeerMisbehaved {
        /// What it did.
        violation: String,
    } => |e, f| write!(f, "the peer broke the protocol: {}", e.violation);

    /// The deadline of a call or context has passed; its task was cancelled.
    DeadlineExceeded {
        /// The function that was called.
        function: String,
        /// How long it was given, in milliseconds.
        limit_ms: u64,
    } => |e, f| write!(f, "`{}` did not end within the {} ms it was given", e.function, e.limit_ms);

    /// A context was used against its order: the task returned without `started`, said it twice,
    /// or was called without a dialog.
    ContextProtocol {
        /// The context's function.
        function: String,
        /// What was done.
        reason: String,
    } => |e, f| write!(f, "`{}`: {}", e.function, e.reason);

    /// A value breaks the types that a context declares. It ends that context only.
    MsgTypeError {
        /// The context's function.
        function: String,
        /// Which part of the contract: `first value`, `message to the callee`, `message to the
        /// caller` or `result`.
        part: String,
        /// The declared type.
        expected: String,
        /// Why the value is not one.
        reason: String,
    } => |e, f| write!(f, "`{}`: the {} is not of the declared type `{}`: {}", e.function, e.part, e.expected, e.reason);

    /// The receiver of a stream is full, and the stream does not wait for it.
    StreamOverrun {
        /// How many messages the receiver holds at most.
        capacity: u64,
    } => |e, f| write!(f, "the receiver of the stream is full: it holds {} messages", e.capacity);

    /// A receiver was too slow, and messages were dropped; it goes on with those that are left.
    Lagged {
        /// How many were lost, exactly.
        lost: u64,
    } => |e, f| write!(f, "too slow: {} messages were lost", e.lost);

    /// Nothing can be sent any more: this direction of the stream is closed, or its context has
    /// ended.
    StreamClosed {
        /// The context's function.
        function: String,
    } => |e, f| write!(f, "the stream of `{}` is closed", e.function);

    /// A supervised child failed more often than its nursery lets it.
    RestartIntensityExceeded {
        /// The child that failed last.
        child: String,
        /// How many restarts are allowed.
        restarts: u64,
        /// Within how many milliseconds.
        within_ms: u64,
        /// The failures that led here, oldest first.
        history: Vec<RemoteError>,
    } => |e, f| {
        write!(f, "`{}` failed again after {} restarts within {} ms", e.child, e.restarts, e.within_ms)?;
        for error in &e.history { write!(f, "\n  - {}", error.to_string().replace('\n', "\n    "))?; }
        Ok(())
    };

    /// A WebAssembly trap ended the task.
    Trap as "trap" {
        /// wasmtime's name for it, such as `out of bounds memory access`.
        code: String,
    } => |e, f| write!(f, "wasm trap: {}", e.code);
}

impl DeadlineExceeded {
    /// Of a function that was given so long. What the way to the clock has taken of the last
    /// millisecond is not worth telling.
    pub fn new(function: impl Into<String>, given: Duration) -> Self {
        let limit_ms = given.as_micros().div_ceil(1000);
        Self { function: function.into(), limit_ms: u64::try_from(limit_ms).unwrap_or(u64::MAX) }
    }
}

/// The `src_type` of a guest's panic.
pub const PANIC: &str = "panic";

/// How an actor's process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It ended with this status.
    Code(i32),
    /// A signal killed it.
    Signal(i32),
    /// The link to it was lost, and nobody could say more.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(number) => match signal_name(*number) {
                Some(name) => write!(f, "killed by {name}"),
                None => write!(f, "killed by signal {number}"),
            },
            Self::Unknown => f.write_str("the link to it was lost"),
        }
    }
}

/// Linux's names of the signals that end processes in practice.
fn signal_name(number: i32) -> Option<&'static str> {
    const SIGNALS: &[(i32, &str)] = &[
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (13, "SIGPIPE"),
        (15, "SIGTERM"),
        (24, "SIGXCPU"),
        (31, "SIGSYS"),
    ];
    SIGNALS.iter().find(|(n, _)| *n == number).map(|(_, name)| *name)
}
