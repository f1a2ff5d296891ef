//! The least that messages to another process cost: length-prefixed frames on a bare tokio socket.
//!
//! Owns: both ends of it. Must not know: actors. Invariant: the other end is a process of its own
//! with a runtime of one thread, as an actor is, and knows where each message ends.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::Result;

/// The argument that makes this program the other end, its socket being its standard input.
pub(crate) const SERVE: &str = "--serve-drain";

/// What is read and, in batches, written at once, as links do.
const BUFFER_BYTES: usize = 64 * 1024;

/// The length that stands before each message.
const PREFIX_BYTES: usize = 4;

/// How messages are written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Writes {
    /// One write for each.
    Each,
    /// As many in one write as fit into a buffer.
    Batched,
}

/// A process that takes messages, and the socket to it.
pub(crate) struct Drain {
    socket: UnixStream,
    process: Child,
}

impl Drain {
    /// Starts the process.
    pub(crate) fn start() -> Result<Self> {
        let (near, far) = StdUnixStream::pair()?;
        let process = Command::new(std::env::current_exe()?)
            .arg(SERVE)
            .stdin(Stdio::from(OwnedFd::from(far)))
            .spawn()?;
        near.set_nonblocking(true)?;
        Ok(Self { socket: UnixStream::from_std(near)?, process })
    }

    /// Sends messages of `size` bytes, their prefix included, and gives how long that took until
    /// the last had arrived.
    pub(crate) async fn pour(&mut self, count: u32, size: usize, writes: Writes) -> Result<Duration> {
        let at_once = match writes {
            Writes::Each => 1,
            Writes::Batched => u32::try_from(BUFFER_BYTES / size)?,
        };
        let length = u32::try_from(size - PREFIX_BYTES)?;
        let frame: Vec<u8> = length.to_be_bytes().into_iter().chain((0..length).map(|_| 7)).collect();
        let frames = frame.repeat(usize::try_from(at_once)?);
        let began = Instant::now();
        let mut left = count;
        while left > 0 {
            let now = left.min(at_once);
            self.socket.write_all(&frames[..usize::try_from(now)? * size]).await?;
            left -= now;
        }
        // An empty message asks how many there were.
        self.socket.write_all(&[0; PREFIX_BYTES]).await?;
        let arrived = self.socket.read_u32().await?;
        let took = began.elapsed();
        if arrived != count {
            return Err(format!("{arrived} messages arrived of {count}").into());
        }
        Ok(took)
    }

    /// Ends the process.
    pub(crate) fn stop(mut self) -> Result<()> {
        drop(self.socket);
        self.process.wait()?;
        Ok(())
    }
}

/// Where in the frames a reader stands.
enum Place {
    /// So many bytes of a prefix are known, as this number.
    Prefix(usize, u32),
    /// So many bytes of a message are still to come.
    Message(usize),
}

/// The other end: takes messages until there are no more, and says how many when asked.
pub(crate) fn serve() -> ExitCode {
    let served = || -> io::Result<()> {
        let socket = StdUnixStream::from(rustix::io::dup(rustix::stdio::stdin())?);
        socket.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { take(UnixStream::from_std(socket)?).await })
    };
    match served() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drain: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn take(mut socket: UnixStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut place, mut messages) = (Place::Prefix(0, 0), 0_u32);
    loop {
        let count = socket.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let mut unread = &buffer[..count];
        while let Some(byte) = unread.first() {
            place = match place {
                Place::Prefix(known, number) => {
                    unread = &unread[1..];
                    match (known + 1, number << 8 | u32::from(*byte)) {
                        (PREFIX_BYTES, 0) => {
                            socket.write_u32(std::mem::take(&mut messages)).await?;
                            Place::Prefix(0, 0)
                        }
                        (PREFIX_BYTES, length) => Place::Message(length as usize),
                        (known, number) => Place::Prefix(known, number),
                    }
                }
                Place::Message(left) => {
                    let taken = left.min(unread.len());
                    unread = &unread[taken..];
                    match left - taken {
                        0 => {
                            messages += 1;
                            Place::Prefix(0, 0)
                        }
                        left => Place::Message(left),
                    }
                }
            };
        }
    }
}
