//! One number with all that belongs to it.
//!
//! Owns: percentiles, units and limits. Must not know: how the number was taken or is shown.
//! Invariant: every figure says of how many samples it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Figures that belong together.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) figures: Vec<Figure>,
}

impl Section {
    pub(crate) fn new(title: &str, figures: impl IntoIterator<Item = Figure>) -> Self {
        Self { title: title.to_owned(), figures: figures.into_iter().collect() }
    }
}

/// One measured number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// How `value` follows from the samples.
    pub(crate) statistic: String,
    /// The number itself.
    pub(crate) value: f64,
    /// The 99th percentile, of times.
    pub(crate) p99: Option<f64>,
    /// The 99.9th percentile, of times with samples enough for one.
    pub(crate) p999: Option<f64>,
    /// The unit of all of them.
    pub(crate) unit: String,
    /// How many samples they are of.
    pub(crate) samples: usize,
    /// What `value` may be at most.
    pub(crate) limit: Option<f64>,
    /// What it shall get to one day; nothing fails for it.
    pub(crate) aim: Option<Aim>,
    /// The least and the most of several runs.
    pub(crate) spread: Option<(f64, f64)>,
}

/// What a number shall get to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Aim {
    Most(f64),
    Least(f64),
}

impl Figure {
    /// A number without percentiles.
    pub(crate) fn plain(
        what: impl Into<String>,
        statistic: &str,
        value: f64,
        unit: &str,
        samples: usize,
    ) -> Self {
        Self {
            what: what.into(),
            statistic: statistic.to_owned(),
            value,
            p99: None,
            p999: None,
            unit: unit.to_owned(),
            samples,
            limit: None,
            aim: None,
            spread: None,
        }
    }

    /// What the number shall be at most one day.
    pub(crate) fn aims_at_most(self, most: f64) -> Self {
        Self { aim: Some(Aim::Most(most)), ..self }
    }

    /// What the number shall be at least one day.
    pub(crate) fn aims_at_least(self, least: f64) -> Self {
        Self { aim: Some(Aim::Least(least)), ..self }
    }

    /// The median of the same figure of several runs.
    pub(crate) fn of_runs(runs: &[Self]) -> Option<Self> {
        let middle = |of: fn(&Self) -> Option<f64>| {
            let mut values: Vec<f64> = runs.iter().filter_map(of).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        let values = || runs.iter().map(|figure| figure.value);
        Some(Self {
            value: middle(|figure| Some(figure.value))?,
            p99: middle(|figure| figure.p99),
            p999: middle(|figure| figure.p999),
            samples: runs.iter().map(|figure| figure.samples).sum(),
            spread: (runs.len() > 1).then(|| {
                (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
            }),
            ..runs.first()?.clone()
        })
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

    /// The limit, and whether it is kept.
    pub(crate) fn verdict(&self) -> String {
        let limit = self.limit.map_or_else(String::new, |limit| format!("≤ {limit}"));
        if self.is_kept() { limit } else { format!("{limit}, NOT KEPT") }
    }

    /// The aim, and whether it is met.
    pub(crate) fn shown_aim(&self) -> String {
        let (shown, is_met) = match self.aim {
            None => return String::new(),
            Some(Aim::Most(most)) => (format!("≤ {most}"), self.value <= most),
            Some(Aim::Least(least)) => (format!("≥ {least}"), self.value >= least),
        };
        if is_met { format!("{shown}, met") } else { shown }
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

    pub(crate) fn samples(&self) -> &[u64] {
        &self.0
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
    pub(crate) fn figure_in(&self, unit: &str, each: f64, what: impl Into<String>) -> Figure {
        Figure::plain(what, "mean", self.per_second() * each, unit, self.count)
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }
}
