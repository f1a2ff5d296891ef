//! `greenroom find` and `greenroom wait`: where an actor is, by its name.
//!
//! Owns: both commands. Must not know: how names are kept. Invariant: neither connects to the actor.

use std::time::Duration;

use greenroom::Entry;

use crate::error::CliError;
use crate::live::{self, Layout, TIMED_OUT, address, entry_json, nobody};
use crate::values::write_line;

/// Show where the actor of a name is: the one that was published first and is alive
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Prints name, uuid, process and tree.
Examples:
  greenroom find counter
  greenroom find counter -o json | jq .pid

Exit status: 0 there is one, 3 there is none")]
pub(crate) struct FindArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,

    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Layout,
}

/// Wait until there is an actor of a name, then show where it is
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  greenroom wait counter --timeout 5s && greenroom call counter count:value

Exit status: 0 there is one, 124 --timeout passed")]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    find: FindArgs,

    /// Give up after this long, such as 500ms or 5m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

pub(crate) fn find(args: &FindArgs) -> Result<(), CliError> {
    let found = live::work(async |machine| Ok(machine.query(&args.name)?))?;
    show(&found.ok_or_else(|| nobody(&args.name))?, args.output)
}

pub(crate) fn wait(args: &WaitArgs) -> Result<(), CliError> {
    let found = live::work(async |machine| Ok(machine.wait(&args.find.name, args.timeout).await?))?;
    match found {
        Some(entry) => show(&entry, args.find.output),
        None => {
            let waited = humantime::format_duration(args.timeout.unwrap_or_default());
            let message = format!("there was no actor `{}` within {waited}", args.find.name);
            Err(CliError::ended(TIMED_OUT, message))
        }
    }
}

fn show(entry: &Entry, layout: Layout) -> Result<(), CliError> {
    match layout {
        Layout::Text => write_line(&address(entry)),
        Layout::Json => write_line(&entry_json(entry).to_string()),
    }
}
