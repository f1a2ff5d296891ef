//! What a component that nobody knows may do when it is run with no flags: compute.
//!
//! Owns: that everything it may ask for by the standard library is denied, and is there when it is
//! granted; `grants.rs` does the same with sockets, and with each version of WASI.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use greenroom::Directory;
use greenroom_tests::{Options, Place, World, alone, guest, program};

/// A file that it tries to make.
const LEFT: &str = "/tmp/greenroom-was-here";

/// What a run with these options said: its result, or its error.
fn ask(what: &str, with: &str, options: &[&str]) -> String {
    let mut run = Command::new(program())
        .arg("run")
        .arg(guest("everything"))
        .args([format!("what={what}"), format!("with={with}")])
        .args(options)
        .env("A_VARIABLE", "of the host's")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // Who does not read it closes it.
    let _ = run.stdin.take().expect("a pipe").write_all(b"a line\n");
    let output = run.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// A tree of somebody else's on the machine, that can be found.
async fn others(place: &Place) -> World {
    let registry = Arc::new(Directory::open().expect("the test's own registry"));
    World::with(place, Options { registry: Some(registry), ..Options::default() }).await
}

#[test]
fn f1_an_unknown_component_that_is_run_with_no_flags_can_do_nothing_but_compute() {
    alone(async |place| {
        let others = others(place).await;
        for (what, with) in [
            ("files", ""),
            ("folders", ""),
            ("granted", "/etc/hostname"),
            ("new-file", ""),
            ("environment", ""),
            ("arguments", ""),
            ("input", ""),
            ("terminal", ""),
            ("clock", ""),
            ("children", ""),
            ("others", "root"),
            ("list", ""),
        ] {
            let said = ask(what, with, &[]);
            assert!(!said.starts_with("got") && !said.contains("nothing is called"), "{what}: {said}");
        }
        assert!(!Path::new(LEFT).exists(), "it made a file");
        for (what, got) in [("compute", "got 5050\n"), ("wait", "got [true]\n")] {
            assert_eq!(ask(what, "", &[]), got, "{what} is everybody's");
        }
        others.end().await;
    });
}

#[test]
fn f1_what_was_denied_is_there_when_it_is_granted() {
    alone(async |place| {
        let others = others(place).await;
        let folder = place.folder().join("data");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("file"), "text").expect("a file");
        let dir = format!("{}::/data:ro", folder.display());
        for (what, with, options, got) in [
            ("granted", "/data/file", ["--dir", &dir], "got \"text\""),
            ("environment", "", ["--env", "A_VARIABLE"], "got [\"A_VARIABLE\"]"),
            ("input", "", ["--allow", "stdin"], "got [\"a line\"]"),
            ("clock", "", ["--allow", "clock"], "got "),
            ("children", "", ["--allow", "spawn"], "got a child"),
            ("others", "root", ["--allow", "discover"], "got [\"root\"]"),
        ] {
            let said = ask(what, with, &options);
            assert!(said.starts_with(got), "{what} with {options:?}: {said}");
        }
        others.end().await;
    });
}

#[test]
fn f1_a_missing_grant_names_itself() {
    alone(async |_| {
        for (what, right) in [("clock", "clock"), ("children", "spawn")] {
            let said = ask(what, "", &[]);
            assert!(said.contains(right) && said.contains("--allow"), "{what}: {said}");
        }
    });
}
