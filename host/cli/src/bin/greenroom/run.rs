//! `greenroom run`: an application from its start to its exit status.
//!
//! Owns: wiring arguments, host, signals and the result. Must not know: processes. Invariant:
//! whatever ends the run, the tree is gone before this program is.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use greenroom::{
    Cache, Catalogue, ComponentInfo, DirGrant, Directory, Engine, Grant, Host, Limits, ModuleOptions,
    Outcome, Registry, Setup, SpawnSpec,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_appender::non_blocking::WorkerGuard;

use crate::args::{Level, RunArgs};
use crate::error::CliError;
use crate::{screen, values};

/// How long a run that was ended from outside waits for a terminal, or a pipe, that takes nothing
/// more: a person who interrupts a pager's source expects the prompt.
const LAST_LINES: Duration = Duration::from_millis(500);

/// The exit status of a run that took too long.
const TIMED_OUT: u8 = 124;

/// What ended the run.
enum Ended {
    Returned(Outcome),
    Signalled(SignalKind),
    TimedOut,
}

pub(crate) fn run(args: RunArgs) -> Result<(), CliError> {
    let _log = log(args.log);
    let name = module_name(&args.module)?;
    let others = args.modules.iter().map(|(module, _)| module.as_str());
    refuse_twice("--module", others.chain([name.as_str()]))?;
    refuse_twice("--dir", args.dirs.iter().map(|dir| dir.guest.as_str()))?;
    refuse_twice(
        "--env",
        args.env.iter().map(|text| text.split_once('=').map_or(text.as_str(), |(key, _)| key)),
    )?;
    let (catalogue, info) = catalogue(&args, &name)?;
    let kwargs = values::kwargs(&args.kwargs, info.signature("", "main"))?;
    let grants: Vec<Grant> = args
        .dirs
        .iter()
        .map(|dir| Grant::open(&dir.host, &dir.guest, dir.writable))
        .collect::<Result<_, _>>()?;
    let spec = SpawnSpec {
        name: name.clone(),
        modules: vec![name.clone()],
        dirs: grants
            .iter()
            .map(|grant| DirGrant {
                source: grant.guest_path(),
                target: grant.guest_path(),
                writable: grant.writable(),
            })
            .collect(),
        env: args.env.iter().map(|text| variable(text)).collect::<Result<_, _>>()?,
        ..SpawnSpec::default()
    };
    let host_failed = |error: std::io::Error| CliError::ended(125, format!("the host failed: {error}"));
    let setup = Setup {
        tree: name.clone(),
        catalogue,
        limits: Limits::default(),
        grants,
        registry: registry(),
        log: (args.log > Level::Info).then(|| filter(args.log)),
        program: std::env::current_exe().map_err(host_failed)?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(host_failed)?;
    let ended = runtime.block_on(async {
        let (host, reports) = Host::start(setup)?;
        let shown = screen::show(reports, args.log).map_err(host_failed)?;
        let mut signals = Signals::listen().map_err(host_failed)?;
        let timeout = async {
            match args.timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            outcome = call_main(&host, spec, kwargs) => Ended::Returned(outcome),
            kind = signals.next() => Ended::Signalled(kind),
            () = timeout => Ended::TimedOut,
        };
        tokio::select! {
            // What the nursery has to say was said by `main`, or is no longer asked for.
            _ = host.nursery().cancel() => {}
            kind = signals.next() => std::process::exit(i32::from(status(kind))),
        }
        drop(host);
        // All reports are in; the screen ends with them, once somebody has taken its last line.
        let patience = async {
            match ended {
                Ended::Returned(_) => std::future::pending().await,
                Ended::Signalled(_) | Ended::TimedOut => tokio::time::sleep(LAST_LINES).await,
            }
        };
        tokio::select! {
            biased;
            _ = shown => {}
            kind = signals.next() => std::process::exit(i32::from(status(kind))),
            () = patience => std::process::exit(i32::from(match ended {
                Ended::Signalled(kind) => status(kind),
                _ => TIMED_OUT,
            })),
        }
        Ok::<_, CliError>(ended)
    })?;
    exit_on_signal().map_err(host_failed)?;
    match ended {
        Ended::Returned(Ok(value)) => values::print(&value),
        Ended::Returned(Err(error)) => Err(CliError::from(&*error)),
        Ended::Signalled(kind) => Err(CliError::ended(status(kind), "interrupted; every actor was ended")),
        Ended::TimedOut => {
            let limit = humantime::format_duration(args.timeout.unwrap_or_default());
            Err(CliError::ended(TIMED_OUT, format!("not done within {limit}; every actor was ended")))
        }
    }
}

/// Starts the root actor and calls `main` in it.
async fn call_main(host: &Host, spec: SpawnSpec, kwargs: Vec<u8>) -> Outcome {
    let main = format!("{}:main", spec.name);
    let root = host.nursery().start(spec, None).await?;
    root.call(&main, kwargs.into()).await
}

/// Where other programs find the tree; nowhere, if that is not safe: it runs all the same.
fn registry() -> Option<Arc<dyn Registry>> {
    match Directory::open() {
        Ok(directory) => Some(Arc::new(directory)),
        Err(error) => {
            tracing::warn!("other programs will not find this one: {error}");
            None
        }
    }
}

/// The components of the run; the application's own comes first.
fn catalogue(args: &RunArgs, name: &str) -> Result<(Catalogue, ComponentInfo), CliError> {
    let cache = Cache::open_default()?;
    let engine = Engine::new().map_err(|error| CliError::ended(125, format!("no engine: {error}")))?;
    let mut catalogue = Catalogue::default();
    let info = catalogue.add(&cache, &engine, name, &args.module, ModuleOptions::default())?.clone();
    if !info.has_main() {
        let exported: Vec<String> = info.interfaces().iter().map(|name| format!("`{name}`")).collect();
        let message = format!("`{}` has no `main` to run", args.module.display());
        return Err(match exported.is_empty() {
            true => CliError::input(message).hint("`greenroom inspect` shows what it exports"),
            false => CliError::input(message).hint(format!("it exports {}", exported.join(", "))),
        });
    }
    for (module, file) in &args.modules {
        catalogue.add(&cache, &engine, module, Path::new(file), ModuleOptions::default())?;
    }
    Ok((catalogue, info))
}

/// The name under which an application's component and root actor are known: its file's.
fn module_name(path: &Path) -> Result<String, CliError> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().replace([':', '/'], "-"));
    stem.ok_or_else(|| CliError::input(format!("`{}` is not a file", path.display())))
}

/// That no name is given twice: which of the two would count is anybody's guess.
fn refuse_twice<'a>(option: &str, names: impl Iterator<Item = &'a str>) -> Result<(), CliError> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(CliError::input(format!("{option}: `{name}` is given twice")));
        }
    }
    Ok(())
}

fn variable(text: &str) -> Result<(String, String), CliError> {
    match text.split_once('=') {
        Some((key, _)) if key.is_empty() || key.chars().any(char::is_control) => Err(CliError::input(
            format!("--env {text:?}: a variable's name has no control characters and is not empty"),
        )),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => std::env::var(text)
            .map(|value| (text.to_owned(), value))
            .map_err(|_| CliError::input(format!("--env {text}: there is no such variable to pass on"))),
    }
}

/// The two signals that ask for the end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        }
    }
}

/// Lets a signal end the program while it prints its result: nobody else listens any more.
fn exit_on_signal() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            if let Ok(mut signals) = Signals::listen() {
                std::process::exit(i32::from(status(signals.next().await)));
            }
        });
    })?;
    Ok(())
}

/// What a shell gives for a program that a signal ended.
fn status(kind: SignalKind) -> u8 {
    u8::try_from(128 + kind.as_raw_value()).unwrap_or(u8::MAX)
}

/// Starts the host's own log; it ends with the value. Lines go through a queue, so that a
/// terminal that is held does not hold the broker; when the queue is full they are dropped.
fn log(level: Level) -> WorkerGuard {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(colour);
    subscriber.with_env_filter(tracing_subscriber::EnvFilter::new(filter(level))).init();
    guard
}

/// The host's own log: its crates at this level, others only when they fail.
fn filter(level: Level) -> String {
    let level = format!("{level:?}").to_lowercase();
    let crates = ["broker", "engine", "runtime", "transport", "wire"];
    let own: Vec<String> = crates.iter().map(|name| format!("greenroom_{name}={level}")).collect();
    own.join(",")
}
