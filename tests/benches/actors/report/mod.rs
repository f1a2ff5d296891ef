//! All that was measured, as text, as JSON, and as the page in `docs`.
//!
//! Owns: what a report holds, and bringing several runs together. Must not know: what the figures mean.
//! Invariant: whatever is shown is in the JSON, and can be shown again from it.

mod chart;
mod page;
mod text;

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::figure::{Figure, Section};
use crate::growth::Curve;
use crate::peers::Standing;

/// All that came of one run, or of several.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// What the machine is, as name and value.
    pub(crate) machine: Vec<(String, String)>,
    pub(crate) runs: usize,
    pub(crate) sections: Vec<Section>,
    pub(crate) curves: Vec<Curve>,
    pub(crate) peers: Vec<Standing>,
}

impl Report {
    /// The medians of several runs. The peers are those of the last one, being medians themselves.
    pub(crate) fn of_runs(mut runs: Vec<Self>) -> Option<Self> {
        if runs.len() < 2 {
            return runs.pop();
        }
        let alike = |place: usize| -> Vec<&Section> {
            runs.iter().filter_map(|run| run.sections.get(place)).collect()
        };
        let sections = runs.first()?.sections.iter().enumerate().map(|(place, section)| {
            let alike = alike(place);
            let figures = section.figures.iter().filter_map(|figure| {
                let same = |section: &&Section| {
                    section.figures.iter().find(|other| other.what == figure.what).cloned()
                };
                Figure::of_runs(&alike.iter().filter_map(same).collect::<Vec<_>>())
            });
            Section::new(&section.title, figures)
        });
        let sections = sections.collect();
        let curves = (0..runs.first()?.curves.len()).filter_map(|place| {
            let same: Vec<Curve> = runs.iter().filter_map(|run| run.curves.get(place)).cloned().collect();
            Curve::of_runs(&same)
        });
        let curves = curves.collect();
        let count = runs.len();
        Some(Self { sections, curves, runs: count, ..runs.pop()? })
    }

    /// All figures, in their order.
    pub(crate) fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.sections.iter().flat_map(|section| &section.figures)
    }

    /// What an earlier run has written.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        Ok(serde_json::from_str(&fs::read_to_string(file)?)?)
    }

    /// For programs.
    pub(crate) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// Writes it for programs.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        Ok(fs::write(file, self.json()? + "\n")?)
    }

    /// A table for a terminal.
    pub(crate) fn text(&self) -> String {
        text::text(self)
    }

    /// Writes the page and its charts to a folder.
    pub(crate) fn write_page(&self, folder: &Path) -> Result<()> {
        fs::write(folder.join("performance.md"), page::page(self))?;
        fs::write(folder.join("performance-calls.svg"), chart::calls(&self.peers))?;
        fs::write(folder.join("performance-growth.svg"), chart::growth(&self.curves))?;
        Ok(())
    }
}
