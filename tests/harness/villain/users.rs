//! Twenty things that another user of the machine may try.
//!
//! Owns: the list, and what each does. Must not know: whose things these are. Invariant: done by
//! their owner each succeeds, but for those that nobody may do.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::raw::{SYS_kill, SYS_pidfd_getfd, SYS_pidfd_open, SYS_ptrace, call};
use crate::corpus::{Attack, Wall};

/// The variables of what is known: the registry's folder, an entry in it, the file of a host's life
/// and its station there; a cache's folder and a file in it; the process of an actor; a path where a
/// folder of the owner's is about to be made.
pub const REGISTRY: &str = "REGISTRY";
/// See [`REGISTRY`].
pub const ENTRY: &str = "ENTRY";
/// See [`REGISTRY`].
pub const LIFE: &str = "LIFE";
/// See [`REGISTRY`].
pub const STATION: &str = "STATION";
/// See [`REGISTRY`].
pub const CACHE: &str = "CACHE";
/// See [`REGISTRY`].
pub const CODE: &str = "CODE";
/// See [`REGISTRY`].
pub const ACTOR: &str = "ACTOR_PID";
/// See [`REGISTRY`].
pub const COMING: &str = "COMING";

/// What the owner does after an attack has prepared the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing: the attack has succeeded if nobody refused it.
    Nothing,
    /// Opens the registry at [`COMING`]; the attack has succeeded if that does.
    Registry,
    /// Opens the cache there.
    Cache,
}

/// What another user may try.
#[derive(Clone, Copy, Debug)]
pub struct Intrusion {
    /// What the page tells of it.
    pub attack: Attack,
    /// What the owner does after it.
    pub then: Then,
    /// Whether not even the owner may do it.
    pub nobody: bool,
    /// Whether the registry's folder and the station are open to all by mistake.
    pub open: bool,
    pub(super) run: fn() -> io::Result<()>,
}

const FOLDERS: &[Wall] = &[Wall::Folders];
const USERS: &[Wall] = &[Wall::Users];
const PEERS: &[Wall] = &[Wall::Peers];

macro_rules! intrusions {
    ($($id:literal $title:literal $walls:ident $then:ident $nobody:literal $open:literal $run:expr;)*) => {
        /// All of them.
        pub const INTRUSIONS: &[Intrusion] = &[$(
            Intrusion {
                attack: Attack { id: $id, title: $title, walls: $walls, alone: $walls },
                then: Then::$then,
                nobody: $nobody,
                open: $open,
                run: $run,
            },
        )*];
    };
}

intrusions! {
    "user-01" "list the registry" FOLDERS Nothing false false
        || fs::read_dir(known(REGISTRY)?).map(drop);
    "user-02" "read an entry of the registry" FOLDERS Nothing false false
        || fs::read(known(ENTRY)?).map(drop);
    "user-03" "change an entry of the registry" FOLDERS Nothing false false
        || File::options().append(true).open(known(ENTRY)?).map(drop);
    "user-04" "put another entry in its place" FOLDERS Nothing false false
        || {
            let (entry, aside) = (known(ENTRY)?, known(REGISTRY)?.join("aside"));
            fs::rename(&entry, &aside)?;
            fs::rename(aside, entry)
        };
    "user-05" "add an entry of its own" FOLDERS Nothing false false
        || fs::write(known(REGISTRY)?.join("added"), "");
    "user-06" "hold the lock of the registry" FOLDERS Nothing false false || lock(REGISTRY);
    "user-07" "hold the lock of a host" FOLDERS Nothing false false || lock(LIFE);
    "user-08" "call an actor through its host's station" FOLDERS Nothing false false visit;
    "user-09" "call an actor where the station is open to all" PEERS Nothing false true visit;
    "user-10" "make the registry's folder first" FOLDERS Registry false false
        || make_first(0o700);
    "user-11" "make the registry's folder first, for all" FOLDERS Registry true false
        || make_first(0o777);
    "user-12" "plant a link in the registry's place" FOLDERS Registry true false
        || symlink(own_folder()?, known(COMING)?);
    "user-13" "plant a link to another folder of the owner's" FOLDERS Registry true false
        || symlink(known(CACHE)?, known(COMING)?);
    "user-14" "make the cache's folder first" FOLDERS Cache false false || make_first(0o700);
    "user-15" "read compiled code" FOLDERS Nothing false false || fs::read(known(CODE)?).map(drop);
    "user-16" "change compiled code" FOLDERS Nothing false false
        || File::options().append(true).open(known(CODE)?).map(drop);
    "user-17" "read the memory of an actor" USERS Nothing false false
        || File::options().read(true).open(format!("/proc/{}/mem", actor()?)).map(drop);
    "user-18" "take a descriptor of an actor's" USERS Nothing false false take;
    "user-19" "attach to an actor as a debugger" USERS Nothing false false
        || done(call(SYS_ptrace, [0x4206, actor()?, 0, 0]));
    "user-20" "end an actor" USERS Nothing false false
        // Whoever may send no signal at all may send any.
        || done(call(SYS_kill, [actor()?, 0]));
}

/// What the other user knows, which is the worst: everything.
fn known(name: &str) -> io::Result<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).ok_or_else(|| io::Error::other(format!("no {name}")))
}

fn actor() -> io::Result<usize> {
    let text = std::env::var(ACTOR).map_err(io::Error::other)?;
    text.parse().map_err(io::Error::other)
}

fn done<T>(result: Result<T, i32>) -> io::Result<()> {
    result.map(drop).map_err(io::Error::from_raw_os_error)
}

fn lock(name: &str) -> io::Result<()> {
    File::open(known(name)?).map(drop)
}

/// Whether somebody answers at the station, be it that nothing was asked.
fn visit() -> io::Result<()> {
    let mut pipe = UnixStream::connect(known(STATION)?)?;
    pipe.set_read_timeout(Some(Duration::from_secs(5)))?;
    // Who was not let in may find the pipe closed already.
    pipe.write_all(&[0, 0, 0, 1, 0])?;
    let mut answer = [0];
    match pipe.read(&mut answer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn make_first(mode: u32) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let path = known(COMING)?;
    fs::DirBuilder::new().mode(mode).create(&path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// A folder beside the one that is to come.
fn own_folder() -> io::Result<PathBuf> {
    let path = known(COMING)?.with_extension("own");
    fs::create_dir(&path)?;
    Ok(path)
}

fn take() -> io::Result<()> {
    let process = call(SYS_pidfd_open, [actor()?, 0]).map_err(io::Error::from_raw_os_error)?;
    done(call(SYS_pidfd_getfd, [usize::try_from(process).unwrap_or(usize::MAX), 0, 0]))
}
