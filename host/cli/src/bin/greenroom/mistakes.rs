//! Mistakes in a text, each at its place.
//!
//! Owns: collecting them, and showing each with file, line, column and the line itself. Must not
//! know: what the text means. Invariant: several mistakes are shown at once, in the order of the text.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::error::CliError;

/// Where something stands in a text, in bytes.
pub(crate) type Place = Range<usize>;

/// A text that somebody wrote.
#[derive(Debug)]
pub(crate) struct Source {
    /// The file, as it is to be named.
    pub(crate) path: PathBuf,
    /// What is in it.
    pub(crate) text: String,
}

/// Whether a mistake keeps the text from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gravity {
    Error,
    Warning,
}

/// One mistake.
#[derive(Clone, Debug)]
pub(crate) struct Mistake {
    gravity: Gravity,
    place: Place,
    message: String,
    label: String,
    help: Option<String>,
}

impl Mistake {
    /// One that keeps the text from being used.
    pub(crate) fn error(place: Place, message: impl Into<String>) -> Self {
        Self { gravity: Gravity::Error, place, message: message.into(), label: String::new(), help: None }
    }

    /// One that does not.
    pub(crate) fn warning(place: Place, message: impl Into<String>) -> Self {
        Self { gravity: Gravity::Warning, ..Self::error(place, message) }
    }

    /// Adds what is said right at the place.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds what to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn render(&self, source: &Source) -> String {
        let level = match self.gravity {
            Gravity::Error => Level::ERROR,
            Gravity::Warning => Level::WARNING,
        };
        let end = source.text.len();
        let place = self.place.start.min(end)..self.place.end.min(end).max(self.place.start.min(end));
        let mut annotation = AnnotationKind::Primary.span(place);
        if !self.label.is_empty() {
            annotation = annotation.label(&self.label);
        }
        let snippet =
            Snippet::source(&source.text).path(source.path.to_string_lossy()).annotation(annotation);
        let mut group = level.primary_title(&self.message).element(snippet);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        Renderer::styled().render(&[group])
    }
}

/// The mistakes of one text.
#[derive(Clone, Debug)]
pub(crate) struct Mistakes {
    source: Arc<Source>,
    found: Vec<Mistake>,
}

impl Mistakes {
    /// None so far.
    pub(crate) fn none(source: Arc<Source>) -> Self {
        Self { source, found: Vec::new() }
    }

    pub(crate) fn add(&mut self, mistake: Mistake) {
        self.found.push(mistake);
    }

    /// How many of them keep the text from being used.
    pub(crate) fn errors(&self) -> usize {
        self.found.iter().filter(|mistake| mistake.gravity == Gravity::Error).count()
    }

    /// All of them, styled, in the order of the text; empty if there are none.
    pub(crate) fn render(&self) -> String {
        let mut found: Vec<&Mistake> = self.found.iter().collect();
        found.sort_by_key(|mistake| (mistake.place.start, mistake.place.end));
        let shown: Vec<String> = found.iter().map(|mistake| mistake.render(&self.source)).collect();
        shown.join("\n\n")
    }

    /// That nothing keeps the text from being used.
    ///
    /// # Errors
    /// All mistakes, with status 2.
    pub(crate) fn settle(self) -> Result<(), CliError> {
        if self.errors() == 0 { Ok(()) } else { Err(CliError::report_of(2, self.render())) }
    }
}
