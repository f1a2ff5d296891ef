//! `greenroom build`: a guest crate into a component.
//!
//! Owns: what is said about it. Must not know: how guests are built. Invariant: the last line
//! names the file that was made.

use std::io::IsTerminal;

use greenroom_toolchain::{Build, BuildError, detect};

use crate::args::BuildArgs;
use crate::error::CliError;
use crate::values::write_line;

pub(crate) fn build(args: &BuildArgs) -> Result<(), CliError> {
    let toolchain = detect().map_err(|error| CliError::input(error.to_string()))?;
    let mut build = Build::new(&args.dir);
    build.out_dir = args.out.clone();
    build.colour = std::io::stderr().is_terminal();
    let built = toolchain.build(&build, &mut std::io::stderr()).map_err(|error| match error {
        BuildError::Cargo { .. } | BuildError::NoArtifact { .. } | BuildError::Io { .. } => {
            CliError::failed(error.to_string())
        }
        _ => CliError::input(error.to_string()),
    })?;
    for built in built {
        write_line(&built.wasm.display().to_string())?;
    }
    Ok(())
}
