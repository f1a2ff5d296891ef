//! The rules of the layers and of the house, as tables that are checked.
//!
//! Owns: which crate may import which, which words a layer must never name, what every file
//! must look like. Must not know: what any of the code does. Invariant: a rule that nothing
//! could break any more is an error too, so that no table outlives its reason.

mod manifest;
mod source;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::manifest::Manifest;
use crate::source::{Scan, Source};

/// Where modules are, which know nothing but what their authors import.
const MODULES: &[&str] = &["modules/", "tests/guests/"];

/// What each crate may import of this workspace. A layer sees those above it, and no others.
const EDGES: &[(&str, &[&str])] = &[
    ("greenroom-abi", &[]),
    ("greenroom-sabotage", &[]),
    ("greenroom-sandbox", &["greenroom-sabotage"]),
    ("greenroom-wire", &["greenroom-abi"]),
    ("greenroom-transport", &[]),
    ("greenroom-runtime", &["greenroom-abi", "greenroom-sabotage", "greenroom-wire", "greenroom-transport"]),
    ("greenroom-engine", &["greenroom-abi", "greenroom-sabotage", "greenroom-wire", "greenroom-runtime"]),
    (
        "greenroom-broker",
        &[
            "greenroom-abi",
            "greenroom-sabotage",
            "greenroom-sandbox",
            "greenroom-wire",
            "greenroom-transport",
            "greenroom-runtime",
            "greenroom-engine",
        ],
    ),
    ("greenroom-toolchain", &[]),
    (
        "greenroom",
        &[
            "greenroom-abi",
            "greenroom-sabotage",
            "greenroom-wire",
            "greenroom-transport",
            "greenroom-runtime",
            "greenroom-engine",
            "greenroom-broker",
            "greenroom-toolchain",
        ],
    ),
    ("greenroom-guest", &["greenroom-abi", "greenroom-guest-macro"]),
    ("greenroom-guest-macro", &["greenroom-abi"]),
    ("greenroom-fuzz", &["greenroom-abi", "greenroom-wire"]),
    ("greenroom-kernels", &[]),
    ("bench", &["greenroom-guest", "greenroom-kernels"]),
    ("xtask", &["greenroom-sabotage", "greenroom-toolchain"]),
];

/// What the crate of the tests over several crates may import: whatever it tests.
const TESTS: &str = "greenroom-tests";

/// Crates of others that only these may import.
const RESERVED: &[(&str, &[&str])] = &[
    ("anyhow", &["xtask"]),
    ("clap", &["greenroom", "xtask"]),
    ("landlock", &["greenroom-sandbox"]),
    ("seccompiler", &["greenroom-sandbox", TESTS]),
    (
        "tokio",
        &[
            "greenroom-transport",
            "greenroom-runtime",
            "greenroom-engine",
            "greenroom-broker",
            "greenroom",
            TESTS,
        ],
    ),
    ("wasmtime", &["greenroom-engine"]),
    ("wasmtime-wasi", &["greenroom-engine"]),
    ("wit-bindgen", &["greenroom-guest", "leaf", "machine", "plain"]),
];

/// Words that the code in a folder must never name, its tests apart.
const WORDS: &[(&str, &[&str])] = &[
    ("wit/", &["tokio", "std::fs", "std::net", "std::process", "std::thread", "Instant::now", "SystemTime"]),
    (
        "host/wire/",
        &[
            "tokio",
            "wasmtime",
            "std::fs",
            "std::net",
            "std::os",
            "std::process",
            "std::thread",
            "Instant::now",
            "SystemTime",
            "OsRng",
            "new_v4",
        ],
    ),
    ("host/transport/", &["greenroom_wire", "greenroom_runtime", "Session", "std::process"]),
    (
        "host/runtime/",
        &["wasmtime", "clap", "rustix", "std::net", "std::process", "tokio::net", "tokio::process"],
    ),
    (
        "host/engine/",
        &[
            "clap",
            "rustix::net",
            "std::net",
            "std::os::unix::net",
            "std::os::unix::process",
            "std::process::Child",
            "std::process::Command",
            "tokio::process",
            "TcpListener",
            "TcpStream",
            "UnixListener",
            "UnixStream",
        ],
    ),
    ("host/sandbox/", &["tokio", "wasmtime", "clap", "std::net", "std::process::Command", "std::thread"]),
    ("host/broker/", &["clap", "wasmtime"]),
    (
        "guest-sdk/",
        &["greenroom_wire", "greenroom_transport", "greenroom_runtime", "greenroom_engine", "tokio"],
    ),
];

/// The files that may hold `unsafe`, and why.
const UNSAFE: &[(&str, &str)] = &[
    ("guest-sdk/macro/src/expand.rs", "the section that holds the signatures"),
    ("host/broker/src/watch.rs", "registers a pidfd with the reactor"),
    ("host/broker/src/zygote/fork.rs", "makes a sibling, and shows what it is called"),
    ("host/sandbox/src/kernel.rs", "asks the kernel for what has no safe function"),
    ("host/sandbox/tests/walls/prison.rs", "forks to try walls in a process with one thread"),
    ("host/engine/src/cache.rs", "loads code that the same engine compiled"),
    ("host/engine/src/clock.rs", "has the kernel interrupt a thread"),
    ("host/engine/src/host/streams.rs", "has memory copied into a guest that another process uses, too"),
    ("host/transport/src/channel.rs", "registers a socket with the reactor"),
    ("host/transport/src/lending.rs", "copies in and out of memory that another process uses, too"),
    ("host/transport/src/memory.rs", "maps memory that another process uses, too"),
    ("host/transport/src/ring.rs", "copies in and out of memory that another process uses, too"),
    ("host/transport/src/shared.rs", "registers a pipe with the reactor"),
    ("host/transport/src/socket.rs", "registers a socket, and reads into memory that was never written"),
    ("host/transport/src/turn.rs", "asks the C library on which core it runs"),
    ("modules/failing/src/lib.rs", "shows a trap"),
    ("tests/fuzz/fuzz_targets/acceptor.rs", "what libFuzzer calls"),
    ("tests/fuzz/fuzz_targets/initiator.rs", "what libFuzzer calls"),
    ("tests/fuzz/fuzz_targets/message.rs", "what libFuzzer calls"),
    ("tests/fuzz/tests/allocations/mod.rs", "an allocator that counts"),
    ("tests/harness/villain/raw.rs", "calls that no safe interface offers"),
    ("tests/guests/escape/src/wasi.rs", "passes the C library's look at paths by"),
    ("tests/guests/faults/src/traps.rs", "traps on purpose"),
];

/// The longest file, in lines. Past it, it is two files.
const MAX_LINES: usize = 900;

/// What breaks rules, to be shown all at once.
#[derive(Default)]
struct Broken(String);

impl Broken {
    fn add(&mut self, place: &str, rule: &str) {
        let _ = write!(self.0, "\n  {place}: {rule}");
    }

    #[track_caller]
    fn none(self) {
        assert!(self.0.is_empty(), "rules are broken:{}", self.0);
    }
}

fn edges(manifest: &Manifest) -> Option<&'static [&'static str]> {
    let listed = EDGES.iter().find(|(name, _)| *name == manifest.name).map(|(_, allowed)| *allowed);
    let is_module = MODULES.iter().any(|folder| manifest.path.starts_with(folder));
    listed.or(is_module.then_some(&["greenroom-guest"]))
}

#[test]
fn a_layer_imports_only_those_above_it() {
    let mut broken = Broken::default();
    let manifests = manifest::all();
    let ours: BTreeSet<_> = manifests.iter().map(|manifest| manifest.name.as_str()).collect();
    for manifest in manifests.iter().filter(|manifest| manifest.name != TESTS) {
        let Some(allowed) = edges(manifest) else {
            broken.add(&manifest.path, "a crate that has no place among the layers: add it to EDGES");
            continue;
        };
        for import in manifest.dependencies.iter().filter(|import| ours.contains(import.as_str())) {
            if !allowed.contains(&import.as_str()) {
                broken.add(&manifest.path, &format!("`{}` must not import `{import}`", manifest.name));
            }
        }
    }
    for (name, allowed) in EDGES {
        for name in [name].into_iter().chain(*allowed).filter(|name| !ours.contains(**name)) {
            broken.add("EDGES", &format!("there is no crate `{name}` any more"));
        }
    }
    broken.none();
}

#[test]
fn some_crates_are_reserved_to_the_layer_they_belong_to() {
    let mut broken = Broken::default();
    let manifests = manifest::all();
    for (import, holders) in RESERVED {
        let users = manifests.iter().filter(|manifest| manifest.dependencies.contains(*import));
        for user in users.filter(|user| !holders.contains(&user.name.as_str())) {
            broken.add(&user.path, &format!("`{}` must not import `{import}`: {holders:?} may", user.name));
        }
        for holder in *holders {
            if !manifests.iter().any(|manifest| manifest.name == *holder) {
                broken.add("RESERVED", &format!("there is no crate `{holder}` any more"));
            }
        }
    }
    broken.none();
}

#[test]
fn a_layer_never_names_what_it_must_not_know() {
    let mut broken = Broken::default();
    for (folder, words) in WORDS {
        let sources: Vec<_> = source::below(folder).into_iter().filter(|source| !source.is_test()).collect();
        if sources.is_empty() {
            broken.add("WORDS", &format!("there is nothing in `{folder}` any more"));
        }
        for source in sources {
            let scan = source.scan(Scan::WithoutTests);
            for word in *words {
                for (line, path) in scan.naming(word) {
                    broken.add(&format!("{}:{line}", source.path), &format!("names `{path}`, of `{word}`"));
                }
            }
        }
    }
    broken.none();
}

#[test]
fn every_file_says_what_it_owns_and_has_one_subject() {
    let mut broken = Broken::default();
    for source in source::all() {
        if !source.text.starts_with("//! ") {
            broken.add(&source.path, "a file opens with `//!` and what it owns");
        }
        let lines = source.text.lines().count();
        if lines > MAX_LINES {
            broken
                .add(&source.path, &format!("{lines} lines, where {MAX_LINES} are allowed: it is two files"));
        }
    }
    broken.none();
}

#[test]
fn unsafe_code_stays_where_it_is_listed_and_says_why_it_is_sound() {
    let mut broken = Broken::default();
    let listed = |source: &Source| UNSAFE.iter().any(|(path, _)| *path == source.path);
    let mut found = BTreeSet::new();
    for source in source::all() {
        let scan = source.scan(Scan::Whole);
        if let Some((line, _)) = scan.naming("unsafe").next() {
            found.insert(source.path.clone());
            if !listed(&source) {
                broken
                    .add(&format!("{}:{line}", source.path), "`unsafe` in a file that UNSAFE does not list");
            }
        }
        let (blocks, reasons) = (scan.unsafe_blocks, source.text.matches("SAFETY:").count());
        if blocks > reasons {
            broken.add(&source.path, &format!("{blocks} unsafe blocks, but {reasons} times `SAFETY:`"));
        }
    }
    for (path, _) in UNSAFE.iter().filter(|(path, _)| !found.contains(*path)) {
        broken.add("UNSAFE", &format!("`{path}` holds no `unsafe` any more"));
    }
    broken.none();
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_to_do() {
    let mut broken = Broken::default();
    for source in source::all() {
        let scan = source.scan(Scan::Whole);
        for line in &scan.ignored {
            broken.add(&format!("{}:{line}", source.path), "a test is fixed or deleted, never ignored");
        }
        for word in ["todo!", "unimplemented!", "dbg!"] {
            for (line, _) in scan.naming(word) {
                broken.add(&format!("{}:{line}", source.path), &format!("`{word}` is not for keeps"));
            }
        }
    }
    broken.none();
}
