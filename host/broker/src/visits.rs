//! What the tree says and does for visitors of the station.
//!
//! Owns: whom a place means, letting a program in, what is told of actors. Must not know: how
//! visitors come and go. Invariant: a visitor acts as the operator, and gets no further.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use greenroom_abi::kind::LimitExceeded;
use greenroom_abi::{ActorId, RemoteError};
use greenroom_transport::attach;
use greenroom_wire::Preamble;
use greenroom_wire::control::ToActor;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::broker::Settings;
use crate::catalogue::Catalogue;
use crate::introduce::failed;
use crate::station::{ActorStage, ActorStatus, Answer, Draft, Place, Reply, TreeStatus, encoded};
use crate::tree::{Key, Record, Stage, Tree, check_name};

/// Whom a place means.
///
/// # Errors
/// That there is no such actor, any more or at all.
pub(crate) fn locate(tree: &Tree, place: &Place) -> Result<Key, Box<RemoteError>> {
    let missing = |reason: String| Box::new(RemoteError::new("NoSuchActor", reason));
    let top = Uuid::parse_str(&place.actor).ok();
    let top = top.filter(|key| tree.get(*key).is_some_and(|record| record.parent.is_some()));
    let mut at = top.ok_or_else(|| missing(format!("actor {} is gone", place.actor)))?;
    for name in &place.below {
        let children = tree.get(at).map(|record| record.children.clone()).unwrap_or_default();
        let named =
            |key: &Key| tree.get(*key).is_some_and(|child| child.id.name == *name && !child.is_gone());
        at = children.into_values().find(named).ok_or_else(|| {
            let above = tree.get(at).map(|record| record.path.join("/")).unwrap_or_default();
            missing(format!("actor `{above}` has no child `{name}`"))
        })?;
    }
    Ok(at)
}

/// The path of an actor.
///
/// # Errors
/// As [`locate`].
pub(crate) fn path(tree: &Tree, place: &Place) -> Result<Vec<String>, Box<RemoteError>> {
    let key = locate(tree, place)?;
    Ok(tree.get(key).map(|record| record.path.clone()).unwrap_or_default())
}

/// Answers a program that wants to call an actor, and hands its pipe to that.
pub(crate) fn connect(tree: &mut Tree, place: &Place, guest: ActorId, pipe: OwnedFd) {
    let admitted = admit(tree, place, &guest);
    let reply = admitted.as_ref().map(|(_, preamble)| Answer::Connected(preamble.clone()));
    let written = encoded(&reply.map_err(Clone::clone)).and_then(|bytes| written(&pipe, &bytes));
    match (admitted, written) {
        (Ok((key, _)), Ok(())) => {
            if let Some(record) = tree.get_mut(key) {
                tracing::debug!(program = %guest, to = %record.id, "let in");
                record.hand(&ToActor::Introduced { actor: guest }, attach(pipe));
            }
        }
        (Ok(_), Err(error)) => tracing::debug!(%error, program = %guest, "left before it was let in"),
        (Err(error), _) => tracing::debug!(%error, program = %guest, "not let in"),
    }
}

/// Whether a program may call an actor, and who is who then.
fn admit(tree: &Tree, place: &Place, guest: &ActorId) -> Result<(Key, Preamble), Box<RemoteError>> {
    check_name(&guest.name).map_err(failed)?;
    let known = Uuid::parse_str(&guest.uuid).map_err(|error| failed(error.to_string()))?;
    if tree.get(known).is_some() || known.to_string() != guest.uuid {
        return Err(failed(format!("{} is not the uuid of a program outside", guest.uuid)));
    }
    let key = locate(tree, place)?;
    let record = tree.get(key).filter(|record| record.is_callable());
    let Some(record) = record else {
        let reason = format!("actor {} cannot be called now: it is starting or ending", place.actor);
        return Err(failed(reason));
    };
    if record.untaken >= record.limits.finds {
        let limit = LimitExceeded { limit: "finds".to_owned(), value: record.limits.finds as u64 };
        return Err(Box::new(RemoteError::of(&limit)));
    }
    Ok((key, Preamble { you: guest.clone(), peer: record.id.clone() }))
}

/// Writes the first bytes into a new connection, which has room for them.
fn written(pipe: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let count = rustix::io::write(pipe, bytes)?;
    if count == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// What an actor can be called for.
pub(crate) fn describe(tree: &Tree, catalogue: &Catalogue, place: &Place) -> Reply {
    let key = locate(tree, place)?;
    let functions = tree.get(key).map(|record| catalogue.functions(&record.components, &record.modules));
    Ok(Answer::Functions(functions.unwrap_or_default()))
}

/// What the tree knows of its actors. They are asked for the rest.
pub(crate) fn status(tree: &mut Tree, operator: Key, settings: &Settings) -> Draft {
    let (mut actors, mut tasks) = (Vec::new(), Vec::new());
    for key in tree.subtree(operator).into_iter().filter(|key| *key != operator) {
        let Some(record) = tree.get_mut(key) else { continue };
        // One that is starting runs none, and takes whatever it is told for the order to stop.
        if matches!(record.stage, Stage::Ready) {
            tasks.push((actors.len(), count(record)));
        }
        actors.push(told(record));
    }
    let status = TreeStatus {
        tree: settings.tree.clone(),
        host: operator.to_string(),
        host_pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        without: settings.without.names(),
        actors,
    };
    Draft { status, tasks }
}

fn told(record: &Record) -> ActorStatus {
    let stage = match (&record.stage, &record.ladder) {
        (Stage::Gone, _) => ActorStage::Gone,
        (_, Some(_)) => ActorStage::Ending,
        (Stage::Starting(_), None) => ActorStage::Starting,
        (Stage::Ready, None) => ActorStage::Ready,
    };
    let uptime = Instant::now().saturating_duration_since(record.born);
    ActorStatus {
        id: record.id.clone(),
        path: record.path.clone(),
        pid: record.pid,
        published: record.publication.is_some(),
        stage,
        uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
        tasks: None,
        memory: None,
        cpu_ms: None,
        modules: record.modules.iter().map(|module| module.name.clone()).collect(),
    }
}

/// Has an actor count its tasks. One that has not answered yet is not asked again.
fn count(record: &mut Record) -> oneshot::Receiver<u32> {
    let (sender, receiver) = oneshot::channel();
    match &mut record.counting {
        Some(waiting) => {
            waiting.retain(|sender| !sender.is_closed());
            waiting.push(sender);
        }
        None => {
            record.counting = Some(vec![sender]);
            record.tell(&ToActor::Measure, Vec::new());
        }
    }
    receiver
}

/// Takes an actor's word for how many tasks run in it.
pub(crate) fn counted(record: &mut Record, tasks: u32) {
    for waiting in record.counting.take().into_iter().flatten() {
        let _ = waiting.send(tasks);
    }
}
