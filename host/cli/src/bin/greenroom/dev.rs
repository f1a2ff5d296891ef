//! `greenroom dev`: an application that is run again whenever it changes.
//!
//! Owns: what happens in which order. Must not know: how a run, a build or watching is done.
//! Invariant: what runs is ended before what replaces it is started, and only once that is ready.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use greenroom::{Host, Outcome, Wall};
use tokio::signal::unix::SignalKind;

use crate::app::{App, manifest_path};
use crate::args::{AppFlags, Level};
use crate::build::{Builder, Lines};
use crate::error::CliError;
use crate::prepare::{Ready, host_failed};
use crate::run::{call_main, main_call};
use crate::session::{Ended, session};
use crate::signals::{Signals, status};
use crate::watch::Watch;
use crate::{log, values};

/// Run the application of a folder, and run it again whenever a file of it changes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Watched are greenroom.toml, the components and the guest crates that it names (but for target
folders, hidden files and Cargo.lock), and what --watch names. While something does not build, what
runs goes on.
Examples:
  greenroom dev
  greenroom dev services/greeter --watch ../common

Exit status:
  2 there is nothing to run or to watch     125 the host failed
  130 SIGINT, 143 SIGTERM: after everything ended gracefully; a second one kills at once")]
pub(crate) struct DevArgs {
    /// The folder with the greenroom.toml; without it, the nearest one upward
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// Another file or folder to watch
    #[arg(long, value_name = "PATH")]
    pub(crate) watch: Vec<PathBuf>,

    /// Go without a wall around each actor that this machine lacks; only for what you trust
    #[arg(long, value_name = "WALL")]
    pub(crate) without: Vec<Wall>,
}

/// An application that can be started.
type Next = (App, Ready);

pub(crate) fn dev(args: &DevArgs) -> Result<(), CliError> {
    let manifest = manifest_path(args.dir.as_deref())?;
    if !manifest.is_file() {
        return Err(CliError::input(format!("there is no `{}`", manifest.display())));
    }
    let _log = log::start(Level::Info);
    let (watch, without) = (Watch::new(&manifest, &args.watch)?, args.without.clone());
    let mut works = Works { watch, manifest, without, builder: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(host_failed)?;
    let ended = runtime.block_on(live(&mut works));
    // A build that is still going on is not waited for.
    runtime.shutdown_background();
    Err(CliError::ended(status(ended?), "interrupted; every actor was ended"))
}

/// Runs what there is to run, until a signal comes.
async fn live(works: &mut Works) -> Result<SignalKind, CliError> {
    let mut signals = Signals::listen().map_err(host_failed)?;
    let mut next = tokio::select! {
        next = works.first() => next?,
        kind = signals.next() => return Ok(kind),
    };
    loop {
        let (app, ready) = next;
        let call = main_call(&app, &ready, &[]);
        let setup = app.setup(ready)?;
        let mut built = None;
        let stop = async { built = Some(works.next().await) };
        let work = async |host: &Host| {
            match call {
                Ok((spec, function, kwargs)) => tell(call_main(host, spec, &function, kwargs).await),
                Err(error) => {
                    error.report();
                }
            }
            say("waiting for changes");
            std::future::pending::<()>().await;
        };
        let ended = session(setup, app.log, &mut signals, stop, None, work).await?;
        next = match (ended, built) {
            (Ended::Signalled(kind), _) => return Ok(kind),
            (_, Some(built)) => built?,
            (_, None) => return Err(CliError::ended(125, "the watch ended")),
        };
        say("restarting");
    }
}

/// Where applications come from.
struct Works {
    manifest: PathBuf,
    without: Vec<Wall>,
    watch: Watch,
    builder: Option<Builder>,
}

impl Works {
    /// What is there, once it can be started.
    async fn first(&mut self) -> Result<Next, CliError> {
        match self.attempt().await? {
            Some(next) => Ok(next),
            None => self.next().await,
        }
    }

    /// What is there after a change, once it can be started.
    async fn next(&mut self) -> Result<Next, CliError> {
        loop {
            self.watch.changed().await;
            if let Some(next) = self.attempt().await? {
                return Ok(next);
            }
        }
    }

    /// What is there, if it can be started; if not, that has been told.
    async fn attempt(&mut self) -> Result<Option<Next>, CliError> {
        let (manifest, without) = (self.manifest.clone(), self.without.clone());
        let mut builder = self.builder.take().unwrap_or_else(|| Builder::new(Lines::News));
        let attempt = tokio::task::spawn_blocking(move || {
            let app = assemble(&manifest, without);
            let ready = app.as_ref().ok().map(|app| app.prepare(&mut builder));
            (app, ready, builder)
        });
        let (app, ready, builder) =
            attempt.await.map_err(|error| CliError::ended(125, format!("the build was lost: {error}")))?;
        self.builder = Some(builder);
        if let Ok(app) = &app {
            self.watch.follow(app)?;
        }
        match (app, ready) {
            (Ok(app), Some(Ok(ready))) => return Ok(Some((app, ready))),
            (Err(error), _) | (_, Some(Err(error))) => {
                error.report();
            }
            (Ok(_), None) => {}
        }
        say("waiting for changes");
        Ok(None)
    }
}

fn assemble(manifest: &Path, without: Vec<Wall>) -> Result<App, CliError> {
    let flags = AppFlags { manifest: Some(manifest.to_owned()), without, ..AppFlags::default() };
    App::assemble(&[], &flags)
}

/// Shows what became of `main`.
fn tell(outcome: Outcome) {
    let told = match outcome {
        Ok(value) => values::print(&value),
        Err(error) => Err(CliError::from(&*error)),
    };
    if let Err(error) = told {
        error.report();
    }
}

/// Says what this program is about.
fn say(text: &str) {
    let style = anstyle::Style::new().dimmed();
    // Who does not read this sees what runs all the same.
    let _ = writeln!(anstream::stderr(), "{style}dev: {text}{style:#}");
}
