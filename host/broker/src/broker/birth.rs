//! The start of an actor: what is asked of a spawn, and the process that comes of it.
//!
//! Owns: checking a request, and everything a new actor begins with. Must not know: what becomes of
//! an actor that has begun. Invariant: what is not granted to the parent reaches no child.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use greenroom_abi::kind::{PermissionDenied, SpawnFailed};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_sabotage::Protection;
use greenroom_transport::{
    Attachment, Packet, actor_pipe, attach, channel_from_fd, send_first, socket_channel,
};
use greenroom_wire::control::{Init, Limits, RequestId, Rights, SpawnSpec, ToActor, encode};
use uuid::Uuid;

use super::Loop;
use crate::catalogue::Resolved;
use crate::discovery;
use crate::grants::{self, Grant, GrantError};
use crate::output::Tail;
use crate::process::TITLE;
use crate::quota::{self, Standing};
use crate::spawner::{Kind, Order, Process, advice};
use crate::tree::{Birth, Key, MAX_NAME_BYTES, Record, Stage, Step, check_name};
use crate::watch::Line;

/// The longest message of an error about a spawn, and the largest value of one: far below what a
/// control packet holds.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// What a new actor is to have, once that is checked.
struct Due {
    granted: Vec<Grant>,
    limits: Limits,
    resolved: Resolved,
}

impl Loop {
    /// Starts a child, whose birth will be answered for later.
    pub(super) fn spawn(
        &mut self,
        parent: Key,
        request: RequestId,
        spec: SpawnSpec,
    ) -> Result<(), RemoteError> {
        let failed = |reason: String| {
            let name = spec.name.chars().take(MAX_NAME_BYTES).collect();
            RemoteError::of(&SpawnFailed { name, reason, exit: None, stderr: Vec::new() })
        };
        check_name(&spec.name).map_err(&failed)?;
        let Some(record) = self.tree.get(parent) else { return Err(failed("its parent is gone".to_owned())) };
        if record.ladder.is_some() {
            return Err(failed(format!("actor `{}` is being cancelled", record.id)));
        }
        if !record.rights.spawn && !Protection::Spawn.is_off() {
            return Err(RemoteError::of(&PermissionDenied { right: "spawn".to_owned() }));
        }
        let standing = Standing { children: record.children.len(), depth: record.path.len() };
        quota::check(standing, &record.limits)?;
        self.tree.above(parent).try_for_each(|(above, alive)| quota::check_below(alive, &above.limits))?;
        let limits = quota::lowered(&record.id, &record.limits, &spec.limits)
            .map_err(|refused| refused.unwrap_or_else(|error| failed(error.to_string())))?;
        let granted = grants::narrow(&record.grants, &spec.dirs).map_err(|error| match error {
            GrantError::Denied(right) => RemoteError::of(&PermissionDenied {
                right: format!("actor `{}` cannot grant what it does not have: {right}", record.id),
            }),
            other => failed(other.to_string()),
        })?;
        let wanted = Rights { publish: spec.publish || spec.rights.publish, ..spec.rights.clone() };
        if let Err(right) = record.rights.narrow(wanted)
            && !Protection::Rights.is_off()
        {
            let right = format!("actor `{}` has no right `{right}` to use or pass on", record.id);
            return Err(RemoteError::of(&PermissionDenied { right }));
        }
        discovery::check_unique(&self.tree, &spec.name, spec.unique)?;
        if spec.publish && self.beyond.is_none() {
            return Err(failed("it cannot be published: its host keeps to itself".to_owned()));
        }
        let resolved = self.settings.catalogue.resolve(&spec.modules, &record.components).map_err(&failed)?;
        if parent != self.operator
            && let Some(record) = self.tree.get_mut(parent)
        {
            quota::check_rate(&mut record.starts, Instant::now(), &record.limits)?;
        }
        self.give_birth(parent, request, &spec, Due { granted, limits, resolved })
            .map_err(|error| failed(format!("the system refuses: {error}{}", advice(&error))))
    }

    fn give_birth(&mut self, parent: Key, request: RequestId, spec: &SpawnSpec, due: Due) -> io::Result<()> {
        let Due { granted, limits, resolved } = due;
        let Some(above) = self.tree.get(parent) else { return Err(io::ErrorKind::NotFound.into()) };
        let path: Vec<String> = above.path.iter().cloned().chain([spec.name.clone()]).collect();
        let (is_root, parent_id) = (parent == self.operator, above.id.clone());
        let key = Uuid::new_v4();
        let id = ActorId { name: spec.name.clone(), uuid: key.to_string() };
        let (near, far) = actor_pipe()?;
        let (ours, theirs) = socket_channel()?;
        let kind =
            Kind { components: resolved.components, modules: resolved.modules, rights: spec.rights.clone() };
        let title = format!("{TITLE}{}/{}", self.settings.tree, path.join("/"));
        let catalogue = &self.settings.catalogue;
        let code = || -> io::Result<Vec<OwnedFd>> {
            kind.components.iter().map(|component| catalogue.code(*component)).collect()
        };
        let mut attachments = vec![far];
        for grant in &granted {
            attachments.push(attach(grant.descriptor()?));
        }
        let stdin = self.settings.stdin.as_ref().filter(|_| spec.rights.stdin);
        if let Some(stdin) = stdin {
            attachments.push(attach(stdin.try_clone()?));
        }
        let mut init = Init {
            id: id.clone(),
            mark: Uuid::new_v4().into_bytes().to_vec(),
            path: path.clone(),
            is_root,
            parent: parent_id,
            components: 0,
            modules: Vec::new(),
            dirs: granted.iter().map(|grant| (grant.guest_path(), grant.writable())).collect(),
            env: spec.env.clone(),
            args: spec.args.clone(),
            stdin: stdin.is_some(),
            rights: spec.rights.clone(),
            limits: limits.clone(),
            without: self.settings.without.names(),
            log: self.settings.log.clone(),
        };
        let order = Order { title: &title, control: theirs, kind: &kind, code: &code };
        let Process { child, is_prepared } = self.settings.spawner.spawn(order)?;
        let pid = child.pid();
        tracing::debug!(actor = %id, pid, forked = is_prepared, "process started");
        let mark = init.mark.clone();
        let reporter = self.reporter(&id, &path);
        let equip = || {
            if !is_prepared {
                let code = code()?;
                init.components = code.len();
                init.modules = kind.modules.clone();
                attachments.splice(1..1, code.into_iter().map(attach));
            }
            // It waits for this already: all else can wait for that.
            let bytes = encode(&ToActor::Init(Box::new(init))).map_err(io::Error::other)?;
            match send_first(&ours, &Packet { bytes, attachments }) {
                // It has ended already, which is told as any other end: with its last words.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                sent => sent?,
            }
            channel_from_fd(ours)
        };
        // Nobody else knows of it.
        let channel = equip().inspect_err(|_| child.end())?;
        let (child, tail) = (Arc::new(child), Tail::default());
        let Line { packets, words } = self.watch.channel(key, reporter, &limits, tail.clone(), mark, channel);
        self.watch.process(key, child.clone(), words);
        let record = Record {
            path,
            // A tree's root is found by all.
            published: spec.publish || (is_root && self.beyond.is_some()),
            unique: spec.unique,
            rights: spec.rights.clone(),
            starts: quota::starts(&limits),
            limits: limits.clone(),
            parent: Some(parent),
            stage: Stage::Starting(Birth {
                request,
                pipe: near,
                deadline: Instant::now() + limits.spawn,
                step: Step::Loading,
                failure: None,
            }),
            child: Some(child),
            grants: granted,
            components: kind.components,
            modules: kind.modules,
            tail,
            ..Record::new(id, pid, packets)
        };
        self.tree.insert(key, record);
        self.tree.note_birth(key, request);
        Ok(())
    }

    /// Tells who asked for it what came of a spawn.
    pub(super) fn answer_spawn(
        &self,
        parent: Key,
        request: RequestId,
        result: Result<ActorId, RemoteError>,
        attachments: Vec<Attachment>,
    ) {
        if let Some(record) = self.tree.get(parent) {
            let result = result.map_err(|error| Box::new(shortened(error)));
            record.tell(&ToActor::Spawned { request, result }, attachments);
        }
    }
}

/// An error that fits a packet: what a guest wrote may be long, and an error holds it twice.
fn shortened(mut error: RemoteError) -> RemoteError {
    if error.message.len() > MAX_MESSAGE_BYTES {
        error.message.truncate(error.message.floor_char_boundary(MAX_MESSAGE_BYTES));
        error.message.push_str(" … (shortened)");
    }
    error.value = error.value.filter(|value| value.len() <= MAX_MESSAGE_BYTES);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_always_fits_a_packet() {
        let long = "ä".repeat(200_000);
        let failed = SpawnFailed { name: long.clone(), reason: long, exit: None, stderr: Vec::new() };
        let error = shortened(RemoteError::of(&failed));
        assert_eq!(error.src_type, "SpawnFailed");
        let message = ToActor::Spawned { request: 1, result: Err(Box::new(error)) };
        assert!(
            greenroom_wire::control::encode(&message).expect("encodes").len()
                < greenroom_transport::MAX_PACKET_BYTES
        );
    }
}
