//! Pipes between those of whom neither started the other.
//!
//! Owns: finding an actor by name, inviting a program from outside the tree, telling all who have
//! a pipe to an actor of its exit. Must not know: what goes through the pipes. Invariant: who is
//! at the other end of a pipe is said by the broker and by nobody else.

use std::io;

use greenroom_abi::kind::{Exit, PermissionDenied};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_transport::{Attachment, socket_pipe};
use greenroom_wire::Preamble;
use greenroom_wire::control::{RequestId, ToActor};
use uuid::Uuid;

use crate::tree::{Key, Record, Tree, check_name, obituary};

/// Answers an actor that looks for another: with a pipe, if there is one of that name.
pub(crate) fn find(tree: &mut Tree, asker: Key, request: RequestId, name: &str) {
    let (result, pipe) = match tree.find(name, asker).map(|found| introduce(tree, asker, found)) {
        None => (Ok(None), None),
        Some(Ok((id, pipe))) => (Ok(Some(id)), Some(pipe)),
        Some(Err(error)) => (Err(failed(format!("the system refuses: {error}"))), None),
    };
    if let Some(record) = tree.get(asker) {
        record.tell(&ToActor::Found { request, result }, pipe.into_iter().collect());
    }
}

/// Makes a pipe between two actors, hands one end to the one who was found, and gives who that is
/// and the other end.
fn introduce(tree: &mut Tree, finder: Key, found: Key) -> io::Result<(ActorId, Attachment)> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let (near, far) = socket_pipe()?;
    let asker = tree.get_mut(finder).ok_or_else(missing)?;
    asker.peers.insert(found);
    let actor = asker.id.clone();
    let record = tree.get_mut(found).ok_or_else(missing)?;
    record.peers.insert(finder);
    tracing::debug!(%actor, to = %record.id, "introduced");
    record.tell(&ToActor::Introduced { actor }, vec![far]);
    Ok((record.id.clone(), near))
}

/// Answers the operator that has a way to a program outside the tree: with that program's end of
/// a pipe to the actor, if it is there.
pub(crate) fn invite(
    tree: &Tree,
    asker: Key,
    by_operator: bool,
    request: RequestId,
    actor: &str,
    name: String,
) {
    let target = Uuid::parse_str(actor).ok().and_then(|key| tree.get(key));
    let invited = match (by_operator, check_name(&name)) {
        (false, _) => {
            let right = "only the operator may invite a program from outside".to_owned();
            Err(Box::new(RemoteError::of(&PermissionDenied { right })))
        }
        (true, Err(rule)) => Err(failed(rule)),
        (true, Ok(())) => match target.filter(|record| record.is_settled() && record.parent.is_some()) {
            None => Ok(None),
            Some(record) => receive(record, name)
                .map(Some)
                .map_err(|error| failed(format!("the system refuses: {error}"))),
        },
    };
    let (result, pipe) = match invited {
        Ok(Some((guest, pipe))) => (Ok(Some(guest)), Some(pipe)),
        Ok(None) => (Ok(None), None),
        Err(error) => (Err(error), None),
    };
    if let Some(record) = tree.get(asker) {
        record.tell(&ToActor::Invited { request, result }, pipe.into_iter().collect());
    }
}

/// Makes a pipe to an actor for a program outside, in which it is written who is who.
fn receive(record: &Record, name: String) -> io::Result<(ActorId, Attachment)> {
    let guest = ActorId { name, uuid: Uuid::new_v4().to_string() };
    let (inside, outside) = socket_pipe()?;
    let preamble = Preamble { you: guest.clone(), peer: record.id.clone() };
    let inside = written(inside, &preamble.encode().map_err(io::Error::other)?)?;
    tracing::debug!(program = %guest, to = %record.id, "invited");
    record.tell(&ToActor::Introduced { actor: guest.clone() }, vec![inside]);
    Ok((guest, outside))
}

/// Writes the first bytes into a new pipe, which has room for them.
fn written(pipe: Attachment, bytes: &[u8]) -> io::Result<Attachment> {
    let Attachment::Fd(pipe) = pipe else { return Err(io::Error::other("a socket was expected")) };
    let count = rustix::io::write(&pipe, bytes)?;
    if count == bytes.len() { Ok(Attachment::Fd(pipe)) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Tells all who have a pipe to an actor how it ended, each once.
pub(crate) fn announce_exit(tree: &mut Tree, actor: Key, exit: &Exit) {
    let Some(record) = tree.get_mut(actor) else { return };
    let message = obituary(&record.id, exit);
    let mut peers = std::mem::take(&mut record.peers);
    peers.extend(record.parent);
    for peer in peers {
        if let Some(record) = tree.get_mut(peer) {
            record.peers.remove(&actor);
            record.tell(&message, Vec::new());
        }
    }
}

fn failed(reason: String) -> Box<RemoteError> {
    Box::new(RemoteError::new("IntroductionFailed", reason))
}
