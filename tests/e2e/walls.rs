//! Walls that cannot be raised, that are left out, and those around the compiler.
//!
//! Owns: clause F3 but for the attacks on walls that stand, which `attacks` has.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use greenroom::{
    CompileBounds, CompileError, Compiler as _, ExecCompiler, RemoteError, SpawnSpec, Wall, Without,
};
use greenroom_tests::kind::SpawnFailed;
use greenroom_tests::{Options, Place, Signal, World, alone, guest, kill, program, zygotes};

/// Has the kernel answer a call as if it did not have it: to this thread, and all that it starts.
fn take_away(call: i64) {
    let arch = std::env::consts::ARCH.try_into().expect("a known machine");
    let absent = seccompiler::SeccompAction::Errno(38);
    let rules = [(call, Vec::new())].into_iter().collect();
    let filter = seccompiler::SeccompFilter::new(rules, seccompiler::SeccompAction::Allow, absent, arch);
    let program: seccompiler::BpfProgram = filter.expect("a filter").try_into().expect("a program");
    seccompiler::apply_filter(&program).expect("a wall to test walls with");
}

fn root() -> SpawnSpec {
    SpawnSpec { name: "root".to_owned(), modules: vec!["faults/faults".to_owned()], ..SpawnSpec::default() }
}

/// Starts a tree without some walls, and ends it again.
async fn attempt(place: &Place, without: Without) -> Result<(), Box<RemoteError>> {
    let world = World::empty(place, Options { without, ..Options::default() });
    let started = world.host().nursery().start(root(), None).await.map(drop);
    world.end().await;
    started
}

/// Starts actors of one kind until one was forked off a zygote that was ready; gives what each failed with.
async fn attempts(place: &Place) -> Vec<Box<RemoteError>> {
    let world = World::empty(place, Options::default());
    let mut errors = Vec::new();
    let mut ready = None;
    // It says that it is ready just before it waits for orders.
    while ready.is_none_or(|since: Instant| since.elapsed() < Duration::from_millis(500)) {
        errors.push(world.host().nursery().start(root(), None).await.expect_err("a wall is missing"));
        if ready.is_none() && zygotes().iter().any(|zygote| status(*zygote, "State").starts_with('S')) {
            ready = Some(Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.end().await;
    errors
}

/// Nothing starts, and nothing is compiled, on a kernel without this wall, unless it is left out.
async fn lacking(place: &Place, call: i64, wall: Wall) {
    // It is compiled while the kernel has all walls.
    attempt(place, Without::default()).await.expect("all walls stand");
    take_away(call);
    let error = attempt(place, Without::default()).await.expect_err("a wall is missing");
    let failed: SpawnFailed = error.downcast().expect("it cannot start");
    assert!(failed.reason.contains(&format!("the wall `{wall}` cannot be raised")), "{failed:?}");
    assert!(failed.reason.contains(&format!("--without {wall}")), "{failed:?}");
    attempt(place, [wall].into_iter().collect()).await.expect("it goes without");

    // Those that are forked raise the same walls, or none comes up.
    for error in attempts(place).await {
        let failed: SpawnFailed = error.downcast().expect("it cannot start");
        assert!(failed.reason.contains(&format!("the wall `{wall}` cannot be raised")), "{failed:?}");
    }

    // Nor is anything compiled.
    let wasm = fs::read(guest("hello")).expect("a component");
    let error = ExecCompiler::new(program()).compile(&wasm).expect_err("a wall is missing");
    let said = matches!(&error, CompileError::NoCompiler(why) if why.contains(&format!("--without {wall}")));
    assert!(said, "{error}");
    let open = ExecCompiler { without: [wall].into_iter().collect(), ..ExecCompiler::new(program()) };
    open.compile(&wasm).expect("it goes without");
}

#[test]
fn f3_without_landlock_nothing_starts_unless_it_is_told_to() {
    alone(async |place| lacking(place, libc::SYS_landlock_create_ruleset, Wall::Landlock).await);
}

#[test]
fn f3_without_seccomp_nothing_starts_unless_it_is_told_to() {
    alone(async |place| lacking(place, libc::SYS_seccomp, Wall::Seccomp).await);
}

/// What the kernel says of a process under a key.
fn status(pid: i32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

#[test]
fn f3_no_privileges_are_gained_with_that_wall_alone() {
    alone(async |place| {
        let without = [Wall::Limits, Wall::Landlock, Wall::Seccomp].into_iter().collect();
        let world = World::with(place, Options { without, ..Options::default() }).await;
        let pid = world.pid("root");
        assert_eq!((status(pid, "NoNewPrivs"), status(pid, "Seccomp")), ("1".to_owned(), "0".to_owned()));
        world.end().await;
    });
}

/// The compilers that run now.
fn compilers() -> Vec<i32> {
    let all = fs::read_dir("/proc").expect("/proc is there");
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let ours = std::process::id().to_string();
    let is_ours = |pid: &i32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.starts_with(b"greenroom: compiler\0") && status(*pid, "PPid") == ours
    };
    pids.filter(is_ours).collect()
}

#[test]
fn f3_components_are_compiled_behind_walls() {
    alone(async |_| {
        let wasm = fs::read(guest("faults")).expect("a component");
        let compiling = std::thread::spawn(move || ExecCompiler::new(program()).compile(&wasm));
        let mut walled = false;
        while !compiling.is_finished() {
            for pid in compilers() {
                walled |= status(pid, "NoNewPrivs") == "1" && status(pid, "Seccomp") == "2";
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        compiling.join().expect("it ends").expect("it is compiled");
        assert!(walled, "its compiler was never seen behind walls");
        assert!(compilers().is_empty(), "a compiler is left");
    });
}

#[test]
fn f3_a_compiler_has_so_much_memory_and_time() {
    alone(async |_| {
        let wasm = fs::read(guest("faults")).expect("a component");
        let compile = |memory: u64, time: u64| {
            let bounds =
                CompileBounds { memory, time: Duration::from_millis(time), ..CompileBounds::default() };
            ExecCompiler { bounds, ..ExecCompiler::new(program()) }.compile(&wasm)
        };
        let began = Instant::now();
        compile(24 << 20, 60_000).expect_err("there is less memory than it takes");
        let late = compile(4 << 30, 60).expect_err("there is less time than it takes");
        assert_eq!(late, CompileError::TooMuch("it takes longer than 60ms".to_owned()));
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        assert!(compilers().is_empty(), "a compiler is left");
    });
}

#[test]
fn f3_who_goes_without_a_wall_is_told_of() {
    alone(async |place| {
        let tree = place.tree();
        let mut daemon = Command::new(program())
            .args(["serve", "--without", "landlock", "--name", &tree])
            .arg(guest("plain"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let stdout = daemon.stdout.take().expect("it was asked for");
        BufReader::new(stdout).read_line(&mut line).expect("it says that it serves");
        let said = |arguments: &[&str]| {
            let done = Command::new(program()).args(arguments).output().expect("it runs");
            String::from_utf8(done.stdout).expect("text")
        };
        let listed = said(&["ps"]);
        assert!(
            listed.contains(&format!("no wall around the actors of tree `{tree}`: landlock")),
            "{listed}"
        );
        let drawn = said(&["tree"]);
        assert!(drawn.lines().any(|line| line.ends_with("no wall: landlock")), "{drawn}");
        let looked = said(&["doctor"]);
        assert!(looked.contains(&format!("`{tree}` has no landlock")), "{looked}");
        kill(daemon.id().cast_signed(), Signal::TERM);
        daemon.wait().expect("it ends");
        let mut warned = String::new();
        daemon.stderr.take().expect("it was asked for").read_to_string(&mut warned).expect("text");
        let warning = format!("warning: no wall around the actors of `{tree}`: landlock");
        assert!(warned.contains(&warning), "{warned}");
    });
}
