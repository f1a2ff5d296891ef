//! The tree of actors: who there is, who owns whom.
//!
//! Owns: the records and the questions one may ask of the tree. Must not know: channels' contents,
//! timers. Invariant: every record but the operator's has a parent that is still here; a record
//! leaves only after its children have.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use greenroom_abi::kind::Exit;
use greenroom_abi::{ActorId, RemoteError};
use greenroom_transport::{Attachment, Packet};
use greenroom_wire::Bucket;
use greenroom_wire::control::{EnabledModule, Limits, RequestId, Rights, ToActor, encode};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::child::Child;
use crate::discovery::Search;
use crate::grants::Grant;
use crate::ladder::Ladder;
use crate::output::Tail;
use crate::quota;
use crate::registry::Publication;
use crate::station::Reply;

/// What the tree knows an actor by.
pub(crate) type Key = Uuid;

/// One actor.
pub(crate) struct Record {
    pub(crate) id: ActorId,
    pub(crate) path: Vec<String>,
    pub(crate) pid: u32,
    /// Since when its process is there.
    pub(crate) born: Instant,
    /// Since when it can be called, in milliseconds since 1970.
    pub(crate) started: u64,
    /// Whether other programs are to find it.
    pub(crate) published: bool,
    /// What makes them find it.
    pub(crate) publication: Option<Box<dyn Publication>>,
    /// Whether no other may have its name.
    pub(crate) unique: bool,
    pub(crate) rights: Rights,
    pub(crate) limits: Limits,
    /// How often it has started children.
    pub(crate) starts: Bucket,
    pub(crate) parent: Option<Key>,
    /// By the order in which they were started.
    pub(crate) children: BTreeMap<u64, Key>,
    pub(crate) place: Place,
    /// Those it has found, and those who have found it: a pipe leads to each.
    pub(crate) peers: BTreeSet<Key>,
    /// Those of other trees that it has found, by uuid.
    pub(crate) strangers: BTreeSet<String>,
    /// Its questions for others that have no answer yet.
    pub(crate) searches: BTreeMap<RequestId, Search>,
    /// How many names of hosts are being looked up for it.
    pub(crate) lookups: usize,
    /// How many pipes to others it has been sent and has not taken.
    pub(crate) untaken: usize,
    pub(crate) stage: Stage,
    pub(crate) ladder: Option<Ladder>,
    pub(crate) packets: mpsc::UnboundedSender<Packet>,
    /// Its process; none for the operator, which is this one.
    pub(crate) child: Option<Arc<Child>>,
    pub(crate) grants: Vec<Grant>,
    /// The components its modules come from, by their number in the catalogue.
    pub(crate) components: Vec<usize>,
    /// The modules.
    pub(crate) modules: Vec<EnabledModule>,
    pub(crate) tail: Tail,
    /// Who waits for its end.
    pub(crate) waiters: Vec<Waiter>,
    /// Who waits for it to count its tasks, if it has been asked to.
    pub(crate) counting: Option<Vec<oneshot::Sender<u32>>>,
}

/// Where the tree's own lists have an actor.
#[derive(Default)]
pub(crate) struct Place {
    /// Among all that were ever started.
    number: u64,
    /// Among those that became ready.
    rank: Option<u64>,
    /// How many there are below it.
    below: usize,
    /// When something was last known to be due for it.
    due: Option<Instant>,
    /// The number under which it was asked for.
    request: Option<RequestId>,
}

/// Who waits for an actor's end.
pub(crate) enum Waiter {
    Actor(Key, RequestId),
    /// A visitor of the station.
    Visitor(oneshot::Sender<Reply>),
}

/// How far an actor's life has come.
pub(crate) enum Stage {
    /// Its process runs; nobody has been told.
    Starting(Birth),
    /// It can be called.
    Ready,
    /// Its process is gone; descendants are still being ended.
    Gone,
}

/// What its starter waits for.
pub(crate) struct Birth {
    pub(crate) request: RequestId,
    /// The starter's end of the pipe to it.
    pub(crate) pipe: Attachment,
    pub(crate) deadline: Instant,
    pub(crate) step: Step,
    /// Why it is already known to have failed.
    pub(crate) failure: Option<Failure>,
}

/// How far an actor's start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Its modules are being loaded.
    Loading,
    /// It can be called, and is being published.
    Publishing,
}

/// Why an actor does not come up.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This, beside what its process leaves behind.
    Reason(String),
    /// This alone.
    Error(Box<RemoteError>),
}

impl Record {
    /// One that is ready and has nothing yet.
    pub(crate) fn new(id: ActorId, pid: u32, packets: mpsc::UnboundedSender<Packet>) -> Self {
        Self {
            id,
            path: Vec::new(),
            pid,
            born: Instant::now(),
            started: 0,
            published: false,
            publication: None,
            unique: false,
            rights: Rights::default(),
            limits: Limits::default(),
            starts: quota::starts(&Limits::default()),
            parent: None,
            children: BTreeMap::new(),
            place: Place::default(),
            peers: BTreeSet::new(),
            strangers: BTreeSet::new(),
            searches: BTreeMap::new(),
            lookups: 0,
            untaken: 0,
            stage: Stage::Ready,
            ladder: None,
            packets,
            child: None,
            grants: Vec::new(),
            components: Vec::new(),
            modules: Vec::new(),
            tail: Tail::default(),
            waiters: Vec::new(),
            counting: None,
        }
    }

    /// Sends a message; to an actor that is gone it is lost, which its exit notice tells.
    pub(crate) fn tell(&self, message: &ToActor, attachments: Vec<Attachment>) {
        match encode(message) {
            Ok(bytes) => {
                let _ = self.packets.send(Packet { bytes, attachments });
            }
            Err(error) => tracing::error!(%error, actor = %self.id, "cannot encode a control message"),
        }
    }

    /// Sends a message with a pipe, which counts until it is taken.
    pub(crate) fn hand(&mut self, message: &ToActor, pipe: Attachment) {
        self.untaken += 1;
        self.tell(message, vec![pipe]);
    }

    /// When something is due for it.
    pub(crate) fn due(&self) -> Option<Instant> {
        let birth = match &self.stage {
            Stage::Starting(birth) if birth.failure.is_none() => Some(birth.deadline),
            _ => None,
        };
        let ladder = self.ladder.as_ref().and_then(Ladder::due);
        birth.into_iter().chain(ladder).chain(self.searches.values().filter_map(Search::due)).min()
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.stage, Stage::Gone)
    }

    /// Whether it can be called, and will be for as long as anybody knows.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.stage, Stage::Ready) && self.ladder.is_none()
    }

    /// Whether programs outside may call it: who has just been published is found before its
    /// starter is told.
    pub(crate) fn is_callable(&self) -> bool {
        let published = |birth: &Birth| birth.step == Step::Publishing && birth.failure.is_none();
        self.is_settled() || matches!(&self.stage, Stage::Starting(birth) if published(birth))
    }
}

/// All actors of a run. What is asked on every turn of the loop, or for every start and end, takes no
/// longer the more actors there are.
#[derive(Default)]
pub(crate) struct Tree {
    records: HashMap<Key, Record>,
    /// The actors by their names.
    names: HashMap<String, BTreeSet<Key>>,
    /// The actors that have become ready, in that order. The operator never does.
    ready: BTreeMap<u64, Key>,
    /// Those that are being started, by who asked for them and under which number.
    births: HashMap<(Key, RequestId), Key>,
    /// Those who have asked for others: none has an open question who is not among them.
    askers: BTreeSet<Key>,
    /// The moments at which something is due, of all records but those that were touched.
    dues: BTreeSet<(Instant, Key)>,
    /// The records that may have changed since the moments were noted.
    touched: Vec<Key>,
    /// How many were ever started, and became ready.
    counts: (u64, u64),
}

impl Tree {
    pub(crate) fn insert(&mut self, key: Key, mut record: Record) {
        self.counts.0 += 1;
        record.place.number = self.counts.0;
        if let Some(parent) = record.parent.and_then(|parent| self.records.get_mut(&parent)) {
            parent.children.insert(record.place.number, key);
        }
        let mut above = record.parent;
        while let Some(one) = above.and_then(|above| self.records.get_mut(&above)) {
            one.place.below += 1;
            above = one.parent;
        }
        self.names.entry(record.id.name.clone()).or_default().insert(key);
        self.touched.push(key);
        self.records.insert(key, record);
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Record> {
        self.records.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Record> {
        let record = self.records.get_mut(&key)?;
        if self.touched.last() != Some(&key) {
            self.touched.push(key);
        }
        Some(record)
    }

    /// Notes that an actor asks for others.
    pub(crate) fn note_asker(&mut self, key: Key) {
        self.askers.insert(key);
    }

    /// All who have open questions.
    pub(crate) fn askers(&mut self) -> Vec<Key> {
        self.askers.retain(|key| self.records.get(key).is_some_and(|record| !record.searches.is_empty()));
        self.askers.iter().copied().collect()
    }

    /// Notes that an actor has become ready.
    pub(crate) fn enlist(&mut self, key: Key, now: SystemTime) {
        self.counts.1 += 1;
        if let Some(record) = self.records.get_mut(&key) {
            let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            record.started = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            record.place.rank = Some(self.counts.1);
            let (parent, request) = (record.parent, record.place.request.take());
            self.forget_birth(key, parent, request);
        }
        self.ready.insert(self.counts.1, key);
    }

    /// Of the actors of that name which are not being ended, the one that became ready first.
    pub(crate) fn find(&self, name: &str, asker: Key) -> Option<Key> {
        let rank = |key: &Key| {
            let record = self.records.get(key).filter(|record| record.is_settled())?;
            Some((record.place.rank?, *key))
        };
        let named = self.names.get(name).into_iter().flatten().filter(|key| **key != asker);
        named.filter_map(rank).min().map(|(_, key)| key)
    }

    /// The actors that can be called, in the order in which they could.
    pub(crate) fn settled(&self) -> impl Iterator<Item = &Record> {
        self.ready.values().filter_map(|key| self.records.get(key)).filter(|record| record.is_settled())
    }

    /// Those who have a name: who can be called, and who is being made known.
    pub(crate) fn holders<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Record> {
        let named = self.names.get(name).into_iter().flatten().filter_map(|key| self.records.get(key));
        named.filter(|record| record.parent.is_some() && record.is_callable())
    }

    /// How many actors there are, the operator not counted.
    pub(crate) fn actors(&self) -> usize {
        self.records.len().saturating_sub(1)
    }

    /// Notes under which number its parent has asked for an actor.
    pub(crate) fn note_birth(&mut self, key: Key, request: RequestId) {
        let Some(record) = self.records.get_mut(&key) else { return };
        let Some(parent) = record.parent else { return };
        record.place.request = Some(request);
        self.births.insert((parent, request), key);
    }

    /// The child of `parent` whose start it asked for under this number.
    pub(crate) fn starting(&self, parent: Key, request: RequestId) -> Option<Key> {
        let child = *self.births.get(&(parent, request))?;
        matches!(self.records.get(&child)?.stage, Stage::Starting(_)).then_some(child)
    }

    /// Forgets under which number an actor was asked for, unless another was under the same since.
    fn forget_birth(&mut self, key: Key, parent: Option<Key>, request: Option<RequestId>) {
        if let Some(birth) = parent.zip(request)
            && self.births.get(&birth) == Some(&key)
        {
            self.births.remove(&birth);
        }
    }

    /// Whether `ancestor` is `actor` or stands above it.
    pub(crate) fn owns(&self, ancestor: Key, actor: Key) -> bool {
        let mut at = Some(actor);
        while let Some(key) = at {
            if key == ancestor {
                return true;
            }
            at = self.records.get(&key).and_then(|record| record.parent);
        }
        false
    }

    /// An actor and all below it, parents first.
    pub(crate) fn subtree(&self, top: Key) -> Vec<Key> {
        let mut found = vec![top];
        let mut next = 0;
        while let Some(record) = found.get(next).and_then(|key| self.records.get(key)) {
            found.extend(record.children.values());
            next += 1;
        }
        found
    }

    /// Whether descendants that are themselves being ended hold an actor up.
    pub(crate) fn held_up(&self, key: Key) -> bool {
        let below = self.subtree(key);
        below.iter().skip(1).filter_map(|key| self.records.get(key)).any(|record| record.ladder.is_some())
    }

    /// An actor and all above it, with how many actors each has below it, itself included.
    pub(crate) fn above(&self, actor: Key) -> impl Iterator<Item = (&Record, usize)> {
        let line = std::iter::successors(self.records.get_key_value(&actor), |(_, record)| {
            record.parent.and_then(|parent| self.records.get_key_value(&parent))
        });
        // The operator is no actor of the tree.
        line.map(|(_, record)| (record, record.place.below + usize::from(record.parent.is_some())))
    }

    /// Takes out an actor that is gone and has no children left, and then its parent if that
    /// is in the same state, and so on up; gives what was taken out.
    pub(crate) fn prune(&mut self, key: Key) -> Vec<Record> {
        let mut pruned = Vec::new();
        let mut at = Some(key);
        while let Some(key) = at {
            match self.records.get(&key) {
                Some(record) if record.is_gone() && record.children.is_empty() => {}
                _ => break,
            }
            let Some(record) = self.records.remove(&key) else { break };
            self.forget(key, &record);
            at = record.parent;
            pruned.push(record);
        }
        pruned
    }

    /// Takes what has been taken out of the records out of all lists.
    fn forget(&mut self, key: Key, record: &Record) {
        record.place.rank.map(|rank| self.ready.remove(&rank));
        record.place.due.map(|due| self.dues.remove(&(due, key)));
        self.askers.remove(&key);
        self.forget_birth(key, record.parent, record.place.request);
        if let Some(named) = self.names.get_mut(&record.id.name) {
            named.remove(&key);
            if named.is_empty() {
                self.names.remove(&record.id.name);
            }
        }
        if let Some(parent) = record.parent.and_then(|parent| self.records.get_mut(&parent)) {
            parent.children.remove(&record.place.number);
        }
        let mut above = record.parent;
        while let Some(one) = above.and_then(|above| self.records.get_mut(&above)) {
            one.place.below = one.place.below.saturating_sub(1);
            above = one.parent;
        }
    }

    /// The earliest moment at which something is due.
    pub(crate) fn due(&mut self) -> Option<Instant> {
        for key in std::mem::take(&mut self.touched) {
            let Some(record) = self.records.get_mut(&key) else { continue };
            let due = record.due();
            if due != record.place.due {
                record.place.due.map(|old| self.dues.remove(&(old, key)));
                due.map(|due| self.dues.insert((due, key)));
                record.place.due = due;
            }
        }
        self.dues.first().map(|(due, _)| *due)
    }

    /// Those for whom something is due by now, earliest first.
    pub(crate) fn late(&mut self, now: Instant) -> Vec<Key> {
        self.due();
        self.dues.iter().take_while(|(due, _)| *due <= now).map(|(_, key)| *key).collect()
    }
}

/// The longest name an actor may have.
pub(crate) const MAX_NAME_BYTES: usize = 128;

/// Whether an actor, or a tree, may have this name.
///
/// # Errors
/// The rule that the name breaks.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=MAX_NAME_BYTES).contains(&name.len());
    if fits && !name.chars().any(|c| c.is_control() || c == '/') {
        return Ok(());
    }
    Err(format!("a name has 1 to {MAX_NAME_BYTES} bytes, no `/` and no control characters"))
}

/// What the death of an actor was, for those who had to do with it.
pub(crate) fn obituary(id: &ActorId, exit: &Exit) -> ToActor {
    ToActor::Exited { actor: id.clone(), exit: exit.clone() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record(name: &str, parent: Option<Key>) -> Record {
        let id = ActorId { name: name.to_owned(), uuid: String::new() };
        Record { parent, ..Record::new(id, 0, mpsc::unbounded_channel().0) }
    }

    /// operator ─ root ─ mid ─ leaf
    fn line() -> (Tree, [Key; 4]) {
        let keys = [1, 2, 3, 4].map(Uuid::from_u128);
        let mut tree = Tree::default();
        let mut parent = None;
        for (name, key) in ["operator", "root", "mid", "leaf"].into_iter().zip(keys) {
            tree.insert(key, record(name, parent));
            parent = Some(key);
        }
        (tree, keys)
    }

    fn lose(tree: &mut Tree, key: Key) -> Vec<String> {
        tree.get_mut(key).expect("there").stage = Stage::Gone;
        tree.prune(key).into_iter().map(|record| record.id.name).collect()
    }

    #[test]
    fn owners_are_ancestors() {
        let (tree, [operator, root, mid, leaf]) = line();
        assert!(tree.owns(operator, leaf) && tree.owns(root, leaf) && tree.owns(leaf, leaf));
        assert!(!tree.owns(leaf, mid) && !tree.owns(mid, root));
        assert_eq!(tree.subtree(root), [root, mid, leaf]);
        assert_eq!(tree.actors(), 3);
    }

    #[test]
    fn a_record_stays_until_its_children_are_gone() {
        let (mut tree, [_, root, mid, leaf]) = line();
        assert!(lose(&mut tree, mid).is_empty());
        assert_eq!(lose(&mut tree, leaf), ["leaf", "mid"]);
        assert!(tree.get(root).expect("there").children.is_empty());
        assert_eq!(lose(&mut tree, root), ["root"]);
        assert_eq!(tree.actors(), 0);
    }

    #[test]
    fn the_first_that_became_ready_and_is_not_being_ended_is_found() {
        let (mut tree, [operator, root, mid, leaf]) = line();
        let twin = Uuid::from_u128(5);
        tree.insert(twin, record("leaf", Some(root)));
        for key in [mid, twin, leaf] {
            tree.enlist(key, SystemTime::now());
        }
        assert_eq!(tree.find("leaf", root), Some(twin));
        assert_eq!(tree.find("leaf", twin), Some(leaf), "not itself");
        assert_eq!(tree.find("root", leaf), None, "not yet ready");
        assert_eq!(tree.find("operator", leaf), None);
        tree.get_mut(twin).expect("there").ladder = Some(Ladder::kill(Instant::now()));
        assert_eq!(tree.find("leaf", operator), Some(leaf));
        tree.get_mut(leaf).expect("there").stage = Stage::Gone;
        assert_eq!(tree.find("leaf", operator), None);
        tree.prune(leaf);
        assert!(tree.ready.into_values().eq([mid, twin]));
    }

    #[test]
    fn what_is_due_is_known_without_looking_at_all() {
        let (mut tree, [_, root, mid, leaf]) = line();
        assert_eq!(tree.due(), None);
        let now = Instant::now();
        let limits = Limits::default();
        for (key, later) in [(leaf, 3), (root, 1), (mid, 2)] {
            let moment = now + later * limits.ask;
            tree.get_mut(key).expect("there").ladder = Some(Ladder::ask(moment, &limits));
        }
        let first = tree.due().expect("the root's");
        assert_eq!(tree.late(first), [root]);
        assert_eq!(tree.late(first + limits.ask), [root, mid]);
        assert!(tree.late(now).is_empty());
        tree.get_mut(root).expect("there").ladder = None;
        assert_eq!(tree.due(), Some(first + limits.ask));
        lose(&mut tree, leaf);
        tree.get_mut(mid).expect("there").ladder = None;
        assert_eq!(tree.due(), None);
    }

    #[test]
    fn how_many_there_are_below_is_counted() {
        let (mut tree, [operator, root, mid, leaf]) = line();
        let counts = |tree: &Tree| tree.above(leaf).map(|(_, count)| count).collect::<Vec<_>>();
        assert_eq!(counts(&tree), [1, 2, 3, 3]);
        let twin = Uuid::from_u128(5);
        tree.insert(twin, record("leaf", Some(root)));
        assert_eq!(counts(&tree), [1, 2, 4, 4]);
        assert_eq!(lose(&mut tree, twin), ["leaf"]);
        assert_eq!(counts(&tree), [1, 2, 3, 3]);
        lose(&mut tree, leaf);
        let count = |tree: &Tree, key| tree.above(key).map(|(_, count)| count).collect::<Vec<_>>();
        assert_eq!((count(&tree, mid), count(&tree, operator)), (vec![1, 2, 2], vec![2]));
        assert!(tree.names.contains_key("mid") && !tree.names.contains_key("leaf"));
    }

    #[test]
    fn who_is_being_started_is_found_by_the_number_of_the_question() {
        let (mut tree, [operator, root, mid, leaf]) = line();
        for (key, request) in [(mid, 7), (leaf, 7)] {
            let deadline = Instant::now();
            let (pipe, step) = (greenroom_transport::memory_pipe().0, Step::Loading);
            let birth = Birth { request, pipe, deadline, step, failure: None };
            tree.get_mut(key).expect("there").stage = Stage::Starting(birth);
            tree.note_birth(key, request);
        }
        assert_eq!((tree.starting(root, 7), tree.starting(mid, 7)), (Some(mid), Some(leaf)));
        assert_eq!((tree.starting(root, 8), tree.starting(operator, 7)), (None, None));
        tree.get_mut(mid).expect("there").stage = Stage::Ready;
        tree.enlist(mid, SystemTime::now());
        assert_eq!((tree.starting(root, 7), tree.starting(mid, 7)), (None, Some(leaf)));
        lose(&mut tree, leaf);
        assert_eq!(tree.starting(mid, 7), None);
        assert!(tree.births.is_empty());
    }

    #[test]
    fn a_name_is_short_and_plain() {
        for name in ["a", "worker_1", &"x".repeat(MAX_NAME_BYTES)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "a/b", "a\n", &"x".repeat(MAX_NAME_BYTES + 1)] {
            assert!(check_name(name).is_err_and(|rule| rule.contains("128 bytes")), "{name}");
        }
    }

    #[test]
    fn only_descendants_on_their_own_ladder_hold_an_actor_up() {
        let (mut tree, [_, root, mid, leaf]) = line();
        assert!(!tree.held_up(root));
        tree.get_mut(leaf).expect("there").ladder = Some(Ladder::kill(Instant::now()));
        assert!(tree.held_up(root) && tree.held_up(mid) && !tree.held_up(leaf));
    }
}
