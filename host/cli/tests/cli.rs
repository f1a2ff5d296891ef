//! What `greenroom` says to those who use it wrongly, and when asked for help.
//!
//! Owns: messages, exit statuses, the help. Must not know: what actors do. Invariant: one clear line
//! for each mistake, a hint at most beside it, and status 2.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A component without anything in it.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A core module without anything in it.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A folder with files to be given to the program.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in [
        ("text.wasm", &b"(component)\n"[..]),
        ("short.wasm", b"\0as"),
        ("core.wasm", CORE_MODULE),
        ("broken.wasm", b"\0asm\x0d\0\x01\0\xff\xff"),
        ("mainless.wasm", EMPTY_COMPONENT),
    ] {
        fs::write(folder.path().join(name), content).expect("a file");
    }
    folder
}

fn greenroom(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .args(arguments)
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .env_remove("COLUMNS")
        .env_remove("GREENROOM_ABSENT")
        .output()
        .expect("the program runs")
}

/// The complaint, with its status, which must be all there is.
fn complaint(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let done = greenroom(folder, arguments);
    assert_eq!(String::from_utf8_lossy(&done.stdout), "", "{arguments:?}");
    (done.status.code(), String::from_utf8(done.stderr).expect("text"))
}

/// An application that takes arguments, if the guests have been built.
fn squares() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the repository");
    let file = root.join("target/guests/squares.wasm");
    assert!(file.exists(), "{} is missing: run `cargo xtask guests`", file.display());
    file.display().to_string()
}

#[test]
fn a1_a_mistake_is_told_in_one_line_with_status_2() {
    let folder = folder();
    let squares = squares();
    let squares = squares.as_str();
    let cases: &[(&[&str], &str)] = &[
        (&["run", "absent.wasm"], "cannot read `absent.wasm`: No such file or directory"),
        (&["run", "."], "`.` is not a file"),
        (&["run", "text.wasm"], "`text.wasm` is not a WebAssembly file"),
        (&["run", "short.wasm"], "`short.wasm` is not a WebAssembly file"),
        (&["run", "core.wasm"], "`core.wasm` is a core WebAssembly module, not a component"),
        (&["run", "broken.wasm"], "cannot compile `broken.wasm`: "),
        (&["run", "mainless.wasm"], "`mainless.wasm` has no `main` to run"),
        (&["run", squares, "vals=[1]", "leaves=1", "--module", "m=core.wasm"], "`core.wasm` is a core"),
        (&["run", squares, "leafs=1"], "`main` has no argument `leafs`"),
        (&["run", squares, "leaves=1", "leaves=2"], "argument `leaves` is given twice"),
        (&["run", squares, "vals=[1]", "leaves=1", "--dir", "absent"], "cannot open folder `absent`: "),
        (
            &["run", squares, "vals=[1]", "leaves=1", "--dir", ".::relative"],
            "guest path `relative` must be absolute",
        ),
        (
            &["run", squares, "vals=[1]", "leaves=1", "--dir", ".::/a/../b"],
            "guest path `/a/../b` must be absolute",
        ),
        (&["run", squares, "vals=[1]", "leaves=1", "--env", "GREENROOM_ABSENT"], "there is no such variable"),
        (&["inspect", "core.wasm"], "`core.wasm` is a core WebAssembly module, not a component"),
    ];
    for (arguments, says) in cases {
        let (code, text) = complaint(folder.path(), arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("error: ") && lines[0].contains(says), "{arguments:?}: {text}");
        let hints = lines[1..].iter().all(|line| line.starts_with("  hint: "));
        assert!(hints && lines.len() <= 2, "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[test]
fn a1_a_mistake_in_the_command_line_is_told_with_status_2() {
    let folder = folder();
    let cases: &[(&[&str], &str)] = &[
        (&["run", "--nonsense", "x.wasm"], "error: unexpected argument '--nonsense' found"),
        (&["walk"], "error: unrecognized subcommand 'walk'"),
        (
            &["run", "x.wasm", "no-pair"],
            "error: invalid value 'no-pair' for '[KEY=VALUE]...': write it as KEY=VALUE",
        ),
        (&["run", "x.wasm", "=1"], "error: invalid value '=1' for '[KEY=VALUE]...': write it as KEY=VALUE"),
        (
            &["run", "x.wasm", "--dir", "::/data"],
            "error: invalid value '::/data' for '--dir <HOST[::GUEST][:ro]>': the host's folder is missing",
        ),
        (
            &["run", "x.wasm", "--dir", "/"],
            "error: invalid value '/' for '--dir <HOST[::GUEST][:ro]>': a folder without a name needs ::GUEST",
        ),
        (&["run", "x.wasm", "--timeout", "soon"], "error: invalid value 'soon' for '--timeout <DURATION>'"),
        (&["run", "x.wasm", "--log", "loud"], "error: invalid value 'loud' for '--log <LEVEL>'"),
        (&["run", "x.wasm", "--allow", "all"], "error: invalid value 'all' for '--allow <RIGHT>'"),
        (
            &["run", "x.wasm", "--isolation", "thread"],
            "error: invalid value 'thread' for '--isolation <[NAME=]actor|task>': write actor or task",
        ),
        (&["completion", "tcsh"], "error: invalid value 'tcsh' for '<SHELL>'"),
        (&["new"], "error: the following required arguments were not provided:"),
    ];
    for (arguments, says) in cases {
        let (code, text) = complaint(folder.path(), arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
        assert!(text.lines().next().is_some_and(|line| line.starts_with(says)), "{arguments:?}: {text}");
    }
}

#[test]
fn what_goes_into_a_pipe_has_no_colours() {
    let folder = folder();
    for arguments in [&["run", "absent.wasm"][..], &["--help"], &["run", "--help"], &["walk"]] {
        let done = greenroom(folder.path(), arguments);
        let said = [done.stdout, done.stderr].concat();
        assert!(!said.is_empty() && !said.contains(&0x1b), "{arguments:?}: {said:?}");
    }
}

#[test]
fn colours_are_there_when_they_are_forced_and_not_when_they_are_unwanted() {
    let folder = folder();
    let escapes = |variables: &[(&str, &str)]| {
        let done = Command::new(env!("CARGO_BIN_EXE_greenroom"))
            .args(["run", "absent.wasm"])
            .current_dir(folder.path())
            .env("XDG_CACHE_HOME", folder.path().join("cache"))
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .envs(variables.iter().copied())
            .output()
            .expect("the program runs");
        done.stderr.contains(&0x1b)
    };
    assert!(escapes(&[("CLICOLOR_FORCE", "1")]), "else the next lines would show nothing");
    assert!(!escapes(&[("NO_COLOR", "1")]));
    assert!(!escapes(&[]));
}

#[test]
fn help_reads_as_it_should() {
    let folder = folder();
    let mut text = String::new();
    let commands = [
        "new",
        "build",
        "dev",
        "run",
        "serve",
        "call",
        "stream",
        "ps",
        "tree",
        "top",
        "logs",
        "find",
        "wait",
        "cancel",
        "inspect",
        "check",
        "doctor",
        "completion",
    ];
    let commands = commands.map(|command| [command, "--help"]);
    for arguments in [&["--help"][..]].into_iter().chain(commands.iter().map(|words| &words[..])) {
        let done = greenroom(folder.path(), arguments);
        assert_eq!(done.status.code(), Some(0), "{arguments:?}");
        text.push_str(&format!("$ greenroom {}\n", arguments.join(" ")));
        text.push_str(&String::from_utf8(done.stdout).expect("text"));
        text.push('\n');
    }
    insta::assert_snapshot!("help", text);
}

#[test]
fn every_shell_gets_its_completions() {
    let folder = folder();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = greenroom(folder.path(), &["completion", shell]);
        assert_eq!(done.status.code(), Some(0), "{shell}");
        let script = String::from_utf8(done.stdout).expect("text");
        assert!(script.contains("greenroom") && script.contains("inspect"), "{shell}: {script}");
    }
}

#[test]
fn the_doctor_tells_people_and_programs_the_same() {
    let folder = folder();
    let done = greenroom(folder.path(), &["doctor", "-o", "json"]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let lines: Vec<serde_json::Value> = serde_json::from_slice(&done.stdout).expect("JSON");
    let text = greenroom(folder.path(), &["doctor"]);
    let text = String::from_utf8(text.stdout).expect("text");
    for line in &lines {
        let name = line["name"].as_str().expect("a name");
        let word = line["grade"].as_str().expect("a grade");
        assert!(text.lines().any(|shown| shown.starts_with(word) && shown.contains(name)), "{line}: {text}");
    }
    let grade = |name: &str| lines.iter().find(|line| line["name"] == name).expect("a line")["grade"].clone();
    assert_eq!((grade("engine"), grade("pidfd")), ("ok".into(), "ok".into()));
}

#[test]
fn the_doctor_fails_where_nothing_can_be_run() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").expect("written");
    let done = Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .arg("doctor")
        .env("XDG_CACHE_HOME", folder.path().join("file"))
        .output()
        .expect("the program runs");
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8(done.stdout).expect("text");
    let line = said.lines().find(|line| line.starts_with("FAIL")).expect("what failed");
    assert!(line.contains("cache folder"), "{said}");
    assert!(said.contains("hint: set XDG_CACHE_HOME to a folder that you own"), "{said}");
}

#[test]
fn inspect_tells_programs_what_it_tells_people() {
    let folder = folder();
    let done = greenroom(folder.path(), &["inspect", &squares(), "-o", "json"]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let told: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
    // They come as the component has them, which is as they were linked.
    let exports = told["exports"].as_array().expect("a list");
    let main = exports.iter().find(|export| export["name"] == "main").expect("a function `main`");
    assert_eq!(main["kind"], "portal");
    assert_eq!(main["type"], "(vals: Vec<i64>, leaves: u32) -> Vec<i64>");
    let people = greenroom(folder.path(), &["inspect", &squares()]);
    let people = String::from_utf8(people.stdout).expect("text");
    for export in exports {
        assert!(people.contains(export["name"].as_str().expect("a name")), "{people}");
    }
    assert!(told["imports"].as_array().is_some_and(|imports| !imports.is_empty()));
    assert_eq!(told["unlinkable"], serde_json::Value::Null);
}
