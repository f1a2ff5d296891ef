//! The life of an actor's process, from its first instruction to its exit status.
//!
//! Owns: taking over the control channel, raising the walls, loading the modules, serving. Must not
//! know: the tree. Invariant: it cannot outlive the broker: the kernel kills it with the thread that
//! started it, and the end of its control channel makes it exit. No guest code runs, and no thread
//! is started, before all walls stand.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;

use greenroom_engine::{Engine, Grants, Linked, LoadedComponent, Mapped, Modules};
use greenroom_runtime::{Actor, End, Identity, Voice};
use greenroom_sabotage::Protection;
use greenroom_sandbox::{Network, Ports, Purpose, UnknownWall, Walls, Without, close_inherited};
use greenroom_transport::{Attachment, Channel, Packet, channel_from_fd};
use greenroom_wire::Pattern;
use greenroom_wire::control::{self, Init, ToActor, ToBroker};
use rustix::net::SocketType;
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::runtime::Runtime;

/// The exit status of an actor that was ordered to exit: what a shell gives for SIGTERM.
const ORDERED: i32 = 143;

/// The most threads that wait for files at once; each takes a stack out of the process's memory.
const FILE_THREADS: usize = 16;

/// The descriptors that an actor may have open beside those to its children and to others.
const OPEN_FILES: u64 = 1024;

/// The descriptors that the pipe to another takes.
const PIPE_FILES: u64 = 2;

/// From how many ports on the kernel is asked to leave all of them open.
const MOST_PORTS: usize = 1024;

/// What the title of every actor's process begins with; its tree and its place in it follow.
pub(crate) const TITLE: &str = "greenroom: ";

/// The one argument that a program is executed with to be an actor.
pub const ACTOR: &str = "actor";

/// Whether this process was started to be an actor: by its title, its argument, and the packet
/// socket that is its standard input.
pub fn is_actor() -> bool {
    let arguments: Vec<_> = std::env::args_os().take(3).collect();
    let [title, word] = arguments.as_slice() else { return false };
    let named = word == ACTOR && title.as_encoded_bytes().starts_with(TITLE.as_bytes());
    named && matches!(rustix::net::sockopt::socket_type(rustix::stdio::stdin()), Ok(SocketType::SEQPACKET))
}

/// What an actor that was forked off a zygote has from it.
pub(crate) struct Outfit {
    pub(crate) engine: Engine,
    pub(crate) linked: Linked,
}

/// Runs this process as an actor: to be called first thing by the program that an
/// [`ExecSpawner`](crate::ExecSpawner) executes. Does not return while the actor lives.
pub fn run_actor() -> ExitCode {
    leave(take_over().and_then(|control| live(control, None, new_runtime()?)))
}

/// Runs this process, which is a fresh copy of a zygote, as an actor.
pub(crate) fn run_forked(control: OwnedFd, outfit: Outfit, runtime: Runtime) -> ExitCode {
    leave(live(control, Some(outfit), runtime))
}

/// What runs an actor: nothing of it until it is used, and no thread.
pub(crate) fn new_runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(FILE_THREADS).build()
}

fn leave(end: io::Result<End>) -> ExitCode {
    match end {
        // Guest threads and blocked file operations must not hold up the exit.
        Ok(End::Cancelled) => std::process::exit(0),
        Ok(End::Ordered) => std::process::exit(ORDERED),
        Ok(End::BrokerGone) => std::process::exit(1),
        Err(error) => {
            let _ = io::Write::write_all(&mut io::stderr(), format!("error: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Binds an executed actor's process to its broker's, and gives the control channel.
fn take_over() -> io::Result<OwnedFd> {
    close_inherited()?;
    if !Protection::ParentDeath.is_off() {
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    let control = rustix::io::dup(rustix::stdio::stdin())?;
    rustix::io::fcntl_setfd(&control, rustix::io::FdFlags::CLOEXEC)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(control)
}

fn live(control: OwnedFd, outfit: Option<Outfit>, runtime: Runtime) -> io::Result<End> {
    runtime.block_on(async {
        let channel = channel_from_fd(control).map_err(|_| by_hand())?;
        let Some((init, attachments)) = introduction(&channel).await? else { return Ok(End::BrokerGone) };
        serve(channel, init, attachments, outfit).await
    })
}

/// The broker's first message; none if it has nothing to say any more.
async fn introduction(channel: &Channel) -> io::Result<Option<(Init, Vec<Attachment>)>> {
    let Some(packet) = channel.receive().await.map_err(|_| by_hand())? else { return Ok(None) };
    match control::decode(&packet.bytes) {
        Ok(ToActor::Init(init)) => Ok(Some((*init, packet.attachments))),
        Ok(_) | Err(_) => Err(by_hand()),
    }
}

fn by_hand() -> io::Error {
    io::Error::other("an actor process is started by a broker, not by hand; see `greenroom run --help`")
}

async fn serve(
    channel: Channel,
    init: Init,
    attachments: Vec<Attachment>,
    outfit: Option<Outfit>,
) -> io::Result<End> {
    if let Some(filter) = &init.log {
        let filter = tracing_subscriber::EnvFilter::new(filter);
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(false)
            .without_time()
            .init();
    }
    let _ = rustix::thread::set_name(&title(&init.id.name));
    let (pipe, attachments) = init.attached(attachments);
    let pipe = Attachment::pipe(pipe).ok_or_else(|| io::Error::other("the pipe to the parent is missing"))?;
    let fds = attachments.into_iter().map(|attachment| match attachment {
        Attachment::Fd(fd) => Ok(fd),
        Attachment::Shared(_) | Attachment::Memory(_) => Err(io::Error::other("a descriptor was expected")),
    });
    let mut fds = fds.collect::<io::Result<Vec<OwnedFd>>>()?;
    let mut folders = fds.split_off(init.components.min(fds.len()));
    let input = folders.split_off(init.dirs.len().min(folders.len())).pop().filter(|_| init.stdin);
    let components: Vec<_> = fds.into_iter().map(|code| LoadedComponent { code }).collect();
    let dirs = init.dirs.iter().zip(folders).map(|((path, writable), fd)| (path.clone(), fd, *writable));
    let channel = Arc::new(channel.marked(init.mark.clone()));
    let voice = Voice::new(channel.clone());
    let grants = Grants {
        dirs: dirs.collect(),
        env: init.env.clone(),
        args: init.args.clone(),
        rights: init.rights.clone(),
        input,
        output: Some(voice.clone()),
    };
    let loaded = async {
        let Outfit { engine, linked } =
            enclose(&init, outfit, components, &grants).map_err(|error| error.to_string())?;
        Modules::load(&engine, linked, grants, &init.limits).await.map_err(|error| error.to_string())
    };
    let loaded = tokio::select! {
        loaded = loaded => loaded,
        () = ordered(&channel, &voice) => return Ok(End::Ordered),
    };
    let modules = match loaded {
        Ok(modules) => modules,
        Err(reason) => {
            let message = ToBroker::LoadFailed { reason };
            let bytes = control::encode(&message).map_err(io::Error::other)?;
            channel.send(Packet { bytes, attachments: Vec::new() }).await?;
            // The broker ends this process; its death is the answer.
            let _ = channel.receive().await;
            return Ok(End::Ordered);
        }
    };
    let identity = Identity {
        id: init.id,
        path: init.path,
        pid: std::process::id(),
        is_root: init.is_root,
        rights: init.rights,
    };
    let (actor, outbox) = Actor::new(identity, init.limits, Box::new(modules));
    actor.speaks_with(voice);
    actor.serve_parent(init.parent, pipe)?;
    actor.ready();
    Ok(actor.run(channel, outbox).await)
}

/// Waits for an order: nothing else can come before the actor is ready, but word of its output.
async fn ordered(channel: &Channel, voice: &Voice) {
    while let Ok(Some(packet)) = channel.receive().await
        && matches!(control::decode(&packet.bytes), Ok(ToActor::Shown))
    {
        voice.shown();
    }
}

/// Raises the walls around this process. In between, when all stand but the last, the components'
/// code is mapped, unless it was before this process was: what must not be trusted is first looked at
/// behind them, and nothing can be mapped to be executed behind the last.
fn enclose(
    init: &Init,
    outfit: Option<Outfit>,
    components: Vec<LoadedComponent>,
    grants: &Grants,
) -> Result<Outfit, Box<dyn std::error::Error>> {
    let folders = grants.dirs.iter().map(|(_, folder, writable)| (folder.as_fd(), *writable));
    let code = components.iter().map(|component| component.code.as_fd());
    let walls = walls_around(init, folders.collect(), code.collect())?;
    if let Some(outfit) = outfit {
        let outer = walls.raise_first()?;
        outfit.engine.set_clock()?;
        outer.raise_last()?;
        return Ok(outfit);
    }
    let engine = Engine::new()?;
    let outer = walls.raise_first()?;
    engine.set_clock()?;
    let mapped = Mapped::map(&engine, &init.modules, &components)?;
    outer.raise_last()?;
    let linked = Linked::link(&engine, &init.modules, &mapped, &init.rights)?;
    Ok(Outfit { engine, linked })
}

/// The walls around the process of an actor that has these folders, open, each with whether it may
/// write there, and these files of compiled code.
///
/// # Errors
/// [`UnknownWall`] when it is to go without one that there is not.
pub fn walls_around<'a>(
    init: &Init,
    folders: Vec<(BorrowedFd<'a>, bool)>,
    code: Vec<BorrowedFd<'a>>,
) -> Result<Walls<'a>, UnknownWall> {
    let links = init.limits.children + init.limits.finds + init.limits.actors;
    Ok(Walls {
        without: Without::named(&init.without)?,
        purpose: Purpose::Actor,
        data_bytes: init.limits.data_bytes(),
        open_files: (links as u64).saturating_mul(PIPE_FILES).saturating_add(OPEN_FILES),
        cpu_seconds: None,
        folders,
        readable: code,
        network: network(&init.rights.network),
    })
}

/// The ports that these lead to. Nobody connects to an actor: there is none to take connections at.
fn network(patterns: &[Pattern]) -> Network {
    let ranges = patterns.iter().map(Pattern::ports);
    let count: usize = ranges.clone().map(|(first, last)| usize::from(last - first) + 1).sum();
    let connect = match count <= MOST_PORTS {
        true => Ports::Only(ranges.flat_map(|(first, last)| first..=last).collect()),
        false => Ports::Any,
    };
    if patterns.is_empty() {
        Network::None
    } else {
        Network::Some { connect, bind: Ports::Only(BTreeSet::new()) }
    }
}

/// A name as the kernel shows it beside the process number: 15 bytes, no NUL.
fn title(name: &str) -> std::ffi::CString {
    let bytes: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(15).collect();
    std::ffi::CString::new(bytes).unwrap_or_default()
}
