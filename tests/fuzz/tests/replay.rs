//! Replays the corpus, and a fixed number of mutations of each entry.
//!
//! Owns: the mutations, the count of what each run allocates. Must not know: what targets check.
//! Invariant: the same inputs on every run and machine.

mod allocations;
mod mutation;

use std::fs;
use std::path::Path;

use greenroom_fuzz::TARGETS;

/// How many mutations all entries get together.
const MUTATIONS: usize = 200_000;

/// What a run may hold at its peak beside its input: what the session itself was given to send,
/// and buffers that were doubled just before.
const SLACK: usize = 600 * 1024;

/// Every entry of the corpus, with its target and file name.
fn corpus() -> Vec<(&'static str, greenroom_fuzz::Target, String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut entries = Vec::new();
    for (name, target) in TARGETS {
        let mut files: Vec<_> = fs::read_dir(root.join(name))
            .expect("each target has a corpus folder")
            .map(|entry| entry.expect("readable").path())
            .collect();
        assert!(files.len() >= 5, "{name} has a corpus");
        files.sort();
        for path in files {
            let data = fs::read(&path).expect("readable");
            entries.push((name, target, path.display().to_string(), data));
        }
    }
    entries
}

/// Runs a target and checks that its memory is in proportion to its input.
fn run(target: greenroom_fuzz::Target, data: &[u8]) -> Result<(), String> {
    let (panicked, peak) = allocations::peak(|| std::panic::catch_unwind(|| target(data)).is_err());
    let allowed = SLACK + 64 * data.len();
    match (panicked, peak > allowed) {
        (true, _) => Err("panicked".to_owned()),
        (_, true) => Err(format!("held {peak} bytes where {allowed} are allowed")),
        _ => Ok(()),
    }
}

#[test]
fn every_entry_holds() {
    for (_, target, path, data) in corpus() {
        assert_eq!(run(target, &data), Ok(()), "{path}");
    }
}

#[test]
fn every_mutation_holds() {
    let entries = corpus();
    let each = MUTATIONS / entries.len();
    for (name, target, path, data) in &entries {
        let framed = *name != "message";
        let mut random = mutation::Random::new(path.len() as u64 ^ data.len() as u64);
        for round in 0..each {
            let mutant = mutation::mutate(data, framed, &mut random);
            if let Err(what) = run(*target, &mutant) {
                panic!("{what}: mutation {round} of {path}: {mutant:02x?}");
            }
        }
    }
}
