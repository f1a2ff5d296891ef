//! The walls of actors that serve, as the kernel shows them.
//!
//! Owns: that what holds the villain holds everybody.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use greenroom::Wall;
use greenroom_tests::{Options, Place, World, alone, guest, program};
use serde_json::json;

/// A world whose root may write in a folder, and whose child has nothing.
async fn world(place: &Place, walls: &[Wall]) -> World {
    let folder = place.folder().join("granted");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("file"), "text").expect("a file in it");
    let without = super::without(walls);
    let dirs = vec![(folder, "/granted".to_owned(), true)];
    World::with(place, Options { dirs, without, ..Options::default() }).await
}

/// What the kernel says of each thread of a process under a key.
fn status(pid: i32, key: &str) -> BTreeSet<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    let texts = tasks.map(|task| {
        let file = task.expect("a thread").path().join("status");
        fs::read_to_string(file).expect("the thread is there")
    });
    let values = texts.map(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{key} in {text}")).trim().to_owned()
    });
    values.collect()
}

/// The soft and the hard bound of a process on a resource.
fn bounds(pid: i32, resource: &str) -> [Option<u64>; 2] {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).expect("the process is there");
    let line = text.lines().find_map(|line| line.strip_prefix(resource));
    let line = line.unwrap_or_else(|| panic!("{resource} in {text}"));
    let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
    [(); 2].map(|()| numbers.next().expect("two bounds"))
}

#[test]
fn f3_every_thread_of_every_actor_is_behind_the_walls() {
    alone(async |place| {
        let world = world(place, &Wall::ALL).await;
        let _child = world.keep(&[], "child").await;
        // With a thread for files, and one for long turns.
        let file = json!({"path": "/granted/file"});
        assert_eq!(world.call(&[], "stage:read", &file).await, Ok("text".to_owned()));
        for (name, pid) in world.processes() {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it is there").count();
            assert!(threads > 1 || name != "root", "a thread reads files");
            assert_eq!(status(pid, "Seccomp"), ["2".to_owned()].into(), "{name}");
            assert_eq!(status(pid, "NoNewPrivs"), ["1".to_owned()].into(), "{name}");
            assert_eq!(bounds(pid, "Max core file size"), [Some(0); 2], "{name}");
            assert_eq!(bounds(pid, "Max locked memory"), [Some(0); 2], "{name}");
            assert_eq!(bounds(pid, "Max pending signals"), [Some(0); 2], "{name}");
            for resource in ["Max data size", "Max open files", "Max stack size"] {
                let bounds = bounds(pid, resource);
                assert!(bounds[0].is_some() && bounds[0] == bounds[1], "{name}: {resource}: {bounds:?}");
            }
        }
        world.end().await;
    });
}

#[test]
fn f3_an_actor_holds_no_descriptor_but_its_own() {
    alone(async |place| {
        // What the host holds open is nothing to its actors.
        let secret = place.folder().join("secret");
        fs::write(&secret, "secret").expect("a file");
        let file = fs::File::open(&secret).expect("it opens");
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).expect("it is left open for programs");
        let world = world(place, &Wall::ALL).await;
        let _child = world.keep(&[], "child").await;
        for (name, pid) in world.processes() {
            let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there");
            let open: BTreeSet<_> = open
                .map(|entry| fs::read_link(entry.expect("a descriptor").path()).expect("it is open"))
                .map(|target| target.display().to_string())
                .collect();
            let known = |target: &&String| {
                let kinds = ["socket:", "pipe:", "anon_inode:", "/dev/null", "/memfd:"];
                let granted = name == "root" && target.ends_with("/granted");
                // Compiled code lies in the cache.
                kinds.iter().any(|kind| target.starts_with(kind)) || target.ends_with(".code") || granted
            };
            let others: Vec<_> = open.iter().filter(|target| !known(target)).collect();
            assert!(others.is_empty(), "{name} holds {others:?}");
            // Each instance has them once more; what they lead to is little.
            assert!(open.len() <= 16, "{name} holds {open:?}");
        }
        drop(file);
        world.end().await;
    });
}

#[test]
fn a_wall_that_is_left_out_is_missed() {
    alone(async |place| {
        let world = world(place, &[Wall::Limits, Wall::Privileges]).await;
        let pid = world.pid("root");
        assert_eq!(status(pid, "Seccomp"), ["0".to_owned()].into());
        assert_eq!(status(pid, "NoNewPrivs"), ["1".to_owned()].into());
        world.end().await;
    });
}

/// The children of a process, each as the kernel tells of it.
fn children(parent: u32) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("Linux shows processes").filter_map(Result::ok);
    // One may be gone before it is looked at.
    let texts = processes.filter_map(|process| fs::read_to_string(process.path().join("status")).ok());
    texts.filter(|text| text.contains(&format!("\nPPid:\t{parent}\n"))).collect()
}

#[test]
fn f3_a_compiler_is_behind_the_walls() {
    alone(async |place| {
        let mut program = Command::new(program())
            .arg("inspect")
            .arg(guest("faults"))
            // One in which nothing is compiled yet.
            .env("XDG_CACHE_HOME", place.folder())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program runs");
        let mut walled = false;
        let status = loop {
            walled |= children(program.id()).iter().any(|text| text.contains("\nSeccomp:\t2\n"));
            if let Some(status) = program.try_wait().expect("it is this process's child") {
                break status;
            }
        };
        assert!(status.success() && walled, "{status}, and no compiler was seen behind walls");
    });
}
