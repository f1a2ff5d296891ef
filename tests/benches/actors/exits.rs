//! How actors left, as the broker traces it.
//!
//! Owns: listening to the trace. Must not know: which actors there were. Invariant: an exit that
//! is not a graceful one is kept in words.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Where the broker says how an actor left, and the message that goes with it.
const TARGET: &str = "greenroom_broker::broker";
const GONE: &str = "gone";

/// The exits since the last look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exits(Arc<Mutex<Vec<Left>>>);

/// One actor's end.
#[derive(Debug, Default)]
pub(crate) struct Left {
    message: String,
    exit: String,
    rung: String,
    all: String,
}

impl Left {
    /// Whether it left by itself after it was asked to, neither ordered nor killed.
    pub(crate) fn is_graceful(&self) -> bool {
        self.exit == "exit status 0" && self.rung == "Asked"
    }

    /// All that the broker said.
    pub(crate) fn words(&self) -> &str {
        &self.all
    }
}

/// Listens from now on, in the whole process.
pub(crate) fn record() -> Exits {
    let exits = Exits::default();
    // If somebody listens already, nothing is recorded, which shows as too few exits.
    let _ = tracing::subscriber::set_global_default(Listener(exits.clone()));
    exits
}

impl Exits {
    /// The exits since the last call.
    pub(crate) fn take(&self) -> Vec<Left> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Listener(Exits);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == TARGET
    }

    fn event(&self, event: &Event<'_>) {
        let mut left = Left::default();
        event.record(&mut left);
        if left.message == GONE {
            self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(left);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Visit for Left {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        // Writing to a string cannot fail.
        let _ = write!(self.all, "{field}={value} ");
        match field.name() {
            "message" => self.message = value,
            "exit" => self.exit = value,
            "rung" => self.rung = value,
            _ => {}
        }
    }
}
