//! The types of `leaf.wit`, as a caller in Rust writes them.
//!
//! Owns: their form and an example of each. Must not know: who is called. Invariant: what serde
//! makes of them is what the contract's types are in CBOR.

use serde::{Deserialize, Serialize};

/// A point in the plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    x: f64,
    y: f64,
}

/// What there is to be drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shape {
    Nothing,
    Dot(Point),
    Circle((Point, f64)),
    Polygon(Vec<Point>),
}

/// A record in a record, with one of everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Drawing {
    name: String,
    number: i64,
    origin: Point,
    shapes: Vec<Shape>,
    note: Option<String>,
}

/// Why something cannot be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) message: String,
}

impl Shape {
    /// One of each case.
    pub(crate) fn examples() -> Vec<Self> {
        let origin = Point { x: 0.0, y: -0.5 };
        let corners = [(0.0, 0.0), (1.0, 0.0), (0.0, 1e300)].map(|(x, y)| Point { x, y });
        vec![
            Self::Nothing,
            Self::Dot(origin.clone()),
            Self::Circle((origin, 2.5)),
            Self::Polygon(corners.to_vec()),
        ]
    }
}

impl Drawing {
    /// One with all shapes.
    pub(crate) fn example() -> Self {
        Self {
            name: "größe \u{1f3a8}".to_owned(),
            number: i64::MIN,
            origin: Point { x: f64::MIN_POSITIVE, y: f64::MAX },
            shapes: Shape::examples(),
            note: Some(String::new()),
        }
    }
}
