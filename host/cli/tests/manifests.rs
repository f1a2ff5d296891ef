//! What `greenroom` says to those who write a manifest wrongly, and to those who write it right.
//!
//! Owns: messages with their places. Must not know: what actors do. Invariant: each mistake is shown
//! with file, line, column and what was expected, and ends with status 2.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A component without anything in it.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Wrong manifests, each with what is wrong about it.
const WRONG: &[(&str, &str)] = &[
    ("nothing in it", ""),
    ("no TOML", "[app\nname = \"x\"\n"),
    ("a string without an end", "[app]\nname = \"x\n"),
    ("a key twice", "[app]\nname = \"a\"\nname = \"b\"\n"),
    ("two modules of one name", "[modules.m]\ncomponent = \"empty.wasm\"\n[modules.m]\ncomponent = \"b\"\n"),
    (
        "two modules of one name to callers",
        "[modules.my-math]\ncomponent = \"empty.wasm\"\n\n[modules.my_math]\ncomponent = \"empty.wasm\"\n",
    ),
    ("an unknown section", "[modles.m]\ncomponent = \"empty.wasm\"\n"),
    ("an unknown key", "[app]\nmian = \"m\"\n\n[modules.m]\ncomponent = \"empty.wasm\"\n"),
    ("a key like no other", "[modules.m]\ncomponent = \"empty.wasm\"\nxyzzy = 1\n"),
    ("an integer for a string", "[app]\nname = 3\n"),
    ("a string for a table", "modules = \"m.wasm\"\n"),
    ("a string for a list", "[grants]\ndirs = \"docs\"\n"),
    ("a string for a boolean", "[grants]\ndiscover = \"yes\"\n"),
    ("a list for a variable", "[grants.env]\nKEY = [\"a\"]\n"),
    ("a slash in a name", "[app]\nname = \"a/b\"\n"),
    ("a colon in a module's name", "[modules.\"a:b\"]\ncomponent = \"empty.wasm\"\n"),
    ("neither component nor crate", "[modules.m]\nisolation = \"task\"\n"),
    ("component and crate", "[modules.m]\ncomponent = \"empty.wasm\"\ncrate = \".\"\n"),
    ("an unknown isolation", "[modules.m]\ncomponent = \"empty.wasm\"\nisolation = \"thread\"\n"),
    ("an unknown module as main", "[app]\nmain = \"mth\"\n\n[modules.math]\ncomponent = \"empty.wasm\"\n"),
    ("a bad duration", "[app]\ntimeout = \"soon\"\n"),
    ("a duration as a number", "[limits]\nspawn = 5\n"),
    ("a duration out of range", "[limits]\nspawn = \"1h\"\n"),
    ("a number out of range", "[limits]\nchildren = 5000\n"),
    ("a negative number", "[limits]\ntasks = -1\n"),
    ("a number as text", "[limits]\nchildren = \"8\"\n"),
    ("an unknown limit", "[limits]\nchildern = 8\n"),
    ("a folder without a host", "[grants]\ndirs = [\"::/docs\"]\n"),
    ("a folder that is a number", "[grants]\ndirs = [\"a::/a\", 7]\n"),
    ("a folder's unknown key", "[grants]\ndirs = [{ host = \"a\", readonly = true }]\n"),
    ("a guest path twice", "[grants]\ndirs = [\"a::/docs\", \"b::/docs:ro\"]\n"),
    ("a missing variable", "[modules.m]\ncomponent = \"${GREENROOM_ABSENT}/m.wasm\"\n"),
    ("a dollar sign alone", "[grants.env]\nPRICE = \"5 $\"\n"),
    ("a log level that is none", "[app]\nlog = \"loud\"\n"),
    ("an argument beyond 64 bits", "[app]\nargs = { n = 99999999999999999999 }\n"),
    ("a file that is not there", "[modules.m]\ncomponent = \"absent.wasm\"\n"),
    ("a file that is no component", "[modules.m]\ncomponent = \"text.wasm\"\n"),
    ("a crate that is not there", "[modules.m]\ncrate = \"absent\"\n"),
    (
        "a folder that is not there, and a guest path that is none",
        "[modules.m]\ncomponent = \"empty.wasm\"\n\n[grants]\ndirs = [\n    \"absent::/a\",\n    \"here::b\",\n]\n",
    ),
    ("a main module without a main", "[app]\nmain = \"m\"\n\n[modules.m]\ncomponent = \"empty.wasm\"\n"),
    (
        "several mistakes at once",
        "[app]\nname = 1\nmian = \"m\"\n\n[modules.m]\n\n[grants]\ndirs = [5]\n\n[limits]\ndepth = 65\n",
    ),
];

/// A folder with files to be named by manifests.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("empty.wasm"), EMPTY_COMPONENT).expect("a file");
    fs::write(folder.path().join("text.wasm"), "(component)").expect("a file");
    fs::create_dir(folder.path().join("here")).expect("a folder");
    folder
}

fn greenroom(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .args(arguments)
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join(".cache"))
        .env("XDG_RUNTIME_DIR", folder)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .env_remove("GREENROOM_ABSENT")
        .output()
        .expect("the program runs")
}

fn squares() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the repository");
    let file = root.join("target/guests/squares.wasm");
    assert!(file.exists(), "{} is missing: run `cargo xtask guests`", file.display());
    file.display().to_string()
}

#[test]
fn each_wrong_manifest_is_told_at_its_place() {
    let folder = folder();
    let mut told = String::new();
    for (what, manifest) in WRONG {
        fs::write(folder.path().join("greenroom.toml"), manifest).expect("written");
        let done = greenroom(folder.path(), &["check"]);
        let text = String::from_utf8(done.stderr).expect("text");
        assert_eq!(done.status.code(), Some(2), "{what}: {text}");
        assert_eq!(String::from_utf8_lossy(&done.stdout), "", "{what}");
        assert!(text.contains("error: "), "{what}: {text}");
        let _ = writeln!(told, "# {what}\n{text}");
    }
    insta::assert_snapshot!("wrong", told);
}

#[test]
fn a_run_tells_the_same_mistakes() {
    let folder = folder();
    fs::write(folder.path().join("greenroom.toml"), "[limits]\nchildren = 5000\n").expect("written");
    let said =
        |arguments: &[&str]| String::from_utf8(greenroom(folder.path(), arguments).stderr).expect("text");
    assert_eq!(said(&["run"]), said(&["check"]));
    assert_eq!(said(&["run", "--manifest", "."]), said(&["check", "."]));
}

#[test]
fn a_manifest_that_is_not_text_is_told_at_its_byte() {
    let folder = folder();
    fs::write(folder.path().join("greenroom.toml"), b"[app]\nname = \"caf\xe9\"\n").expect("written");
    let done = greenroom(folder.path(), &["check"]);
    assert_eq!(done.status.code(), Some(2));
    insta::assert_snapshot!("not_text", String::from_utf8(done.stderr).expect("text"));
}

#[test]
fn there_is_no_manifest() {
    let folder = folder();
    // Nothing above the folder has one, or this would say nothing.
    for arguments in [&["run"][..], &["check"], &["dev"]] {
        let done = greenroom(folder.path(), arguments);
        let text = String::from_utf8(done.stderr).expect("text");
        assert_eq!(done.status.code(), Some(2), "{text}");
        assert!(text.starts_with("error: there is no greenroom.toml here or in a folder above"), "{text}");
        assert!(text.contains("greenroom new"), "{text}");
    }
    let done = greenroom(folder.path(), &["check", "other.toml"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("cannot read `other.toml`"));
}

#[test]
fn a_good_manifest_is_found_from_below_and_the_command_line_counts_for_more() {
    let folder = folder();
    let manifest = format!(
        "[app]\nname = \"tour\"\nargs = {{ vals = [1, 2, 3], leaves = 2 }}\n\n\
         [modules.squares]\ncomponent = \"{}\"\n\n[modules.empty]\ncomponent = \"empty.wasm\"\n\n\
         [grants]\nspawn = true\n",
        squares()
    );
    let write = |text: &str| fs::write(folder.path().join("greenroom.toml"), text).expect("written");
    write(&manifest);
    let said = |arguments: &[&str]| {
        let done = greenroom(&folder.path().join("here"), arguments);
        (
            done.status.code(),
            String::from_utf8(done.stdout).expect("text"),
            String::from_utf8(done.stderr).expect("text"),
        )
    };
    let (code, out, err) = said(&["check"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.ends_with("`tour` can be run: `squares`, `empty`\n"), "{out}");

    let (code, _, err) = said(&["run"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("there are several modules and no `app.main`: `squares`, `empty`"), "{err}");
    assert!(err.contains("greenroom.toml:1:1"), "{err}");

    write(&manifest.replace("[app]\n", "[app]\nmain = \"squares\"\n"));
    assert_eq!(said(&["run"]), (Some(0), "[1,4,9]\n".to_owned(), String::new()));
    assert_eq!(said(&["run", "vals=[7]", "leaves=1"]), (Some(0), "[49]\n".to_owned(), String::new()));
    let (code, _, err) = said(&["run", "--limit", "children=0"]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("error: LimitExceeded: "), "{err}");
    let (code, _, err) = said(&["run", "--limit", "childern=0"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("there is no limit `childern`\n  hint: did you mean `children`?"), "{err}");
    let (code, _, err) = said(&["run", "--isolation", "sqares=task"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("there is no module `sqares`\n  hint: did you mean `squares`?"), "{err}");
    let (code, _, err) = said(&["run", &squares(), "--manifest", "../greenroom.toml"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("give one of them"), "{err}");
}

#[test]
fn what_is_imported_and_not_granted_is_a_warning() {
    let folder = folder();
    let wordcount = squares().replace("squares.wasm", "wordcount.wasm");
    let write = |grants: &str| {
        let text = format!("[modules.words]\ncomponent = \"{wordcount}\"\n{grants}");
        fs::write(folder.path().join("greenroom.toml"), text).expect("written");
    };
    write("");
    let check = |arguments: &[&str]| {
        let done = greenroom(folder.path(), arguments);
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text")
    };
    let text = check(&["check"]);
    assert!(text.contains("warning: `words` imports `wasi:filesystem`"), "{text}");
    assert!(text.contains("greenroom.toml:2:13"), "{text}");
    write("\n[grants]\ndirs = [\"here\"]\nspawn = true\n");
    assert!(!check(&["check"]).contains("warning"));
}

#[test]
fn a_project_that_cannot_be_made_leaves_nothing_behind() {
    let folder = folder();
    let mut told = String::new();
    for arguments in [
        &["new", "Shop"][..],
        &["new", "9lives"],
        &["new", "fn"],
        &["new", "my shop"],
        &["new", ".."],
        &["new", "here/.."],
        &["new", "shop", "--sdk", "here"],
        &["new", "shop", "--sdk", "absent"],
        &["new", "text.wasm/shop"],
    ] {
        let done = greenroom(folder.path(), arguments);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}");
        let text = String::from_utf8(done.stderr).expect("text");
        let _ = writeln!(told, "$ greenroom {}\n{text}", arguments.join(" "));
    }
    fs::write(folder.path().join("here/file"), "mine").expect("written");
    let done = greenroom(folder.path(), &["new", "here"]);
    assert_eq!(done.status.code(), Some(2));
    let _ = writeln!(told, "$ greenroom new here\n{}", String::from_utf8(done.stderr).expect("text"));
    assert_eq!(fs::read_to_string(folder.path().join("here/file")).expect("still there"), "mine");
    assert!(!folder.path().join("shop").exists());
    insta::assert_snapshot!("new", told);
}
