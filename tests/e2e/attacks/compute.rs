//! What a component that nobody knows may do when it is run with no flags: compute.
//!
//! Owns: that everything it may ask for is denied, and is there when it is granted.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
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

/// What others have on the machine, for it to be found.
struct Others {
    world: World,
    listener: TcpListener,
    datagrams: UdpSocket,
}

impl Others {
    async fn new(place: &Place) -> Self {
        let registry = Arc::new(Directory::open().expect("the test's own registry"));
        let world = World::with(place, Options { registry: Some(registry), ..Options::default() }).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.set_nonblocking(true).expect("it need not wait");
        datagrams.set_nonblocking(true).expect("it need not wait");
        Self { world, listener, datagrams }
    }

    fn port(&self) -> String {
        self.listener.local_addr().expect("a port").port().to_string()
    }

    fn datagram_port(&self) -> String {
        self.datagrams.local_addr().expect("a port").port().to_string()
    }

    /// Whether anything has come.
    fn heard(&self) -> bool {
        self.listener.accept().is_ok() || self.datagrams.recv(&mut [0; 16]).is_ok()
    }
}

#[test]
fn f1_an_unknown_component_that_is_run_with_no_flags_can_do_nothing_but_compute() {
    alone(async |place| {
        let others = Others::new(place).await;
        let (port, datagrams) = (others.port(), others.datagram_port());
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
            ("connect", &port),
            ("listen", "0"),
            ("send", &datagrams),
            ("names", ""),
            ("children", ""),
            ("others", "root"),
            ("list", ""),
        ] {
            let said = ask(what, with, &[]);
            assert!(!said.starts_with("got") && !said.contains("nothing is called"), "{what}: {said}");
        }
        assert!(!others.heard(), "it reached the network");
        assert!(!Path::new(LEFT).exists(), "it made a file");
        for (what, got) in [("compute", "got 5050\n"), ("wait", "got [true]\n")] {
            assert_eq!(ask(what, "", &[]), got, "{what} is everybody's");
        }
        others.world.end().await;
    });
}

#[test]
fn f1_what_was_denied_is_there_when_it_is_granted() {
    alone(async |place| {
        let others = Others::new(place).await;
        let folder = place.folder().join("data");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("file"), "text").expect("a file");
        let (dir, port) = (format!("{}::/data:ro", folder.display()), others.port());
        let (connect, bind) = (format!("127.0.0.1:{port}"), others.datagram_port());
        let send = format!("127.0.0.1:{bind}");
        for (what, with, options, got) in [
            ("granted", "/data/file", ["--dir", &dir], "got \"text\""),
            ("environment", "", ["--env", "A_VARIABLE"], "got [\"A_VARIABLE\"]"),
            ("input", "", ["--allow", "stdin"], "got [\"a line\"]"),
            ("clock", "", ["--allow", "clock"], "got "),
            ("connect", &port, ["--net", &connect], "got \"a connection\""),
            ("send", &bind, ["--net", &send], "got \"5\""),
            ("children", "", ["--allow", "spawn"], "got a child"),
            ("others", "root", ["--allow", "discover"], "got [\"root\"]"),
        ] {
            let said = ask(what, with, &options);
            assert!(said.starts_with(got), "{what} with {options:?}: {said}");
        }
        assert!(others.heard(), "it reached what it was granted");
        others.world.end().await;
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
