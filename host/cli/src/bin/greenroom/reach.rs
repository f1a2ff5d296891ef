//! Whom a call is for: an actor that is alive, or a component that is given one of its own.
//!
//! Owns: telling the two apart, and everything between a command line and a portal. Must not know:
//! what is done with the portal. Invariant: arguments are checked, as far as the function's types
//! are known, before the function is called; a component's actor is gone when this returns.

use std::path::{Path, PathBuf};
use std::time::Duration;

use greenroom::{Host, Portal};

use crate::app::{App, FileArg};
use crate::args::AppFlags;
use crate::build::{Builder, Lines};
use crate::error::CliError;
use crate::functions::{Function, resolve};
use crate::live::{self, PROGRAM};
use crate::log;
use crate::prepare::host_failed;
use crate::session::{Ended, session};
use crate::signals::{Signals, exit_on_signal, status};
use crate::values::Read;

/// What is called, and how.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Callee {
    /// A component file, which is started for this one call; or a live actor: its name, `NAME/CHILD`
    /// for one below it, or the beginning of its uuid
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,

    /// The function: MODULE:FUNCTION, INTERFACE:FUNCTION, or FUNCTION where there is only one
    #[arg(value_name = "FUNCTION")]
    pub(crate) function: String,
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    File(PathBuf),
    Live(String),
}

impl Target {
    /// A file ends in `.wasm`, or begins like a path, or is there.
    fn of(text: &str) -> Self {
        let path = Path::new(text);
        let begins = ["/", "./", "../", "~"].iter().any(|start| text.starts_with(start));
        let is_file = begins || text.ends_with(".wasm") || (text.contains('/') && path.is_file());
        if is_file { Self::File(path.to_owned()) } else { Self::Live(text.to_owned()) }
    }
}

/// Does `work` with a portal to whoever is meant, the function, and its arguments.
///
/// # Errors
/// When there is no such actor, component or function, or the arguments do not fit.
pub(crate) fn reach<T>(
    callee: &Callee,
    flags: &AppFlags,
    arguments: &Read,
    work: impl AsyncFnOnce(&Portal, &Function, Vec<u8>) -> Result<T, CliError>,
) -> Result<T, CliError> {
    match Target::of(&callee.target) {
        Target::File(file) => in_file(file, &callee.function, flags, arguments, work),
        Target::Live(actor) => {
            if let Some(flag) = flags.for_components() {
                let message = format!("{flag} is for components, and `{actor}` is not a component's file");
                return Err(CliError::input(message).hint(format!("if it is one, write `./{actor}`")));
            }
            in_actor(&actor, &callee.function, arguments, work)
        }
    }
}

/// In an actor that is alive.
fn in_actor<T>(
    actor: &str,
    function: &str,
    arguments: &Read,
    work: impl AsyncFnOnce(&Portal, &Function, Vec<u8>) -> Result<T, CliError>,
) -> Result<T, CliError> {
    live::work(async |machine| {
        let target = live::target(actor)?;
        let known = machine.describe(&target).await?;
        let known: Vec<Function> = known.into_iter().map(Function::from).collect();
        let function = resolve(&known, function, &format!("actor `{actor}`"))?;
        let kwargs = arguments.encode(&function.name, function.shape())?;
        let portal = machine.connect(&target, PROGRAM).await?;
        work(&portal, &function, kwargs).await
    })
}

/// In an actor of its own, in a host of its own.
fn in_file<T>(
    file: PathBuf,
    function: &str,
    flags: &AppFlags,
    arguments: &Read,
    work: impl AsyncFnOnce(&Portal, &Function, Vec<u8>) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let whose = format!("`{}`", file.display());
    let app = App::assemble(&[FileArg { name: None, file }], flags)?;
    let _log = log::start(app.log);
    let ready = app.prepare(&mut Builder::new(Lines::News))?;
    let (Some(module), Some(info)) = (app.modules.first(), ready.infos.first()) else {
        return Err(CliError::ended(125, "the component is not loaded"));
    };
    let known = Function::of_component(&module.name, info);
    let function = match resolve(&known, function, &whose) {
        Ok(function) => function,
        Err(error) => return Err(crate::functions::uncallable(info, function).unwrap_or(error)),
    };
    let kwargs = arguments.encode(&function.name, function.shape())?;
    let spec = app.spec(&ready, vec![module.name.clone()]);
    let (setup, level) = (app.setup(ready)?, app.log);
    let runtime = live::runtime()?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen().map_err(host_failed)?;
        let work = async |host: &Host| match host.nursery().start(spec, None).await {
            Ok(actor) => work(&actor, &function, kwargs).await,
            Err(error) => Err(CliError::from(&*error)),
        };
        session(setup, level, &mut signals, std::future::pending(), None, work).await
    })?;
    exit_on_signal().map_err(host_failed)?;
    match ended {
        Ended::Returned(done) => done,
        Ended::Signalled(kind) => Err(CliError::ended(status(kind), "interrupted; every actor was ended")),
        Ended::Stopped => Err(CliError::ended(125, "the host was stopped")),
    }
}

/// What the error of a call comes to: what was wrong with the call itself is bad input, and its own
/// deadline is told from one further down.
pub(crate) fn failed(
    error: &greenroom::RemoteError,
    function: &Function,
    timeout: Option<Duration>,
) -> CliError {
    use greenroom::kind::{BadArguments, DeadlineExceeded, FunctionNotFound, ModuleNotExposed};
    let direct = error.relay_path.len() <= 1;
    let of_this_call = error.kind::<BadArguments>().is_some_and(|kind| kind.function == function.name);
    let not_there = error.is::<FunctionNotFound>() || error.is::<ModuleNotExposed>();
    if direct && (of_this_call || not_there) {
        return CliError::from(error).status(2);
    }
    if timeout.is_some() && direct && error.is::<DeadlineExceeded>() {
        return CliError::ended(live::TIMED_OUT, error.message.clone());
    }
    CliError::from(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_looks_like_one() {
        for file in ["x.wasm", "./x", "../a/x", "/opt/x", "a/b.wasm"] {
            assert_eq!(Target::of(file), Target::File(file.into()));
        }
        for actor in ["counter", "counter/worker_0", "3f2a9c", "wasm"] {
            assert_eq!(Target::of(actor), Target::Live(actor.into()));
        }
    }
}
