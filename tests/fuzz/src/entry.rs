//! Running a target on files, to look into one input.
//!
//! Owns: the `main` of the fuzz binaries outside a fuzzer. Must not know: what targets do.

use std::process::ExitCode;

use crate::targets::Target;

/// Runs the target on each file named on the command line; fails if one cannot be read.
pub fn replay(target: Target) -> ExitCode {
    let all_read = std::env::args_os().skip(1).all(|path| match std::fs::read(path) {
        Ok(data) => {
            target(&data);
            true
        }
        Err(_) => false,
    });
    if all_read { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
