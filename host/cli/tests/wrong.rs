//! What `greenroom` says of wrong calls.
//!
//! Owns: the messages of the commands that talk to actors. Must not know: what happens when all is
//! right. Invariant: each says what was wrong, where, and what was expected; none starts anything
//! that it leaves behind.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A component without anything in it.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A core module without anything in it.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A folder with files to be given to the program.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in [
        ("core.wasm", CORE_MODULE),
        ("empty.wasm", EMPTY_COMPONENT),
        ("text.wasm", b"(component)\n"),
        ("latin1.txt", b"caf\xe9"),
        ("wrong.json", b"{\"x\": 1,}"),
        ("cut.cbor", b"\xa1\x61"),
        ("list.cbor", b"\x81\x01"),
    ] {
        fs::write(folder.path().join(name), content).expect("a file");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the repository");
    for guest in ["plain", "pingpong"] {
        let file = root.join(format!("target/guests/{guest}.wasm"));
        assert!(file.exists(), "{} is missing: run `cargo xtask guests`", file.display());
        std::os::unix::fs::symlink(file, folder.path().join(format!("{guest}.wasm"))).expect("a link");
    }
    folder
}

/// The command, its status, and what it says, which is all on standard error.
fn said(folder: &Path, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .args(arguments)
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("XDG_RUNTIME_DIR", folder)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .env_remove("COLUMNS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // One that fails before it has read is right to.
    let _ = child.stdin.take().expect("it was asked for").write_all(input);
    let done = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "", "{arguments:?}");
    let complaint = String::from_utf8(done.stderr).expect("text");
    let mut text = String::from("$ greenroom");
    for argument in arguments {
        let plain =
            !argument.is_empty() && argument.chars().all(|c| c.is_alphanumeric() || "-_./=:@".contains(c));
        let _ = if plain { write!(text, " {argument}") } else { write!(text, " '{argument}'") };
    }
    let status = done.status.code().expect("no signal");
    assert!(!complaint.contains("panicked") && status != 0, "{text}: {complaint}");
    let _ = write!(text, "\n[{status}] {complaint}\n");
    text
}

/// All of them, one after the other.
fn all(cases: &[&[&str]]) -> String {
    let folder = folder();
    cases.iter().map(|arguments| said(folder.path(), arguments, b"")).collect()
}

#[test]
fn values_that_do_not_fit() {
    const PLACE: &str = "v={full-name: \"x\", point: {x: 1, y: 2}, tags: []}";
    let with = |from: &str, to: &str| PLACE.replace(from, to);
    let (range, missing) = (with("y: 2", "y: 3000000000"), with(", y: 2", ""));
    let (extra, deep) = (with("y: 2", "y: 2, z: 3"), with("[]", "[\"a\", 1]"));
    let several = with("y: 2", "y: \"a\"").replace("[]", "true");
    let call = |function: &'static str, value: &str| {
        ["call", "plain.wasm", function, value].map(str::to_owned).to_vec()
    };
    let cases = [
        call("echo-place", &range),
        call("echo-place", &missing),
        call("echo-place", &extra),
        call("echo-place", &deep),
        call("echo-place", &several),
        call("echo-place", "v={\"full-name\": \"x\","),
        call("echo-places", &format!("v=[none, {}]", &range[2..])),
        call("echo-bool", "v=yes"),
        call("echo-char", "v=ab"),
        call("echo-list", "v=[1, 70000]"),
        call("echo-list", "v=[1, 2"),
        call("echo-list", "v=7"),
        call("echo-size", "v=huge"),
        call("echo-shape", "v=square(1)"),
        call("echo-shape", "v=circle"),
        call("echo-shape", "v=nothing(1)"),
        call("echo-shape", "v=polygon([{x: 1, y: 2}, {x: 1}])"),
        call("echo-shape", "v={\"sized\": [\"small\"]}"),
        call("echo-rights", "v={read, fly}"),
        call("echo-options", "v=5"),
        call("echo-results", "v=[ok(\"x\"), err(\"x\")]"),
        call("echo-bytes", "v=hello"),
        call("echo-bytes", "v=\"#\""),
        call("echo-bytes", "v=@absent"),
        call("echo-string", "v=@latin1.txt"),
        call("echo-list", "v=@wrong.json"),
        call("echo-integers", "a=1"),
    ];
    let cases: Vec<Vec<&str>> =
        cases.iter().map(|arguments| arguments.iter().map(String::as_str).collect()).collect();
    let said = all(&cases.iter().map(Vec::as_slice).collect::<Vec<_>>());
    insta::assert_snapshot!(said);
}

#[test]
fn arguments_that_are_none() {
    let folder = folder();
    let call = |more: &[&str], input: &[u8]| {
        let arguments: Vec<&str> = ["call", "plain.wasm", "echo-bool"].iter().chain(more).copied().collect();
        said(folder.path(), &arguments, input)
    };
    let text = [
        call(&[], b""),
        call(&["v"], b""),
        call(&["v=true", "w=1"], b""),
        call(&["v=true", "v=true"], b""),
        call(&["--json", "{\"v\": true, \"v\": true}"], b""),
        call(&["--json", "[true]"], b""),
        call(&["--json", "{"], b""),
        call(&["--json", "{\"v\": 1}"], b""),
        call(&["-"], b"\xff\xfe"),
        call(&["-"], b""),
        call(&["-", "v=true"], b"{}"),
        call(&["--cbor", "absent.cbor"], b""),
        call(&["--cbor", "cut.cbor"], b""),
        call(&["--cbor", "list.cbor"], b""),
        call(&["v=true", "--json", "{}"], b""),
        call(&["v=true", "-o", "yaml"], b""),
    ];
    let said = text.concat();
    insta::assert_snapshot!(said);
}

#[test]
fn functions_and_targets_that_are_not_there() {
    let said = all(&[
        &["call", "plain.wasm", "ecko-bool", "v=true"],
        &["call", "plain.wasm", "nowhere:echo-bool", "v=true"],
        &["call", "plain.wasm", "make"],
        &["call", "plain.wasm", "sum"],
        &["call", "empty.wasm", "f"],
        &["call", "absent.wasm", "f"],
        &["call", "./absent", "f"],
        &["call", "core.wasm", "f"],
        &["call", "text.wasm", "f"],
        &["call", "nobody", "f"],
        &["call", "nobody/child", "f"],
        &["call", "", "f"],
        &["call", "nobody", "f", "--dir", "."],
        &["call", "plain.wasm", "echo-bool", "v=true", "--dir", "absent"],
        &["call", "pingpong.wasm", "partner:play"],
        &["stream", "plain.wasm", "echo-bool", "v=true"],
        &["stream", "pingpong.wasm", "partner:play", "-"],
        &["stream", "nobody", "f"],
        &["serve", "plain.wasm", "plain.wasm"],
        &["serve", "a=plain.wasm", "a=pingpong.wasm"],
        &["serve", "absent.wasm"],
        &["serve", "plain.wasm", "--name", "a/b"],
        &["serve"],
        &["find", "nobody"],
        &["wait", "nobody", "--timeout", "10ms"],
        &["cancel", "nobody"],
        &["cancel"],
        &["logs", "nobody"],
        &["ps", "--tree", "nobody"],
        &["tree", "nobody"],
        &["top"],
    ]);
    insta::assert_snapshot!(said);
}

#[test]
fn what_is_sent_and_is_no_message() {
    let folder = folder();
    let text = [b"\"ping\"\nping\n" as &[u8], b"\"\xff\"\n"].map(|input| {
        // What was printed before is not the complaint.
        let mut child = Command::new(env!("CARGO_BIN_EXE_greenroom"))
            .args(["stream", "pingpong.wasm", "partner:play"])
            .current_dir(folder.path())
            .env("XDG_CACHE_HOME", folder.path().join("cache"))
            .env("XDG_RUNTIME_DIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        child.stdin.take().expect("it was asked for").write_all(input).expect("it reads");
        let done = child.wait_with_output().expect("it ends");
        assert_eq!(done.status.code(), Some(2));
        String::from_utf8(done.stderr).expect("text")
    });
    let said = text.concat();
    insta::assert_snapshot!(said);
}

#[test]
fn a_registry_that_others_could_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let registry = folder.path().join("greenroom");
    fs::create_dir(&registry).expect("a folder");
    fs::set_permissions(&registry, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let text = said(folder.path(), &["ps"], b"");
    assert!(text.contains("[125] error: ") && text.contains("greenroom` "), "{text}");
}
