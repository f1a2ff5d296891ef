//! The least that the system itself asks for a round trip: two blocking sockets, and no runtime.
//!
//! Owns: both ends of it. Must not know: actors, or tokio. Invariant: the other end is a process of its
//! own.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::figure::Times;

/// The argument that makes this program the other end, its socket being its standard input.
pub(crate) const SERVE: &str = "--serve-blocking";

/// The argument that makes it one that takes messages and counts them.
pub(crate) const SERVE_DRAIN: &str = "--serve-blocking-drain";

/// The length of a message; one of zeros asks how many there were.
const MESSAGE_BYTES: usize = 16;

/// About the size of a small call with its header.
const FRAME_BYTES: usize = 64;

/// What the other end reads at once, and what is written of a large frame at once.
const BUFFER_BYTES: usize = 64 * 1024;
const PIECE_BYTES: usize = 32 * 1024;

/// An echo process and the socket to it.
pub(crate) struct Blocking {
    socket: UnixStream,
    process: Child,
}

impl Blocking {
    /// Starts the process, where this thread is.
    pub(crate) fn start() -> Result<Self> {
        Self::start_as(SERVE)
    }

    /// Starts one that takes messages instead.
    pub(crate) fn start_drain() -> Result<Self> {
        Self::start_as(SERVE_DRAIN)
    }

    fn start_as(what: &str) -> Result<Self> {
        let (near, far) = UnixStream::pair()?;
        let process = Command::new(std::env::current_exe()?)
            .arg(what)
            .stdin(Stdio::from(OwnedFd::from(far)))
            .spawn()?;
        Ok(Self { socket: near, process })
    }

    /// One frame after the other.
    pub(crate) fn round_trips(&mut self, count: usize, times: &mut Times) -> Result<()> {
        let mut frame = [7; FRAME_BYTES];
        for _ in 0..count {
            let start = Instant::now();
            self.socket.write_all(&frame)?;
            self.socket.read_exact(&mut frame)?;
            times.add(start.elapsed());
        }
        Ok(())
    }

    /// Frames of another size, one after the other, in pieces: no more are on their way than sockets
    /// hold, so that neither end waits for the other for ever.
    pub(crate) fn large(&mut self, size: usize, count: usize, times: &mut Times) -> Result<()> {
        let sent = vec![7; size];
        let mut received = vec![0; size];
        for _ in 0..count {
            let start = Instant::now();
            let mut pieces = sent.chunks(PIECE_BYTES);
            for piece in pieces.by_ref().take(1) {
                self.socket.write_all(piece)?;
            }
            for piece in received.chunks_mut(PIECE_BYTES) {
                if let Some(next) = pieces.next() {
                    self.socket.write_all(next)?;
                }
                self.socket.read_exact(piece)?;
            }
            times.add(start.elapsed());
        }
        Ok(())
    }

    /// Keeps `flying` frames on their way for a while, as many as arrive together being answered
    /// together; gives how many came back.
    pub(crate) fn flood(&mut self, flying: usize, lasting: Duration) -> Result<usize> {
        let mut buffer = vec![7; flying * FRAME_BYTES];
        let end = Instant::now() + lasting;
        self.socket.write_all(&buffer)?;
        let (mut in_flight, mut received) = (buffer.len(), 0);
        while in_flight > 0 {
            let count = self.socket.read(&mut buffer)?;
            if count == 0 {
                return Err("the echo ended".into());
            }
            received += count;
            if Instant::now() < end {
                self.socket.write_all(&buffer[..count])?;
            } else {
                in_flight -= count;
            }
        }
        Ok(received / FRAME_BYTES)
    }

    /// Sends so many messages, a write each, and gives how long that took until the last had arrived.
    pub(crate) fn pour(&mut self, count: u32) -> Result<Duration> {
        let start = Instant::now();
        for _ in 0..count {
            self.socket.write_all(&[7; MESSAGE_BYTES])?;
        }
        self.socket.write_all(&[0; MESSAGE_BYTES])?;
        let mut arrived = [0; 4];
        self.socket.read_exact(&mut arrived)?;
        match u32::from_be_bytes(arrived) {
            arrived if arrived == count => Ok(start.elapsed()),
            arrived => Err(format!("{arrived} messages arrived of {count}").into()),
        }
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends the process.
    pub(crate) fn stop(mut self) -> Result<()> {
        drop(self.socket);
        self.process.wait()?;
        Ok(())
    }
}

/// The other end: gives everything back until there is no more.
pub(crate) fn serve() -> ExitCode {
    let served = || -> std::io::Result<()> {
        let mut socket = UnixStream::from(rustix::io::dup(rustix::stdio::stdin())?);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match socket.read(&mut buffer)? {
                0 => return Ok(()),
                count => socket.write_all(&buffer[..count])?,
            }
        }
    };
    ended(served())
}

/// The other end of [`Blocking::start_drain`].
pub(crate) fn serve_drain() -> ExitCode {
    let served = || -> std::io::Result<()> {
        let mut socket = UnixStream::from(rustix::io::dup(rustix::stdio::stdin())?);
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, socket.try_clone()?);
        let (mut message, mut count) = ([0; MESSAGE_BYTES], 0_u32);
        loop {
            match reader.read_exact(&mut message) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            }
            match message {
                [0, ..] => socket.write_all(&std::mem::take(&mut count).to_be_bytes())?,
                _ => count += 1,
            }
        }
    };
    ended(served())
}

fn ended(served: std::io::Result<()>) -> ExitCode {
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("blocking: {error}");
            ExitCode::FAILURE
        }
    }
}
