//! How costs grow with what there is of something.
//!
//! Owns: the curves, and the verdict that nothing grows faster than in proportion. Must not know: what
//! was measured. Invariant: a curve is of the cost of one, so that a cost in proportion is level.

use serde::{Deserialize, Serialize};

use crate::figure::Figure;

/// What the exponent of a cost may be: midway from one in proportion to the number, 1, to its square, 2.
/// What is between is for caches, which many processes have to share, and for what a machine does beside.
const MAX_EXPONENT: f64 = 1.5;

/// The cost of one by the number of all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Curve {
    pub(crate) what: String,
    /// What is on the horizontal axis.
    pub(crate) number_of: String,
    /// The unit of the cost.
    pub(crate) unit: String,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Curve {
    pub(crate) fn new(what: &str, number_of: &str, unit: &str, points: Vec<(f64, f64)>) -> Self {
        Self { what: what.to_owned(), number_of: number_of.to_owned(), unit: unit.to_owned(), points }
    }

    /// The power of the number that the cost of all grows with, over the larger half of the numbers on a
    /// logarithmic scale: few of something always cost more each than many.
    pub(crate) fn exponent(&self) -> f64 {
        let logs: Vec<(f64, f64)> = self.points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
        let (least, most) = logs
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), (x, _)| (least.min(*x), most.max(*x)));
        let large: Vec<_> = logs.iter().filter(|(x, _)| *x + 1.0 >= (least + most) / 2.0).collect();
        let count = large.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| large.iter().map(|point| of(point)).sum::<f64>() / count;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let with: f64 = large.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
        let alone: f64 = large.iter().map(|point| (point.0 - x).powi(2)).sum();
        1.0 + with / alone
    }

    /// Whether it is worse than in proportion.
    pub(crate) fn figure(&self) -> Figure {
        let what = format!("growth: {}, by {}", self.what, self.number_of);
        let samples = self.points.len();
        Figure::plain(what, "exponent", self.exponent(), "", samples).at_most(MAX_EXPONENT)
    }

    /// The median of the same curve of several runs.
    pub(crate) fn of_runs(runs: &[Self]) -> Option<Self> {
        let first = runs.first()?;
        let points = first.points.iter().enumerate().filter_map(|(place, (x, _))| {
            let mut costs: Vec<f64> =
                runs.iter().filter_map(|run| run.points.get(place)).map(|point| point.1).collect();
            costs.sort_by(f64::total_cmp);
            costs.get(costs.len() / 2).map(|cost| (*x, *cost))
        });
        Some(Self { points: points.collect(), ..first.clone() })
    }
}
