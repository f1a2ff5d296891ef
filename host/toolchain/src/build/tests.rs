//! Builds with a cargo that is made up: a shell that runs the script of the subcommand's name.
//!
//! Owns: the fall from one way to the next. Must not know: a compiler. Invariant: which way
//! fails is told by the arguments that cargo is given.

use tempfile::TempDir;

use super::*;
use crate::version::Version;

/// A crate beside scripts for `metadata` and for `build`.
fn crate_with(build: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let path = fs::canonicalize(dir.path()).expect("its path");
    let root = path.display();
    let metadata = format!(
        r#"echo '{{"packages":[{{"name":"hello","id":"hello#1","manifest_path":"{root}/Cargo.toml","targets":[{{"kind":["cdylib"]}}]}}],"target_directory":"{root}/target"}}'"#
    );
    let built = format!(
        r#"{{"reason":"compiler-artifact","package_id":"hello#1","target":{{"kind":["cdylib"],"name":"hello"}},"filenames":["{root}/made.wasm"]}}"#
    );
    for (name, text) in [
        ("Cargo.toml", ""),
        ("made.wasm", "component"),
        ("metadata", metadata.as_str()),
        ("build", &build.replace("BUILT", &format!("echo '{built}'"))),
    ] {
        fs::write(path.join(name), text).expect("written");
    }
    dir
}

fn build(dir: &TempDir) -> (Result<Vec<Built>, BuildError>, String) {
    let recipe = |way| Recipe {
        way,
        rustc: "/bin/rustc".into(),
        cargo: "/bin/sh".into(),
        version: Version::oldest(),
        libc: None,
        linkers: Vec::new(),
    };
    let recipes = [Way::SourceUnwind, Way::Prebuilt, Way::SourceAbort].map(recipe).to_vec();
    let mut log = Vec::new();
    let result = Toolchain { recipes, refusals: Vec::new() }.build(&Build::new(dir.path()), &mut log);
    (result, String::from_utf8(log).expect("text"))
}

#[test]
fn a_component_is_delivered_under_its_package() {
    let dir = crate_with("BUILT");
    let (built, log) = build(&dir);
    let [built] = &built.expect("built")[..] else { panic!("one component") };
    assert_eq!((built.way, built.changed, log.as_str()), (Way::SourceUnwind, true, ""));
    assert!(built.wasm.ends_with("target/guests/hello.wasm"));
    assert_eq!(fs::read_to_string(&built.wasm).expect("read"), "component");
}

#[test]
fn the_next_way_is_tried_when_the_standard_library_fails() {
    let dir = crate_with(
        "case \"$*\" in *panic_unwind*) echo 'error: could not compile `core` (lib)' >&2; exit 101;; esac; BUILT",
    );
    let (built, log) = build(&dir);
    assert_eq!(built.expect("built")[0].way, Way::Prebuilt);
    assert_eq!(
        log,
        "error: could not compile `core` (lib)\n\
         warning: failed to compile: standard library from source, panics unwind; \
         trying instead: standard library from rustup, panics abort\n"
    );
}

#[test]
fn no_other_way_is_tried_when_the_crate_fails() {
    let dir = crate_with("echo 'error: could not compile `hello` (lib)' >&2; exit 101");
    let (built, log) = build(&dir);
    assert_eq!(
        built.expect_err("failed").to_string(),
        "cargo failed to build hello with standard library from source, panics unwind \
         (exit status: 101); its messages are above"
    );
    assert_eq!(log.lines().count(), 1);
}

#[test]
fn a_build_without_a_component_is_an_error() {
    let (built, _) = build(&crate_with("true"));
    let error = built.expect_err("nothing made").to_string();
    assert_eq!(error, "cargo built package hello for wasm32-wasip2 but named no .wasm file of it");
}
