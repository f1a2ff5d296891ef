//! `greenroom stream`: a context from the shell, as lines of JSON.
//!
//! Owns: what passes between the lines and the stream. Must not know: how the function is reached.
//! Invariant: whoever reads slowly slows down the sender, both ways: no more is taken from either
//! side than the other has taken.

use std::io::{BufRead as _, Write as _};
use std::time::Duration;

use bytes::Bytes;
use greenroom::kind::StreamClosed;
use greenroom::{CallOptions, Context, MsgStream, Portal, RemoteError, StreamOptions};
use tokio::sync::mpsc;

use crate::args::AppFlags;
use crate::error::CliError;
use crate::functions::{Function, Kind};
use crate::prepare::host_failed;
use crate::reach::{Callee, failed, reach};
use crate::values::{self, Arguments};

/// How many lines are on their way, each way, beyond what the stream itself holds.
const LINES: usize = 16;

/// How many messages may have arrived that nobody has printed.
const CAPACITY: u32 = 64;

/// How long a line of standard input may be: no message is larger as CBOR.
const LONGEST: u64 = 64 << 20;

/// Open a context with a live actor or a component, and talk with it in lines of JSON
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Prints the first value, then each message, then the result, each as one line of JSON. Every line of
standard input is sent as a message; the end of the input closes that direction.
Examples:
  greenroom stream metronome ticks:follow every=1s </dev/null
  printf '\"ping 1\"\\n\"ping 2\"\\n' | greenroom stream pingpong.wasm partner:play

Exit status: as `greenroom call`")]
pub(crate) struct StreamArgs {
    #[command(flatten)]
    callee: Callee,

    #[command(flatten)]
    arguments: Arguments,

    /// Give up after this long, such as 500ms or 5m; the task is cancelled
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,

    #[command(flatten, next_help_heading = "Options for component files")]
    app: AppFlags,
}

pub(crate) fn stream(args: &StreamArgs) -> Result<(), CliError> {
    if args.arguments.take_input() {
        let message = "standard input is for messages: give the arguments otherwise";
        return Err(CliError::input(message).hint("--json OBJECT takes them as JSON"));
    }
    let arguments = args.arguments.read()?;
    reach(&args.callee, &args.app, &arguments, async |portal, function, kwargs| {
        talk(portal, function, kwargs, args.timeout).await
    })
}

/// What ends a talk before its time.
enum Stopped {
    /// Nobody reads the output any more.
    Unread,
    /// The task failed.
    Failed(Box<RemoteError>),
    /// What was to be sent or printed is nothing of the kind.
    Wrong(CliError),
}

impl From<Box<RemoteError>> for Stopped {
    fn from(error: Box<RemoteError>) -> Self {
        Self::Failed(error)
    }
}

async fn talk(
    portal: &Portal,
    function: &Function,
    kwargs: Vec<u8>,
    timeout: Option<Duration>,
) -> Result<(), CliError> {
    let receives = match &function.kind {
        Kind::Plain(_) => {
            let message = format!("`{}` is a plain function, which has no stream", function.name);
            return Err(CliError::input(message).hint("`greenroom call` calls it"));
        }
        Kind::Portal(signature) => {
            signature.as_ref().and_then(|s| s.context.as_ref()).map(|context| context.receives.clone())
        }
    };
    let options = CallOptions { timeout, ..CallOptions::default() };
    let opened = portal.open_context(&function.name, kwargs.into(), options).await;
    let (context, first) = opened.map_err(|error| failed(&error, function, timeout))?;
    let (output, printed) = Output::start()?;
    match converse(&context, first, receives.as_deref(), output).await {
        Ok(()) => {
            // All lines are on their way; the last is out when the thread has let go of them.
            let _ = printed.await;
            Ok(())
        }
        Err(Stopped::Unread) => Ok(()),
        Err(Stopped::Wrong(error)) => Err(error),
        Err(Stopped::Failed(error)) => {
            let _ = printed.await;
            Err(failed(&error, function, timeout))
        }
    }
}

/// The whole of a context: its first value, its messages both ways, its result.
async fn converse(
    context: &Context,
    first: Bytes,
    receives: Option<&str>,
    output: Output,
) -> Result<(), Stopped> {
    output.line(&first).await?;
    let stream = context.open_stream(StreamOptions { capacity: CAPACITY, ..StreamOptions::default() })?;
    let mut input = input().map_err(Stopped::Wrong)?;
    let send = async {
        match send_all(&stream, &mut input, receives).await {
            // The task may still be at work, and its own error tells more than that it hears nothing.
            Ok(()) => std::future::pending().await,
            Err(Stopped::Failed(error)) if error.is::<StreamClosed>() => std::future::pending().await,
            Err(stopped) => stopped,
        }
    };
    let receive = async {
        while let Some(message) = stream.receive().await? {
            output.line(&message).await?;
        }
        Ok::<_, Stopped>(context.wait_for_result().await?)
    };
    tokio::select! {
        result = receive => output.line(&result?).await,
        stopped = send => Err(stopped),
    }
}

/// Sends every line of the input, then closes this direction.
async fn send_all(
    stream: &MsgStream,
    input: &mut mpsc::Receiver<Result<String, CliError>>,
    receives: Option<&str>,
) -> Result<(), Stopped> {
    let mut number = 0;
    while let Some(line) = input.recv().await {
        number += 1;
        let line = line.map_err(Stopped::Wrong)?;
        if line.trim().is_empty() {
            continue;
        }
        let message = values::message(&line, receives).map_err(|error| {
            Stopped::Wrong(CliError::input(format!("line {number} of standard input is not JSON: {error}")))
        })?;
        stream.send(message.into()).await?;
    }
    stream.close();
    Ok(())
}

/// The lines of standard input, read by a thread that can wait for them.
fn input() -> Result<mpsc::Receiver<Result<String, CliError>>, CliError> {
    let (lines, input) = mpsc::channel(LINES);
    let read = move || {
        let mut stdin = std::io::stdin().lock();
        for number in 1_u64.. {
            let mut line = Vec::new();
            let mut bounded = std::io::Read::take(&mut stdin, LONGEST);
            let said = match bounded.read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) if line.len() as u64 == LONGEST => {
                    Err(CliError::input(format!("line {number} of standard input is too long")))
                }
                Ok(_) => String::from_utf8(line).map_err(|error| {
                    let column = error.utf8_error().valid_up_to() + 1;
                    CliError::input(format!(
                        "line {number} of standard input is not UTF-8 text: byte {column} is wrong"
                    ))
                }),
                Err(error) => Err(CliError::input(format!("cannot read standard input: {error}"))),
            };
            let last = said.is_err();
            if lines.blocking_send(said).is_err() || last {
                break;
            }
        }
    };
    std::thread::Builder::new().name("input".to_owned()).spawn(read).map_err(host_failed)?;
    Ok(input)
}

/// Standard output, written to by a thread that can wait for whoever reads.
struct Output(mpsc::Sender<String>);

impl Output {
    /// Starts the thread; what it gives resolves once all has been written.
    fn start() -> Result<(Self, tokio::sync::oneshot::Receiver<()>), CliError> {
        let (lines, mut output) = mpsc::channel::<String>(LINES);
        let (done, printed) = tokio::sync::oneshot::channel();
        let write = move || {
            let mut stdout = std::io::stdout().lock();
            while let Some(line) = output.blocking_recv() {
                let written = writeln!(stdout, "{line}");
                if written.and_then(|()| stdout.flush()).is_err() {
                    break;
                }
            }
            // Whoever no longer waits has given up on the output.
            let _ = done.send(());
        };
        std::thread::Builder::new().name("output".to_owned()).spawn(write).map_err(host_failed)?;
        Ok((Self(lines), printed))
    }

    /// Hands over one value; waits while too many are on their way.
    async fn line(&self, value: &[u8]) -> Result<(), Stopped> {
        let line = values::line(value).map_err(Stopped::Wrong)?;
        self.0.send(line).await.map_err(|_| Stopped::Unread)
    }
}
