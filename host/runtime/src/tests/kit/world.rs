//! A tree with its operator, and the words to speak of it.
//!
//! Owns: setting both up, encoding arguments, reading outcomes. Must not know: the broker's
//! workings. Invariant: nothing here waits in real time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{ActorDied, Exit, Kind};
use greenroom_abi::{ActorId, RemoteError, payload};
use greenroom_transport::{Attachment, Packet};
use greenroom_wire::control::{self, Limits, Rights, SpawnSpec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::broker::Broker;
use super::guest::Library;
use crate::{Actor, Identity, Idle, Nursery, OneShot, Outcome, Portal, Supervision};

/// What happened, in order; shared by everybody in a test.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.lock().expect("not poisoned").push(what.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().expect("not poisoned").clone()
    }

    /// Where a line stands.
    pub(crate) fn place(&self, line: &str) -> usize {
        let lines = self.lines();
        lines.iter().position(|found| found == line).unwrap_or_else(|| panic!("no `{line}` in {lines:?}"))
    }
}

/// A broker in memory with an operator that runs no guest.
pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) operator: Actor,
}

impl World {
    pub(crate) fn new(library: Library) -> Self {
        Self::within(library, Limits::default())
    }

    pub(crate) fn within(library: Library, limits: Limits) -> Self {
        let broker = Broker::new(library, limits.clone());
        let (operator, outbox) = Actor::new(identity("operator"), limits, Box::new(Idle));
        let channel = broker.introduce(&operator);
        let running = operator.clone();
        tokio::spawn(async move { running.run(channel, outbox).await });
        Self { broker, operator }
    }

    /// A scope of the operator's own.
    pub(crate) fn nursery(&self) -> Nursery {
        Nursery::open(&self.operator)
    }

    /// A scope of the operator's own that starts its children again.
    pub(crate) fn supervised(&self, supervision: Supervision) -> Nursery {
        Nursery::open_supervised(&self.operator, supervision)
    }

    /// A daemon with all of `modules`, in a scope of its own.
    pub(crate) async fn daemon(&self, name: &str, modules: &[&str]) -> Portal {
        self.nursery().start(spec(name, modules), None).await.expect("starts")
    }

    /// The actor behind a portal.
    pub(crate) fn actor(&self, portal: &Portal) -> Actor {
        self.broker.actor(&portal.peer()).expect("is alive")
    }

    /// Waits until nothing but the operator is alive and its links are closed.
    pub(crate) async fn settle(&self) {
        let empty = async {
            while self.broker.alive() > 0 || self.operator.open_links() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let settled = tokio::time::timeout(Duration::from_secs(60), empty).await;
        let left = (self.broker.names(), self.operator.open_links());
        assert!(settled.is_ok(), "still alive, and links still open: {left:?}");
        assert_eq!(self.operator.task_count(), 0);
    }
}

pub(crate) fn id(name: &str) -> ActorId {
    ActorId { name: name.to_owned(), uuid: name.to_owned() }
}

pub(crate) fn identity(name: &str) -> Identity {
    Identity { id: id(name), path: vec![name.to_owned()], pid: 1, is_root: false, rights: Rights::default() }
}

pub(crate) fn spec(name: &str, modules: &[&str]) -> SpawnSpec {
    let modules = modules.iter().map(|module| (*module).to_owned()).collect();
    SpawnSpec { name: name.to_owned(), modules, ..SpawnSpec::default() }
}

pub(crate) fn one_shot(function: &str) -> Option<OneShot> {
    Some(OneShot { function: function.to_owned(), kwargs: Bytes::new() })
}

/// One control message.
pub(crate) fn packet<M: Serialize>(message: &M, attachments: Vec<Attachment>) -> Packet {
    Packet { bytes: control::encode(message).expect("encodes"), attachments }
}

/// A map of one keyword argument.
pub(crate) fn kwargs<T: Serialize>(name: &str, value: T) -> Bytes {
    let map = std::collections::BTreeMap::from([(name, value)]);
    payload::encode(&map).expect("encodes").into()
}

/// The value of the only keyword argument.
pub(crate) fn arguments<T: DeserializeOwned>(kwargs: &[u8]) -> T {
    let found = payload::arguments(kwargs).expect("arguments");
    payload::decode(found[0].1).expect("of that type")
}

/// An outcome that is a value.
pub(crate) fn value<T: Serialize>(value: T) -> Outcome {
    Ok(payload::encode(&value).expect("encodes").into())
}

/// An outcome that is an error of no standard kind.
pub(crate) fn failure(message: &str) -> Outcome {
    Err(Box::new(RemoteError::new("Oops", message)))
}

/// How the peer died, if that is what the call ended with.
pub(crate) fn died(outcome: &Outcome) -> Option<Exit> {
    let error = outcome.as_ref().err()?;
    assert_eq!(error.src_type, ActorDied::NAME, "{error}");
    Some(error.kind::<ActorDied>()?.exit)
}

/// A function that ends only when it is cancelled.
pub(crate) async fn forever(task: crate::Task) -> Outcome {
    let by = task.cancelled().await;
    Err(Box::new(crate::dispatch::cancelled(task.function(), &by)))
}
