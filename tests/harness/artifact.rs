//! What the build has made.
//!
//! Owns: finding the program, the library's examples and the guests. Must not know: how they are built.

use std::path::{Path, PathBuf};

/// The `greenroom` program of the same build as this test.
///
/// # Panics
/// If it was not built: `cargo xtask test` builds it.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let folder = test.ancestors().nth(2).expect("tests lie in target/<profile>/deps");
    let program = folder.join("greenroom");
    assert!(program.exists(), "{} is missing: run `cargo xtask test`", program.display());
    program
}

/// An example of the library's, of the same build as this test.
///
/// # Panics
/// If it was not built: `cargo xtask test` builds it.
pub fn example(name: &str) -> PathBuf {
    let example = program().with_file_name("examples").join(name);
    assert!(example.exists(), "{} is missing: run `cargo xtask test`", example.display());
    example
}

/// The component of a guest crate of this repository.
///
/// # Panics
/// If it was not built: `cargo xtask guests` builds all.
pub fn guest(name: &str) -> PathBuf {
    let component = target().join("guests").join(format!("{name}.wasm"));
    assert!(component.exists(), "{} is missing: run `cargo xtask guests`", component.display());
    component
}

/// A component that is not built from a guest crate: one in another language, or of somebody else.
///
/// # Panics
/// If it was not built: `cargo xtask languages` builds all.
pub fn foreign(name: &str) -> PathBuf {
    let component = target().join("guests/languages").join(format!("{name}.wasm"));
    assert!(component.exists(), "{} is missing: run `cargo xtask languages`", component.display());
    component
}

/// Says where the repository is for those who may not enter the one that it was compiled in.
const REPOSITORY: &str = "GREENROOM_REPOSITORY";

/// The top folder of the repository.
pub fn repository() -> PathBuf {
    let compiled = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned();
    std::env::var_os(REPOSITORY).map_or_else(compiled, PathBuf::from)
}

/// A program of the suite's own, of the same build as this test: an actor that is no guest's host.
///
/// # Panics
/// If it was not built: `cargo xtask test` builds it.
pub fn own_program(name: &str) -> PathBuf {
    let own = program().with_file_name(name);
    assert!(own.exists(), "{} is missing: run `cargo xtask test`", own.display());
    own
}

/// Where everything that is built lies.
pub(crate) fn target() -> PathBuf {
    repository().join("target")
}
