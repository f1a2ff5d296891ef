//! The walls, each tried on a process that does what it forbids.
//!
//! Owns: that each wall stands by itself, that one which cannot be raised is an error, and that what
//! an actor needs still works behind all of them. Must not know: how they are raised.

mod prison;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;

use greenroom_sandbox::{Network, Ports, Purpose, Wall, Walls, Without};

use prison::{End, call, inside, name, take_away};

/// Usual walls, without these.
fn walls<'a>(without: &[Wall]) -> Walls<'a> {
    Walls {
        without: without.iter().copied().collect(),
        purpose: Purpose::Actor,
        data_bytes: 256 << 20,
        open_files: 64,
        cpu_seconds: None,
        folders: Vec::new(),
        readable: Vec::new(),
        network: Network::None,
    }
}

/// All walls but these.
fn alone(standing: &[Wall]) -> Without {
    Wall::ALL.into_iter().filter(|wall| !standing.contains(wall)).collect()
}

fn raise(walls: &Walls<'_>) -> Result<(), String> {
    let outer = walls.raise_first().map_err(|error| error.to_string())?;
    outer.raise_last().map_err(|error| error.to_string())
}

/// What a process says that raises the walls and then does something.
fn behind(walls: Walls<'_>, deed: impl FnOnce() -> String) -> End {
    inside(|| match raise(&walls) {
        Ok(()) => deed(),
        Err(error) => error,
    })
}

fn said(text: &str) -> End {
    End::Said(text.to_owned())
}

fn opened(path: &Path) -> String {
    File::open(path).map_or_else(|error| name(&error), |_| "ok".to_owned())
}

fn written(path: &Path) -> String {
    fs::write(path, "new").map_or_else(|error| name(&error), |()| "ok".to_owned())
}

/// What the kernel tells of this process.
fn told(what: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_else(|error| error.to_string());
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    line.map_or(status.clone(), |value| value.trim().to_owned())
}

#[test]
fn without_any_wall_everything_works_that_the_others_forbid() {
    let none = || Walls { without: alone(&[]), ..walls(&[]) };
    assert_eq!(behind(none(), || opened(Path::new("/etc/passwd"))), said("ok"));
    assert_eq!(behind(none(), || told("NoNewPrivs")), said("0"));
    assert_eq!(behind(none(), || told("Seccomp")), said("0"));
    assert_eq!(behind(none(), || reserve(1 << 30)), said("ok"));
    assert_eq!(behind(none(), || call(libc::SYS_unshare, [0, 0, 0])), said("ok"));
}

/// Takes memory, and gives it back.
fn reserve(bytes: usize) -> String {
    let mut memory = Vec::<u8>::new();
    memory.try_reserve_exact(bytes).map_or("ENOMEM".to_owned(), |()| "ok".to_owned())
}

#[test]
fn the_kernels_bounds_hold_alone() {
    let bounds = || Walls { without: alone(&[Wall::Limits]), ..walls(&[]) };
    assert_eq!(behind(bounds(), || reserve(1 << 30)), said("ENOMEM"));
    assert_eq!(behind(bounds(), || reserve(64 << 20)), said("ok"));
    let many = || {
        let mut files = Vec::new();
        loop {
            match File::open("/dev/null") {
                Ok(file) => files.push(file),
                Err(error) if files.len() < 64 => return name(&error),
                Err(error) => return error.to_string(),
            }
            if files.len() > 1000 {
                return "any number of files".to_owned();
            }
        }
    };
    assert_eq!(behind(bounds(), many), said("EMFILE"));
    // The end by a signal leaves no core behind; the bounds cannot be taken back.
    let limits = || {
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default();
        core.split_whitespace().skip(4).take(2).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(behind(bounds(), limits), said("0 0"));
    let seconds = Walls { cpu_seconds: Some(1), ..bounds() };
    let spin = || loop {
        std::hint::spin_loop();
    };
    assert_eq!(behind(seconds, spin), End::Killed(libc::SIGKILL));
}

#[test]
fn no_privileges_are_gained_with_that_wall_alone() {
    let alone = Walls { without: alone(&[Wall::Privileges]), ..walls(&[]) };
    assert_eq!(behind(alone, || format!("{} {}", told("NoNewPrivs"), told("Seccomp"))), said("1 0"));
}

#[test]
fn landlock_alone_keeps_to_the_folders() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name);
    for name in ["read", "write", "other"] {
        fs::create_dir(place(name)).expect("made");
        fs::write(place(name).join("file"), "old").expect("written");
    }
    fs::write(place("code"), "code").expect("written");
    let [read, write, code] = ["read", "write", "code"].map(|name| File::open(place(name)).expect("opens"));
    let landlock = || Walls {
        without: alone(&[Wall::Privileges, Wall::Landlock]),
        folders: vec![(read.as_fd(), false), (write.as_fd(), true)],
        readable: vec![code.as_fd()],
        ..walls(&[])
    };
    for (deed, path, expected) in [
        (opened as fn(&Path) -> String, "read/file", "ok"),
        (written, "read/file", "EACCES"),
        (written, "read/new", "EACCES"),
        (opened, "write/file", "ok"),
        (written, "write/file", "ok"),
        (written, "write/new", "ok"),
        (opened, "code", "ok"),
        (written, "code", "EACCES"),
        (opened, "other/file", "EACCES"),
        (written, "other/file", "EACCES"),
        (opened, "read/../other/file", "EACCES"),
        (opened, "/etc/passwd", "EACCES"),
        (opened, "/proc/self/mem", "EACCES"),
    ] {
        assert_eq!(behind(landlock(), || deed(&place(path))), said(expected), "{path}");
    }
    let from = |from: &str, to: &str| {
        fs::rename(place(from), place(to)).map_or_else(|error| name(&error), |()| "ok".to_owned())
    };
    assert_eq!(behind(landlock(), || from("write/file", "write/named")), said("ok"));
    assert_ne!(behind(landlock(), || from("write/named", "other/named")), said("ok"));
    assert_ne!(behind(landlock(), || from("read/file", "write/stolen")), said("ok"));
    let parent = u64::from(std::process::id());
    let signal = || call(libc::SYS_kill, [parent, 0, 0]);
    assert_eq!(behind(landlock(), signal), said("EPERM"));
}

#[test]
fn landlock_alone_keeps_to_the_ports() {
    use std::net::{TcpListener, TcpStream};
    let [open, shut] = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let port = |listener: &TcpListener| listener.local_addr().expect("it has one").port();
    let only = Ports::Only([port(&open)].into_iter().collect());
    let network = |connect: Ports| Network::Some { connect, bind: Ports::Only([].into_iter().collect()) };
    let landlock = |network: Network| Walls {
        without: alone(&[Wall::Privileges, Wall::Landlock]),
        network,
        ..walls(&[])
    };
    let to = |listener: &TcpListener| {
        let stream = TcpStream::connect(("127.0.0.1", port(listener)));
        stream.map_or_else(|error| name(&error), |_| "ok".to_owned())
    };
    let bound = || TcpListener::bind("127.0.0.1:0").map_or_else(|error| name(&error), |_| "ok".to_owned());
    assert_eq!(behind(landlock(network(only.clone())), || to(&open)), said("ok"));
    assert_eq!(behind(landlock(network(only.clone())), || to(&shut)), said("EACCES"));
    assert_eq!(behind(landlock(network(Ports::Any)), || to(&shut)), said("ok"));
    assert_eq!(behind(landlock(network(Ports::Any)), bound), said("EACCES"));
    assert_eq!(behind(landlock(Network::None), || to(&open)), said("EACCES"));
    assert_eq!(behind(landlock(Network::None), bound), said("EACCES"));
}

#[test]
fn seccomp_alone_denies_calls_and_ends_who_is_hostile() {
    let seccomp = || Walls { without: alone(&[Wall::Privileges, Wall::Seccomp]), ..walls(&[]) };
    assert_eq!(behind(seccomp(), || opened(Path::new("/etc/passwd"))), said("EPERM"));
    let stream = [libc::AF_INET as u64, libc::SOCK_STREAM as u64, 0];
    assert_eq!(behind(seccomp(), || call(libc::SYS_socket, stream)), said("EPERM"));
    assert_eq!(behind(seccomp(), || call(libc::SYS_clone3, [0, 0, 0])), said("ENOSYS"));
    assert_eq!(behind(seccomp(), || call(libc::SYS_kill, [1, 0, 0])), said("EPERM"));
    for hostile in [libc::SYS_execve, libc::SYS_ptrace, libc::SYS_io_uring_setup, libc::SYS_unshare] {
        let end = behind(seccomp(), || call(hostile, [0, 0, 0]));
        assert_eq!(end, End::Killed(libc::SIGSYS), "call {hostile}");
    }
    let networked = Walls { network: Network::Some { connect: Ports::Any, bind: Ports::Any }, ..seccomp() };
    assert_eq!(behind(networked.clone(), || call(libc::SYS_socket, stream)), said("ok"));
    let local = [libc::AF_UNIX as u64, libc::SOCK_STREAM as u64, 0];
    assert_eq!(behind(networked, || call(libc::SYS_socket, local)), said("EPERM"));
}

#[test]
fn seccomp_holds_every_thread() {
    let walls = walls(&[]);
    let end = inside(|| {
        let outer = walls.raise_first().expect("they stand");
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            told.recv().expect("the last wall stands");
            call(libc::SYS_socket, [libc::AF_INET as u64, libc::SOCK_STREAM as u64, 0])
        });
        outer.raise_last().expect("it stands");
        tell.send(()).expect("it is waited for");
        let old = thread.join().expect("it ends");
        let new = std::thread::spawn(|| opened(Path::new("/etc/passwd"))).join().expect("it ends");
        format!("{old} {new}")
    });
    assert_eq!(end, said("EPERM EPERM"));
}

#[test]
fn behind_all_walls_there_are_threads_memory_and_time() {
    let end = behind(walls(&[]), || {
        let threads: Vec<_> = (0..8_u64)
            .map(|number| {
                std::thread::spawn(move || {
                    let memory = vec![number; 1 << 16];
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    memory.iter().sum::<u64>()
                })
            })
            .collect();
        let sum: u64 = threads.into_iter().map(|thread| thread.join().expect("it ends")).sum();
        format!("{sum}")
    });
    assert_eq!(end, said(&format!("{}", 28 << 16)));
}

#[test]
fn a_wall_that_the_kernel_lacks_is_an_error_that_names_it() {
    for (call, wall) in
        [(libc::SYS_landlock_create_ruleset, Wall::Landlock), (libc::SYS_seccomp, Wall::Seccomp)]
    {
        let lacking = |without: Vec<Wall>| {
            let walls = walls(&without);
            inside(|| {
                take_away(call);
                raise(&walls).map_or_else(|error| error, |()| "ok".to_owned())
            })
        };
        let End::Said(error) = lacking(Vec::new()) else { panic!("it is told") };
        assert!(error.contains(&format!("the wall `{wall}` cannot be raised")), "{error}");
        assert!(error.contains(&format!("--without {wall}")), "{error}");
        assert_eq!(lacking(vec![wall]), said("ok"), "{wall}");
    }
}

#[test]
fn walls_are_not_raised_beside_threads_nor_without_what_they_stand_on() {
    let walls_ = walls(&[]);
    let End::Said(error) = inside(|| {
        let (_keep, wait) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || wait.recv());
        raise(&walls_).map_or_else(|error| error, |()| "ok".to_owned())
    }) else {
        panic!("it is told")
    };
    assert!(error.contains("2 threads already"), "{error}");
    for (without, needs) in
        [(vec![Wall::Privileges], "landlock"), (vec![Wall::Privileges, Wall::Landlock], "seccomp")]
    {
        let End::Said(error) = behind(walls(&without), || "ok".to_owned()) else { panic!("it is told") };
        assert!(error.contains(&format!("while `{needs}` is raised")), "{error}");
    }
}
