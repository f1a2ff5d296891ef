//! `greenroom cancel`: the end of an actor and of all below it.
//!
//! Owns: its options. Must not know: how an actor is ended. Invariant: it returns when the actors
//! are gone.

use crate::error::CliError;
use crate::live;
use crate::values::write_line;

/// End an actor, all below it, and its process; its callers are told who asked
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
An actor that does not end when it is asked is ordered to, and then killed.
Examples:
  greenroom cancel counter
  greenroom cancel counter/worker_0

Exit status: 0 it is gone, 3 there is no such actor")]
pub(crate) struct CancelArgs {
    /// A live actor: its name, NAME/CHILD for one below it, or the beginning of its uuid
    #[arg(value_name = "TARGET", required = true)]
    targets: Vec<String>,
}

pub(crate) fn cancel(args: &CancelArgs) -> Result<(), CliError> {
    live::work(async |machine| {
        for text in &args.targets {
            machine.cancel(&live::target(text)?).await?;
            write_line(&format!("`{text}` has ended"))?;
        }
        Ok(())
    })
}
