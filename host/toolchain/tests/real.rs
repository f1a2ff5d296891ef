//! Builds real crates with this machine's toolchain.
//!
//! Owns: the proof that the chosen way works. Must not know: how it was chosen. Invariant:
//! it fails, and says what to do, where there is no way to build guests.

use std::fs;
use std::path::{Path, PathBuf};

use greenroom_toolchain::{Build, BuildError, Toolchain, Way, detect};

/// The folder that the guests of this repository are compiled in, so that the standard
/// library is compiled once for them and for this test.
fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guest")
}

/// Writes a crate of its own, with the profile of this repository: another profile would be
/// another standard library.
fn write_crate(name: &str, lib: &str, source: &str) -> PathBuf {
    let root = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"));
    let root = root.expect("the manifest of the repository");
    let profiles = root.find("[profile.").map_or("", |start| &root[start..]);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(dir.join("src")).expect("a folder");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[lib]\n{lib}\n\n{profiles}"
    );
    fs::write(dir.join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(dir.join("src/lib.rs"), source).expect("a source");
    dir
}

fn toolchain() -> Toolchain {
    detect().unwrap_or_else(|none| panic!("{none}\nrun `cargo xtask setup`, then test again"))
}

/// A build in the shared folder; the crate's components stay beside it.
fn build_of(dir: &Path) -> Build {
    Build { target_dir: Some(target_dir()), out_dir: Some(dir.join("out")), ..Build::new(dir) }
}

#[test]
fn a_crate_without_the_sdk_becomes_a_component_that_can_catch_panics() {
    let source = r#"
        #[unsafe(no_mangle)]
        pub extern "C" fn caught(x: i32) -> i32 {
            std::panic::catch_unwind(|| if x > 3 { panic!("{x} is too much") } else { x }).unwrap_or(-1)
        }

        #[cfg(greenroom_unwind)]
        #[unsafe(no_mangle)]
        pub extern "C" fn unwinds() {}
    "#;
    let dir = write_crate("real-component", "crate-type = [\"cdylib\"]", source);
    let toolchain = toolchain();
    let mut log = Vec::new();
    let built = toolchain.build(&build_of(&dir), &mut log);
    let built = built.unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&log)));
    let [built] = built.as_slice() else { panic!("one component, not {built:?}") };
    assert_eq!(built.wasm.file_name(), Some("real-component.wasm".as_ref()));
    let bytes = fs::read(&built.wasm).expect("the component");
    assert_eq!(&bytes[..8], b"\0asm\x0d\0\x01\0", "the preamble of a component, not of a module");
    assert_eq!(contains(&bytes, b"unwinds"), built.way == Way::SourceUnwind);

    let again = toolchain.build(&build_of(&dir), &mut log).expect("builds again");
    assert!(again.iter().all(|built| !built.changed), "an equal component is not written again");
}

#[test]
fn an_error_in_the_crate_is_shown_and_tried_once() {
    let dir = write_crate("real-error", "crate-type = [\"cdylib\"]", "pub fn f() -> u8 { \"text\" }");
    let mut log = Vec::new();
    let error = toolchain().build(&build_of(&dir), &mut log).expect_err("does not compile");
    assert!(matches!(error, BuildError::Cargo { .. }), "{error}");
    let log = String::from_utf8_lossy(&log);
    assert_eq!(log.matches("error[E0308]: mismatched types").count(), 1, "{log}");
    assert!(!log.contains("trying instead"), "{log}");
}

#[test]
fn what_is_not_a_guest_crate_is_said_to_be_none() {
    let toolchain = toolchain();
    let build = |dir: &Path| {
        let error = toolchain.build(&build_of(dir), &mut Vec::new()).expect_err("no guest");
        error.to_string()
    };
    let dir = write_crate("real-library", "", "");
    assert!(build(&dir).starts_with("package real-library does not make a component: add to "));
    assert!(build(&dir.join("src")).starts_with("there is no Cargo.toml in "));
    fs::write(dir.join("Cargo.toml"), "[package]\nname = 1\n").expect("a manifest");
    assert!(build(&dir).contains("Cargo.toml:\nerror: invalid type"), "{}", build(&dir));
}

#[test]
fn guests_of_a_folder_are_the_crates_that_make_components() {
    let dir = write_crate("real-listed", "crate-type = [\"cdylib\"]", "");
    let guests = toolchain().guests(&dir).expect("metadata");
    let names: Vec<_> = guests.iter().map(|guest| guest.package.as_str()).collect();
    assert_eq!(names, ["real-listed"]);
    assert_eq!(guests[0].dir, fs::canonicalize(&dir).expect("the folder"));
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
