//! How a nursery restarts its children.
//!
//! Owns: the builders. Must not know: how a child is restarted, which is the host's to do.

use std::time::Duration;

use crate::bindings::greenroom::portal::nursery;
use crate::time::nanoseconds;

/// Whether a supervised child is started again when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// When it failed.
    Transient,
    /// Never. Its failure concerns nobody else.
    Temporary,
}

/// Which children are started again when one is, how often, and after which pause.
///
/// By default 3 restarts within 5 seconds are allowed, the first after 10 milliseconds and
/// the later ones after up to 1 second. Past what is allowed the nursery fails with
/// `RestartIntensityExceeded`, which holds the failures that led there.
///
/// ```
/// # use std::time::Duration;
/// # use greenroom_guest::Supervision;
/// let supervision = Supervision::one_for_one()
///     .intensity(3, Duration::from_secs(5))
///     .backoff(Duration::from_millis(50), Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supervision {
    strategy: Strategy,
    restarts: u32,
    within: Duration,
    pause: Duration,
    longest_pause: Duration,
}

/// Which children are started again when one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    OneForOne,
    RestForOne,
    OneForAll,
}

impl Supervision {
    /// Restarts the child that ended.
    #[must_use]
    pub const fn one_for_one() -> Self {
        Self::new(Strategy::OneForOne)
    }

    /// Restarts the child that ended, and those started after it, which are ended first.
    #[must_use]
    pub const fn rest_for_one() -> Self {
        Self::new(Strategy::RestForOne)
    }

    /// Restarts all children, which are ended first.
    #[must_use]
    pub const fn one_for_all() -> Self {
        Self::new(Strategy::OneForAll)
    }

    const fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            restarts: 3,
            within: Duration::from_secs(5),
            pause: Duration::from_millis(10),
            longest_pause: Duration::from_secs(1),
        }
    }

    /// How many restarts are allowed within a time.
    #[must_use]
    pub const fn intensity(self, restarts: u32, within: Duration) -> Self {
        Self { restarts, within, ..self }
    }

    /// The pause before a restart; it doubles with every further one, up to the longest.
    #[must_use]
    pub const fn backoff(self, pause: Duration, longest: Duration) -> Self {
        Self { pause, longest_pause: longest, ..self }
    }
}

impl From<Restart> for nursery::Restart {
    fn from(restart: Restart) -> Self {
        match restart {
            Restart::Permanent => Self::Permanent,
            Restart::Transient => Self::Transient,
            Restart::Temporary => Self::Temporary,
        }
    }
}

impl From<Supervision> for nursery::Supervision {
    fn from(supervision: Supervision) -> Self {
        Self {
            strategy: match supervision.strategy {
                Strategy::OneForOne => nursery::Strategy::OneForOne,
                Strategy::RestForOne => nursery::Strategy::RestForOne,
                Strategy::OneForAll => nursery::Strategy::OneForAll,
            },
            intensity: supervision.restarts,
            within: nanoseconds(supervision.within),
            backoff: nanoseconds(supervision.pause),
            max_backoff: nanoseconds(supervision.longest_pause),
        }
    }
}
