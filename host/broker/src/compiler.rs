//! Compiling in a process of its own, behind walls.
//!
//! Owns: that process, from its start to its end, both sides of the talk with it, and what may be
//! spent on a component. Must not know: what a component is. Invariant: whatever a component does to
//! its compiler, the program that had it compiled gets an answer in time and is unharmed.
//!
//! The compiler has a socket, as its standard input, and nothing else: no names of files, no
//! network, no other process. It reads the component to its end, compiles it, and answers.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use greenroom_abi::payload;
use greenroom_engine::{CompileError, Compiled, Compiler, ComponentInfo, Engine, compile};
use greenroom_sabotage::Protection;
use greenroom_sandbox::{Network, Purpose, Walls, Without, close_inherited};
use rustix::net::SocketType;
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

/// The one argument that a program is executed with to be a compiler.
pub const COMPILER: &str = "compiler";

/// What its title is.
const TITLE: &str = "greenroom: compiler";

/// The descriptors that a compiler may have open.
const OPEN_FILES: u64 = 64;

/// How much of what a dying compiler has to say is told.
const LAST_WORDS_BYTES: u64 = 1024;

/// What may be spent on compiling one component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileBounds {
    /// How long it may take.
    pub time: Duration,
    /// The memory that it may take.
    pub memory: u64,
    /// How long what comes of it may be.
    pub output: u64,
}

impl Default for CompileBounds {
    /// Far above what real components take: Python's interpreter, 18 MB, takes some seconds and a tenth
    /// of this memory.
    fn default() -> Self {
        Self { time: Duration::from_secs(180), memory: 4 << 30, output: 1 << 30 }
    }
}

/// Has components compiled by executing a program.
#[derive(Clone, Debug)]
pub struct ExecCompiler {
    /// `greenroom`, or one that calls `init` first thing.
    pub program: PathBuf,
    /// What may be spent on a component.
    pub bounds: CompileBounds,
    /// The walls that the compiler does not raise around itself.
    pub without: Without,
}

impl ExecCompiler {
    /// Has components compiled by this program, within the usual bounds and behind all walls.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), bounds: CompileBounds::default(), without: Without::default() }
    }
}

/// A process that is gone, and collected, when this is.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Compiler for ExecCompiler {
    fn compile(&self, wasm: &[u8]) -> Result<Compiled, CompileError> {
        let started = Instant::now();
        let failed = |error: io::Error| {
            CompileError::NoCompiler(format!("`{}` cannot be executed: {error}", self.program.display()))
        };
        let (socket, theirs) = UnixStream::pair().map_err(failed)?;
        let mut child = Running(self.start(theirs.into()).map_err(failed)?);
        match self.talk(socket, wasm, started) {
            Ok(answer) => answer,
            Err(Broken::Late) => {
                let time = self.bounds.time;
                Err(CompileError::TooMuch(format!("it takes longer than {time:?}")))
            }
            Err(Broken::Long) => {
                Err(CompileError::TooMuch(format!("it comes to more than {}", mib(self.bounds.output))))
            }
            Err(Broken::Silent) => Err(self.obituary(&mut child.0)),
        }
    }
}

/// Why there is no answer.
enum Broken {
    /// The time is over.
    Late,
    /// It is longer than it may be.
    Long,
    /// The compiler is gone.
    Silent,
}

impl ExecCompiler {
    fn start(&self, socket: OwnedFd) -> io::Result<Child> {
        Command::new(&self.program)
            .arg0(TITLE)
            .arg(COMPILER)
            .env_clear()
            .envs(greenroom_sabotage::environment())
            .process_group(0)
            .stdin(Stdio::from(socket))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// Sends the component and takes the answer, or not, within the time there is.
    fn talk(
        &self,
        mut socket: UnixStream,
        wasm: &[u8],
        started: Instant,
    ) -> Result<Result<Compiled, CompileError>, Broken> {
        let order =
            Order { memory: self.bounds.memory, time: self.bounds.time, without: self.without.names() };
        let order = payload::encode(&order).map_err(|_| Broken::Silent)?;
        let length = (order.len() as u64).to_le_bytes();
        for mut bytes in [&length[..], &order, wasm] {
            while !bytes.is_empty() {
                socket.set_write_timeout(Some(self.left(started)?)).map_err(|_| Broken::Silent)?;
                match socket.write(bytes) {
                    Ok(count) => bytes = &bytes[count..],
                    Err(error) => broken(&error)?,
                }
            }
        }
        socket.shutdown(Shutdown::Write).map_err(|_| Broken::Silent)?;
        let (mut answer, mut buffer) = (Vec::new(), vec![0; 256 << 10]);
        loop {
            socket.set_read_timeout(Some(self.left(started)?)).map_err(|_| Broken::Silent)?;
            match socket.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => answer.extend_from_slice(&buffer[..count]),
                Err(error) => broken(&error)?,
            }
            if answer.len() as u64 > self.bounds.output {
                return Err(Broken::Long);
            }
        }
        decode(answer).ok_or(Broken::Silent)
    }

    fn left(&self, started: Instant) -> Result<Duration, Broken> {
        if Protection::CompileTime.is_off() {
            return Ok(Duration::from_secs(3600));
        }
        let left = self.bounds.time.checked_sub(started.elapsed());
        left.filter(|left| !left.is_zero()).ok_or(Broken::Late)
    }

    /// Why a compiler gave no answer.
    fn obituary(&self, child: &mut Child) -> CompileError {
        let mut said = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            // It is at its end, or is killed before it is waited for.
            let _ = child.kill();
            let _ = stderr.take(LAST_WORDS_BYTES).read_to_end(&mut said);
        }
        let said = String::from_utf8_lossy(&said).into_owned();
        let status = child.wait().map_or_else(|error| error.to_string(), how);
        if said.contains("memory allocation of") {
            return CompileError::TooMuch(format!("it takes more memory than {}", mib(self.bounds.memory)));
        }
        let end = said.trim_end().lines().last().map(|line| format!(": {line}")).unwrap_or_default();
        CompileError::TooMuch(format!("the compiler died of it, {status}{end}"))
    }
}

fn broken(error: &io::Error) -> Result<(), Broken> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err(Broken::Late),
        _ => Err(Broken::Silent),
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("with exit status {code}"),
        (None, signal) => format!("killed by signal {}", signal.unwrap_or_default()),
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// What a compiler is told before the component: in the socket, its length goes before it.
#[derive(Serialize, Deserialize)]
struct Order {
    memory: u64,
    time: Duration,
    without: Vec<String>,
}

/// How an answer begins, which says what follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The length of what is known of the component, that, and the code.
    Compiled = 0,
    /// What wasmtime said.
    Refused = 1,
    /// Why there is no compiler.
    NoCompiler = 2,
}

fn encode(answer: Result<Compiled, CompileError>) -> Result<Vec<u8>, CompileError> {
    let text = |kind: Kind, text: String| [&[kind as u8][..], text.as_bytes()].concat();
    match answer {
        Ok(Compiled { code, info }) => {
            let info = payload::encode(&info).map_err(|error| CompileError::Refused(error.to_string()))?;
            let length = (info.len() as u64).to_le_bytes();
            Ok([&[Kind::Compiled as u8][..], &length, &info, &code].concat())
        }
        Err(CompileError::Refused(reason) | CompileError::TooMuch(reason)) => Ok(text(Kind::Refused, reason)),
        Err(CompileError::NoCompiler(reason)) => Ok(text(Kind::NoCompiler, reason)),
    }
}

/// Reads an answer; none if it is not one, such as the beginning of one.
fn decode(answer: Vec<u8>) -> Option<Result<Compiled, CompileError>> {
    let (kind, rest) = answer.split_first()?;
    let text = || String::from_utf8_lossy(rest).into_owned();
    match *kind {
        kind if kind == Kind::Compiled as u8 => {
            let (length, rest) = rest.split_first_chunk()?;
            let (info, code) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
            let info: ComponentInfo = payload::decode(info).ok()?;
            Some(Ok(Compiled { code: code.to_vec(), info }))
        }
        kind if kind == Kind::Refused as u8 => Some(Err(CompileError::Refused(text()))),
        kind if kind == Kind::NoCompiler as u8 => Some(Err(CompileError::NoCompiler(text()))),
        _ => None,
    }
}

/// Runs this process as a compiler: to be called first thing by the program that an [`ExecCompiler`]
/// executes.
pub fn run_compiler() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = io::stderr().write_all(format!("error: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    close_inherited()?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    std::panic::set_hook(Box::new(|panic| {
        let _ = io::stderr().write_all(format!("{panic}").replace('\n', " ").as_bytes());
    }));
    let mut socket = File::from(rustix::io::dup(rustix::stdio::stdin())?);
    let mut length = [0; 8];
    socket.read_exact(&mut length)?;
    let mut order = Vec::new();
    (&mut socket).take(u64::from_le_bytes(length)).read_to_end(&mut order)?;
    let order: Order = payload::decode(&order).map_err(io::Error::other)?;
    let walled = enclose(&order);
    let mut wasm = Vec::new();
    socket.read_to_end(&mut wasm)?;
    let answer = walled.map_err(CompileError::NoCompiler).and_then(|()| {
        let engine = Engine::new().map_err(|error| CompileError::NoCompiler(error.to_string()))?;
        compile(&engine, &wasm).map_err(CompileError::Refused)
    });
    socket.write_all(&encode(answer).map_err(io::Error::other)?)
}

/// Raises the walls around this process, before it has seen any of the component.
fn enclose(order: &Order) -> Result<(), String> {
    if Protection::CompileWalls.is_off() {
        return Ok(());
    }
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let walls = Walls {
        without: Without::named(&order.without).map_err(|error| error.to_string())?,
        purpose: Purpose::Compiler,
        data_bytes: order.memory,
        open_files: OPEN_FILES,
        cpu_seconds: Some(order.time.as_secs().saturating_add(1).saturating_mul(cores)),
        folders: Vec::new(),
        readable: Vec::new(),
        network: Network::None,
    };
    let outer = walls.raise_first().map_err(|error| error.to_string())?;
    outer.raise_last().map_err(|error| error.to_string())
}

/// Whether this process was started to be a compiler: by its title, its argument, and the socket that
/// is its standard input.
pub fn is_compiler() -> bool {
    let arguments: Vec<_> = std::env::args_os().take(3).collect();
    let [title, word] = arguments.as_slice() else { return false };
    let socket = rustix::net::sockopt::socket_type(rustix::stdio::stdin());
    title == TITLE && word == COMPILER && matches!(socket, Ok(SocketType::STREAM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let info = ComponentInfo { imports: vec!["wasi:cli/stdout".to_owned()], ..ComponentInfo::default() };
        let whole = encode(Ok(Compiled { code: vec![1, 2, 3], info: info.clone() })).expect("encoded");
        let read = decode(whole.clone()).expect("an answer").expect("compiled");
        assert_eq!((read.code, read.info), (vec![1, 2, 3], info));
        for end in 0..whole.len() - 3 {
            assert!(decode(whole[..end].to_vec()).is_none(), "{end}");
        }
        for error in [CompileError::Refused("bad".to_owned()), CompileError::NoCompiler("none".to_owned())] {
            let read = decode(encode(Err(error.clone())).expect("encoded")).expect("an answer");
            assert_eq!(read.expect_err("an error"), error);
        }
        assert!(decode(vec![9]).is_none());
    }

    #[test]
    fn what_cannot_be_executed_is_named() {
        let error = ExecCompiler::new("/no/such/program").compile(b"").expect_err("there is none");
        assert!(
            matches!(&error, CompileError::NoCompiler(why) if why.contains("/no/such/program")),
            "{error}"
        );
        // One that does not answer, and one that does not even listen.
        for (program, word) in [("/bin/true", "exit status 0"), ("/bin/false", "exit status 1")] {
            let error = ExecCompiler::new(program).compile(&[0; 1 << 20]).expect_err("no compiler");
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn a_compiler_that_never_answers_is_ended_in_time() {
        let bounds = CompileBounds { time: Duration::from_millis(300), ..CompileBounds::default() };
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("sleeper");
        std::fs::write(&program, "#!/bin/sh\nexec sleep 100\n").expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&program, mode).expect("may be executed");
        let started = Instant::now();
        for wasm in [&[0; 10][..], &[0; 4 << 20]] {
            let error = ExecCompiler { bounds, ..ExecCompiler::new(&program) }.compile(wasm);
            assert_eq!(
                error.expect_err("ended"),
                CompileError::TooMuch("it takes longer than 300ms".to_owned())
            );
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}
