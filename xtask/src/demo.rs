//! The README's first command.
//!
//! Owns: what is shown. Must not know: how the examples work. Invariant: each line that is
//! shown can be typed as it stands.

use std::process::{Command, ExitCode};

use crate::host::quoted;
use crate::workspace::{root, target};
use crate::{guests, host};

/// The arguments of `greenroom` for each example.
fn examples() -> [Vec<String>; 2] {
    let values: Vec<String> = (1..=16).map(|value| value.to_string()).collect();
    let values = format!("vals=[{}]", values.join(","));
    [
        ["run", "target/guests/squares.wasm", "--allow", "spawn", &values, "leaves=4"]
            .map(str::to_owned)
            .to_vec(),
        [
            "run",
            "target/guests/wordcount.wasm",
            "--allow",
            "spawn",
            "folder=/docs",
            "--dir",
            "docs::/docs:ro",
        ]
        .map(str::to_owned)
        .to_vec(),
    ]
}

/// Builds the guests and the program, then runs the examples.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    guests::build()?;
    let mut code = host::build()?;
    let program = target().join("release/greenroom");
    let shown = program.strip_prefix(root()).unwrap_or(&program).display().to_string();
    for arguments in examples() {
        if code != ExitCode::SUCCESS {
            break;
        }
        let line =
            format!("{shown} {}", arguments.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
        code = host::run(Command::new(&program).args(&arguments), &line)?;
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_can_be_typed() {
        let lines =
            examples().map(|words| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
        assert_eq!(
            lines,
            [
                "run target/guests/squares.wasm --allow spawn 'vals=[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]' leaves=4",
                "run target/guests/wordcount.wasm --allow spawn folder=/docs --dir docs::/docs:ro",
            ]
        );
    }
}
