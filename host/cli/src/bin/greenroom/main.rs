//! The `greenroom` program.
//!
//! Owns: choosing what to do. Must not know: how it is done. Invariant: every failure goes
//! through [`error::CliError`], which decides what is shown and the exit status.

mod app;
mod args;
mod build;
mod check;
mod completion;
mod dev;
mod error;
mod grants;
mod inspect;
mod limits;
mod log;
mod manifest;
mod mistakes;
mod new;
mod prepare;
mod run;
mod screen;
mod session;
mod signals;
mod values;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Run(args) => run::run(args),
        Command::Build(args) => build::build(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::New(args) => new::new(&args),
        Command::Dev(args) => dev::dev(&args),
        Command::Check(args) => check::check(&args),
        Command::Completion(args) => completion::completion(&args),
        Command::Actor => return greenroom::run_actor(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}
