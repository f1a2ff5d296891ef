//! The actor that is nobody's friend: see `greenroom_tests::villain`.

use std::process::ExitCode;

fn main() -> ExitCode {
    greenroom_tests::villain::main()
}
