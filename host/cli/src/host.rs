//! A broker in this process, and this process as the operator of its trees.
//!
//! Owns: starting and ending both, and bringing in programs from outside. Must not know: terminals.
//! Invariant: actors are started only while the operator's loop runs.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use greenroom_abi::RemoteError;
use greenroom_broker::{
    ACTOR, Broker, Catalogue, ExecSpawner, Grant, GrantError, Registry, RegistryError, Report, Settings,
    StartError, Without, ZygoteSpawner,
};
use greenroom_engine::LoadError;
use greenroom_runtime::{Actor, Identity, Idle, Nursery, Portal, Supervision};
use greenroom_transport::{Attachment, attach, channel_from_fd};
use greenroom_wire::control::{ActorEntry, Limits, Rights};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
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
    /// The walls that actors do not raise around themselves: none, unless this machine lacks one and
    /// what runs in the tree is trusted all the same.
    pub without: Without,
    /// A pipe that actors with the right to it read as standard input; none: it is closed. What one
    /// of them has read no other sees.
    pub stdin: Option<OwnedFd>,
    /// Where root actors, and those started with `publish`, are made known to other programs.
    /// None: nobody outside the tree finds any of it.
    pub registry: Option<Arc<dyn Registry>>,
    /// The log filter of actor processes, in `tracing`'s syntax.
    pub log: Option<String>,
    /// What actor processes execute: the `greenroom` program, or one that calls
    /// [`init`](crate::init()) first thing.
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
    /// This process has an open root.
    #[error(
        "this process has an open root already: start further actors in its nursery, or close it before \
         another is opened"
    )]
    AlreadyOpen,
    /// Nothing says what actor processes are to execute.
    #[error(
        "actors cannot execute this program: call `greenroom::init()` first thing in `main`, or name \
         another program in the options"
    )]
    NotInitialised,
    /// The tree cannot have this name.
    #[error("a tree is not called `{name}`: {rule}")]
    Name {
        /// The name.
        name: String,
        /// The rule that it breaks.
        rule: String,
    },
    /// Two components have one name.
    #[error("module `{0}` is given twice: which one actors are to be started with cannot be told")]
    ModuleTwice(String),
    /// There is no engine to compile components with.
    #[error("no engine: {0}")]
    Engine(String),
    /// A component cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The actors of this machine cannot be looked up, or made known.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A folder cannot be granted.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// What actors have failed with.
    #[error(transparent)]
    Actors(#[from] Box<RemoteError>),
}

/// A running broker with this process as its operator.
///
/// Dropping it kills what is left; [`Nursery::cancel`] on its nursery ends it gracefully.
#[derive(Debug)]
pub struct Host {
    operator: Actor,
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
        open_many();
        let limits = setup.limits.clone();
        let (broker, control) = Broker::start(Settings {
            tree: setup.tree,
            catalogue: setup.catalogue,
            limits: setup.limits,
            grants: setup.grants,
            without: setup.without,
            rights: Rights::all(),
            stdin: setup.stdin,
            log: setup.log,
            registry: setup.registry,
            spawner: Box::new(ZygoteSpawner::new(ExecSpawner {
                program: setup.program,
                arguments: vec![ACTOR.to_owned()],
            })),
            reports: sender,
        })?;
        let identity = Identity {
            id: broker.operator().clone(),
            path: Vec::new(),
            pid: std::process::id(),
            is_root: false,
            rights: Rights::all(),
        };
        let (actor, outbox) = Actor::new(identity, limits.trusted(), Box::new(Idle));
        let channel = channel_from_fd(control)?;
        let (operator, nursery) = (actor.clone(), Nursery::open(&actor));
        let running = tokio::spawn(async move {
            actor.run(channel, outbox).await;
        });
        Ok((Self { operator, nursery, running, broker: Some(broker) }, reports))
    }

    /// The scope that owns the root actors.
    pub fn nursery(&self) -> &Nursery {
        &self.nursery
    }

    /// Another scope that owns root actors, and starts them again when they end. It is its holder's
    /// to close; what is left of it dies with the host.
    pub fn open_supervised(&self, supervision: Supervision) -> Nursery {
        Nursery::open_supervised(&self.operator, supervision)
    }

    /// A portal to the actor of that name: of several, to one of this tree before one of another
    /// program, and of those to the one that could be called first. None if there is none, or it is
    /// being ended. Other programs' are found only where there is a registry.
    ///
    /// # Errors
    /// When no pipe to it can be made, or the broker is gone.
    pub async fn find_actor(&self, name: &str) -> Result<Option<Portal>, Box<RemoteError>> {
        self.operator.find_actor(name).await
    }

    /// As [`Host::find_actor`], but waits until there is one; none only past `timeout`.
    ///
    /// # Errors
    /// As [`Host::find_actor`].
    ///
    /// # Cancel safety
    /// Dropping the wait ends it.
    pub async fn wait_for_actor(
        &self,
        name: &str,
        timeout: Option<Duration>,
    ) -> Result<Option<Portal>, Box<RemoteError>> {
        self.operator.wait_for_actor(name, timeout).await
    }

    /// Whom [`Host::find_actor`] would give a portal to, without connecting to it.
    ///
    /// # Errors
    /// When the broker cannot tell, or is gone.
    pub async fn query_actor(&self, name: &str) -> Result<Option<ActorEntry>, Box<RemoteError>> {
        self.operator.query_actor(name).await
    }

    /// All actors that can be called: first those of this tree, then the published ones of other
    /// programs; each in the order in which they could be called.
    ///
    /// # Errors
    /// When the broker cannot tell, or is gone.
    pub async fn list_actors(&self) -> Result<Vec<ActorEntry>, Box<RemoteError>> {
        self.operator.list_actors().await
    }

    /// Lets a program outside the tree call the actor that `portal` leads to: so a daemon of one
    /// tree serves programs that belong to none, or to other trees.
    ///
    /// The descriptor is the program's end of a pipe. It is for one program, which calls [`join`]
    /// with it, and is known as `name` to the tasks it starts; how it gets there is the caller's
    /// choice: as standard input of a program that is started, say, or through a socket. It is
    /// closed in programs that are started without being given it. It is to be joined by within 5 s:
    /// the actor does not wait longer for the program's first word. The pipe leads to this one
    /// actor, and gives no right but to call what it exposes. The program's tasks live as long as
    /// its end of the pipe: however it ends, they are cancelled.
    ///
    /// # Errors
    /// `ActorDied` if the actor is gone or is being ended; `IntroductionFailed` if the name breaks
    /// the rule for names or the system refuses a pipe.
    pub async fn invite(&self, portal: &Portal, name: &str) -> Result<OwnedFd, Box<RemoteError>> {
        match self.operator.invite(portal, name).await? {
            Attachment::Fd(pipe) => Ok(pipe),
            Attachment::Shared(_) | Attachment::Memory(_) => {
                Err(Box::new(RemoteError::new("IntroductionFailed", "not a descriptor")))
            }
        }
    }
}

/// Lets this process have as many descriptors as it may: each actor takes up to three of them. If that is not to
/// be, fewer actors can be started.
fn open_many() {
    let files = getrlimit(Resource::Nofile);
    if files.current != files.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum });
    }
}

/// Joins a tree from outside, by a descriptor that its operator made with [`Host::invite`]: gives
/// the portal to the actor at its other end. This program needs no host, no broker and no
/// `greenroom` program; it is not part of the tree, so that its portal can end no actor
/// (`PermissionDenied`). Dropping the last portal closes the pipe once its calls have ended. A
/// descriptor that is joined by later than 5 s after it was made gives a portal whose calls end
/// with `ActorDied`.
///
/// # Errors
/// `InvalidData` or `UnexpectedEof` when the descriptor was not made by [`Host::invite`] or has been
/// joined by before, `TimedOut` when nothing comes from it for 5 s.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn join(fd: OwnedFd) -> io::Result<Portal> {
    greenroom_runtime::join(attach(fd), std::process::id()).await
}

impl Drop for Host {
    fn drop(&mut self) {
        self.running.abort();
        drop(self.broker.take());
    }
}
