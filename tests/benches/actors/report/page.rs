//! The page `docs/performance.md`.
//!
//! Owns: filling its template. Must not know: how a chart is drawn. Invariant: every number on the page
//! is of the report.

use crate::figure::{Section, number};
use crate::peers::{COLUMNS, Standing};
use crate::report::Report;
use crate::report::text::row;

/// The page, with places for what is measured.
const PAGE: &str = include_str!("performance.md");

/// The columns of peers that stand in a table of their own, by their keys, and what a cell holds.
const PEERS: [(&str, &[&str]); 9] = [
    ("one core, µs", &["call-one", "call-one-p99"]),
    ("× tokio", &["call-one-ratio"]),
    ("two cores, µs", &["call-two", "call-two-p99"]),
    ("not pinned, µs", &["call-free", "call-free-p99"]),
    ("64 in flight, k/s", &["flight"]),
    ("1 MiB echo, MiB/s", &["echo"]),
    ("16 B messages, k/s", &["stream"]),
    ("start, ms", &["spawn"]),
    ("private, MiB", &["memory"]),
];

pub(super) fn page(report: &Report) -> String {
    let facts: String = report.machine.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect();
    let runs = match report.runs {
        0 | 1 => "one run".to_owned(),
        runs => format!("the median of {runs} runs, the least and the most in brackets"),
    };
    let sections: Vec<String> = report.sections.iter().map(section).collect();
    PAGE.replace("{machine}\n", &facts)
        .replace("{runs}", &runs)
        .replace("{sections}\n", &sections.join("\n"))
        .replace("{peers}\n", &peers(&report.peers))
}

fn section(section: &Section) -> String {
    let mut text =
        format!("### {}\n\n| what | value | p99 | p99.9 | unit | samples | limit | aim |\n", section.title);
    text.push_str("|---|--:|--:|--:|---|--:|---|---|\n");
    for figure in &section.figures {
        text.push_str(&format!("| {} |\n", row(figure).join(" | ")));
    }
    text
}

fn peers(peers: &[Standing]) -> String {
    if peers.is_empty() {
        return "They were left out of this run.\n".to_owned();
    }
    let heads: Vec<&str> = PEERS.iter().map(|(head, _)| *head).collect();
    let mut text = format!("| who | {} |\n|---|{}\n", heads.join(" | "), "--:|".repeat(heads.len()));
    for peer in peers.iter().filter(|peer| !peer.values.is_empty()) {
        let cells = PEERS.iter().map(|(_, keys)| {
            let values =
                keys.iter().filter_map(|key| peer.values.get(*key)).map(|(value, ..)| number(*value));
            match values.collect::<Vec<_>>().join(" / ") {
                none if none.is_empty() => "–".to_owned(),
                cell => cell,
            }
        });
        let cells: Vec<String> = cells.collect();
        text.push_str(&format!("| {} | {} |\n", peer.name, cells.join(" | ")));
    }
    text.push('\n');
    for peer in peers {
        let version = peer.version.as_deref().unwrap_or("absent");
        let absent = peer.absent.as_ref().map_or_else(String::new, |reason| format!("; {reason}"));
        text.push_str(&format!("- {}: {version}, {}{absent}\n", peer.name, peer.between));
    }
    debug_assert!(
        PEERS.iter().flat_map(|(_, keys)| *keys).all(|key| COLUMNS.iter().any(|(known, _)| known == key))
    );
    text
}
