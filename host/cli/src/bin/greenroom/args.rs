//! The command line's shape.
//!
//! Owns: the commands there are, and the options that several of them share. Must not know: what
//! they do. Invariant: what does not parse ends here, with status 2.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use greenroom::{Isolation, Pattern, Wall};

use crate::build::BuildArgs;
use crate::call::CallArgs;
use crate::cancel::CancelArgs;
use crate::check::CheckArgs;
use crate::completion::CompletionArgs;
use crate::dev::DevArgs;
use crate::doctor::DoctorArgs;
use crate::find::{FindArgs, WaitArgs};
use crate::grants::{DirArg, Right, isolation};
use crate::inspect::InspectArgs;
use crate::logs::LogsArgs;
use crate::new::NewArgs;
use crate::ps::{PsArgs, TreeArgs};
use crate::run::RunArgs;
use crate::serve::ServeArgs;
use crate::stream::StreamArgs;
use crate::top::TopArgs;

/// Run WebAssembly components as supervised, sandboxed actor processes
#[derive(Debug, Parser)]
#[command(name = "greenroom", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    New(NewArgs),
    Build(BuildArgs),
    Dev(DevArgs),
    Run(RunArgs),
    Serve(ServeArgs),
    Call(CallArgs),
    Stream(StreamArgs),
    Ps(PsArgs),
    Tree(TreeArgs),
    Top(TopArgs),
    Logs(LogsArgs),
    Find(FindArgs),
    Wait(WaitArgs),
    Cancel(CancelArgs),
    Inspect(InspectArgs),
    Check(CheckArgs),
    Doctor(DoctorArgs),
    Completion(CompletionArgs),
    /// Serve as an actor process: for the broker's own use
    #[command(hide = true)]
    Actor,
    /// Serve as a zygote: for the broker's own use
    #[command(hide = true)]
    Zygote {
        /// Room for the titles of actors
        room: Option<String>,
    },
    /// Serve as a compiler's process: for the host's own use
    #[command(hide = true)]
    Compiler,
}

/// What an application is, beyond its first component: for `run` and `serve`. What is given here
/// counts for more than what a manifest says.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct AppFlags {
    /// The manifest; without it, and without a component, the nearest greenroom.toml upward from here
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,

    /// Another component whose modules actors may be started with
    #[arg(long = "module", value_name = "NAME=FILE", value_parser = pair)]
    pub(crate) modules: Vec<(String, String)>,

    /// How long an instance lives: as long as its actor, or as long as one task
    #[arg(long, value_name = "[NAME=]actor|task", value_parser = isolation)]
    pub(crate) isolation: Vec<(Option<String>, Isolation)>,

    /// Show a folder to the root actor; without GUEST it appears as /<its last name>
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]", value_parser = dir)]
    pub(crate) dirs: Vec<DirArg>,

    /// Set an environment variable of the root actor; without a value, this process's own
    #[arg(long = "env", value_name = "KEY[=VALUE]")]
    pub(crate) env: Vec<String>,

    /// What the application may do: start actors, read the wall clock, get random numbers, read this
    /// program's standard input, find other programs' actors, let them find its own
    #[arg(long, value_name = "RIGHT", value_enum, value_delimiter = ',')]
    pub(crate) allow: Vec<Right>,

    /// Let the application connect there, such as example.com:443, 10.0.0.0/8:* or *.example.com:443
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) net: Vec<Pattern>,

    /// What the root actor has as a program's arguments
    #[arg(last = true, value_name = "ARGUMENT")]
    pub(crate) args: Vec<String>,

    /// Set a limit, such as memory=16MiB, children=8 or cpu=5s
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) limits: Vec<(String, String)>,

    /// Go without a wall around each actor that this machine lacks; only for what you trust
    #[arg(long, value_name = "WALL")]
    pub(crate) without: Vec<Wall>,

    /// The gravest-first level down to which log lines are shown [default: info]
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub(crate) log: Option<Level>,
}

impl AppFlags {
    /// The first of those that say how a component is run, if there is one.
    pub(crate) fn for_components(&self) -> Option<&'static str> {
        [
            ("--manifest", self.manifest.is_some()),
            ("--module", !self.modules.is_empty()),
            ("--isolation", !self.isolation.is_empty()),
            ("--dir", !self.dirs.is_empty()),
            ("--env", !self.env.is_empty()),
            ("--allow", !self.allow.is_empty()),
            ("--net", !self.net.is_empty()),
            ("--", !self.args.is_empty()),
            ("--limit", !self.limits.is_empty()),
            ("--without", !self.without.is_empty()),
        ]
        .into_iter()
        .find_map(|(flag, given)| given.then_some(flag))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    /// How they are written in a manifest.
    pub(crate) const WORDS: &[(&str, Self)] = &[
        ("off", Self::Off),
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

/// How a command prints what it has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    // For people.
    #[default]
    Text,
    // For programs.
    Json,
}

/// Reads `KEY=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

fn dir(text: &str) -> Result<DirArg, String> {
    DirArg::parse(text, Path::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }
}
