//! One number with all that belongs to it.
//!
//! Owns: percentiles, units and limits. Must not know: how the number was taken or is shown.
//! Invariant: every figure says of how many samples it is.

use std::time::Duration;

/// One measured number.
#[derive(Debug)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// How `value` follows from the samples.
    pub(crate) statistic: &'static str,
    /// The number itself.
    pub(crate) value: f64,
    /// The 99th percentile, of times.
    pub(crate) p99: Option<f64>,
    /// The 99.9th percentile, of times with samples enough for one.
    pub(crate) p999: Option<f64>,
    /// The unit of all of them.
    pub(crate) unit: &'static str,
    /// How many samples they are of.
    pub(crate) samples: usize,
    /// What `value` may be at most.
    pub(crate) limit: Option<f64>,
}

impl Figure {
    /// A number without percentiles.
    pub(crate) fn plain(
        what: impl Into<String>,
        statistic: &'static str,
        value: f64,
        unit: &'static str,
        samples: usize,
    ) -> Self {
        Self { what: what.into(), statistic, value, p99: None, p999: None, unit, samples, limit: None }
    }

    /// What the number may be at most.
    pub(crate) fn at_most(self, limit: f64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Whether the limit is kept; a number that is none does not.
    pub(crate) fn is_kept(&self) -> bool {
        self.limit.is_none_or(|limit| self.value <= limit)
    }

    /// The value with its unit.
    pub(crate) fn shown(&self) -> String {
        format!("{} {}", number(self.value), self.unit)
    }

    /// The limit with its unit.
    pub(crate) fn shown_limit(&self) -> String {
        self.limit.map_or_else(String::new, |limit| format!("≤ {limit} {}", self.unit))
    }
}

/// Three digits that matter, and no more behind the point than are needed for them.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Times of the same thing, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<u64>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn extend(&mut self, nanoseconds: impl IntoIterator<Item = u64>) {
        self.0.extend(nanoseconds);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The p-th percentile in seconds, by nearest rank.
    pub(crate) fn percentile(&self, p: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (p / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(f64::NAN, |nanoseconds| *nanoseconds as f64 / 1e9)
    }

    /// The median and the upper percentiles for which there are samples enough.
    pub(crate) fn figure(&self, what: impl Into<String>, unit: Unit) -> Figure {
        let samples = self.0.len();
        let percentile = |p| self.percentile(p) * unit.per_second();
        Figure {
            p99: (samples >= 100).then(|| percentile(99.0)),
            p999: (samples >= 10_000).then(|| percentile(99.9)),
            ..Figure::plain(what, "p50", percentile(50.0), unit.name(), samples)
        }
    }
}

/// What times are shown in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Microseconds,
    Milliseconds,
}

impl Unit {
    fn per_second(self) -> f64 {
        match self {
            Self::Microseconds => 1e6,
            Self::Milliseconds => 1e3,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
        }
    }
}

/// How many in how long.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    count: usize,
    time: Duration,
}

impl Rate {
    pub(crate) fn add(&mut self, count: usize, time: Duration) {
        self.count += count;
        self.time += time;
    }

    /// In thousands.
    pub(crate) fn figure(&self, what: impl Into<String>) -> Figure {
        self.figure_in("k/s", 1e-3, what)
    }

    /// In another unit, of which each is so many.
    pub(crate) fn figure_in(&self, unit: &'static str, each: f64, what: impl Into<String>) -> Figure {
        let rate = self.count as f64 * each / self.time.as_secs_f64();
        Figure::plain(what, "mean", rate, unit, self.count)
    }
}
