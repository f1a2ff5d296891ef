//! The `greenroom` program.
//!
//! Owns: choosing what to do. Must not know: how it is done. Invariant: every failure goes
//! through [`error::CliError`], which decides what is shown and the exit status.

mod actors;
mod app;
mod args;
mod build;
mod call;
mod cancel;
mod check;
mod completion;
mod dev;
mod doctor;
mod error;
mod find;
mod functions;
mod grants;
mod input;
mod inspect;
mod limits;
mod live;
mod log;
mod logs;
mod manifest;
mod mistakes;
mod new;
mod prepare;
mod ps;
mod reach;
mod run;
mod screen;
mod serve;
mod session;
mod signals;
mod stream;
mod top;
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
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Completion(args) => completion::completion(&args),
        Command::Serve(args) => serve::serve(&args),
        Command::Call(args) => call::call(&args),
        Command::Stream(args) => stream::stream(&args),
        Command::Ps(args) => ps::ps(&args),
        Command::Tree(args) => ps::tree(&args),
        Command::Top(args) => top::top(&args),
        Command::Logs(args) => logs::logs(&args),
        Command::Find(args) => find::find(&args),
        Command::Wait(args) => find::wait(&args),
        Command::Cancel(args) => cancel::cancel(&args),
        Command::Compiler => return greenroom::run_compiler(),
        Command::Actor => return greenroom::run_actor(),
        Command::Zygote { .. } => return greenroom::run_zygote(greenroom::Forked::live),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}
