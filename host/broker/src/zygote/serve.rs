//! The process that is a zygote.
//!
//! Owns: its life, and that of each copy until it goes on as an actor. Must not know: how it is
//! started, when it is asked. Invariant: a copy has the descriptors that were sent for it, those of
//! the mapped components, its runtime's, and no others.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::ExitCode;

use greenroom_engine::{Engine, Linked, LoadedComponent, Mapped};
use greenroom_sabotage::Protection;
use greenroom_sandbox::close_inherited;
use greenroom_wire::control;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use tokio::runtime::Runtime;

use super::fork::{Title, close_all_but, fork_sibling, open_descriptors, tidy_up};
use super::heirloom::hand_on;
use super::talk::{self, Buffer};
use super::{Prepared, SPARE, TITLE, ZYGOTE};
use crate::process::{ACTOR, Outfit, new_runtime, run_forked};
use crate::spawner::Kind;

/// Whether this process was started to be a zygote: by its title, its arguments, and the packet socket
/// that is its standard input.
pub fn is_zygote() -> bool {
    let arguments: Vec<_> = std::env::args_os().take(4).collect();
    let [title, word, room] = arguments.as_slice() else { return false };
    let named = title == TITLE && word == ZYGOTE && room.as_encoded_bytes().iter().all(|byte| *byte == b' ');
    named && matches!(rustix::net::sockopt::socket_type(rustix::stdio::stdin()), Ok(SocketType::SEQPACKET))
}

/// Runs this process as a zygote: to be called first thing by the program that a
/// [`ZygoteSpawner`](crate::ZygoteSpawner) executes. Returns when its broker is gone; in each copy it
/// returns what that does, which is to [live as an actor](Forked::live).
pub fn run_zygote(copy: impl FnOnce(Forked) -> ExitCode) -> ExitCode {
    match live() {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(forked)) => copy(forked),
        Err(error) => {
            let _ = io::Write::write_all(&mut io::stderr(), format!("error: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// A copy of a zygote that is about to be an actor.
pub struct Forked {
    control: OwnedFd,
    outfit: Outfit,
    runtime: Runtime,
}

impl Forked {
    /// Runs this process as an actor. Does not return while the actor lives.
    pub fn live(self) -> ExitCode {
        run_forked(self.control, self.outfit, self.runtime)
    }

    /// The control channel, on which the broker has not yet said who the actor is.
    pub fn into_control(self) -> OwnedFd {
        self.control
    }
}

/// Serves orders; none when the broker is gone.
fn live() -> io::Result<Option<Forked>> {
    close_inherited()?;
    let broker = stay_with_parent()?;
    let socket = rustix::io::dup(rustix::stdio::stdin())?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let odd = || io::Error::other("a zygote is started by a broker");
    let Some((bytes, code)) = talk::receive(&socket, &mut Buffer::whole(), RecvFlags::empty())? else {
        return Ok(None);
    };
    let kind: Kind = control::decode(&bytes).map_err(|_| odd())?;
    let prepared = prepare(&kind, code);
    let told = control::encode(&Prepared(prepared.as_ref().map(|_| ()).map_err(Clone::clone)));
    let Ok(outfit) = prepared else {
        talk::send(&socket, &told.map_err(io::Error::other)?, &[])?;
        return Ok(None);
    };
    let mut title = Title::take(TITLE.len())?;
    let kept = open_descriptors(&[socket.as_raw_fd()])?;
    talk::send(&socket, &told.map_err(io::Error::other)?, &[])?;
    let mut buffer = Buffer::short();
    tidy_up();
    // Without it, copies start as well, only later.
    let _ = hand_on();
    loop {
        let way = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let born = way.map_err(io::Error::from).and_then(|way| Ok((fork_sibling()?, way)));
        let (number, way) = match born {
            Ok((Some(copy), (theirs, own))) => {
                drop(own);
                (i64::from(copy.as_raw_nonzero().get()), Some(theirs))
            }
            Ok((None, (theirs, own))) => {
                title.write(SPARE.as_bytes());
                drop((socket, theirs));
                settle(broker, &kept, &own)?;
                return wait(&own, &mut title, outfit);
            }
            Err(error) => (-i64::from(error.raw_os_error().unwrap_or(libc::EIO)), None),
        };
        talk::send(&socket, &number.to_le_bytes(), way.as_ref().map(AsFd::as_fd).as_slice())?;
        drop(way);
        if talk::receive(&socket, &mut buffer, RecvFlags::empty())?.is_none() {
            return Ok(None);
        }
    }
}

/// Has the kernel end this process with its parent, and gives that.
fn stay_with_parent() -> io::Result<Option<Pid>> {
    if !Protection::ParentDeath.is_off() {
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    Ok(getppid())
}

/// Maps and links the components of a kind.
fn prepare(kind: &Kind, code: Vec<OwnedFd>) -> Result<Outfit, String> {
    let components: Vec<_> = code.into_iter().map(|code| LoadedComponent { code }).collect();
    let engine = Engine::new().map_err(|error| error.to_string())?;
    let mapped = Mapped::map(&engine, &kind.modules, &components).map_err(|error| error.to_string())?;
    let linked = Linked::link(&engine, &kind.modules, &mapped, &kind.rights);
    Ok(Outfit { engine, linked: linked.map_err(|error| error.to_string())? })
}

/// Makes a fresh copy a process of its own, in which nothing is open beside the standard streams, the
/// `kept` and the socket for its order.
fn settle(broker: Option<Pid>, kept: &[RawFd], socket: &OwnedFd) -> io::Result<()> {
    let mut open: Vec<RawFd> = kept.iter().copied().chain([socket.as_raw_fd()]).collect();
    open.sort_unstable();
    close_all_but(&open)?;
    if stay_with_parent()? != broker {
        return Err(io::Error::other("the broker is gone"));
    }
    Ok(())
}

/// Waits for the order, with all ready that needs none. None if there will be none.
fn wait(socket: &OwnedFd, title: &mut Title, outfit: Outfit) -> io::Result<Option<Forked>> {
    let (runtime, mut buffer) = (new_runtime()?, Buffer::short());
    let Some((name, fds)) = talk::receive(socket, &mut buffer, RecvFlags::empty())? else { return Ok(None) };
    let line = [&name, &b"\0"[..], ACTOR.as_bytes()].concat();
    let (Ok([control]), true) = (<[OwnedFd; 1]>::try_from(fds), title.fits(&line)) else {
        return Err(io::Error::other("an order is a title that fits, and a channel"));
    };
    title.write(&line);
    rustix::stdio::dup2_stdout(&control)?;
    rustix::stdio::dup2_stderr(&control)?;
    Ok(Some(Forked { control, outfit, runtime }))
}
