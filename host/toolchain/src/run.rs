//! Runs one cargo build to its end.
//!
//! Owns: cargo's two outputs: lines for a person go to the caller as they come, messages for
//! a program are collected. Must not know: which way is taken, or what is done with the
//! result. Invariant: cargo has ended, and both outputs are drained, when this returns.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::thread;

use serde::Deserialize;

use crate::failure::Watch;
use crate::metadata::Target;

/// How a build ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    /// The dynamic libraries that are now up to date.
    pub(crate) artifacts: Vec<Artifact>,
    /// Whether it was the standard library that did not build.
    pub(crate) std_failed: bool,
}

/// Something that a package was compiled to.
#[derive(Debug, Deserialize)]
pub(crate) struct Artifact {
    pub(crate) package_id: String,
    pub(crate) filenames: Vec<PathBuf>,
    target: NamedTarget,
}

#[derive(Debug, Deserialize)]
struct NamedTarget {
    name: String,
    #[serde(flatten)]
    kind: Target,
}

/// One line of `--message-format=json-render-diagnostics`.
#[derive(Debug, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    CompilerArtifact(Artifact),
    #[serde(other)]
    Other,
}

/// Runs `command`, a cargo that prints messages as JSON.
pub(crate) fn run(mut command: Command, log: &mut dyn Write) -> io::Result<Outcome> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let messages = child.stdout.take().map(|stdout| thread::spawn(move || artifacts(stdout)));
    let relayed = child.stderr.take().map_or(Ok(Watch::default()), |stderr| relay(stderr, log));
    if relayed.is_err() {
        // Nobody hears cargo any more; its exit status is of no use then.
        let _ = child.kill();
    }
    let status = child.wait()?;
    let watch = relayed?;
    let artifacts = messages.map(thread::JoinHandle::join).and_then(Result::ok).unwrap_or_default();
    let std_built = artifacts.iter().any(|artifact| artifact.target.name == "std");
    Ok(Outcome {
        std_failed: !status.success() && !std_built && watch.blames_std(),
        status,
        artifacts: artifacts.into_iter().filter(|it| it.target.kind.is_dynamic_library()).collect(),
    })
}

fn relay(stderr: ChildStderr, log: &mut dyn Write) -> io::Result<Watch> {
    let mut watch = Watch::default();
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while stderr.read_until(b'\n', &mut line)? > 0 {
        watch.handle_line(&line);
        log.write_all(&line)?;
        line.clear();
    }
    log.flush()?;
    Ok(watch)
}

/// Reads messages to the end; what is not one, a build script's stray print say, is skipped.
fn artifacts(stdout: impl Read) -> Vec<Artifact> {
    let mut found = Vec::new();
    for line in BufReader::new(stdout).split(b'\n') {
        let Ok(line) = line else { break };
        if let Ok(Message::CompilerArtifact(artifact)) = serde_json::from_slice(&line) {
            found.push(artifact);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    }

    const STD: &str = r#"{"reason":"compiler-artifact","package_id":"std","filenames":[],"target":{"kind":["lib"],"name":"std"}}"#;
    const HELLO: &str = r#"{"reason":"compiler-artifact","package_id":"hello","filenames":["/t/hello.wasm"],"target":{"kind":["cdylib"],"name":"hello"}}"#;

    #[test]
    fn lines_are_relayed_and_libraries_collected() {
        let text = format!("echo building >&2; echo '{STD}'; echo junk; echo '{HELLO}'; echo done >&2");
        let mut log = Vec::new();
        let outcome = run(script(&text), &mut log).expect("runs");
        assert!(outcome.status.success() && !outcome.std_failed);
        assert_eq!(log, b"building\ndone\n");
        let names: Vec<_> = outcome.artifacts.iter().map(|artifact| artifact.package_id.as_str()).collect();
        assert_eq!(names, ["hello"]);
    }

    #[test]
    fn a_failure_is_stds_only_until_std_is_built() {
        let failing = "echo 'error: could not compile `core` (lib)' >&2; exit 101";
        assert!(run(script(failing), &mut io::sink()).expect("runs").std_failed);
        let later = format!("echo '{STD}'; {failing}");
        assert!(!run(script(&later), &mut io::sink()).expect("runs").std_failed);
    }
}
