//! The live actors of this machine, as rows.
//!
//! Owns: collecting them from all hosts, and the columns they are shown in. Must not know: which
//! command shows them. Invariant: a host that does not answer hides no other.

use std::time::Duration;

use futures_util::future::join_all;
use greenroom::{ActorStage, ActorStatus, Entry, Machine, TreeStatus, harmless_line};

use crate::error::CliError;
use crate::live::{bytes, duration, entry_json};

/// The titles of the columns, in their order.
pub(crate) const TITLES: [&str; 7] = ["NAME", "TREE", "PID", "UPTIME", "TASKS", "MEMORY", "CPU"];

/// One tree, as far as its host tells.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    /// Its host answered.
    Told(TreeStatus),
    /// Its host did not, and this is what the registry knows of it, and why.
    Silent(Vec<Entry>, String),
}

impl Tree {
    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Told(status) => &status.tree,
            Self::Silent(entries, _) => entries.first().map_or("", |entry| &entry.tree),
        }
    }

    /// Its rows; processor use is over the whole life of an actor.
    pub(crate) fn rows(&self) -> Vec<Row> {
        match self {
            Self::Told(status) => {
                status.actors.iter().map(|actor| Row::of(&status.tree, actor, load(actor))).collect()
            }
            Self::Silent(entries, _) => entries.iter().map(Row::silent).collect(),
        }
    }
}

/// One actor in the columns of [`TITLES`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) tree: String,
    pub(crate) pid: u32,
    pub(crate) uptime: Option<Duration>,
    pub(crate) tasks: Option<u32>,
    pub(crate) memory: Option<u64>,
    /// In percent of one processor.
    pub(crate) load: Option<f64>,
}

impl Row {
    /// Of an actor whose host tells how it is.
    pub(crate) fn of(tree: &str, actor: &ActorStatus, load: Option<f64>) -> Self {
        Self {
            uuid: actor.id.uuid.clone(),
            name: actor.path.join("/"),
            tree: tree.to_owned(),
            pid: actor.pid,
            uptime: Some(Duration::from_millis(actor.uptime_ms)),
            tasks: actor.tasks,
            memory: actor.memory,
            load,
        }
    }

    fn silent(entry: &Entry) -> Self {
        Self {
            uuid: entry.id.uuid.clone(),
            name: entry.path.join("/"),
            tree: entry.tree.clone(),
            pid: entry.pid,
            uptime: None,
            tasks: None,
            memory: None,
            load: None,
        }
    }

    /// The text of each column; `?` for what nobody says.
    pub(crate) fn cells(&self) -> [String; 7] {
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
        [
            harmless_line(&self.name).into_owned(),
            harmless_line(&self.tree).into_owned(),
            self.pid.to_string(),
            or_unknown(self.uptime.map(duration)),
            or_unknown(self.tasks.map(|tasks| tasks.to_string())),
            or_unknown(self.memory.map(bytes)),
            or_unknown(self.load.map(|load| format!("{load:.1}%"))),
        ]
    }
}

/// What of one processor it has used since it was started, in percent.
fn load(actor: &ActorStatus) -> Option<f64> {
    percent(actor.cpu_ms?, actor.uptime_ms)
}

/// What part of a time was used, in percent; none of no time.
pub(crate) fn percent(used_ms: u64, time_ms: u64) -> Option<f64> {
    let (used, time) = (u32::try_from(used_ms).ok()?, u32::try_from(time_ms).ok()?);
    (time > 0).then(|| 100.0 * f64::from(used) / f64::from(time))
}

/// All trees with a published actor, or those that go by a name: a tree's own, or a published
/// actor's in it.
///
/// # Errors
/// When the registry cannot be read.
pub(crate) async fn trees(machine: &Machine, only: Option<&str>) -> Result<Vec<Tree>, CliError> {
    let mut hosts: Vec<Vec<Entry>> = Vec::new();
    for entry in machine.list()? {
        match hosts.iter_mut().find(|entries| entries[0].host == entry.host) {
            Some(entries) => entries.push(entry),
            None => hosts.push(vec![entry]),
        }
    }
    hosts.retain(|entries| {
        let named = |name: &str| entries.iter().any(|entry| entry.tree == name || entry.id.name == name);
        only.is_none_or(named)
    });
    let told = hosts.iter().map(|entries| machine.status(&entries[0]));
    let told = join_all(told).await;
    let tree = |(entries, told): (Vec<Entry>, Result<TreeStatus, _>)| match told {
        Ok(status) => Tree::Told(status),
        Err(error) => Tree::Silent(entries, format!("{error}")),
    };
    Ok(hosts.into_iter().zip(told).map(tree).collect())
}

/// A tree as JSON.
pub(crate) fn tree_json(tree: &Tree) -> serde_json::Value {
    match tree {
        Tree::Told(status) => serde_json::json!({
            "tree": status.tree,
            "host_pid": status.host_pid,
            "version": status.version,
            "without": status.without,
            "actors": status.actors.iter().map(actor_json).collect::<Vec<_>>(),
        }),
        Tree::Silent(entries, error) => serde_json::json!({
            "tree": tree.name(),
            "host_pid": entries.first().map(|entry| entry.host_pid),
            "error": error,
            "actors": entries.iter().map(entry_json).collect::<Vec<_>>(),
        }),
    }
}

fn actor_json(actor: &ActorStatus) -> serde_json::Value {
    serde_json::json!({
        "name": actor.id.name,
        "uuid": actor.id.uuid,
        "path": actor.path,
        "pid": actor.pid,
        "published": actor.published,
        "stage": stage(actor.stage),
        "uptime_ms": actor.uptime_ms,
        "tasks": actor.tasks,
        "memory": actor.memory,
        "cpu_ms": actor.cpu_ms,
        "modules": actor.modules,
    })
}

/// A stage in one word.
pub(crate) fn stage(stage: ActorStage) -> &'static str {
    match stage {
        ActorStage::Starting => "starting",
        ActorStage::Ready => "ready",
        ActorStage::Ending => "ending",
        ActorStage::Gone => "gone",
    }
}
