//! The least that a round trip between two processes costs: a bare tokio echo.
//!
//! Owns: both ends of it. Must not know: actors. Invariant: the other end is a process of its own
//! with a runtime of one thread, as an actor is.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::process::{Child, Command, ExitCode, Stdio};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use futures_util::future::try_join;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;

use crate::Result;
use crate::figure::Times;

/// The argument that makes this program the other end, its socket being its standard input.
pub(crate) const SERVE: &str = "--serve-echo";

/// About the size of a small call with its header.
const FRAME_BYTES: usize = 64;

/// An echo process and the socket to it.
pub(crate) struct Echo {
    socket: UnixStream,
    process: Child,
}

impl Echo {
    /// Starts the process, where this thread is.
    pub(crate) fn start() -> Result<Self> {
        let (near, far) = StdUnixStream::pair()?;
        let process = Command::new(std::env::current_exe()?)
            .arg(SERVE)
            .stdin(Stdio::from(OwnedFd::from(far)))
            .spawn()?;
        near.set_nonblocking(true)?;
        Ok(Self { socket: UnixStream::from_std(near)?, process })
    }

    /// One frame after the other.
    pub(crate) async fn round_trips(&mut self, count: usize, times: &mut Times) -> Result<()> {
        let mut frame = [7; FRAME_BYTES];
        for _ in 0..count {
            let start = Instant::now();
            self.socket.write_all(&frame).await?;
            self.socket.read_exact(&mut frame).await?;
            times.add(start.elapsed());
        }
        Ok(())
    }

    /// Frames of another size, one after the other, written and read at once.
    pub(crate) async fn large(&mut self, size: usize, count: usize, times: &mut Times) -> Result<()> {
        let sent = vec![7; size];
        let mut received = vec![0; size];
        for _ in 0..count {
            let start = Instant::now();
            let (mut read, mut write) = self.socket.split();
            try_join(write.write_all(&sent), read.read_exact(&mut received)).await?;
            times.add(start.elapsed());
        }
        Ok(())
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Keeps `flying` frames on their way for a while; gives how many came back.
    pub(crate) async fn flood(&mut self, flying: usize, lasting: Duration) -> Result<usize> {
        let frames = vec![7; flying * FRAME_BYTES];
        let mut buffer = vec![0; flying * FRAME_BYTES];
        let end = Instant::now() + lasting;
        let (mut to_write, mut in_flight, mut received) = (flying * FRAME_BYTES, flying * FRAME_BYTES, 0);
        while in_flight > 0 {
            poll_fn(|cx| -> Poll<io::Result<()>> {
                while to_write > 0 {
                    match Pin::new(&mut self.socket).poll_write(cx, &frames[..to_write]) {
                        Poll::Ready(count) => to_write -= count?,
                        Poll::Pending => break,
                    }
                }
                let mut read = ReadBuf::new(&mut buffer);
                ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
                let count = read.filled().len();
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                received += count;
                if Instant::now() < end {
                    to_write += count
                } else {
                    in_flight -= count
                }
                Poll::Ready(Ok(()))
            })
            .await?;
        }
        Ok(received / FRAME_BYTES)
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
    let served = || -> io::Result<()> {
        let socket = StdUnixStream::from(rustix::io::dup(rustix::stdio::stdin())?);
        socket.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut socket = UnixStream::from_std(socket)?;
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let count = socket.read(&mut buffer).await?;
                if count == 0 {
                    return Ok(());
                }
                socket.write_all(&buffer[..count]).await?;
            }
        })
    };
    match served() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}
