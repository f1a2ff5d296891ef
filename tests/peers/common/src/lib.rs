//! What the programs of this workspace have in common: how they are asked, what they measure and how
//! they answer.
//!
//! Owns: the processes, the clocks and the lines that are printed. Must not know: how anything travels.
//! Invariant: every peer does the same, as often, in processes with one runtime of one thread each.
//!
//! A program is started as `<program> <core> <measurement>...` and runs where it was put; its far end
//! moves to the core, or stays where the kernel puts it if that is `-`. It prints one JSON object a
//! line: first what it is, then one for each measurement, with `samples` in nanoseconds, or a `count`
//! and its `nanoseconds`, or `bytes` for each process.

use std::error::Error;
use std::future::Future;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};
use tokio::net::UnixStream;

/// What goes wrong ends the program.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The first argument of a far end; its socket is its standard input.
const SERVE: &str = "--serve";

/// How long something is repeated that is measured, and how often it is done before.
const LASTING: Duration = Duration::from_millis(400);
const WARM_UP: i64 = 500;

/// Calls on their way at once.
const FLYING: i64 = 64;

/// The large payload, and how often it goes there and back before it counts.
const LARGE: usize = 1 << 20;
const FIRST_LARGE: usize = 5;

/// Messages of a stream, and those that come before.
const MESSAGES: u64 = 100_000;
const FIRST_MESSAGES: u64 = 10_000;

/// Processes that are started one after the other, and those that are alike and alive together.
const STARTS: usize = 12;
const ALIKE: usize = 8;

/// The length of a message of a stream.
pub const MESSAGE_BYTES: usize = 16;

/// One way to talk to another process.
pub trait Peer: 'static {
    /// The version of what is measured.
    const VERSION: &'static str;
    /// The near end.
    type Client;

    /// Makes the near end.
    fn connect(socket: UnixStream) -> impl Future<Output = Result<Self::Client>>;

    /// Is the far end for as long as it is let live.
    fn serve(socket: UnixStream) -> impl Future<Output = Result<()>>;

    /// Has the far end square a number.
    fn square(client: &Self::Client, x: i64) -> impl Future<Output = Result<i64>>;

    /// Has the far end give back what it gets.
    fn echo(client: &Self::Client, bytes: Vec<u8>) -> impl Future<Output = Result<usize>>;

    /// Sends so many messages of [`MESSAGE_BYTES`] to the far end and gives how many have arrived by its
    /// own account; none where there are no streams.
    fn pour(client: &Self::Client, count: u64) -> impl Future<Output = Result<Option<u64>>>;
}

/// A far end in a process of its own.
struct Far<P: Peer> {
    client: P::Client,
    process: Child,
}

impl<P: Peer> Far<P> {
    async fn start(core: &str) -> Result<Self> {
        let (near, far) = StdUnixStream::pair()?;
        let program = std::env::current_exe()?;
        let far = Stdio::from(OwnedFd::from(far));
        let process = Command::new(program).args([SERVE, core]).stdin(far).spawn()?;
        near.set_nonblocking(true)?;
        let client = P::connect(UnixStream::from_std(near)?).await?;
        Ok(Self { client, process })
    }

    fn private_bytes(&self) -> Result<u64> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process.id()))?;
        let kib = rollup.lines().filter(|line| line.starts_with("Private_")).map(|line| {
            let number = line.split_whitespace().nth(1).unwrap_or_default();
            number.parse::<u64>()
        });
        Ok(kib.sum::<std::result::Result<u64, _>>()? * 1024)
    }
}

impl<P: Peer> Drop for Far<P> {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a peer's program.
pub fn main<P: Peer>() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ran = || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = tokio::task::LocalSet::new();
        match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [SERVE, core] => {
                pin(core)?;
                let socket = StdUnixStream::from(rustix::io::dup(rustix::stdio::stdin())?);
                socket.set_nonblocking(true)?;
                local.block_on(&runtime, async { P::serve(UnixStream::from_std(socket)?).await })
            }
            [core, measurements @ ..] => {
                print(&json!({ "version": P::VERSION }))?;
                local.block_on(&runtime, async {
                    for measurement in measurements {
                        print(&measure::<P>(core, measurement).await?)?;
                    }
                    Ok(())
                })
            }
            [] => Err("arguments: the far end's core or `-`, and measurements".into()),
        }
    };
    match ran() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn pin(core: &str) -> Result<()> {
    if core != "-" {
        let mut one = CpuSet::new();
        one.set(core.parse()?);
        sched_setaffinity(None, &one)?;
    }
    Ok(())
}

fn print(line: &Value) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

async fn measure<P: Peer>(core: &str, measurement: &str) -> Result<Value> {
    let (mut samples, mut extra) = (Vec::new(), None);
    match measurement {
        "spawn" => {
            for _ in 0..STARTS {
                let began = Instant::now();
                let far = Far::<P>::start(core).await?;
                check(P::square(&far.client, 3).await?, 9)?;
                samples.push(nanoseconds(began));
            }
        }
        "memory" => {
            let mut alike = Vec::new();
            for _ in 0..ALIKE {
                let far = Far::<P>::start(core).await?;
                check(P::square(&far.client, 3).await?, 9)?;
                alike.push(far);
            }
            let bytes = alike.iter().map(Far::private_bytes).collect::<Result<Vec<_>>>()?;
            return Ok(json!({ "measurement": measurement, "bytes": bytes }));
        }
        _ => {
            let far = Far::<P>::start(core).await?;
            for x in 0..WARM_UP {
                check(P::square(&far.client, x).await?, x * x)?;
            }
            match measurement {
                "call" => samples = calls::<P>(&far.client).await?,
                "flight" => extra = Some(flight::<P>(&far.client).await?),
                "echo" => samples = echoes::<P>(&far.client).await?,
                "stream" => extra = stream::<P>(&far.client).await?,
                other => return Err(format!("there is no measurement `{other}`").into()),
            }
        }
    }
    Ok(match extra {
        Some((count, nanoseconds)) => {
            json!({ "measurement": measurement, "count": count, "nanoseconds": nanoseconds })
        }
        None => json!({ "measurement": measurement, "samples": samples }),
    })
}

async fn calls<P: Peer>(client: &P::Client) -> Result<Vec<u64>> {
    let (end, mut samples) = (Instant::now() + LASTING, Vec::new());
    while Instant::now() < end {
        let began = Instant::now();
        check(P::square(client, 12).await?, 144)?;
        samples.push(nanoseconds(began));
    }
    Ok(samples)
}

async fn flight<P: Peer>(client: &P::Client) -> Result<(u64, u64)> {
    let (began, mut count) = (Instant::now(), 0);
    let mut flying: FuturesUnordered<_> = (0..FLYING).map(|x| P::square(client, x)).collect();
    while let Some(done) = flying.next().await {
        done?;
        count += 1;
        if began.elapsed() < LASTING {
            flying.push(P::square(client, 12));
        }
    }
    Ok((count, nanoseconds(began)))
}

async fn echoes<P: Peer>(client: &P::Client) -> Result<Vec<u64>> {
    let payload = vec![7; LARGE];
    for _ in 0..FIRST_LARGE {
        check(P::echo(client, payload.clone()).await?, LARGE)?;
    }
    let (end, mut samples) = (Instant::now() + LASTING, Vec::new());
    while Instant::now() < end {
        let bytes = payload.clone();
        let began = Instant::now();
        check(P::echo(client, bytes).await?, LARGE)?;
        samples.push(nanoseconds(began));
    }
    Ok(samples)
}

async fn stream<P: Peer>(client: &P::Client) -> Result<Option<(u64, u64)>> {
    if P::pour(client, FIRST_MESSAGES).await?.is_none() {
        return Err("there are no streams".into());
    }
    let began = Instant::now();
    let arrived = P::pour(client, MESSAGES).await?;
    let took = nanoseconds(began);
    check(arrived, Some(MESSAGES))?;
    Ok(Some((MESSAGES, took)))
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn check<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<()> {
    if found == expected { Ok(()) } else { Err(format!("{found:?}, not {expected:?}").into()) }
}
