//! What an actor is granted of the machine, and what it is refused.
//!
//! Owns: F1, and B10 for rights other than folders. Must not know: the walls behind the grants.

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use greenroom::{Pattern, Portal, RemoteError, Rights, SpawnSpec, payload};
use greenroom_tests::kind::PermissionDenied;
use greenroom_tests::{Options, Place, World, alone, guest, program, until};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How long a line takes to be in the log.
const SOON: Duration = Duration::from_secs(10);

/// The functions that have no way to say no, each with the right that it takes.
const TRAPPING: [(&str, &str); 6] = [
    ("now", "clock"),
    ("now3", "clock"),
    ("random", "random"),
    ("random3", "random"),
    ("insecure", "random"),
    ("insecure3", "random"),
];

/// A component that asks for everything, in an actor of its own.
struct Asker {
    world: World,
    actor: Portal,
}

impl Asker {
    async fn new(place: &Place, rights: Rights) -> Self {
        Self::with(place, SpawnSpec { rights, ..SpawnSpec::default() }).await
    }

    async fn with(place: &Place, spec: SpawnSpec) -> Self {
        let components = vec![("machine".to_owned(), guest("machine"))];
        let world = World::empty(place, Options { components, ..Options::default() });
        let spec = SpawnSpec { name: "asker".to_owned(), modules: vec!["machine/asks".to_owned()], ..spec };
        let actor = world.host().nursery().start(spec, None).await.expect("it starts");
        Self { world, actor }
    }

    async fn ask<T: DeserializeOwned>(&self, function: &str, kwargs: Value) -> Result<T, Box<RemoteError>> {
        let kwargs = payload::encode(&kwargs).expect("arguments that can be encoded");
        let ended = self.actor.call(&format!("machine/asks:{function}"), kwargs.into()).await?;
        Ok(payload::decode(&ended).expect("it is of its type"))
    }

    /// What a function says that can say no; the versions of WASI write that in two ways.
    async fn told(&self, function: &str, kwargs: Value) -> Result<Value, String> {
        self.ask(function, kwargs).await.map_err(|error| error.message.to_lowercase().replace('-', ""))
    }

    async fn logs(&self, words: &str) {
        let said = async || self.world.logged().iter().any(|line| line.contains(words)).then_some(());
        until(&format!("`{words}` in {:?}", self.world.logged()), SOON, said).await;
    }
}

fn only(name: &str) -> Rights {
    let mut rights = Rights::default();
    *rights.named(name).expect("there is such a right") = true;
    rights
}

fn network(patterns: &[String]) -> Rights {
    let network = patterns.iter().map(|text| text.parse::<Pattern>().expect("a pattern")).collect();
    Rights { network, ..Rights::default() }
}

/// A port at which each of two addresses of this machine greets whoever connects, and gives back
/// datagrams in small letters.
struct Servers {
    port: u16,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Servers {
    fn start() -> Self {
        let first = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = first.local_addr().expect("it has one").port();
        let second = TcpListener::bind(("127.0.0.2", port)).expect("the same port of another address");
        let stop = Arc::new(AtomicBool::new(false));
        let serve = |listener: TcpListener| {
            let datagrams = UdpSocket::bind(listener.local_addr().expect("it has one"));
            let datagrams = datagrams.expect("the same port for datagrams");
            listener.set_nonblocking(true).expect("it can be");
            datagrams.set_nonblocking(true).expect("it can be");
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut text = [0; 64];
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((mut stream, _)) = listener.accept() {
                        let _ = stream.write_all(b"hello");
                    }
                    if let Ok((length, from)) = datagrams.recv_from(&mut text) {
                        text.make_ascii_lowercase();
                        let _ = datagrams.send_to(&text[..length], from);
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
            })
        };
        let threads = [first, second].map(serve).into();
        Self { port, stop, threads }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[test]
fn f1_nothing_is_granted_unless_it_is_named() {
    alone(async |place| {
        let servers = Servers::start();
        let port = servers.port;
        let asker = Asker::new(place, Rights::default()).await;
        for (function, right) in TRAPPING {
            let error = asker.ask::<Value>(function, json!({})).await.expect_err(function);
            let denied: PermissionDenied = error.downcast().unwrap_or_else(|| panic!("{function}: {error}"));
            assert_eq!(denied.right, right, "{function}");
            assert_eq!(error.src_actor.as_ref().map(|actor| actor.name.as_str()), Some("asker"));
        }
        assert_eq!(asker.told("arguments", json!({})).await, Ok(json!([])));
        assert_eq!(asker.told("environment", json!({})).await, Ok(json!([])));
        assert_eq!(asker.told("line", json!({})).await, Ok(json!(null)));
        asker.told("names", json!({"path": "/"})).await.expect_err("there is no folder");
        let there = format!("127.0.0.1:{port}");
        for (function, kwargs) in [
            ("connect", json!({"address": there})),
            ("connect2", json!({"address": there})),
            ("send", json!({"address": there, "text": "HELLO"})),
            ("datagrams2", json!({})),
            ("listen", json!({"address": "127.0.0.1:0"})),
            ("look-up", json!({"name": "localhost"})),
            ("look-up2", json!({"name": "localhost"})),
        ] {
            let told = asker.told(function, kwargs).await.expect_err(function);
            assert!(told.contains("accessdenied"), "{function}: {told}");
        }
        asker.logs("network is not granted; --net HOST:PORT would grant it").await;
        asker.logs("network localhost is not granted; --net localhost:PORT would grant it").await;
        let told = asker.world.logged().iter().filter(|line| line.contains("network is")).count();
        assert_eq!(told, 1, "each refusal is told once");
        asker.world.end().await;
    });
}

#[test]
fn f1_every_instance_has_a_seed_of_its_own() {
    alone(async |place| {
        let asker = Asker::new(place, Rights::default()).await;
        let mut seeds = Vec::new();
        // A plain function has a fresh instance each time.
        for _ in 0..8 {
            seeds.push(asker.ask::<(u64, u64)>("seed", json!({})).await.expect("it is everyone's"));
        }
        let (mut first, mut second): (Vec<u64>, Vec<u64>) = seeds.into_iter().unzip();
        for half in [&mut first, &mut second] {
            half.sort_unstable();
            half.dedup();
            assert_eq!(half.len(), 8, "{half:?}");
        }
        asker.world.end().await;
    });
}

#[test]
fn f1_each_right_gives_what_it_says_and_no_other() {
    alone(async |place| {
        for right in ["clock", "random"] {
            let asker = Asker::new(place, only(right)).await;
            for (function, takes) in TRAPPING {
                let asked = asker.ask::<u64>(function, json!({})).await;
                assert_eq!(asked.is_ok(), takes == right, "{right}, {function}: {asked:?}");
                if let (Ok(seconds), "clock") = (asked, right) {
                    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("later");
                    assert!(now.as_secs().abs_diff(seconds) < 60, "{function}: {seconds}");
                }
            }
            asker.world.end().await;
        }
    });
}

#[test]
fn f1_arguments_and_variables_are_those_that_were_given() {
    alone(async |place| {
        let spec = SpawnSpec {
            args: vec!["--verbose".to_owned(), "a b".to_owned()],
            env: vec![("MOOD".to_owned(), "good".to_owned())],
            ..SpawnSpec::default()
        };
        let asker = Asker::with(place, spec).await;
        assert_eq!(asker.told("arguments", json!({})).await, Ok(json!(["machine/asks", "--verbose", "a b"])));
        assert_eq!(asker.told("environment", json!({})).await, Ok(json!([["MOOD", "good"]])));
        asker.world.end().await;
    });
}

#[test]
fn f1_connections_go_where_they_are_granted_and_nowhere_else() {
    alone(async |place| {
        let servers = [Servers::start(), Servers::start()];
        let [port, other] = [servers[0].port, servers[1].port];
        let asker = Asker::new(place, network(&[format!("127.0.0.1:{port}")])).await;
        let there = format!("127.0.0.1:{port}");
        let hello = Ok(json!("hello"));
        assert_eq!(asker.told("connect", json!({"address": there})).await, hello);
        assert_eq!(asker.told("connect2", json!({"address": there})).await, Ok(json!(null)));
        assert_eq!(asker.told("send", json!({"address": there, "text": "HELLO"})).await, hello);
        for elsewhere in [format!("127.0.0.2:{port}"), format!("127.0.0.1:{other}")] {
            for function in ["connect", "connect2", "send"] {
                let kwargs = match function {
                    "send" => json!({"address": elsewhere, "text": "HELLO"}),
                    _ => json!({"address": elsewhere}),
                };
                let told = asker.told(function, kwargs).await.expect_err(function);
                assert!(told.contains("accessdenied"), "{function} {elsewhere}: {told}");
            }
            let line = format!("network {elsewhere} is not granted; --net {elsewhere} would grant it");
            asker.logs(&line).await;
        }
        for address in ["127.0.0.1:0".to_owned(), format!("127.0.0.1:{}", port.wrapping_add(1))] {
            let told = asker.told("listen", json!({"address": address})).await.expect_err("to wait is not");
            assert!(told.contains("accessdenied"), "{address}: {told}");
        }
        asker.world.end().await;
    });
}

#[test]
fn f1_a_name_that_is_granted_is_looked_up_and_leads_there() {
    alone(async |place| {
        let servers = Servers::start();
        let port = servers.port;
        let asker = Asker::new(place, network(&[format!("localhost:{port}")])).await;
        let there = json!({"address": format!("127.0.0.1:{port}")});
        let told = asker.told("connect", there.clone()).await.expect_err("no name has led there yet");
        assert!(told.contains("accessdenied"), "{told}");
        for function in ["look-up", "look-up2"] {
            let found: Vec<String> = asker.ask(function, json!({"name": "localhost"})).await.expect(function);
            assert!(found.iter().any(|address| address == "127.0.0.1"), "{function}: {found:?}");
            let denied =
                asker.told(function, json!({"name": "localhost.example"})).await.expect_err("not this");
            assert!(denied.contains("accessdenied"), "{function}: {denied}");
            let literal = asker.told(function, json!({"name": "10.0.0.1"})).await;
            assert_eq!(literal, Ok(json!(["10.0.0.1"])), "{function}: an address needs no looking up");
        }
        assert_eq!(asker.told("connect", there).await, Ok(json!("hello")));
        let elsewhere = json!({"address": format!("127.0.0.2:{port}")});
        asker.told("connect", elsewhere).await.expect_err("the name does not lead there");
        asker.world.end().await;
    });
}

/// Starts a child of the actor at the end of a path that may do what the words say.
async fn keep(world: &World, path: &[&str], name: &str, may: &[&str]) -> Result<(), Box<RemoteError>> {
    let beyond: Vec<String> = ["nothing"].iter().chain(may).map(|right| format!("may {right}")).collect();
    let kwargs = json!({"name": name, "modules": ["stage"], "beyond": beyond});
    let mut keeper = world.call::<()>(path, "stage:keep", &kwargs);
    tokio::select! {
        ended = &mut keeper => Err(ended.expect_err("it keeps the child until it is dropped")),
        ready = world.call::<Value>(path, "stage:ready", &json!({"name": name})) => ready.map(drop),
    }
}

#[test]
fn f1_only_who_may_starts_actors() {
    alone(async |place| {
        let world = World::new(place).await;
        let beyond = ["may nothing"];
        let middle = json!({"name": "middle", "modules": ["stage"], "beyond": beyond});
        let _middle = world.call::<()>(&[], "stage:keep", &middle);
        world.call::<Value>(&[], "stage:ready", &json!({"name": "middle"})).await.expect("it starts");
        let error = keep(&world, &["middle"], "leaf", &[]).await.expect_err("it may not");
        let denied: PermissionDenied = error.downcast().unwrap_or_else(|| panic!("{error}"));
        assert_eq!(denied.right, "spawn");
        assert_eq!(error.src_actor.as_ref().map(|actor| actor.name.as_str()), Some("middle"));
        assert_eq!(world.processes().len(), 2, "nothing was started");
        world.end().await;
    });
}

#[test]
fn b10_each_right_is_passed_on_by_those_who_have_it_and_no_other() {
    alone(async |place| {
        let names: Vec<&str> = Rights::names().chain(["network 127.0.0.1:80"]).collect();
        for held in &names {
            let mut rights = match held.strip_prefix("network ") {
                Some(hosts) => network(&[hosts.to_owned()]),
                None => only(held),
            };
            rights.spawn = true;
            let world = World::with(place, Options { rights, ..Options::default() }).await;
            for (number, wanted) in names.iter().enumerate() {
                let kept = keep(&world, &[], &format!("child_{number}"), &[wanted]).await;
                if wanted == held || *wanted == "spawn" {
                    assert_eq!(kept, Ok(()), "{held}, {wanted}");
                    continue;
                }
                let error = kept.expect_err("it is not the parent's to give");
                let denied: PermissionDenied = error.downcast().unwrap_or_else(|| panic!("{error}"));
                let right = format!("actor `root` has no right `{wanted}` to use or pass on");
                assert_eq!(denied.right, right, "{held}");
            }
            world.end().await;
        }
    });
}

#[test]
fn b10_a_child_may_connect_to_less_and_not_to_more() {
    alone(async |place| {
        let held = ["*.example.com:443", "10.0.0.0/8:*"].map(str::to_owned);
        let rights = Rights { spawn: true, ..network(&held) };
        let world = World::with(place, Options { rights, ..Options::default() }).await;
        let less = ["a.example.com:443", "*.a.example.com:443", "10.1.0.0/16:80-90", "10.0.0.0/8:*"];
        for (number, less) in less.into_iter().enumerate() {
            let network = format!("network {less}");
            let kept = keep(&world, &[], &format!("less_{number}"), &[&network]).await;
            assert_eq!(kept, Ok(()), "{less}");
        }
        for more in ["example.com:443", "*.example.com:*", "11.0.0.1:80", "*:443", "[::1]:80"] {
            let error = keep(&world, &[], "more", &[&format!("network {more}")]).await.expect_err(more);
            let denied: PermissionDenied = error.downcast().unwrap_or_else(|| panic!("{error}"));
            assert!(denied.right.contains(&format!("`network {more}`")), "{}", denied.right);
        }
        let wrong = keep(&world, &[], "wrong", &["network nowhere"]).await.expect_err("no pattern");
        assert!(wrong.message.contains("the port is missing"), "{wrong}");
        world.end().await;
    });
}

/// What a command prints, and what it complains of; its input is given as it is.
fn greenroom(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // Whoever reads nothing of it may be gone before it is written.
    let _ = child.stdin.take().expect("it was asked for").write_all(input.as_bytes());
    let done = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[test]
fn f1_grants_are_given_on_the_command_line_and_what_lacks_is_told() {
    alone(async |_| {
        let machine = guest("machine");
        let machine = machine.to_str().expect("its path is text");
        let call = |function: &str, more: &[&str]| {
            greenroom(&[&["call", machine, function, "-o", "json"], more].concat(), "")
        };
        for (function, right) in TRAPPING {
            let (code, _, complaint) = call(function, &[]);
            assert_eq!(code, Some(1), "{function}: {complaint}");
            assert!(complaint.contains(&format!("permission denied: {right}")), "{complaint}");
            let hint = format!("hint: `--allow {right}` would grant it, or `{right} = true` in [grants]");
            assert!(complaint.contains(&hint), "{function}: {complaint}");
            let (code, number, complaint) = call(function, &["--allow", right]);
            assert_eq!(code, Some(0), "{function}: {complaint}");
            number.trim().parse::<u64>().unwrap_or_else(|error| panic!("{function}: {number}: {error}"));
        }
        let (code, said, _) = call("arguments", &["--", "--verbose", "x=1"]);
        assert_eq!((code, said.as_str()), (Some(0), "[\"machine\",\"--verbose\",\"x=1\"]\n"));
        let (_, said, _) = call("environment", &["--env", "A=b"]);
        assert_eq!(said, "[[\"A\",\"b\"]]\n");
        let servers = Servers::start();
        let port = servers.port;
        let there = format!("127.0.0.1:{port}");
        let address = format!("address={there}");
        assert_eq!(call("connect", &[&address, "--net", &there]).1, "\"hello\"\n");
        assert_eq!(call("connect", &[&address]).0, Some(1));
    });
}

#[test]
fn f1_standard_input_is_for_who_may_read_it() {
    alone(async |_| {
        let machine = guest("machine");
        let machine = machine.to_str().expect("its path is text");
        let lines = "one\ntwo\n".to_owned() + &"three ".repeat(50_000);
        let (code, said, complaint) = greenroom(&["run", machine, "--allow", "stdin"], &lines);
        assert_eq!(code, Some(0), "{complaint}");
        let said: Vec<String> = serde_json::from_str(&said).expect("JSON");
        assert_eq!(said, lines.lines().collect::<Vec<_>>());
        let (code, said, complaint) = greenroom(&["run", machine], "one\ntwo\n");
        assert_eq!((code, said.trim()), (Some(0), "[]"), "{complaint}");
    });
}

#[test]
fn f1_a_manifest_grants_by_name() {
    alone(async |place| {
        let (machine, port) = (guest("machine"), 443);
        let manifest = |grants: &str| {
            let text = format!("[modules.machine]\ncomponent = {machine:?}\n\n[grants]\n{grants}\n");
            std::fs::write(place.folder().join("greenroom.toml"), text).expect("a file");
            place.folder().join("greenroom.toml").to_str().expect("text").to_owned()
        };
        let granted = manifest("stdin = true");
        let (code, said, complaint) = greenroom(&["run", "--manifest", &granted], "one\n");
        assert_eq!((code, said.trim()), (Some(0), "[\"one\"]"), "{complaint}");
        let (_, said, _) = greenroom(&["run", "--manifest", &granted, "--allow", "none"], "one\n");
        assert_eq!(said.trim(), "[]", "the command line counts for more");
        // What a module imports and is not granted is a warning of `check`; what is wrong is shown.
        let (code, said, complaint) = greenroom(&["check", &manifest("")], "");
        assert_eq!(code, Some(0), "{complaint}");
        for group in ["wasi:random", "wasi:sockets"] {
            assert!(said.contains(&format!("imports `{group}`")), "{group}: {said}");
        }
        let all = format!("clock = true\nrandom = true\nstdin = true\nnetwork = [\"127.0.0.1:{port}\"]");
        let (_, said, _) = greenroom(&["check", &manifest(&all)], "");
        assert!(!said.contains("imports `wasi:sockets") && !said.contains("imports `wasi:random"), "{said}");
        let (code, _, complaint) =
            greenroom(&["check", &manifest("network = [\"nowhere\"]\nclok = true")], "");
        assert_eq!(code, Some(2), "{complaint}");
        for part in
            ["grants.network[0]", "the port is missing", "unknown key `clok`", "did you mean `clock`?"]
        {
            assert!(complaint.contains(part), "{part}: {complaint}");
        }
    });
}
