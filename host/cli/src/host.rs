//! A broker in this process, and this process as the operator of its trees.
//!
//! Owns: starting and ending both. Must not know: terminals. Invariant: actors are started only
//! while the operator's loop runs.

use std::io;
use std::path::PathBuf;

use greenroom_broker::{Broker, Catalogue, ExecSpawner, Grant, Report, Settings, StartError};
use greenroom_runtime::{Actor, Identity, Idle, Nursery};
use greenroom_transport::channel_from_fd;
use greenroom_wire::control::Limits;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How many reports may wait to be shown before the actors that make them wait.
const REPORTS: usize = 1024;

/// What a host is made of.
#[derive(Debug)]
pub struct Setup {
    /// The tree's name, shown in the process list.
    pub tree: String,
    /// The components there are.
    pub catalogue: Catalogue,
    /// The bounds of every actor.
    pub limits: Limits,
    /// The folders that root actors may be granted.
    pub grants: Vec<Grant>,
    /// The log filter of actor processes, in `tracing`'s syntax.
    pub log: Option<String>,
    /// The `greenroom` program, which actor processes execute.
    pub program: PathBuf,
}

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The broker did not start.
    #[error(transparent)]
    Broker(#[from] StartError),
    /// The control channel cannot be used.
    #[error("cannot use the control channel: {0}")]
    Channel(#[from] io::Error),
}

/// A running broker with this process as its operator.
///
/// Dropping it kills what is left; [`Nursery::cancel`] on its nursery ends it gracefully.
#[derive(Debug)]
pub struct Host {
    nursery: Nursery,
    running: JoinHandle<()>,
    broker: Option<Broker>,
}

impl Host {
    /// Starts a broker. Reports must be taken, or the actors that make them wait.
    ///
    /// # Errors
    /// When the system refuses a thread or descriptors.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(setup: Setup) -> Result<(Self, mpsc::Receiver<Report>), HostError> {
        let (sender, reports) = mpsc::channel(REPORTS);
        let limits = setup.limits.clone();
        let (broker, control) = Broker::start(Settings {
            tree: setup.tree,
            catalogue: setup.catalogue,
            limits: setup.limits,
            grants: setup.grants,
            log: setup.log,
            spawner: Box::new(ExecSpawner { program: setup.program, arguments: vec!["actor".to_owned()] }),
            reports: sender,
        })?;
        let identity = Identity {
            id: broker.operator().clone(),
            path: Vec::new(),
            pid: std::process::id(),
            is_root: false,
        };
        let (actor, outbox) = Actor::new(identity, limits, Box::new(Idle));
        let channel = channel_from_fd(control)?;
        let nursery = Nursery::open(&actor);
        let running = tokio::spawn(async move {
            actor.run(channel, outbox).await;
        });
        Ok((Self { nursery, running, broker: Some(broker) }, reports))
    }

    /// The scope that owns the root actors.
    pub fn nursery(&self) -> &Nursery {
        &self.nursery
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.running.abort();
        drop(self.broker.take());
    }
}
