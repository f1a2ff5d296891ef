//! The actor that lies: see `greenroom_tests::liar`.

use std::process::ExitCode;

fn main() -> ExitCode {
    greenroom_tests::liar::main()
}
