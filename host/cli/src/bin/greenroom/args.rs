//! The command line's shape.
//!
//! Owns: names, help and parsing of every option. Must not know: what they do. Invariant: what
//! does not parse ends here, with status 2.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// Run WebAssembly components as supervised, sandboxed actor processes
#[derive(Debug, Parser)]
#[command(name = "greenroom", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(RunArgs),
    Build(BuildArgs),
    Inspect(InspectArgs),
    /// Serve as an actor process: for the broker's own use
    #[command(hide = true)]
    Actor,
}

/// Run an application: start its root actor, call `main`, print the result, end the tree
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  greenroom run squares.wasm 'vals=[1,2,3]' leaves=2
  greenroom run wordcount.wasm folder=/docs --dir docs::/docs:ro

Exit status:
  0 main returned a value     1 main failed       2 bad usage or input
  124 --timeout passed        125 the host failed
  130 SIGINT, 143 SIGTERM: after everything ended gracefully; a second one kills at once")]
pub(crate) struct RunArgs {
    /// The application: a component with a `main`
    #[arg(value_name = "MODULE")]
    pub(crate) module: PathBuf,

    /// Keyword arguments of `main`: values are JSON, or plain text where that is no JSON or the
    /// parameter is a String
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) kwargs: Vec<(String, String)>,

    /// Another component whose modules actors may be started with
    #[arg(long = "module", value_name = "NAME=FILE", value_parser = pair)]
    pub(crate) modules: Vec<(String, String)>,

    /// Show a folder to the root actor; without GUEST it appears as /<its last name>
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]", value_parser = dir)]
    pub(crate) dirs: Vec<DirArg>,

    /// Set an environment variable of the root actor; without a value, this process's own
    #[arg(long = "env", value_name = "KEY[=VALUE]")]
    pub(crate) env: Vec<String>,

    /// Cancel everything after this long, such as 30s or 5m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,

    /// The gravest-first level down to which log lines are shown
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = Level::Info)]
    pub(crate) log: Level,
}

/// Build the guest crate in a folder into a component
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The component is written to target/guests/<package>.wasm of the crate's workspace, or to --out.
Examples:
  greenroom build
  greenroom build modules/hello --out dist")]
pub(crate) struct BuildArgs {
    /// The crate's folder
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,

    /// Where to put the component
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Show what a component exports, imports, and needs to be granted
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// The component
    #[arg(value_name = "MODULE")]
    pub(crate) module: PathBuf,
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

/// A folder to grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirArg {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
    pub(crate) writable: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

fn dir(text: &str) -> Result<DirArg, String> {
    let (paths, writable) = match text.strip_suffix(":ro") {
        Some(paths) => (paths, false),
        None => (text.strip_suffix(":rw").unwrap_or(text), true),
    };
    let (host, guest) = match paths.split_once("::") {
        Some((host, guest)) => (host, Some(guest.to_owned())),
        None => (paths, None),
    };
    if host.is_empty() {
        return Err("the host's folder is missing: write HOST[::GUEST][:ro]".to_owned());
    }
    let host = PathBuf::from(host);
    let guest = match guest {
        Some(guest) => guest,
        None => {
            let full = std::path::absolute(&host).map_err(|error| error.to_string())?;
            let name = full.file_name().ok_or("a folder without a name needs ::GUEST")?;
            format!("/{}", name.to_string_lossy())
        }
    };
    Ok(DirArg { host, guest, writable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn reads_folders() {
        let granted = |text: &str| dir(text).map(|d| (d.host.display().to_string(), d.guest, d.writable));
        assert_eq!(granted("docs"), Ok(("docs".into(), "/docs".into(), true)));
        assert_eq!(granted("a/b::/data:ro"), Ok(("a/b".into(), "/data".into(), false)));
        assert_eq!(granted("a/b:ro"), Ok(("a/b".into(), "/b".into(), false)));
        assert!(granted("/").is_err());
        assert!(granted("::/data").is_err());
    }
}
