//! Programs outside the tree that call into it.
//!
//! Owns: reading who is at the two ends of a pipe, and the actor that stands for such a program.
//! Must not know: how the pipe came to this program. Invariant: what a stranger says is bounded in
//! length and in time.
//!
//! Such a program is an actor without a broker: it serves nobody, has no children, and cannot
//! end anybody. Its tasks in the tree live as long as its pipe.

use std::io;
use std::time::Duration;

use greenroom_abi::RemoteError;
use greenroom_abi::kind::PermissionDenied;
use greenroom_transport::{Attachment, Pipe};
use greenroom_wire::control::{Limits, Rights};
use greenroom_wire::{Preamble, Role};
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

use crate::actor::{Actor, Identity};
use crate::guest::Idle;
use crate::introduce::Lease;
use crate::link::{Link, Owner};
use crate::portal::Portal;

/// How long the preamble may take. It is written before the pipe is handed out, so that one
/// that has to be waited for is not one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Joins a tree from outside, by a pipe that its operator was given by [`Actor::invite`]. `pid`
/// is this process. The pipe is closed when the last portal is dropped and its calls have ended.
///
/// # Errors
/// `TimedOut` or `InvalidData` when no preamble comes through the pipe, or it cannot be used.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn join(pipe: Attachment, pid: u32) -> io::Result<Portal> {
    let mut pipe = Pipe::from_attachment(pipe)?;
    let told = tokio::time::timeout(PATIENCE, preamble(&mut pipe)).await;
    Ok(over(pipe, told.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??, pid))
}

/// As [`join()`], by a pipe of which it is already known who is at its ends.
///
/// # Errors
/// When the pipe cannot be used.
///
/// # Panics
/// Outside a tokio runtime.
pub fn joined(pipe: Attachment, ends: Preamble, pid: u32) -> io::Result<Portal> {
    Ok(over(Pipe::from_attachment(pipe)?, ends, pid))
}

fn over(pipe: Pipe, Preamble { you, peer }: Preamble, pid: u32) -> Portal {
    let identity =
        Identity { path: vec![you.name.clone()], id: you, pid, is_root: false, rights: Rights::default() };
    let (actor, _) = Actor::new(identity, Limits::default().trusted(), Box::new(Idle));
    let right = format!("a program outside the tree ends no actor of it, and `{}` is one", actor.id());
    actor.port().shut(RemoteError::of(&PermissionDenied { right }));
    // Nobody will say how the peer died, so nobody waits for it.
    let (_, exit) = watch::channel(None);
    let link = Link::drive(actor.clone(), peer, Owner::Neither, pipe, Role::Initiator, exit);
    Portal::leased(actor, Lease::new(link))
}

async fn preamble(pipe: &mut Pipe) -> io::Result<Preamble> {
    let wrong = |error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("not the pipe of an invitation: {error}"))
    };
    let mut prefix = [0; Preamble::PREFIX];
    pipe.read_exact(&mut prefix).await?;
    let length = Preamble::length(prefix).map_err(|error| wrong(&error))?;
    let mut item = vec![0; length];
    pipe.read_exact(&mut item).await?;
    Preamble::decode(&item).map_err(|error| wrong(&error))
}
