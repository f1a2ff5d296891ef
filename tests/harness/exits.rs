//! How actors left, as the broker traces it.
//!
//! Owns: listening to the trace of a broker in this process. Must not know: which actors there
//! were. Invariant: an exit that is not a graceful one is kept in words.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Where the broker says how an actor left, and the message that goes with it.
const TARGET: &str = "greenroom_broker::broker";
const GONE: &str = "gone";

/// What it says of one that has lied to it.
const CAUGHT: &str = "broke the control protocol; killed";

/// The exits since the last look, in their order, and those who were caught lying.
#[derive(Clone, Debug, Default)]
pub struct Exits(Arc<Mutex<Vec<Left>>>, Arc<Mutex<Vec<Left>>>);

/// One actor's end: its process has been collected.
#[derive(Clone, Debug)]
pub struct Left {
    at: Instant,
    message: String,
    actor: String,
    exit: String,
    rung: String,
    all: String,
}

impl Left {
    /// Whether it left by itself after it was asked to, neither ordered nor killed.
    pub fn is_graceful(&self) -> bool {
        self.exit == "exit status 0" && self.rung == "Asked"
    }

    /// Its name.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// When it was gone.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// All that the broker said.
    pub fn words(&self) -> &str {
        &self.all
    }
}

impl Exits {
    /// Listens from now on, in the whole process.
    pub fn record() -> Self {
        let exits = Self::default();
        // If somebody listens already, nothing is recorded, which shows as too few exits.
        let _ = tracing::subscriber::set_global_default(Listener(exits.clone()));
        exits
    }

    /// The exits since the last call.
    pub fn take(&self) -> Vec<Left> {
        std::mem::take(&mut *self.lock())
    }

    /// How many there are to take.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Those whom the broker has caught lying, since the last call.
    pub fn take_caught(&self) -> Vec<Left> {
        std::mem::take(&mut *self.1.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Left>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Listener(Exits);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == TARGET
    }

    fn event(&self, event: &Event<'_>) {
        let empty = String::new;
        let (message, actor, exit, rung, all) = (empty(), empty(), empty(), empty(), empty());
        let mut left = Left { at: Instant::now(), message, actor, exit, rung, all };
        event.record(&mut left);
        match left.message.as_str() {
            GONE => self.0.lock().push(left),
            CAUGHT => self.0.1.lock().unwrap_or_else(PoisonError::into_inner).push(left),
            _ => {}
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
            "actor" => self.actor = value,
            "exit" => self.exit = value,
            "rung" => self.rung = value,
            _ => {}
        }
    }
}
