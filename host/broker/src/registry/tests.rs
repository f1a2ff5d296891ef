//! The directory, as several programs use it.
//!
//! Owns: who is seen when, who is first, what is cleared away, what is refused. Locks belong to open
//! files, so that several hosts in one process meet as those of several processes do.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Instant;

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use super::folder::{PATIENCE, place};
use super::*;

/// A folder for a registry, with nothing in it.
fn temporary() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("greenroom");
    (folder, path)
}

fn directory(path: &std::path::Path) -> Directory {
    Directory::at(path).expect("a registry")
}

fn entry(name: &str) -> Entry {
    Entry {
        id: ActorId { name: name.to_owned(), uuid: Uuid::new_v4().to_string() },
        tree: "tree".to_owned(),
        path: vec![name.to_owned()],
        pid: 7,
        host: String::new(),
        host_pid: std::process::id(),
        started: 1,
        unique: false,
        order: 0,
    }
}

fn unique(name: &str) -> Entry {
    Entry { unique: true, ..entry(name) }
}

fn host(directory: &Directory) -> (Box<dyn Seat>, UnixListener, String) {
    let host = Uuid::new_v4().to_string();
    let (seat, listener) = directory.enter(&host).expect("there is room");
    (seat, listener, host)
}

fn names(directory: &Directory) -> Vec<String> {
    directory.list().expect("it can be read").into_iter().map(|entry| entry.id.name).collect()
}

fn files(path: &std::path::Path) -> BTreeSet<String> {
    let entries = fs::read_dir(path).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect()
}

#[test]
fn e3_an_entry_is_there_as_long_as_its_publication_and_leaves_nothing() {
    let (_folder, path) = temporary();
    let ours = directory(&path);
    let (seat, _listener, id) = host(&ours);
    assert!(names(&ours).is_empty());
    let published = entry("clock");
    let publication = seat.publish(published.clone()).expect("it is published");
    assert_eq!(ours.list().expect("a list"), [Entry { host: id, ..published }]);
    drop(publication);
    assert!(names(&ours).is_empty());
    drop(seat);
    assert!(files(&path).is_empty());
}

#[test]
fn e2_of_one_name_the_first_published_comes_first_and_the_next_when_it_ends() {
    let (_folder, path) = temporary();
    let ours = directory(&path);
    let (one, _l1, first) = host(&ours);
    let (two, _l2, second) = host(&ours);
    let other = two.publish(entry("other")).expect("it is published");
    let of_one = one.publish(entry("clock")).expect("it is published");
    let _of_two = two.publish(entry("clock")).expect("it is published");
    drop(other);
    let hosts = || ours.list().expect("a list").into_iter().map(|entry| entry.host).collect::<Vec<_>>();
    assert_eq!(hosts(), [first, second.clone()]);
    drop(of_one);
    assert_eq!(hosts(), std::slice::from_ref(&second));
    let _late = one.publish(entry("clock")).expect("it is published");
    assert_eq!(hosts()[0], second);
}

#[test]
fn e2_a_unique_name_is_taken_both_ways_and_free_after_its_end() {
    let (_folder, path) = temporary();
    let ours = directory(&path);
    let ((one, _l1, _), (two, _l2, _)) = (host(&ours), host(&ours));
    let holder = one.publish(entry("clock")).expect("it is published");
    let refused = two.publish(unique("clock")).expect_err("there is one");
    assert!(matches!(&refused, RegistryError::NameTaken { name, .. } if name == "clock"), "{refused}");
    assert!(Box::<RemoteError>::from(refused).is::<NameTaken>());
    drop(holder);
    let holder = one.publish(unique("clock")).expect("it is free");
    for second in [entry("clock"), unique("clock")] {
        two.publish(second).expect_err("the one there is is unique");
    }
    two.publish(unique("watch")).expect("another name");
    drop(holder);
    two.publish(unique("clock")).expect("it is free");
}

/// What a host leaves that is killed: all files, no lock.
fn kill(path: &std::path::Path, id: &str, seat: Box<dyn Seat>, publications: Vec<Box<dyn Publication>>) {
    let copies: Vec<_> = files(path).into_iter().filter(|name| name.starts_with(id)).collect();
    let kept = copies.iter().map(|name| (name.clone(), fs::read(path.join(name)).unwrap_or_default()));
    let kept: Vec<_> = kept.collect();
    drop((publications, seat));
    for (name, bytes) in kept {
        fs::write(path.join(name), bytes).expect("it is there again");
    }
}

#[test]
fn e3_what_a_killed_host_leaves_is_seen_by_nobody_and_removed_by_the_first_who_looks() {
    let (_folder, path) = temporary();
    let ours = directory(&path);
    let (alive, _l1, _) = host(&ours);
    let _kept = alive.publish(entry("alive")).expect("it is published");
    let before = files(&path);
    let (seat, listener, id) = host(&ours);
    let publication = seat.publish(unique("clock")).expect("it is published");
    kill(&path, &id, seat, vec![publication]);
    drop(listener);
    assert!(files(&path).len() > before.len(), "the dead have left something");
    alive.publish(unique("clock")).expect("the dead hold no name");
    assert_eq!(names(&ours), ["alive"]);
    assert_eq!(files(&path), before);
    assert!(ours.connect(&id).is_err());
}

#[test]
fn what_is_not_the_registrys_is_passed_over_and_left_alone() {
    let (_folder, path) = temporary();
    let ours = directory(&path);
    let (seat, _listener, id) = host(&ours);
    let _kept = seat.publish(entry("clock")).expect("it is published");
    let mine = |kind: &str| format!("{id}.{}.{kind}", Uuid::new_v4());
    fs::write(path.join("notes.txt"), "mine").expect("a file");
    fs::create_dir(path.join("folder")).expect("a folder");
    // Entries of a live host that are none: garbage, too long, one of another actor, no file.
    fs::write(path.join(mine("actor")), b"\xff\xff").expect("a file");
    fs::write(path.join(mine("actor")), vec![0; 100_000]).expect("a file");
    let forged = greenroom_abi::payload::encode(&entry("forged")).expect("it can be encoded");
    fs::write(path.join(mine("actor")), forged).expect("a file");
    symlink("/etc/passwd", path.join(mine("actor"))).expect("a link");
    fs::create_dir(path.join(mine("actor"))).expect("a folder");
    rustix::fs::mkfifoat(rustix::fs::CWD, path.join(mine("actor")), rustix::fs::Mode::RUSR).expect("a fifo");
    let before = files(&path);
    assert_eq!(names(&ours), ["clock"]);
    assert_eq!(files(&path), before);
}

#[test]
fn a_folder_that_others_could_touch_is_refused_with_what_to_do() {
    let (folder, path) = temporary();
    let refusal = |path: &std::path::Path| {
        let error = Directory::at(path).expect_err("it is not safe");
        assert!(matches!(error, RegistryError::Unsafe { .. }), "{error:?}");
        error.to_string()
    };
    fs::create_dir(&path).expect("a folder");
    for mode in [0o755, 0o710, 0o701, 0o1777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
        let told = refusal(&path);
        assert!(told.contains(&format!("mode {mode:o}")) && told.contains("chmod 700"), "{told}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("it is ours");
    directory(&path);

    let link = folder.path().join("link");
    symlink(&path, &link).expect("a link");
    assert!(refusal(&link).contains("symbolic link"));
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    assert!(refusal(&file).contains("not a folder"));
    // Who has it is asked of the system; only root can give a folder away.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(12345), None).expect("root may");
        let told = refusal(&path);
        assert!(told.contains("user 12345") && told.contains("XDG_RUNTIME_DIR"), "{told}");
    }
    let missing = Directory::at(&folder.path().join("no/such")).expect_err("no place for it");
    assert!(missing.to_string().starts_with("cannot make the registry's folder"), "{missing}");
}

#[test]
fn the_folder_is_made_for_its_user_alone() {
    let (_folder, path) = temporary();
    directory(&path);
    let made = fs::metadata(&path).expect("it is there");
    assert_eq!((made.mode() & 0o7777, made.uid()), (0o700, rustix::process::geteuid().as_raw()));
    let ours = directory(&path);
    let (seat, _listener, _) = host(&ours);
    let _kept = seat.publish(entry("clock")).expect("it is published");
    for name in files(&path).into_iter().filter(|name| !name.ends_with(".station")) {
        let mode = fs::metadata(path.join(&name)).expect("it is there").mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}

#[test]
fn it_is_in_the_runtime_folder_if_that_is_the_users_and_private_elsewhere() {
    let (folder, _) = temporary();
    let (runtime, tmp) = (folder.path(), std::path::Path::new("/tmp"));
    assert_eq!(place(Some(runtime), tmp), runtime.join("greenroom"));
    let private = tmp.join(format!("greenroom-{}", rustix::process::geteuid().as_raw()));
    let file = runtime.join("file");
    fs::write(&file, "").expect("a file");
    let relative = PathBuf::from(".");
    for unusable in [None, Some(&runtime.join("missing")), Some(&file), Some(&relative)] {
        assert_eq!(place(unusable.map(PathBuf::as_path), tmp), private);
    }
    if rustix::process::geteuid().is_root() {
        // That of another user, as `sudo` passes on.
        std::os::unix::fs::chown(runtime, Some(12345), None).expect("root may");
        assert_eq!(place(Some(runtime), tmp), private);
    }
}

#[test]
fn a_lock_that_is_held_is_waited_for_and_then_told() {
    let (_folder, path) = temporary();
    let ours = directory(&path);
    let (seat, _listener, _) = host(&ours);
    let held = File::open(&path).expect("a folder can be opened");
    flock(&held, FlockOperation::LockExclusive).expect("a lock");
    let began = Instant::now();
    let busy = seat.publish(entry("clock")).expect_err("it is locked");
    assert!(matches!(busy, RegistryError::Busy { .. }), "{busy}");
    assert!(busy.to_string().contains("locked by another program"), "{busy}");
    assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE * 4, "{:?}", began.elapsed());
    assert!(names(&ours).is_empty(), "who looks does not wait");
    let freed = std::thread::spawn(move || {
        std::thread::sleep(PATIENCE / 4);
        drop(held);
    });
    seat.publish(entry("clock")).expect("it is free in time");
    freed.join().expect("no panic");
}

#[test]
fn a_folder_that_is_removed_is_told_and_a_new_one_serves() {
    let (_folder, path) = temporary();
    let ours = directory(&path);
    let (seat, _listener, _) = host(&ours);
    fs::remove_dir_all(&path).expect("it is ours");
    seat.publish(entry("clock")).expect_err("its seat is gone");
    assert!(names(&ours).is_empty());
    let (seat, _listener, _) = host(&ours);
    let _kept = seat.publish(entry("clock")).expect("it is published");
    assert_eq!(names(&ours), ["clock"]);
}

#[test]
fn a_host_is_connected_to_wherever_the_folder_is() {
    let (folder, _) = temporary();
    // Longer than the address of a socket may be.
    let deep = folder.path().join("x".repeat(120));
    fs::create_dir(&deep).expect("a folder");
    let ours = directory(&deep.join("greenroom"));
    let (_seat, listener, id) = host(&ours);
    let _pipe = ours.connect(&id).expect("it listens");
    listener.set_nonblocking(false).expect("a socket");
    listener.accept().expect("somebody is there");
    assert!(ours.connect(&Uuid::new_v4().to_string()).is_err());
    assert_eq!(ours.connect("../x").expect_err("no host").kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn e5_ten_hosts_that_start_at_once_see_each_other_and_no_half_entry() {
    const HOSTS: usize = 10;
    let (_folder, path) = temporary();
    let barrier = std::sync::Barrier::new(HOSTS);
    let taken = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..HOSTS {
            let (path, barrier, taken) = (&path, &barrier, &taken);
            scope.spawn(move || {
                barrier.wait();
                let ours = directory(path);
                let (seat, _listener, _) = host(&ours);
                let _kept = seat.publish(entry(&format!("host{number}"))).expect("it is published");
                let race = seat.publish(unique("race"));
                for _ in 0..20 {
                    let all = names(&ours);
                    assert!(all.contains(&format!("host{number}")), "{all:?}");
                    drop(seat.publish(entry("brief")).expect("it is published"));
                }
                match &race {
                    Ok(_) => _ = taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                    Err(error) => assert!(matches!(error, RegistryError::NameTaken { .. }), "{error}"),
                }
                barrier.wait();
                let all: BTreeSet<_> = names(&ours).into_iter().collect();
                let hosts = (0..HOSTS).map(|number| format!("host{number}"));
                assert_eq!(all, hosts.chain(["race".to_owned()]).collect());
                barrier.wait();
            });
        }
    });
    assert_eq!(taken.into_inner(), 1, "one of them has the unique name");
    assert!(files(&path).is_empty());
}
