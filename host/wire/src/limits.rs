//! The bounds that an actor lives in.
//!
//! Owns: every bound in one table, with its name, what it may be, its default and its reason. Must
//! not know: who keeps to them. Invariant: whatever is accepted keeps every wait and every amount
//! bounded; a child's bounds are at most its parent's.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::{LogLevel, LogLine};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// From this on a bound on time is none: a hundred years.
const NEVER: u64 = 100 * 31_557_600 * 1_000_000_000;

/// What the process of an actor needs beside the memory of its guests, whatever they do: the
/// program's own data, compiled code's, and the stacks of its threads.
const HOST_BYTES: u64 = 192 * MIB;

/// What the host needs for each instance beside the instance's memory: its stack above all.
const INSTANCE_BYTES: u64 = 3 * MIB;

/// What a line ends with that was too long.
const SHORTENED: &str = " … (shortened)";

const fn milliseconds(count: u64) -> u64 {
    count * 1_000_000
}

const fn seconds(count: u64) -> u64 {
    milliseconds(count * 1000)
}

/// What the value of a limit is a number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Nanoseconds.
    Time,
    /// Things a second.
    Rate,
}

/// How a field holds a value.
trait Field {
    fn number(&self) -> u64;
    fn of(number: u64) -> Self;
}

impl Field for usize {
    fn number(&self) -> u64 {
        *self as u64
    }

    fn of(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl Field for u64 {
    fn number(&self) -> u64 {
        *self
    }

    fn of(number: u64) -> Self {
        number
    }
}

impl Field for Duration {
    fn number(&self) -> u64 {
        u64::try_from(self.as_nanos()).unwrap_or(u64::MAX)
    }

    fn of(number: u64) -> Self {
        Self::from_nanos(number)
    }
}

macro_rules! limits {
    (
        $($(#[doc = $doc:literal])+
        $limit:ident $name:literal, $field:ident: $ty:ty, $unit:ident, $default:expr, $least:expr => $most:expr;)*
        fixed:
        $($(#[doc = $fixed_doc:literal])+ $fixed:ident = $value:expr;)*
    ) => {
        /// A limit that can be set.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Limit {
            $($(#[doc = $doc])+ $limit,)*
        }

        impl Limit {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$limit),*];

            /// What users call it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$limit => $name,)*
                }
            }

            /// What its value is a number of.
            pub const fn unit(self) -> Unit {
                match self {
                    $(Self::$limit => Unit::$unit,)*
                }
            }

            /// What it is where nobody says otherwise.
            pub const fn default(self) -> u64 {
                match self {
                    $(Self::$limit => $default,)*
                }
            }

            /// The least it may be.
            pub const fn least(self) -> u64 {
                match self {
                    $(Self::$limit => $least,)*
                }
            }

            /// The most it may be.
            pub const fn most(self) -> u64 {
                match self {
                    $(Self::$limit => $most,)*
                }
            }

            /// What it bounds, in one sentence.
            pub const fn doc(self) -> &'static str {
                match self {
                    $(Self::$limit => concat!($($doc),+),)*
                }
            }
        }

        /// The bounds of an actor and of every wait in it. A child's are at most its parent's.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $field: $ty,)*
            $($(#[doc = $fixed_doc])+ pub $fixed: Duration,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self {
                    $($field: Field::of($default),)*
                    $($fixed: Duration::from_millis($value),)*
                }
            }
        }

        impl Limits {
            /// The value of a limit, in its unit.
            pub fn get(&self, limit: Limit) -> u64 {
                match limit {
                    $(Limit::$limit => self.$field.number(),)*
                }
            }

            fn put(&mut self, limit: Limit, value: u64) {
                match limit {
                    $(Limit::$limit => self.$field = Field::of(value),)*
                }
            }
        }
    };
}

limits! {
    /// Memory of all instances of an actor together: linear memories and tables.
    Memory "memory", memory: u64, Bytes, 64 * MIB, MIB => 1024 * GIB;
    /// Elements of all tables of an actor together.
    Elements "elements", elements: usize, Count, 1_000_000, 0 => 100_000_000;
    /// Processor time of one call, or of the start of one instance.
    Cpu "cpu", cpu: Duration, Time, seconds(600), milliseconds(10) => NEVER;
    /// Time of one call from its start to its outcome.
    Wall "wall", wall: Duration, Time, NEVER, milliseconds(10) => NEVER;
    /// Tasks of an actor that run at once.
    Tasks "tasks", tasks: usize, Count, 4096, 1 => 65_536;
    /// Instances of an actor at once that serve one task each.
    Instances "instances", instances: usize, Count, 256, 1 => 65_536;
    /// Resources that one instance holds at once: files, portals, contexts and the like.
    Resources "resources", resources: usize, Count, 16_384, 16 => 1_000_000;
    /// Bytes that a guest hands to the host in one call of it.
    Copy "copy", copy: u64, Bytes, 48 * MIB, 64 * KIB => 2 * GIB;
    /// Bytes of one payload that an actor sends.
    Payload "payload", payload: u64, Bytes, 16 * MIB, KIB => GIB;
    /// Bytes that wait to leave an actor over one link, and over its way to the broker.
    Queue "queue", queue: u64, Bytes, 32 * MIB, 64 * KIB => 64 * GIB;
    /// Streams of an actor that are open at once.
    Streams "streams", streams: usize, Count, 4096, 0 => 65_536;
    /// Children of an actor that are alive at once.
    Children "children", children: usize, Count, 64, 0 => 1024;
    /// How far below the root an actor may stand, which is at depth 0.
    Depth "depth", depth: usize, Count, 8, 0 => 64;
    /// Actors alive at once, of an actor and all below it.
    Actors "actors", actors: usize, Count, 512, 1 => 32_768;
    /// Children that an actor starts in a second, once it has started as many at once as it may have.
    SpawnRate "spawn-rate", spawn_rate: usize, Rate, 20, 1 => 100_000;
    /// Questions for other actors that are open at once, and pipes to others that were not taken.
    Finds "finds", finds: usize, Count, 64, 1 => 1024;
    /// Lines that an actor logs in a second.
    LogRate "log-rate", log_rate: usize, Rate, 1000, 1 => 1_000_000;
    /// Lines that an actor writes in a second, to standard output and to standard error.
    OutputRate "output-rate", output_rate: usize, Rate, 10_000, 1 => 1_000_000;
    /// Bytes of one line that an actor logs.
    LogLine "log-line", log_line: u64, Bytes, 8 * KIB, 64 => 64 * KIB;
    /// From the order to start an actor until it can be called.
    Spawn "spawn", spawn: Duration, Time, seconds(10), milliseconds(100) => seconds(600);
    /// From a call until it is acknowledged.
    Start "start", start: Duration, Time, seconds(10), milliseconds(100) => seconds(600);
    /// From a task's cancellation until its instance is stopped.
    Grace "grace", grace: Duration, Time, milliseconds(300), 0 => milliseconds(400);

    // Whoever cancels relies on these. They are longer than any grace, so that an actor with a
    // stubborn task still leaves gracefully.
    fixed:
    /// The first rung of the cancel ladder: from asking an actor to end until it is ordered.
    ask = 500;
    /// The second rung: from the order until SIGKILL.
    order = 400;
    /// The bound on the whole ladder of an actor whose descendants hold it up.
    ladder = 1500;
    /// From a pipe's end until its calls fail, so that the broker can say how the peer died.
    obituary = 60;
}

/// Why limits are not as asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// There is none of that name.
    #[error("there is no limit `{name}`{}", nearest.map_or(String::new(), |limit| format!("; did you mean `{}`?", limit.name())))]
    Unknown {
        /// The name.
        name: String,
        /// The one whose name is most like it.
        nearest: Option<Limit>,
    },
    /// It may not be that.
    #[error("limit `{}` may be from {} to {}, not {value}", limit.name(), limit.least(), limit.most())]
    OutOfRange {
        /// Which.
        limit: Limit,
        /// What it was to be.
        value: u64,
    },
    /// It is more than may be given.
    #[error("limit `{}` of {held} cannot be raised to {value}", limit.name())]
    Raised {
        /// Which.
        limit: Limit,
        /// What it was to be.
        value: u64,
        /// What it is.
        held: u64,
    },
}

impl Limit {
    /// The one of that name; `_` and `-` are the same.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.replace('_', "-");
        Self::ALL.iter().copied().find(|limit| limit.name() == name)
    }

    /// The one whose name is most like `name`, if any is.
    fn nearest(name: &str) -> Option<Self> {
        let likeness = |limit: &Self| strsim::jaro_winkler(limit.name(), name);
        let nearest = Self::ALL.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
        (likeness(&nearest) > 0.7).then_some(nearest)
    }
}

impl Limits {
    /// Sets a limit.
    ///
    /// # Errors
    /// When it may not be that.
    pub fn set(&mut self, limit: Limit, value: u64) -> Result<(), LimitError> {
        if !(limit.least()..=limit.most()).contains(&value) {
            return Err(LimitError::OutOfRange { limit, value });
        }
        self.put(limit, value);
        Ok(())
    }

    /// These with some of them lowered, as for a child.
    ///
    /// # Errors
    /// When one would be raised, or is not what a limit may be.
    pub fn lowered(&self, wanted: &[(String, u64)]) -> Result<Self, LimitError> {
        let mut lowered = self.clone();
        for (name, value) in wanted {
            let (value, unknown) =
                (*value, || LimitError::Unknown { name: name.clone(), nearest: Limit::nearest(name) });
            let limit = Limit::named(name).ok_or_else(unknown)?;
            let held = self.get(limit);
            if value > held {
                return Err(LimitError::Raised { limit, value, held });
            }
            lowered.set(limit, value)?;
        }
        Ok(lowered)
    }

    /// The highest there may be.
    #[must_use]
    pub fn most() -> Self {
        let mut most = Self::default();
        Limit::ALL.iter().for_each(|limit| most.put(*limit, limit.most()));
        most
    }

    /// Those of a program that runs no guests: what it sends is its own affair.
    #[must_use]
    pub fn trusted(self) -> Self {
        Self {
            payload: Limit::Payload.most(),
            queue: Limit::Queue.most(),
            streams: usize::of(Limit::Streams.most()),
            ..self
        }
    }

    /// A text that is at most as long as a line may be.
    pub fn shortened(&self, mut text: String) -> String {
        let most = usize::try_from(self.log_line).unwrap_or(usize::MAX);
        if text.len() > most {
            text.truncate(text.floor_char_boundary(most.saturating_sub(SHORTENED.len())));
            text.push_str(SHORTENED);
        }
        text
    }

    /// The line that stands for those that were too many.
    pub fn dropped(&self, count: u64) -> LogLine {
        let (lines, rate) = (if count == 1 { "line" } else { "lines" }, self.log_rate);
        LogLine {
            level: LogLevel::Warn,
            target: "greenroom".to_owned(),
            message: format!("{count} {lines} dropped: limit `{}` of {rate} reached", Limit::LogRate.name()),
            task: None,
        }
    }

    /// How long a call may take; none if for ever.
    pub fn wall_bound(&self) -> Option<Duration> {
        Some(self.wall).filter(|wall| wall.number() < NEVER)
    }

    /// What the process of an actor may have in data, stacks and heap: the memory of its guests,
    /// what is on its way in and out, and what the host itself needs.
    pub fn data_bytes(&self) -> u64 {
        let instances = (self.instances as u64).saturating_mul(INSTANCE_BYTES);
        [self.memory, self.copy, self.payload, self.payload, self.queue, instances]
            .into_iter()
            .fold(HOST_BYTES, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_the_bounds() {
        let defaults = Limits::default();
        for limit in Limit::ALL {
            assert!((limit.least()..=limit.most()).contains(&defaults.get(*limit)), "{limit:?}");
            assert_eq!(defaults.get(*limit), limit.default(), "{limit:?}");
            assert!(limit.doc().ends_with('.'), "{limit:?}");
        }
    }

    #[test]
    fn each_limit_has_a_name_of_its_own_and_a_field_of_its_own() {
        for (place, limit) in Limit::ALL.iter().enumerate() {
            assert_eq!(Limit::named(limit.name()), Some(*limit));
            assert_eq!(Limit::named(&limit.name().replace('-', "_")), Some(*limit));
            let mut limits = Limits::default();
            limits.set(*limit, limit.least()).expect("the least will do");
            assert_eq!(limits.get(*limit), limit.least());
            for other in &Limit::ALL[place + 1..] {
                assert_ne!(other.name(), limit.name());
                assert_eq!(limits.get(*other), other.default(), "{limit:?} is {other:?}");
            }
        }
        assert_eq!(Limit::named("Memory"), None);
    }

    #[test]
    fn limits_are_only_ever_lowered() {
        let parent = Limits { tasks: 10, ..Limits::default() };
        let wanted = |name: &str, value| vec![(name.to_owned(), value)];
        for (name, value, lowered) in [
            ("tasks", 10, Ok(10)),
            ("tasks", 1, Ok(1)),
            ("tasks", 11, Err("limit `tasks` of 10 cannot be raised to 11")),
            ("tasks", 0, Err("limit `tasks` may be from 1 to 65536, not 0")),
            ("taks", 1, Err("there is no limit `taks`; did you mean `tasks`?")),
            ("xyzzy", 1, Err("there is no limit `xyzzy`")),
        ] {
            let given = parent.lowered(&wanted(name, value)).map(|limits| limits.get(Limit::Tasks));
            assert_eq!(given.map_err(|error| error.to_string()), lowered.map_err(str::to_owned));
        }
        assert_eq!(parent.lowered(&[]), Ok(parent.clone()));
    }

    #[test]
    fn a_task_that_will_not_end_is_given_up_before_its_actor_is_ordered_to_exit() {
        assert!(Duration::from_nanos(Limit::Grace.most()) < Limits::default().ask);
    }

    #[test]
    fn a_line_that_is_too_long_says_so() {
        let limits = Limits { log_line: 64, ..Limits::default() };
        for text in ["x".repeat(64), "ä".repeat(32)] {
            assert_eq!(limits.shortened(text.clone()), text);
        }
        for text in ["x".repeat(65), "ä".repeat(1000)] {
            let short = limits.shortened(text);
            assert!(short.len() <= 64 && short.ends_with("(shortened)"), "{short}");
        }
        assert_eq!(limits.dropped(1).message, "1 line dropped: limit `log-rate` of 1000 reached");
    }

    #[test]
    fn for_ever_is_no_bound() {
        assert_eq!(Limits::default().wall_bound(), None);
        let hour = Duration::from_secs(3600);
        assert_eq!(Limits { wall: hour, ..Limits::default() }.wall_bound(), Some(hour));
    }

    #[test]
    fn a_process_has_room_for_what_its_guests_may_have() {
        let most = Limit::ALL.iter().fold(Limits::default(), |mut limits, limit| {
            limits.set(*limit, limit.most()).expect("the most will do");
            limits
        });
        for limits in [Limits::default(), most] {
            assert!(limits.data_bytes() > limits.memory + limits.payload + limits.queue);
        }
    }
}
