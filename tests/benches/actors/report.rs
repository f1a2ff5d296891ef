//! The figures as text, as JSON, and as the page in `docs`.
//!
//! Owns: layout. Must not know: what the figures mean. Invariant: all three show the same figures.

use serde_json::{Value, json};

use crate::figure::{Figure, number};

/// The page, with places for what is measured.
const PAGE: &str = include_str!("performance.md");

const HEAD: [&str; 7] = ["what", "value", "p99", "p99.9", "unit", "samples", "limit"];

type Facts = [(&'static str, String)];

/// A table for a terminal.
pub(crate) fn text(machine: &Facts, figures: &[Figure]) -> String {
    let rows: Vec<[String; 7]> =
        [HEAD.map(str::to_owned)].into_iter().chain(figures.iter().map(row)).collect();
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 4 | 6 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    for (name, value) in machine {
        text.push_str(&format!("\n{name}: {value}"));
    }
    text.push('\n');
    text
}

/// The same for programs.
pub(crate) fn json(machine: &Facts, figures: &[Figure]) -> String {
    let machine: serde_json::Map<String, Value> =
        machine.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let figures: Vec<Value> = figures
        .iter()
        .map(|figure| {
            json!({
                "what": figure.what,
                "statistic": figure.statistic,
                "value": figure.value,
                "p99": figure.p99,
                "p999": figure.p999,
                "unit": figure.unit,
                "samples": figure.samples,
                "limit": figure.limit,
                "kept": figure.is_kept(),
            })
        })
        .collect();
    let report = json!({ "machine": machine, "figures": figures });
    format!("{report:#}")
}

/// The page `docs/performance.md`.
pub(crate) fn markdown(machine: &Facts, figures: &[Figure]) -> String {
    let mut table = format!("| {} |\n|---|--:|--:|--:|---|--:|---|\n", HEAD.join(" | "));
    for figure in figures {
        table.push_str(&format!("| {} |\n", row(figure).join(" | ")));
    }
    let facts: String = machine.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect();
    PAGE.replace("{machine}\n", &facts).replace("{table}\n", &table)
}

/// The value is the median unless the first column says otherwise.
fn row(figure: &Figure) -> [String; 7] {
    let optional = |value: Option<f64>| value.map_or_else(String::new, number);
    let limit = figure.limit.map_or_else(String::new, |limit| {
        format!("≤ {limit}{}", if figure.is_kept() { "" } else { ", NOT KEPT" })
    });
    let value = match figure.statistic {
        "mean" => format!("{} (mean)", number(figure.value)),
        _ => number(figure.value),
    };
    [
        figure.what.clone(),
        value,
        optional(figure.p99),
        optional(figure.p999),
        figure.unit.to_owned(),
        figure.samples.to_string(),
        limit,
    ]
}
