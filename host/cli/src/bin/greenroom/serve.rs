//! `greenroom serve`: a daemon that other programs find by its name.
//!
//! Owns: its options, its one line, its exit status. Must not know: processes, the registry.
//! Invariant: when its root actor ends, in whatever way, so does this program, with the whole tree.

use greenroom::{Host, RemoteError, SpawnSpec};

use crate::app::{App, FileArg};
use crate::args::AppFlags;
use crate::build::{Builder, Lines};
use crate::error::CliError;
use crate::functions::Function;
use crate::prepare::{Ready, host_failed};
use crate::session::{Ended, session};
use crate::signals::{Signals, status};
use crate::values::write_line;
use crate::{live, log};

/// How many functions are named in the line that says that it is ready.
const NAMED: usize = 8;

/// Serve modules as a daemon that any program of yours finds by its name
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
It serves until it is cancelled: by `greenroom cancel NAME`, by Ctrl-C, or by SIGTERM.
Examples:
  greenroom serve counter.wasm                      as `counter`
  greenroom serve --name tools text=strings.wasm math.wasm
  greenroom serve                                   what the greenroom.toml here says

Exit status:
  0 another program cancelled it    1 it failed, or its name is taken    2 bad usage or input
  125 the host failed               130 SIGINT, 143 SIGTERM: after everything ended gracefully")]
pub(crate) struct ServeArgs {
    /// The components; without any, the nearest greenroom.toml says
    #[arg(value_name = "[NAME=]FILE", value_parser = FileArg::parse)]
    files: Vec<FileArg>,

    /// What it is found by; by default, as its first component or the manifest's application
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Fail if an actor of this name is there already, and keep others from taking it
    #[arg(long)]
    unique: bool,

    #[command(flatten)]
    app: AppFlags,
}

pub(crate) fn serve(args: &ServeArgs) -> Result<(), CliError> {
    let mut app = App::assemble(&args.files, &args.app)?;
    if let Some(name) = &args.name {
        greenroom::check_name(name).map_err(|rule| CliError::input(format!("--name {name:?}: {rule}")))?;
        app.name.clone_from(name);
    }
    let _log = log::start(app.log);
    let ready = app.prepare(&mut Builder::new(Lines::News))?;
    let functions = functions(&app, &ready);
    let modules = app.modules.iter().map(|module| module.name.clone()).collect();
    let spec = SpawnSpec { publish: true, unique: args.unique, ..app.spec(&ready, modules) };
    let (name, level, setup) = (app.name.clone(), app.log, app.setup(ready)?);
    let runtime = live::runtime()?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen().map_err(host_failed)?;
        let work = async |host: &Host| run(host, spec, &name, &functions).await;
        session(setup, level, &mut signals, std::future::pending(), None, work).await
    })?;
    match ended {
        Ended::Returned(done) => done,
        Ended::Signalled(kind) => Err(CliError::ended(status(kind), "interrupted; every actor was ended")),
        Ended::Stopped => Err(CliError::ended(125, "the host was stopped")),
    }
}

/// Starts the root actor, says so, and waits for its end.
async fn run(host: &Host, spec: SpawnSpec, name: &str, functions: &str) -> Result<(), CliError> {
    let failed = |error: Box<RemoteError>| CliError::from(&*error);
    let root = host.nursery().start(spec, None).await.map_err(failed)?;
    let pid = std::process::id();
    write_line(&format!("serving {name} (pid {pid}): {functions}"))?;
    root.closed().await;
    match host.nursery().join().await {
        // An end that somebody asked for is no failure.
        Ok(()) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// The names of the functions there are, as many as one cares to read.
fn functions(app: &App, ready: &Ready) -> String {
    let modules = app.modules.iter().zip(&ready.infos);
    let names: Vec<String> = modules
        .flat_map(|(module, info)| Function::of_component(&module.name, info))
        .map(|function| function.name)
        .collect();
    match names.len() {
        0 => "no functions".to_owned(),
        count if count > NAMED => format!("{}, and {} more", names[..NAMED].join(", "), count - NAMED),
        _ => names.join(", "),
    }
}
