//! What a component that nobody knows may do when it is run with no flags: compute.
//!
//! Owns: that everything it may ask for, by the standard library and by either version of WASI, is
//! denied, and is there when it is granted.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use greenroom::Directory;
use greenroom_tests::{Options, Place, World, alone, guest, program};

/// A file that it tries to make.
const LEFT: &str = "/tmp/greenroom-was-here";

/// What a run of `everything` with these options said: its result, or its error.
fn ask(what: &str, with: &str, options: &[&str]) -> String {
    ask_of("everything", what, with, options)
}

/// What a run of a component said.
fn ask_of(component: &str, what: &str, with: &str, options: &[&str]) -> String {
    let mut run = Command::new(program())
        .arg("run")
        .arg(guest(component))
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

/// A port that somebody listens at.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one");
    (listener, address)
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
        let (listener, address) = listener();
        let address = address.to_string();
        for (what, with) in [
            ("now", ""),
            ("now3", ""),
            ("random", ""),
            ("random3", ""),
            ("insecure", ""),
            ("insecure3", ""),
            ("names", "/"),
            ("connect", &address),
            ("connect2", &address),
            ("send", &address),
            ("datagrams2", ""),
            ("listen", "127.0.0.1:0"),
            ("look-up", "localhost"),
            ("look-up2", "localhost"),
        ] {
            let said = ask_of("machine", what, with, &[]);
            assert!(said.starts_with("[\"refused: ") || said.contains("permission denied"), "{what}: {said}");
        }
        listener.set_nonblocking(true).expect("it can be");
        assert!(listener.accept().is_err(), "somebody has connected");
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
        for (what, right) in
            [("now", "clock"), ("now3", "clock"), ("random", "random"), ("random3", "random")]
        {
            let said = ask_of("machine", what, "", &["--allow", right]);
            assert!(said.starts_with("[\"got "), "{what}: {said}");
        }
        for what in ["connect", "connect2"] {
            let (listener, address) = listener();
            let address = address.to_string();
            let greeted = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("somebody connects");
                let _ = stream.write_all(b"hello");
                // Until it leaves.
                drop(stream.shutdown(std::net::Shutdown::Write).and_then(|()| stream.read(&mut [0])));
            });
            let said = ask_of("machine", what, &address, &["--net", &address]);
            assert!(said.starts_with("[\"got "), "{what}: {said}");
            greeted.join().expect("somebody has connected");
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
