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
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// Below an actor there are no more than so many.
    Actors = "actors";
    /// What an entry of a manifest does not name of a module cannot be called.
    Allowlist = "allowlist";
    /// What an actor has asked is not read on while it takes no answers.
    Backlog = "backlog";
    /// The broker takes no longer lines of an actor than that.
    BrokerLogLine = "broker-log-line";
    /// The broker takes no more lines of an actor than that in a second.
    BrokerLogRate = "broker-log-rate";
    /// Compiled code is used only if this host has sealed it.
    CacheSeal = "cache-seal";
    /// An actor has room for no more than so many children.
    Children = "children";
    /// The wall clock is read only by who may.
    Clock = "clock";
    /// A compiler that takes too long is ended.
    CompileTime = "compile-time";
    /// A compiler is walled in.
    CompileWalls = "compile-walls";
    /// An actor that says what no honest one does is killed by the broker.
    Conduct = "conduct";
    /// An actor exits when its control channel ends.
    ControlEnd = "control-end";
    /// The host copies no more from a guest at once than that.
    Copy = "copy";
    /// A call uses no more processor time than that.
    Cpu = "cpu";
    /// A tree is no deeper than so many levels.
    Depth = "depth";
    /// What an actor has started ends with it.
    Descendants = "descendants";
    /// A task that does not end when cancelled loses its instance.
    Discard = "discard";
    /// The tables of an actor hold no more than that.
    Elements = "elements";
    /// Writes of nothing are dropped.
    EmptyWrites = "empty-writes";
    /// A clock ends the turns of guests.
    Epochs = "epochs";
    /// An actor has no more than so many questions open.
    Finds = "finds";
    /// A child may write only where its parent may.
    Folders = "folders";
    /// An actor without a control channel is killed.
    HungUp = "hung-up";
    /// An actor has room for no more than so many instances.
    Instances = "instances";
    /// An actor that does not end when asked is killed.
    Kill = "kill";
    /// A child that breaks the protocol on its portal is ended by whoever started it.
    Liars = "liars";
    /// No more waits to be sent over a link than that.
    LinkQueue = "link-queue";
    /// A line of the log is no longer than that.
    LogLine = "log-line";
    /// An actor logs no more lines than that in a second.
    LogRate = "log-rate";
    /// The limits of a child are at most its parent's.
    LowerLimits = "lower-limits";
    /// The instances of an actor have no more memory than that.
    Memory = "memory";
    /// Connections are made only to hosts that were granted.
    Network = "network";
    /// An actor writes no more lines than that in a second.
    OutputRate = "output-rate";
    /// An actor is ended by those who own it, and by nobody else.
    Owners = "owners";
    /// The kernel kills an actor whose broker is gone.
    ParentDeath = "parent-death";
    /// An actor sends no larger payload than that.
    Payload = "payload";
    /// No more waits to be sent to the broker than that.
    Queue = "queue";
    /// Random numbers are for who may have them.
    Random = "random";
    /// A registry that others may enter is not used.
    RegistryMode = "registry-mode";
    /// A registry of somebody else's is not used.
    RegistryOwner = "registry-owner";
    /// An instance holds no more resources than that.
    Resources = "resources";
    /// A child's rights are a subset of its parent's.
    Rights = "rights";
    /// Actors are started only by who may.
    Spawn = "spawn";
    /// An actor starts children no faster than that.
    SpawnRate = "spawn-rate";
    /// An actor that does not come up in time is given up.
    StartUp = "start-up";
    /// A station lets in no other users.
    StationPeers = "station-peers";
    /// An actor has no more streams open than that.
    Streams = "streams";
    /// An actor has room for no more than so many tasks.
    Tasks = "tasks";
    /// What actors say cannot command a terminal.
    TerminalEscapes = "terminal-escapes";
    /// A call takes no longer than that.
    Wall = "wall";
    /// An actor reaches no file, port or process but those it was granted.
    WallLandlock = "wall-landlock";
    /// Nothing that an actor executes gains privileges.
    WallNoNewPrivs = "wall-no-new-privs";
    /// The kernel bounds an actor's memory and descriptors.
    WallRlimits = "wall-rlimits";
    /// An actor makes no system call but those it needs.
    WallSeccomp = "wall-seccomp";
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
