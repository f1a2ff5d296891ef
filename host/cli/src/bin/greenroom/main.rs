//! The `greenroom` program.
//!
//! Owns: choosing what to do. Must not know: how it is done. Invariant: every failure goes
//! through [`error::CliError`], which decides what is shown and the exit status.

mod args;
mod build;
mod error;
mod inspect;
mod run;
mod screen;
mod values;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Run(args) => run::run(args),
        Command::Build(args) => build::build(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Actor => return greenroom::run_actor(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}
