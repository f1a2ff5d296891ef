//! A program that the broker starts as an actor, and that is nobody's friend.
//!
//! Owns: what an actor process does that is wholly in the hands of whoever broke into it: it has
//! the same walls around it as any other, and none of the code that behaves. Must not know: what
//! should stop it. Invariant: it tries one attack and says in one line how that went.

mod acts;
mod calls;
mod ground;
mod raw;

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;

use greenroom_broker::walls_around;
use greenroom_transport::{Attachment, channel_from_fd};
use greenroom_wire::control::{self, Init, ToActor};

pub use acts::EXECUTED;
pub use calls::{CALLS, Call, Unwalled};
use ground::Ground;

/// The variable of the actor's environment that names the attack.
pub const ATTACK: &str = "ATTACK";

/// The variable that names a folder which no actor was granted.
pub const OUTSIDE: &str = "OUTSIDE";

/// What an attack that nobody refused is told with.
pub const DONE: &str = "done";

/// What one that was refused is told with; the error's number follows.
pub const REFUSED: &str = "refused";

/// Being the villain: what its `main` does.
pub fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let done = match words.next().as_deref() {
        Some(EXECUTED) => say(EXECUTED),
        _ => play(),
    };
    match done {
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

/// Is started as any actor is, and tries what its environment names.
fn play() -> io::Result<()> {
    let control = rustix::io::dup(rustix::stdio::stdin())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (init, held) = runtime.block_on(introduction(control))?;
    let variable = |name: &str| {
        let found = init.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        found.ok_or_else(|| io::Error::other(format!("the variable {name} is missing")))
    };
    let (attack, ground) = (variable(ATTACK)?, Ground::take(PathBuf::from(variable(OUTSIDE)?))?);
    let call = CALLS.iter().find(|call| call.attack.id == attack);
    let call = call.ok_or_else(|| io::Error::other(format!("there is no attack {attack}")))?;
    enclose(&init, &held)?;
    match (call.make)(&ground) {
        Ok(_) => say(DONE),
        Err(errno) => say(&format!("{REFUSED} {errno}")),
    }
}

/// Raises the walls as any actor does.
fn enclose(init: &Init, held: &[OwnedFd]) -> io::Result<()> {
    // After the pipe to the parent come the components, then the folders.
    let (components, folders) = held.get(1..).unwrap_or_default().split_at(init.components);
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
        Attachment::Memory(_) => None,
    });
    match control::decode(&packet.bytes) {
        Ok(ToActor::Init(init)) => Ok((*init, fds.collect())),
        other => Err(io::Error::other(format!("the broker begins with {other:?}"))),
    }
}
