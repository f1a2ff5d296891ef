//! `greenroom completion`: what a shell needs to complete this program's words.
//!
//! Owns: nothing but the call. Must not know: the commands. Invariant: it knows every command and
//! option that the program has.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;
use crate::error::CliError;
use crate::values::write_line;

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  greenroom completion bash > ~/.local/share/bash-completion/completions/greenroom
  greenroom completion zsh > ~/.zfunc/_greenroom        with `fpath+=~/.zfunc` before compinit
  greenroom completion fish > ~/.config/fish/completions/greenroom.fish")]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: Shell,
}

pub(crate) fn completion(args: &CompletionArgs) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "greenroom", &mut script);
    write_line(String::from_utf8_lossy(&script).trim_end())
}
