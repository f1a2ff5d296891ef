//! A report for a terminal.
//!
//! Owns: columns of text. Must not know: files.

use crate::figure::{Figure, number};
use crate::peers::COLUMNS;
use crate::report::Report;

const HEAD: [&str; 8] = ["what", "value", "p99", "p99.9", "unit", "samples", "limit", "aim"];

pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    for section in &report.sections {
        text.push_str(&format!("\n{}\n\n", section.title));
        let rows = [HEAD.map(str::to_owned)].into_iter().chain(section.figures.iter().map(row));
        text.push_str(&table(&rows.map(Vec::from).collect::<Vec<_>>()));
    }
    if !report.peers.is_empty() {
        let head = ["peer"].into_iter().chain(COLUMNS.iter().map(|(key, _)| *key)).map(str::to_owned);
        let rows = report.peers.iter().map(|peer| {
            let cell = |(key, _): &(&str, &str)| {
                peer.values.get(*key).map_or_else(|| "–".to_owned(), |(value, ..)| number(*value))
            };
            [peer.name.clone()].into_iter().chain(COLUMNS.iter().map(cell)).collect()
        });
        text.push_str("\nPeers\n\n");
        text.push_str(&table(&[head.collect()].into_iter().chain(rows).collect::<Vec<_>>()));
        for peer in &report.peers {
            if let Some(absent) = &peer.absent {
                text.push_str(&format!("{}: {absent}\n", peer.name));
            }
        }
    }
    for (name, value) in &report.machine {
        text.push_str(&format!("\n{name}: {value}"));
    }
    text.push('\n');
    text
}

fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The value is the median unless the first column says otherwise.
pub(super) fn row(figure: &Figure) -> [String; 8] {
    let optional = |value: Option<f64>| value.map_or_else(String::new, number);
    let mut value = number(figure.value);
    if let Some((least, most)) = figure.spread {
        value.push_str(&format!(" ({}…{})", number(least), number(most)));
    }
    if figure.statistic == "mean" {
        value.push_str(" (mean)");
    }
    [
        figure.what.clone(),
        value,
        optional(figure.p99),
        optional(figure.p999),
        figure.unit.clone(),
        figure.samples.to_string(),
        figure.verdict(),
        figure.shown_aim(),
    ]
}
