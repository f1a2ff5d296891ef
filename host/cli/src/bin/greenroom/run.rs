//! `greenroom run`: an application from its start to its exit status.
//!
//! Owns: calling `main`, and what becomes of its outcome. Must not know: processes. Invariant:
//! whatever ends the run, the tree is gone before this program is.

use std::time::Duration;

use greenroom::{ComponentInfo, Host, Outcome, Setup, SpawnSpec};

use crate::app::{App, FileArg};
use crate::args::{AppFlags, pair};
use crate::build::{Builder, Lines};
use crate::error::CliError;
use crate::prepare::{Ready, host_failed};
use crate::session::{Ended, session};
use crate::signals::{Signals, exit_on_signal, status};
use crate::{input, log, values};

/// The exit status of a run that took too long.
const TIMED_OUT: u8 = 124;

/// Run an application: start its root actor, call `main`, print the result, end the tree
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  greenroom run                                        what the greenroom.toml here says
  greenroom run squares.wasm 'vals=[1,2,3]' leaves=2
  greenroom run wordcount.wasm folder=/docs --dir docs::/docs:ro

Exit status:
  0 main returned a value     1 main failed       2 bad usage or input
  124 --timeout passed        125 the host failed
  130 SIGINT, 143 SIGTERM: after everything ended gracefully; a second one kills at once")]
pub(crate) struct RunArgs {
    /// The application: a component with a `main`; without it, the nearest greenroom.toml says
    #[arg(value_name = "MODULE")]
    pub(crate) module: Option<String>,

    /// Keyword arguments of `main`: values are JSON, or plain text where that is no JSON or the
    /// parameter is a String
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) kwargs: Vec<(String, String)>,

    #[command(flatten)]
    pub(crate) app: AppFlags,

    /// Cancel everything after this long, such as 30s or 5m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

impl RunArgs {
    /// The component, if there is one, and the arguments: what comes first is an argument where it
    /// reads like one.
    fn words(&self) -> (Option<FileArg>, Vec<(String, String)>) {
        let mut kwargs = self.kwargs.clone();
        let file = self.module.as_ref().filter(|word| match word.split_once('=') {
            Some((key, value)) if is_key(key) => {
                kwargs.insert(0, (key.to_owned(), value.to_owned()));
                false
            }
            _ => true,
        });
        (file.map(|file| FileArg { name: None, file: file.into() }), kwargs)
    }
}

fn is_key(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

pub(crate) fn run(args: RunArgs) -> Result<(), CliError> {
    let (file, kwargs) = args.words();
    let app = App::assemble(file.as_slice(), &args.app)?;
    let _log = log::start(app.log);
    let ready = app.prepare(&mut Builder::new(Lines::News))?;
    let (spec, function, kwargs) = main_call(&app, &ready, &kwargs)?;
    let stdin = if app.rights.stdin { Some(input::pass_on().map_err(host_failed)?) } else { None };
    let setup = Setup { stdin, ..app.setup(ready)? };
    let timeout = args.timeout.or(app.timeout);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(host_failed)?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen().map_err(host_failed)?;
        let stop = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let work = async |host: &Host| call_main(host, spec, &function, kwargs).await;
        session(setup, app.log, &mut signals, stop, Some(TIMED_OUT), work).await
    })?;
    exit_on_signal().map_err(host_failed)?;
    match ended {
        Ended::Returned(Ok(value)) => values::print(&value),
        Ended::Returned(Err(error)) => Err(CliError::from(&*error)),
        Ended::Signalled(kind) => Err(CliError::ended(status(kind), "interrupted; every actor was ended")),
        Ended::Stopped => {
            let limit = humantime::format_duration(timeout.unwrap_or_default());
            Err(CliError::ended(TIMED_OUT, format!("not done within {limit}; every actor was ended")))
        }
    }
}

/// The root actor to start, the function of it to call, and with what.
///
/// # Errors
/// When there is no `main`, or it does not take these arguments.
pub(crate) fn main_call(
    app: &App,
    ready: &Ready,
    given: &[(String, String)],
) -> Result<(SpawnSpec, String, Vec<u8>), CliError> {
    let main = app.main()?;
    let number = app.modules.iter().position(|module| module.name == main.name);
    let info = number.and_then(|number| ready.infos.get(number));
    let info = info.ok_or_else(|| CliError::ended(125, "the main module is not loaded"))?;
    if !info.has_main() {
        return Err(mainless(app, &main.name, info));
    }
    let kwargs = values::kwargs(&app.arguments(given), info.signature("", "main"))?;
    let spec = app.spec(ready, vec![main.name.clone()]);
    Ok((spec, format!("{}:main", main.name), kwargs))
}

fn mainless(app: &App, name: &str, info: &ComponentInfo) -> CliError {
    let error = match app.modules.iter().find(|module| module.name == name).map(|module| &module.from) {
        Some(from) if app.manifest.is_none() => {
            CliError::input(format!("`{}` has no `main` to run", from.path().display()))
        }
        _ => CliError::input(format!("module `{name}` has no `main` to run")),
    };
    let exported: Vec<String> = info.interfaces().iter().map(|name| format!("`{name}`")).collect();
    match exported.is_empty() {
        true => error.hint("`greenroom inspect` shows what it exports"),
        false => error.hint(format!("it exports {}", exported.join(", "))),
    }
}

/// Starts the root actor and calls `main` in it.
pub(crate) async fn call_main(host: &Host, spec: SpawnSpec, function: &str, kwargs: Vec<u8>) -> Outcome {
    let root = host.nursery().start(spec, None).await?;
    root.call(function, kwargs.into()).await
}
