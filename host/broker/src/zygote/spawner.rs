//! The zygotes of one broker, and which actors are forked off them.
//!
//! Owns: when a zygote is started and given up, and its orders. Must not know: the tree. Invariant: a
//! zygote that does not answer costs one bounded wait; whoever cannot be forked is executed.
//!
//! Until the broker has claimed a copy, by giving it a process group of its own, the copy is in the
//! group of its zygote, and ends with that. So no process is started twice, or left.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use greenroom_transport::socket_channel;
use greenroom_wire::control;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::RecvFlags;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, setpgid, waitid,
};
use tokio::task::AbortHandle;

use super::talk::{self, Buffer};
use super::{MAX_TITLE, NEXT, Prepared, ROOM, TITLE, ZYGOTE};
use crate::child::Child;
use crate::spawner::{ExecSpawner, Kind, Order, Process, Spawner, environment};
use crate::watch::readable;

/// How many zygotes live at once.
const ZYGOTES: usize = 8;

/// How many kinds of actors are remembered.
const KINDS: usize = 64;

/// How long a zygote may take to have a copy ready.
const ANSWER: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// How long it may take to be ready.
const PREPARATION: Duration = Duration::from_secs(10);

/// How long a kind goes without a zygote after one has failed to come up.
const REST: Duration = Duration::from_secs(1);

/// Forks actors off zygotes, one for each kind that is started more than once, and executes the others.
#[derive(Debug)]
pub struct ZygoteSpawner {
    exec: ExecSpawner,
    /// The kinds that were started lately, the latest last.
    kinds: VecDeque<Known>,
}

#[derive(Debug)]
struct Known {
    kind: Kind,
    state: State,
}

#[derive(Debug)]
enum State {
    /// One has been started.
    Seen,
    /// The next are forked off it, once it is ready.
    Zygote(Zygote),
    /// Its zygote did not come up.
    Failed(Instant),
}

impl ZygoteSpawner {
    /// One whose zygotes are executed as actors are, but for the arguments.
    pub fn new(exec: ExecSpawner) -> Self {
        Self { exec, kinds: VecDeque::new() }
    }

    /// Forks the actor off its zygote, if there is one that is ready.
    fn fork(&mut self, order: &Order<'_>) -> Option<Process> {
        let place = self.kinds.iter().position(|known| known.kind == *order.kind);
        let mut known = match place.and_then(|place| self.kinds.remove(place)) {
            Some(known) => known,
            None => {
                self.remember(Known { kind: order.kind.clone(), state: State::Seen });
                return None;
            }
        };
        let process = match &mut known.state {
            State::Zygote(zygote) => match zygote.fork(order) {
                Ok(process) => process,
                Err(error) => {
                    tracing::debug!(%error, "a zygote is given up");
                    // One that never was ready would most likely not be so the next time.
                    known.state = match zygote.group.is_ready.load(Ordering::Relaxed) {
                        true => State::Seen,
                        false => State::Failed(Instant::now()),
                    };
                    None
                }
            },
            State::Failed(when) if when.elapsed() < REST => None,
            State::Seen | State::Failed(_) => {
                known.state = match Zygote::start(&self.exec, order) {
                    Ok(zygote) => State::Zygote(zygote),
                    Err(error) => {
                        tracing::debug!(%error, "no zygote");
                        State::Failed(Instant::now())
                    }
                };
                None
            }
        };
        self.remember(known);
        process
    }

    /// Notes a kind as the latest, and gives up what was not used for long.
    fn remember(&mut self, known: Known) {
        self.kinds.push_back(known);
        if self.kinds.len() > KINDS {
            self.kinds.pop_front();
        }
        let zygotes = |known: &Known| matches!(known.state, State::Zygote(_));
        if self.kinds.iter().filter(|known| zygotes(known)).count() > ZYGOTES
            && let Some(oldest) = self.kinds.iter_mut().find(|known| zygotes(known))
        {
            oldest.state = State::Seen;
        }
    }
}

impl Spawner for ZygoteSpawner {
    fn spawn(&mut self, order: Order<'_>) -> io::Result<Process> {
        match self.fork(&order) {
            Some(process) => Ok(process),
            None => self.exec.spawn(order),
        }
    }
}

/// A zygote. Dropping it ends it.
#[derive(Debug)]
struct Zygote {
    group: Arc<Group>,
    watch: AbortHandle,
}

impl Drop for Zygote {
    fn drop(&mut self) {
        self.watch.abort();
        self.group.end();
    }
}

impl Zygote {
    fn start(exec: &ExecSpawner, order: &Order<'_>) -> io::Result<Self> {
        let (socket, theirs) = socket_channel()?;
        rustix::io::ioctl_fionbio(&theirs, false)?;
        let code = (order.code)()?;
        let code: Vec<_> = code.iter().map(AsFd::as_fd).collect();
        talk::send(&socket, &control::encode(order.kind).map_err(io::Error::other)?, &code)?;
        let child = Command::new(&exec.program)
            .arg0(TITLE)
            .arg(ZYGOTE)
            // Where the titles of its copies go.
            .arg(" ".repeat(ROOM))
            .env_clear()
            .envs(environment())
            .process_group(0)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let odd = || io::Error::other("the process has no number");
        let leader = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(odd)?;
        let [is_ready, is_over] = [false; 2].map(AtomicBool::new);
        let group = Arc::new(Group { leader, socket, is_ready, is_over });
        let watch = group.clone().watch().inspect_err(|_| group.end())?;
        tracing::debug!(pid = child.id(), "zygote started");
        Ok(Self { group, watch })
    }

    /// Forks an actor off it; none if it is not ready yet, or refuses.
    ///
    /// # Errors
    /// When it is of no use any more, and is to be dropped.
    fn fork(&mut self, order: &Order<'_>) -> io::Result<Option<Process>> {
        let gone = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let Group { socket, is_ready, .. } = &*self.group;
        if !is_ready.load(Ordering::Relaxed) {
            let said = match talk::receive(socket, &mut Buffer::short(), RecvFlags::DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                said => said?.ok_or_else(gone)?.0,
            };
            let Prepared(prepared) = control::decode(&said).map_err(io::Error::other)?;
            prepared.map_err(io::Error::other)?;
            is_ready.store(true, Ordering::Relaxed);
        }
        if order.title.len() > MAX_TITLE {
            return Ok(None);
        }
        let mut polled = [PollFd::new(socket, PollFlags::IN)];
        if rustix::io::retry_on_intr(|| poll(&mut polled, Some(&ANSWER)))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let (said, way) =
            talk::receive(socket, &mut Buffer::short(), RecvFlags::DONTWAIT)?.ok_or_else(gone)?;
        let number = <[u8; 8]>::try_from(said.as_slice()).map(i64::from_le_bytes).unwrap_or_default();
        // The next is made while this one comes to life.
        let next = || talk::send(socket, NEXT, &[]);
        if number < 0 {
            tracing::debug!(error = -number, "a zygote cannot make a copy");
            return next().map(|()| None);
        }
        let odd = || io::Error::from(io::ErrorKind::InvalidData);
        let number = i32::try_from(number).ok().and_then(Pid::from_raw).ok_or_else(odd)?;
        let [way] = <[OwnedFd; 1]>::try_from(way).map_err(|_| odd())?;
        talk::send(&way, order.title.as_bytes(), &[order.control.as_fd()])?;
        // From here on it is not its zygote's. This fails for whoever is no child of this process.
        setpgid(Some(number), Some(number))?;
        let _ = next();
        Ok(Some(Process { child: Child::new(number), is_prepared: true }))
    }
}

/// A zygote's process and those of its copies that nobody has claimed.
#[derive(Debug)]
struct Group {
    leader: Pid,
    socket: OwnedFd,
    /// Whether it was heard to be ready.
    is_ready: AtomicBool,
    is_over: AtomicBool,
}

impl Group {
    /// Collects it should it end by itself, and ends it should it not come to be ready.
    fn watch(self: Arc<Self>) -> io::Result<AbortHandle> {
        let pidfd = readable(pidfd_open(self.leader, PidfdFlags::NONBLOCK)?)?;
        let watching = tokio::spawn(async move {
            let ended = tokio::time::timeout(PREPARATION, pidfd.readable()).await.is_ok();
            if !ended && (self.is_ready.load(Ordering::Relaxed) || self.has_spoken()) {
                let _ = pidfd.readable().await;
            }
            self.end();
        });
        Ok(watching.abort_handle())
    }

    /// Whether there is something that it has said.
    fn has_spoken(&self) -> bool {
        let mut polled = [PollFd::new(&self.socket, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec::default())).is_ok_and(|count| count > 0)
    }

    /// Ends and collects all of it. Nothing in it can resist, so that takes no time worth mentioning.
    fn end(&self) {
        if self.is_over.swap(true, Ordering::Relaxed) {
            return;
        }
        let _ = kill_process_group(self.leader, Signal::KILL);
        let collect = || waitid(WaitId::Pgid(Some(self.leader)), WaitIdOptions::EXITED);
        // Until there is nobody left to wait for.
        while rustix::io::retry_on_intr(collect).is_ok() {}
    }
}
