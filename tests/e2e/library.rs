//! Native programs that hold a root: the library in its own words, and its examples as they are run.
//!
//! Owns: clause A5.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use greenroom::typed::RemoteContext;
use greenroom::{
    DirGrant, HostError, LogLine, NurseryExt, PortalExt, RemoteError, Report, Root, RootOptions, Supervision,
    kwargs, open_root,
};
use greenroom_tests::kind::{
    ActorDied, BadArguments, ContextProtocol, DeadlineExceeded, DecodeError, Exit, MsgTypeError, NameTaken,
    PermissionDenied, SpawnFailed,
};
use greenroom_tests::{
    Place, Signal, actors, alone, example, guest, kill, program, repository, until, until_now,
};
use serde_bytes::ByteBuf;
use serde_json::{Value, json};

use crate::talk::{Note, SOON};

/// What an example may take.
const LONG: Duration = Duration::from_secs(30);

/// A tree with the guest of the suite, whose actors execute `greenroom`.
fn options(place: &Place) -> RootOptions {
    RootOptions::new(place.tree()).module("faults", guest("faults")).program(program())
}

async fn open(place: &Place) -> Root {
    open_root(options(place)).await.expect("a root")
}

/// Why there is no root.
async fn refused(options: RootOptions) -> HostError {
    open_root(options).await.expect_err("it must not be opened")
}

/// A running example, which does not outlive the test.
struct Example {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Example {
    fn start(place: &Place, name: &str, arguments: &[&str]) -> Self {
        let number = place.tree();
        let file = |kind: &str| place.folder().join(format!("{number}.{kind}"));
        let (stdout, stderr) = (file("out"), file("err"));
        let create = |path: &Path| File::create(path).expect("a file for its output");
        let child = Command::new(example(name))
            .args(arguments)
            .current_dir(repository())
            .env("XDG_RUNTIME_DIR", place.folder())
            .env("SECRET", "of the program's own")
            .stdin(Stdio::null())
            .stdout(create(&stdout))
            .stderr(create(&stderr))
            .spawn()
            .expect("the example starts");
        Self { child, stdout, stderr }
    }

    fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Waits for its end, and gives its status and what it wrote.
    fn finish(mut self) -> (Option<i32>, String, String) {
        let status = until_now("the end of the example", LONG, || {
            self.child.try_wait().expect("it is this process's child")
        });
        let read = |file: &Path| fs::read_to_string(file).expect("its output");
        (status.code(), read(&self.stdout), read(&self.stderr))
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a5_a_native_program_holds_a_root() {
    alone(async |place| {
        let (code, stdout, stderr) = Example::start(place, "open_root", &[]).finish();
        assert_eq!(code, Some(0), "{stderr}");
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!(
            lines,
            ["9 16", "`partner` is ready", "pong after 1 ball", "missing: amount", "ada is short of 400"]
        );
    });
}

#[test]
fn a5_actors_execute_the_program_itself_and_inherit_nothing() {
    alone(async |place| {
        let name = place.tree();
        let daemon = Example::start(place, "daemon", &[&name]);
        let actor = until_now("its actor is there", LONG, || actors(&name).into_values().next());
        let link = |what: &str| fs::read_link(format!("/proc/{actor}/{what}")).expect("it is running");
        assert_eq!(link("exe"), fs::canonicalize(example("daemon")).expect("it was built"));
        let environment = fs::read(format!("/proc/{actor}/environ")).expect("it is running");
        let own = "GLIBC_TUNABLES=glibc.malloc.tcache_count=120\0";
        assert_eq!(String::from_utf8_lossy(&environment), own, "nothing of the program's own");

        // Whatever happens to the program, its actors do not outlive it.
        place.adopt();
        kill(daemon.pid(), Signal::KILL);
        until_now("its actor is gone", Duration::from_secs(1), || actors(&name).is_empty().then_some(()));
        let (code, ..) = daemon.finish();
        assert_eq!(code, None, "it was killed");
    });
}

#[test]
fn e4_a_daemon_program_is_found_called_and_cancelled_by_another() {
    alone(async |place| {
        let name = place.tree();
        let client = |arguments: &[&str]| Example::start(place, "client", arguments);
        let says = |example: Example| {
            let (code, stdout, stderr) = example.finish();
            assert_eq!(code, Some(0), "{stderr}");
            stdout.replace(&name, "NAME").lines().map(str::to_owned).collect::<Vec<_>>()
        };
        // Whichever of the two is started first: the client waits for the daemon.
        let first = client(&[&name]);
        let daemon = Example::start(place, "daemon", &[&name]);
        assert_eq!(says(first), ["NAME says 9"]);
        assert_eq!(says(client(&[&name])), ["NAME says 9"]);
        assert_eq!(says(client(&[&name, "stop"])), ["NAME says 9", "and is gone"]);
        assert!(actors(&name).is_empty(), "it is gone when that is said");
        let (code, _, stderr) = daemon.finish();
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "the program ends with its actor");
    });
}

#[test]
fn a5_a_root_finds_waits_for_and_lists_actors() {
    alone(async |place| {
        let root = open(place).await;
        let waiting = root.wait_for_actor("late", Some(LONG));
        let starting = root.nursery().start_actor("late", ["faults/faults"]);
        let (found, started) = tokio::join!(waiting, starting.into_future());
        let (found, started) =
            (found.expect("it is answered").expect("it comes"), started.expect("it starts"));
        assert_eq!(found.peer(), started.peer());
        let none = root.wait_for_actor("never", Some(Duration::from_millis(20))).await;
        assert!(none.expect("it is answered").is_none());
        let entry = root.query_actor("late").await.expect("it is answered").expect("it is there");
        assert_eq!((&entry.id, entry.tree.as_str(), entry.published), (&started.peer(), root.name(), false));
        assert_eq!(root.list_actors().await.expect("it is answered"), [entry]);

        let again = root.nursery().start_actor("late", ["faults/faults"]).unique().await;
        let again = again.expect_err("the name is taken");
        assert!(again.is::<NameTaken>(), "{again}");
        let alone = root.nursery().start_actor("public", ["faults/faults"]).publish().await;
        let alone = alone.expect_err("the root keeps to itself");
        assert!(alone.message.contains("keeps to itself"), "{alone}");
        root.close().await.expect("nothing has failed");
    });
}

#[test]
fn a5_a_second_open_root_is_an_error() {
    alone(async |place| {
        let first = open(place).await;
        let second = refused(options(place)).await;
        assert!(matches!(second, HostError::AlreadyOpen), "{second}");
        assert!(second.to_string().starts_with("this process has an open root already"), "{second}");
        first.nursery().start_actor("still", ["faults"]).await.expect("the first goes on");
        first.close().await.expect("nothing has failed");

        let next = open(place).await;
        drop(next);
        let wrong = refused(options(place).module("faults", guest("faults"))).await;
        assert!(matches!(wrong, HostError::ModuleTwice(_)), "{wrong}");
        open(place).await.close().await.expect("one that was not opened keeps no place");
    });
}

#[test]
fn a5_what_keeps_a_root_from_opening_is_named() {
    alone(async |place| {
        let missing = place.folder().join("missing.wasm");
        let text = place.folder().join("text.wasm");
        fs::write(&text, "text").expect("a file");
        let cases = [
            // The program of this test was not made to be an actor.
            (RootOptions::new("app"), "call `greenroom::init()` first thing in `main`".to_owned()),
            (options(place).module("faults", guest("faults")), "module `faults` is given twice".to_owned()),
            (options(place).module("m", &missing), format!("cannot read `{}`", missing.display())),
            (options(place).module("m", &text), format!("`{}` is not a WebAssembly file", text.display())),
            (
                options(place).dir("/no/such/folder", "/data"),
                "cannot open folder `/no/such/folder`".to_owned(),
            ),
            (options(place).dir(place.folder(), "data"), "guest path `data` must be absolute".to_owned()),
            (RootOptions::new("a/b").program(program()), "a tree is not called `a/b`".to_owned()),
            (RootOptions::new("").program(program()), "a tree is not called ``".to_owned()),
        ];
        for (options, complaint) in cases {
            let error = refused(options).await.to_string();
            assert!(error.contains(&complaint), "{error}\n  has no: {complaint}");
        }
    });
}

#[test]
fn a5_closing_ends_gracefully_and_tells_failures_and_dropping_kills() {
    alone(async |place| {
        let root = open(place).await;
        let mut reports = root.reports();
        let slow = root.nursery().start_actor("slow", ["faults/faults"]).await.expect("it starts");
        let held = slow.run::<()>("faults/faults:slow_drop", kwargs! { ms: 100 });
        let held = tokio::spawn(held);
        until("its task runs", SOON, async || {
            let alive = slow.run::<u32>("faults/faults:count", kwargs! {}).await.is_ok();
            alive.then_some(())
        })
        .await;
        let (closed, logged) = tokio::join!(root.close(), async {
            let mut logged = Vec::new();
            while let Some(report) = reports.next().await {
                if let Report::Log { line: LogLine { message, .. }, .. } = report {
                    logged.push(message);
                }
            }
            logged
        });
        closed.expect("a cancellation is no failure");
        assert!(logged.iter().any(|line| line == "slow drop: done"), "{logged:?}");
        held.await.expect("it does not panic").expect_err("it was cancelled");

        // A failure that nobody was told of.
        let root = open(place).await;
        let doomed = root.nursery().start_actor("doomed", ["faults/faults"]).await.expect("it starts");
        let pid = actors(root.name()).into_values().next().expect("its process");
        kill(pid, Signal::KILL);
        assert_eq!(doomed.closed().await, Exit::Signal(9));
        let Err(HostError::Actors(error)) = root.close().await else { panic!("its death is a failure") };
        let died: ActorDied = error.downcast().expect("how it died");
        assert_eq!((died.actor.name.as_str(), died.exit), ("doomed", Exit::Signal(9)));

        let root = open(place).await;
        root.nursery().start_actor("left", ["faults/faults"]).await.expect("it starts");
        let name = root.name().to_owned();
        assert_eq!(actors(&name).len(), 1);
        drop(root);
        assert_eq!(actors(&name), BTreeMap::new());
    });
}

#[test]
fn a5_supervised_actors_are_started_again_until_the_root_is_closed() {
    alone(async |place| {
        let root = open(place).await;
        let supervision = Supervision { intensity: 3, ..Supervision::default() };
        let nursery = root.open_supervised(supervision);
        let worker = nursery.start_actor("worker", ["faults/faults"]).await.expect("it starts");
        let pid = || actors(root.name()).into_values().next();
        let first = pid().expect("its process");
        let closed = worker.closed();
        kill(first, Signal::KILL);
        assert_eq!(closed.await, Exit::Signal(9));
        let count: u32 = worker.run("faults/faults:count", kwargs! {}).await.expect("its successor counts");
        assert_eq!(count, 1);
        assert_ne!(pid(), Some(first));
        let name = root.name().to_owned();
        root.close().await.expect("whoever was started again has not failed");
        assert_eq!(actors(&name), BTreeMap::new());
    });
}

#[test]
fn a5_reports_go_to_whoever_listens_and_hold_up_nobody() {
    alone(async |place| {
        let root = open(place).await;
        let actor = root.nursery().start_actor("loud", ["faults/faults"]).await.expect("it starts");
        // Many times what is kept for a listener: none is there.
        let flood = actor.run::<()>("faults/faults:flood_log", kwargs! { lines: 5_000 });
        tokio::time::timeout(LONG, flood).await.expect("nobody is waited for").expect("it returns");

        let mut reports = root.reports();
        let flood = actor.run::<()>("faults/faults:flood_log", kwargs! { lines: 500 });
        let listen = async {
            let mut heard = 0;
            while heard < 500 {
                match reports.next().await.expect("the root is open") {
                    Report::Log { actor, .. } if actor == "loud" => heard += 1,
                    other => panic!("{other:?}"),
                }
            }
        };
        let (flooded, ()) = tokio::join!(flood, listen);
        flooded.expect("it returns");

        // A listener that has left is as none, and another may come.
        drop(reports);
        let flood = actor.run::<()>("faults/faults:flood_log", kwargs! { lines: 5_000 });
        tokio::time::timeout(LONG, flood).await.expect("nobody is waited for").expect("it returns");
        let mut again = root.reports();
        actor.run::<()>("faults/faults:flood_log", kwargs! { lines: 1 }).await.expect("it returns");
        assert!(again.next().await.is_some());
        root.close().await.expect("nothing has failed");
        while again.next().await.is_some() {}
    });
}

#[test]
fn a5_calls_are_made_in_rust_types() {
    alone(async |place| {
        let root = open(place).await;
        let actor = root.nursery().start_actor("actor", ["faults/faults"]).await.expect("it starts");
        let bytes: ByteBuf = actor
            .run("faults/faults:echo", kwargs! { bytes: ByteBuf::from(vec![7; 1 << 20]) })
            .await
            .expect("it comes back");
        assert_eq!(bytes, vec![7; 1 << 20]);
        let name = "n";
        let typed: String = actor.run("faults/faults:typed", kwargs! { x: 3, name }).await.expect("it fits");
        assert_eq!(typed, "n=3");
        assert_eq!(
            root.find_actor("actor").await.expect("it is answered").expect("it is there").peer(),
            actor.peer()
        );
        assert!(root.find_actor("nobody").await.expect("it is answered").is_none());

        let wrong =
            actor.run::<u8>("faults/faults:typed", kwargs! { x: 3, name }).await.expect_err("no number");
        assert!(wrong.is::<DecodeError>(), "{wrong}");
        let bad =
            actor.run::<String>("faults/faults:typed", kwargs! { y: 3, name }).await.expect_err("no `y`");
        let bad: BadArguments = bad.downcast().expect("what is wrong");
        assert_eq!((bad.unknown, bad.missing), (vec!["y".to_owned()], vec!["x".to_owned()]));
        let own = actor
            .run::<()>("faults/faults:error", kwargs! { code: 7, text: "seven" })
            .await
            .expect_err("it fails");
        let value: Value = own.downcast_as("faults::errors::MyError").expect("its value");
        assert_eq!(value, json!({"code": 7, "text": "seven"}));
        assert_eq!(own.downcast_as::<Value>("MyError"), None);
        let late = actor
            .run::<u64>("faults/faults:sleep_ms", kwargs! { ms: 60_000 })
            .timeout(Duration::from_millis(50))
            .await
            .expect_err("it takes too long");
        assert!(late.is::<DeadlineExceeded>(), "{late}");

        // A call that is not awaited is not made, and one that is dropped is cancelled.
        drop(actor.run::<()>("faults/faults:hold", kwargs! { key: "unmade" }));
        let hold = actor.run::<()>("faults/faults:hold", kwargs! { key: "held" });
        let held = async |key: &str| {
            actor.run::<u32>("faults/faults:probe", kwargs! { key }).await.expect("it counts")
        };
        tokio::select! {
            ended = hold => panic!("it is held, and not {ended:?}"),
            () = until("it is held", SOON, async || (held("held").await == 1).then_some(())) => {}
        }
        until("it is cancelled", SOON, async || (held("held").await == 0).then_some(())).await;
        assert_eq!(held("unmade").await, 0);
        root.close().await.expect("nothing has failed");
    });
}

#[test]
fn a5_actors_are_started_in_few_words() {
    alone(async |place| {
        let folder = place.folder().join("shown");
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("file"), "content").expect("a file");
        let root = open_root(options(place).dir(&folder, "/shown")).await.expect("a root");
        let nursery = root.nursery();
        let reader = nursery
            .start_actor("reader", ["faults/stage:read", "faults/stage:variable"])
            .dir(DirGrant::read_only("/shown").seen_as("/seen"))
            .env("SET", "value")
            .await
            .expect("it starts");
        let read: String =
            reader.run("faults/stage:read", kwargs! { path: "/seen/file" }).await.expect("granted");
        assert_eq!(read, "content");
        let variable = async |name: &str| {
            reader.run::<Option<String>>("faults/stage:variable", kwargs! { name }).await.expect("it tells")
        };
        assert_eq!(variable("SET").await.as_deref(), Some("value"));
        assert_eq!(variable("PATH").await, None);

        let refused =
            async |starting: greenroom::typed::StartActor| starting.await.expect_err("it is refused");
        let more = nursery.start_actor("more", ["faults/stage"]).dir(DirGrant::writable("/shown"));
        let more = refused(more).await;
        assert!(more.is::<PermissionDenied>(), "{more}");
        let none = refused(nursery.start_actor("none", ["nothing"])).await;
        assert!(none.is::<SpawnFailed>() && none.message.contains("no module `nothing`"), "{none}");

        let shot = nursery.run_in_actor::<u64>("faults/faults:sleep_ms", kwargs! { ms: 1 });
        let shot = shot.await.expect("it starts");
        assert_eq!(shot.peer().name, "sleep_ms");
        assert_eq!((shot.wait_for_result().await, shot.wait_for_result().await), (Ok(1), Ok(1)));
        let named = nursery.run_in_actor::<u64>("faults/faults:sleep_ms", kwargs! { ms: 2 }).named("nap");
        let named = named.await.expect("it starts");
        assert_eq!((named.peer().name.as_str(), named.wait_for_result().await), ("nap", Ok(2)));
        let nameless = nursery.run_in_actor::<u64>("sleep", kwargs! {}).await.expect_err("no such module");
        assert!(nameless.message.contains("no module `sleep`"), "{nameless}");
        let Err(HostError::Actors(raised)) = root.close().await else { panic!("a task that was not done") };
        assert_eq!(raised, nameless, "the nursery has it too");
    });
}

type Dialog<Sends> = RemoteContext<i64, Sends, i64, Vec<Note>>;

#[test]
fn a5_contexts_are_held_in_rust_types() {
    alone(async |place| {
        let root = open(place).await;
        let actor = root.nursery().start_actor("actor", ["faults/talk"]).await.expect("it starts");
        let play = |steps: &Value| kwargs! { steps };
        const PLAY: &str = "faults/talk:play";

        let steps = json!([{"Start": 5}, {"Open": [0, "Wait"]}, "ReceiveAll", {"Send": 2}]);
        let (got, notes) = actor
            .open_context_as::<i64, i64, i64, Vec<Note>>(PLAY, play(&steps))
            .scope(async |ctx: &Dialog<i64>, first| {
                let stream = ctx.open_stream()?;
                let again = ctx.open_stream().expect_err("only once");
                assert!(again.is::<ContextProtocol>(), "{again}");
                stream.send(first).await?;
                stream.send(6).await?;
                stream.close();
                Ok::<_, Box<RemoteError>>((stream.receive().await?, stream.receive().await?))
            })
            .await
            .expect("both sides keep to it");
        assert_eq!(got, (Some(2), None));
        let expected = vec![Note::Done, Note::Done, Note::Got(vec![5, 6]), Note::End, Note::Done];
        assert_eq!(notes, Some(expected));

        // What breaks the contract ends the context, and is its outcome.
        let steps = json!([{"Start": 0}, {"Open": [0, "Wait"]}, {"Send": 2}, {"Hold": "broken"}]);
        let (ctx, _) = actor
            .open_context_as::<i64, String, i64, Vec<Note>>(PLAY, play(&steps))
            .await
            .expect("its first value is a number");
        let stream = ctx.open_stream().expect("the first time");
        let breach = stream.receive().await.expect_err("no text");
        let part: MsgTypeError = breach.downcast().expect("what is broken");
        assert_eq!((&*part.part, &*part.expected), ("message to the caller", "alloc::string::String"));
        for outcome in [
            ctx.wait_for_result().await.expect_err("it is broken"),
            stream.send(1).await.expect_err("it is broken"),
            ctx.open_stream().expect_err("it is broken"),
        ] {
            assert_eq!(outcome, breach);
        }
        let first = actor
            .open_context_as::<String, i64, i64, Vec<Note>>(
                PLAY,
                play(&json!([{"Start": 0}, {"Hold": "first"}])),
            )
            .await
            .expect_err("no text");
        assert_eq!(first.downcast::<MsgTypeError>().expect("what is broken").part, "first value");

        // A scope that fails, whose peer fails, and that cancels.
        let hold = json!([{"Start": 0}, {"Hold": "scope"}]);
        let open = |steps: &Value| actor.open_context_as::<i64, i64, i64, Vec<Note>>(PLAY, play(steps));
        let own = open(&hold)
            .scope(async |_: &Dialog<i64>, _| Err::<(), _>(Box::new(RemoteError::new("Own", "enough"))))
            .await
            .expect_err("the body's");
        assert_eq!(own.src_type, "Own");
        let peers = open(&json!([{"Start": 0}, {"Fail": 3}]))
            .scope(async |_: &Dialog<i64>, _| std::future::pending::<Result<(), Box<RemoteError>>>().await)
            .await
            .expect_err("the peer's");
        assert!(peers.src_type.ends_with("MyError"), "{peers}");
        let (value, result) = open(&hold)
            .scope(async |ctx: &Dialog<i64>, _| {
                ctx.cancel().await?;
                Ok::<_, Box<RemoteError>>(7)
            })
            .await
            .expect("it is asked for");
        assert_eq!((value, result), (7, None));
        let late = open(&hold).timeout(Duration::from_secs(1)).await.expect("it starts").0;
        assert!(late.wait_for_result().await.expect_err("too late").is::<DeadlineExceeded>());

        // Dropping it cancels the task, even while its stream is in other hands.
        let (ctx, _) = open(&hold).await.expect("it starts");
        let stream = ctx.open_stream().expect("the first time");
        let held = async || {
            actor.run::<u32>("faults/talk:probe", kwargs! { key: "scope" }).await.expect("it counts")
        };
        until("it is held", SOON, async || (held().await == 1).then_some(())).await;
        drop(ctx);
        until("it is cancelled", SOON, async || (held().await == 0).then_some(())).await;
        stream.receive().await.expect_err("its task was cancelled");
        root.close().await.expect("nothing has failed");
    });
}
