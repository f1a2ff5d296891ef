//! Pipes between those of whom neither started the other.
//!
//! Owns: introducing two actors, inviting a program from outside the tree, telling all who have a
//! pipe to an actor of its exit. Must not know: what goes through the pipes. Invariant: who is at
//! the other end of a pipe is said by the broker and by nobody else.

use std::io;

use greenroom_abi::kind::{Exit, PermissionDenied};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_transport::{Attachment, actor_pipe, socket_pipe};
use greenroom_wire::Preamble;
use greenroom_wire::control::{RequestId, ToActor};
use uuid::Uuid;

use crate::tree::{Key, Record, Tree, check_name, obituary};

/// Makes a pipe between two actors, hands one end to the one who was found, and gives who that is
/// and the other end.
pub(crate) fn introduce(tree: &mut Tree, finder: Key, found: Key) -> io::Result<(ActorId, Attachment)> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let (near, far) = actor_pipe()?;
    let asker = tree.get_mut(finder).ok_or_else(missing)?;
    asker.peers.insert(found);
    let actor = asker.id.clone();
    let record = tree.get_mut(found).ok_or_else(missing)?;
    record.peers.insert(finder);
    tracing::debug!(%actor, to = %record.id, "introduced");
    let id = record.id.clone();
    record.hand(&ToActor::Introduced { actor }, far);
    Ok((id, near))
}

/// Answers the operator that has a way to a program outside the tree: with that program's end of
/// a pipe to the actor, if it is there.
pub(crate) fn invite(
    tree: &mut Tree,
    asker: Key,
    by_operator: bool,
    request: RequestId,
    actor: &str,
    name: String,
) {
    let target = Uuid::parse_str(actor).ok().and_then(|key| tree.get_mut(key));
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
fn receive(record: &mut Record, name: String) -> io::Result<(ActorId, Attachment)> {
    let guest = ActorId { name, uuid: Uuid::new_v4().to_string() };
    let (inside, outside) = socket_pipe()?;
    let preamble = Preamble { you: guest.clone(), peer: record.id.clone() };
    let inside = written(inside, &preamble.encode().map_err(io::Error::other)?)?;
    tracing::debug!(program = %guest, to = %record.id, "invited");
    record.hand(&ToActor::Introduced { actor: guest.clone() }, inside);
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

/// What it comes to when two cannot be brought together.
pub(crate) fn failed(reason: String) -> Box<RemoteError> {
    Box::new(RemoteError::new("IntroductionFailed", reason))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::{Instant, SystemTime};

    use greenroom_transport::{Packet, Pipe};
    use greenroom_wire::control::decode;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    use super::*;
    use crate::discovery::tests::find;
    use crate::ladder::Ladder;
    use crate::tree::Stage;
    use crate::tree::tests::record;

    pub(crate) type Channel = mpsc::UnboundedReceiver<Packet>;

    /// operator ─┬─ one ── below
    ///           └─ two          with the packets for each
    pub(crate) fn family() -> (Tree, [Key; 4], [Channel; 4]) {
        let keys @ [operator, one, ..] = [1, 2, 3, 4].map(Uuid::from_u128);
        let parents = [None, Some(operator), Some(operator), Some(one)];
        let mut tree = Tree::default();
        let mut names = ["operator", "one", "two", "below"].into_iter();
        let mut rest = keys.into_iter().zip(parents);
        let channels = [(); 4].map(|()| {
            let (packets, channel) = mpsc::unbounded_channel();
            let (key, parent) = rest.next().expect("four");
            let mut record = record(names.next().expect("four"), parent);
            record.packets = packets;
            record.id.uuid = key.to_string();
            record.limits.finds = 4;
            tree.insert(key, record);
            if parent.is_some() {
                tree.enlist(key, SystemTime::now());
            }
            channel
        });
        (tree, keys, channels)
    }

    pub(crate) fn heard(channel: &mut Channel) -> (ToActor, Option<Attachment>) {
        let mut packet = channel.try_recv().expect("something was said");
        assert!(packet.attachments.len() <= 1);
        (decode(&packet.bytes).expect("a message"), packet.attachments.pop())
    }

    fn exits(channel: &mut Channel) -> Vec<String> {
        let mut names = Vec::new();
        while let Ok(packet) = channel.try_recv() {
            if let Ok(ToActor::Exited { actor, .. }) = decode(&packet.bytes) {
                names.push(actor.name);
            }
        }
        names
    }

    pub(crate) fn id(tree: &Tree, key: Key) -> ActorId {
        tree.get(key).expect("there").id.clone()
    }

    fn opened(pipe: Option<Attachment>) -> Pipe {
        Pipe::from_attachment(pipe.expect("a pipe")).expect("opens")
    }

    async fn connected(mut near: Pipe, mut far: Pipe) -> bool {
        near.write_all(b"hello").await.expect("writes");
        let mut bytes = [0; 5];
        far.read_exact(&mut bytes).await.expect("reads");
        bytes == *b"hello"
    }

    #[tokio::test]
    async fn both_are_told_who_the_other_is_and_get_an_end() {
        let (mut tree, [_, one, two, _], [_, mut of_one, mut of_two, _]) = family();
        find(&mut tree, one, 7, "two");
        let (found, near) = heard(&mut of_one);
        assert_eq!(found, ToActor::Found { request: 7, result: Ok(Some(id(&tree, two))) });
        let (introduced, far) = heard(&mut of_two);
        assert_eq!(introduced, ToActor::Introduced { actor: id(&tree, one) });
        assert!(connected(opened(near), opened(far)).await);
    }

    #[test]
    fn an_exit_is_told_once_to_each_who_has_a_pipe() {
        let (mut tree, [operator, one, two, below], channels) = family();
        let [mut of_operator, mut of_one, mut of_two, mut of_below] = channels;
        // Twice, by both, and by its parent, which has a pipe to it anyway.
        for asker in [one, one, below, operator] {
            find(&mut tree, asker, 1, "two");
        }
        find(&mut tree, two, 1, "one");
        tree.get_mut(two).expect("there").stage = Stage::Gone;
        announce_exit(&mut tree, two, &Exit::Code(3));
        tree.prune(two);
        for channel in [&mut of_operator, &mut of_one, &mut of_below] {
            assert_eq!(exits(channel), ["two"]);
        }
        assert!(exits(&mut of_two).is_empty());
        announce_exit(&mut tree, one, &Exit::Code(0));
        assert_eq!(exits(&mut of_operator), ["one"]);
        assert!(exits(&mut of_below).is_empty(), "it has no pipe but its parent's, and dies with it");
    }

    #[tokio::test]
    async fn a_program_outside_finds_who_is_who_before_anything_else() {
        let (mut tree, [operator, one, ..], [mut of_operator, mut of_one, ..]) = family();
        invite(&mut tree, operator, true, 5, &one.to_string(), "client".to_owned());
        let (ToActor::Invited { request: 5, result: Ok(Some(guest)) }, outside) = heard(&mut of_operator)
        else {
            panic!("an invitation")
        };
        let mut outside = opened(outside);
        assert_eq!(guest.name, "client");
        let (introduced, inside) = heard(&mut of_one);
        assert_eq!(introduced, ToActor::Introduced { actor: guest.clone() });
        let mut prefix = [0; Preamble::PREFIX];
        outside.read_exact(&mut prefix).await.expect("reads");
        let mut item = vec![0; Preamble::length(prefix).expect("is short")];
        outside.read_exact(&mut item).await.expect("reads");
        let preamble = Preamble { you: guest.clone(), peer: id(&tree, one) };
        assert_eq!(Preamble::decode(&item), Ok(preamble));
        assert!(connected(outside, opened(inside)).await);

        invite(&mut tree, operator, true, 6, &one.to_string(), "client".to_owned());
        let (ToActor::Invited { result: Ok(Some(other)), .. }, _) = heard(&mut of_operator) else {
            panic!("another invitation")
        };
        assert_ne!(other.uuid, guest.uuid);
    }

    #[test]
    fn only_the_operator_invites_and_only_to_who_is_there() {
        let (mut tree, [operator, one, two, _], [mut of_operator, mut of_one, mut of_two, _]) = family();
        let name = || "client".to_owned();
        invite(&mut tree, one, false, 1, &two.to_string(), name());
        let (ToActor::Invited { result: Err(denied), .. }, None) = heard(&mut of_one) else {
            panic!("a refusal")
        };
        assert!(denied.is::<PermissionDenied>(), "{denied}");
        invite(&mut tree, operator, true, 2, &two.to_string(), "a/b".to_owned());
        assert!(matches!(heard(&mut of_operator), (ToActor::Invited { result: Err(_), .. }, None)));
        tree.get_mut(two).expect("there").ladder = Some(Ladder::kill(Instant::now()));
        for nobody in [two.to_string(), operator.to_string(), Uuid::from_u128(9).to_string(), name()] {
            invite(&mut tree, operator, true, 3, &nobody, name());
            let answer = (ToActor::Invited { request: 3, result: Ok(None) }, true);
            let (said, pipe) = heard(&mut of_operator);
            assert_eq!((said, pipe.is_none()), answer, "{nobody}");
        }
        assert!(of_two.try_recv().is_err());
    }
}
