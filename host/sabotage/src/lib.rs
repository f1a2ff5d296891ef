//! Which protections are switched off, in builds that are made to test their tests.
//!
//! Owns: the list of protections, and the variable that names those that are off. Must not know:
//! what any of them does. Invariant: without the feature `sabotage`, which no build that is handed
//! to anybody has, nothing can be switched off, and what asks compiles to nothing.
//!
//! A test of a protection is worth something only if it fails where the protection is missing.
//! `cargo xtask sabotage` switches each one off in turn and requires just that.

/// The variable that names what is off, separated by commas.
pub const VARIABLE: &str = "GREENROOM_SABOTAGE";

macro_rules! protections {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal;)*) => {
        /// What can be switched off, one at a time.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Protection {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Protection {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// What it is called in [`VARIABLE`].
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

protections! {
    /// Compiled code is used only if this host has sealed it.
    CacheSeal = "cache-seal";
    /// The broker takes no more lines of an actor than that in a second.
    BrokerLogRate = "broker-log-rate";
    /// An actor has room for no more than so many children.
    Children = "children";
    /// The wall clock is read only by who may.
    Clock = "clock";
    /// A child may write only where its parent may.
    Folders = "folders";
    /// Connections are made only to hosts that were granted.
    Network = "network";
    /// Random numbers are for who may have them.
    Random = "random";
    /// A child's rights are a subset of its parent's.
    Rights = "rights";
    /// Actors are started only by who may.
    Spawn = "spawn";
    /// The host copies no more from a guest at once than that.
    Copy = "copy";
    /// A call uses no more processor time than that.
    Cpu = "cpu";
    /// The tables of an actor hold no more than that.
    Elements = "elements";
    /// Writes of nothing are dropped.
    EmptyWrites = "empty-writes";
    /// A thread ends the turns of guests.
    Epochs = "epochs";
    /// An actor has room for no more than so many instances.
    Instances = "instances";
    /// No more waits to be sent over a link than that.
    LinkQueue = "link-queue";
    /// The limits of a child are at most its parent's.
    LowerLimits = "lower-limits";
    /// A line of the log is no longer than that.
    LogLine = "log-line";
    /// An actor logs no more lines than that in a second.
    LogRate = "log-rate";
    /// The instances of an actor have no more memory than that.
    Memory = "memory";
    /// An actor sends no larger payload than that.
    Payload = "payload";
    /// No more waits to be sent to the broker than that.
    Queue = "queue";
    /// An actor writes no more lines than that in a second.
    OutputRate = "output-rate";
    /// An instance holds no more resources than that.
    Resources = "resources";
    /// An actor starts children no faster than that.
    SpawnRate = "spawn-rate";
    /// What an actor has asked is not read on while it takes no answers.
    Backlog = "backlog";
    /// An actor that says what no honest one does is killed by the broker.
    Conduct = "conduct";
    /// An actor without a control channel is killed.
    HungUp = "hung-up";
    /// A child that breaks the protocol on its portal is ended by whoever started it.
    Liars = "liars";
    /// A compiler that takes too long is ended.
    CompileTime = "compile-time";
    /// A compiler is walled in.
    CompileWalls = "compile-walls";
    /// An actor has no more streams open than that.
    Streams = "streams";
    /// What actors say cannot command a terminal.
    TerminalEscapes = "terminal-escapes";
    /// An actor has room for no more than so many tasks.
    Tasks = "tasks";
    /// An actor reaches no file, port or process but those it was granted.
    WallLandlock = "wall-landlock";
    /// Nothing that an actor executes gains privileges.
    WallNoNewPrivs = "wall-no-new-privs";
    /// The kernel bounds an actor's memory and descriptors.
    WallRlimits = "wall-rlimits";
    /// An actor makes no system call but those it needs.
    WallSeccomp = "wall-seccomp";
    /// A call takes no longer than that.
    Wall = "wall";
    /// The process of a guest whose turn does not end is given up.
    Watchdog = "watchdog";
}

/// What a process must be started with so that the same is off in it.
pub fn environment() -> Option<(&'static str, String)> {
    let named = std::env::var(VARIABLE).ok().filter(|_| cfg!(feature = "sabotage"))?;
    Some((VARIABLE, named))
}

impl Protection {
    /// Whether it is switched off.
    #[cfg(not(feature = "sabotage"))]
    #[inline(always)]
    pub const fn is_off(self) -> bool {
        false
    }

    /// Whether it is switched off.
    #[cfg(feature = "sabotage")]
    pub fn is_off(self) -> bool {
        use std::sync::OnceLock;
        static OFF: OnceLock<Vec<Protection>> = OnceLock::new();
        let off = OFF.get_or_init(|| {
            let named = std::env::var(VARIABLE).unwrap_or_default();
            let find = |name: &str| Self::ALL.iter().copied().find(|known| known.name() == name);
            named.split(',').filter_map(find).collect()
        });
        off.contains(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_told_apart() {
        for (place, one) in Protection::ALL.iter().enumerate() {
            assert!(Protection::ALL[place + 1..].iter().all(|other| other.name() != one.name()), "{one:?}");
            assert!(one.name().chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{one:?}");
        }
    }
}
