//! A program that the broker starts as an actor, and that is nobody's friend.
//!
//! Owns: what an actor process does that is wholly in the hands of whoever broke into it: it has
//! the same walls around it as any other, and none of the code that behaves. Must not know: what
//! should stop it. Invariant: it tries one attack and says in one line how that went.

mod acts;
mod calls;
#[path = "../../guests/escape/src/escapes.rs"]
mod escapes;
mod files;
mod ground;
mod raw;
pub mod users;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;

use greenroom_broker::{is_zygote, run_zygote, walls_around};
use greenroom_transport::{Attachment, channel_from_fd};
use greenroom_wire::control::{self, Init, ToActor};

use crate::corpus::{Attack, Wall};
pub use acts::EXECUTED;
pub use calls::{CALLS, Call, Unwalled};
pub use escapes::ESCAPES;
use escapes::Place;
use ground::Ground;

/// The word that makes the villain another user's program; the attack follows.
pub const USER: &str = "user";

/// The variable of the actor's environment that names the attack.
pub const ATTACK: &str = "ATTACK";

/// The variable that names a folder which no actor was granted.
pub const OUTSIDE: &str = "OUTSIDE";

/// What an attack that nobody refused is told with.
pub const DONE: &str = "done";

/// What is said first by a villain that was forked off a zygote.
pub const FORKED: &str = "forked";

/// What one that was refused is told with; the error's number follows.
pub const REFUSED: &str = "refused";

/// The variable that names the folder around those that are granted, as `escapes.rs` tells of it.
pub const BASE: &str = "BASE";

/// Those of the ways out of which Landlock knows nothing.
const NOT_LANDLOCK: &[&str] = &["fs-33"];

/// The ways out, as the page tells of them: WASI keeps components from them all, whatever the kernel
/// does; the same by native code is Landlock's to stop.
pub fn escapes() -> Vec<Attack> {
    let walls = |id: &str| match NOT_LANDLOCK.contains(&id) {
        true => &[Wall::Wasi][..],
        false => &[Wall::Wasi, Wall::Landlock],
    };
    let all = ESCAPES.iter().map(|escape| (escape.id, escape.title, walls(escape.id)));
    all.map(|(id, title, walls)| Attack { id, title, walls, alone: walls }).collect()
}

/// Being the villain, executed or forked: what its `main` does.
pub fn main() -> ExitCode {
    if is_zygote() {
        return run_zygote(|forked| told(say(FORKED).and_then(|()| play(forked.into_control()))));
    }
    let mut words = std::env::args().skip(1);
    told(match words.next().as_deref() {
        Some(EXECUTED) => say(EXECUTED),
        Some(USER) => intrude(&words.next().unwrap_or_default()),
        _ => rustix::io::dup(rustix::stdio::stdin()).map_err(io::Error::from).and_then(play),
    })
}

fn told(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = say(&format!("failed {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Tells the test, through the broker.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Is another user's, and tries what it was started for.
fn intrude(id: &str) -> io::Result<()> {
    let intrusion = users::INTRUSIONS.iter().find(|intrusion| intrusion.attack.id == id);
    let intrusion = intrusion.ok_or_else(|| io::Error::other(format!("there is no attack {id}")))?;
    let outcome = (intrusion.run)();
    tell(outcome.map(|()| Vec::new()).map_err(|error| error.raw_os_error().unwrap_or_default()))
}

/// Is an actor as any other, and tries what its environment names.
fn play(control: OwnedFd) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (init, held) = runtime.block_on(introduction(control))?;
    let variable = |name: &str| {
        let found = init.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        found.ok_or_else(|| io::Error::other(format!("the variable {name} is missing")))
    };
    let attack = variable(ATTACK)?;
    if let Some(call) = CALLS.iter().find(|call| call.attack.id == attack) {
        let ground = Ground::take(PathBuf::from(variable(OUTSIDE)?))?;
        enclose(&init, &held)?;
        return tell((call.make)(&ground).map(|_| Vec::new()));
    }
    let escape = ESCAPES.iter().find(|escape| escape.id == attack);
    let escape = escape.ok_or_else(|| io::Error::other(format!("there is no attack {attack}")))?;
    let base = variable(BASE)?;
    let granted = |name: &str| File::open(format!("{base}/{name}"));
    let place = Place { rw: granted("rw")?, rw_path: format!("{base}/rw"), ro: granted("ro")?, base };
    enclose(&init, &held)?;
    tell((escape.run)(&place).map_err(|error| error.raw_os_error().unwrap_or_default()))
}

/// Says how an attack went, with what was read.
fn tell(result: Result<Vec<u8>, i32>) -> io::Result<()> {
    match result {
        Ok(bytes) => say(format!("{DONE} {}", String::from_utf8_lossy(&bytes)).trim_end()),
        Err(errno) => say(&format!("{REFUSED} {errno}")),
    }
}

/// Raises the walls as any actor does.
fn enclose(init: &Init, held: &[OwnedFd]) -> io::Result<()> {
    let (_, held) = init.attached(held.iter().collect());
    let (components, folders) = held.split_at(init.components);
    let folders = folders.iter().zip(&init.dirs).map(|(folder, (_, writable))| (folder.as_fd(), *writable));
    let code = components.iter().map(AsFd::as_fd).collect();
    let walls = walls_around(init, folders.collect(), code).map_err(io::Error::other)?;
    let outer = walls.raise_first().map_err(io::Error::other)?;
    outer.raise_last().map_err(io::Error::other)
}

/// The broker's first message, and the descriptors that came with it.
async fn introduction(control: OwnedFd) -> io::Result<(Init, Vec<OwnedFd>)> {
    let channel = channel_from_fd(control)?;
    let packet = channel.receive().await?.ok_or_else(|| io::Error::other("the broker says nothing"))?;
    let fds = packet.attachments.into_iter().filter_map(|attachment| match attachment {
        Attachment::Fd(fd) => Some(fd),
        Attachment::Shared(_) | Attachment::Memory(_) => None,
    });
    match control::decode(&packet.bytes) {
        Ok(ToActor::Init(init)) => Ok((*init, fds.collect())),
        other => Err(io::Error::other(format!("the broker begins with {other:?}"))),
    }
}
