//! Who finds whom by name.
//!
//! Owns: the questions for actors that have no answer yet, the lists of who there is, names that
//! only one may have. Must not know: how pipes are made, other programs. Invariant: a question is
//! answered once, or forgotten with whoever asked; what lies about of it is bounded.

use std::time::Instant;

use greenroom_abi::kind::{LimitExceeded, NameTaken};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_sabotage::Protection;
use greenroom_wire::control::{ActorEntry, RequestId, ToActor, encode};

use crate::introduce::{failed, introduce};
use crate::tree::{Key, Record, Tree};
use crate::watch::{FoundBeyond, Lookout};

/// The bytes of entries in one packet: a quarter of what it holds, as the last may be long.
const PART_BYTES: usize = greenroom_transport::MAX_PACKET_BYTES / 4;

/// A question for an actor that is not answered yet.
#[derive(Debug)]
pub(crate) struct Search {
    name: String,
    /// Whether it stays open while nobody has the name.
    wait: bool,
    /// Until when it waits for whoever has the name to take the pipes that it was sent.
    patience: Option<Instant>,
    /// The search beyond the tree, if one is under way.
    lookout: Option<Lookout>,
}

impl Search {
    /// When its time is up.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.patience
    }
}

/// How far the tree can answer a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what the tree cannot answer, the machine may"]
pub(crate) enum Progress {
    /// It is answered, or will be by what happens in the tree.
    Settled,
    /// The tree has nobody of that name, now.
    Nobody,
}

/// Takes in a question for an actor.
pub(crate) fn find(tree: &mut Tree, asker: Key, request: RequestId, name: String, wait: bool) -> Progress {
    let Some(record) = tree.get_mut(asker) else { return Progress::Settled };
    let refusal =
        if record.searches.len() + record.untaken >= record.limits.finds && !Protection::Finds.is_off() {
            let limit = LimitExceeded { limit: "finds".to_owned(), value: record.limits.finds as u64 };
            Some(Box::new(RemoteError::of(&limit)))
        } else if wait && record.ladder.is_some() {
            Some(ending(record))
        } else {
            None
        };
    match refusal {
        Some(error) => {
            record.tell(&ToActor::Found { request, result: Err(error) }, Vec::new());
            Progress::Settled
        }
        None => {
            record.searches.insert(request, Search { name, wait, patience: None, lookout: None });
            tree.note_asker(asker);
            pursue(tree, asker, request)
        }
    }
}

/// Forgets a question.
pub(crate) fn abandon(tree: &mut Tree, asker: Key, request: RequestId) {
    if let Some(record) = tree.get_mut(asker) {
        record.searches.remove(&request);
    }
}

/// Answers an open question that nobody can be found for, unless it waits.
pub(crate) fn give_up(tree: &mut Tree, asker: Key, request: RequestId) {
    if tree.get(asker).and_then(|record| record.searches.get(&request)).is_some_and(|search| !search.wait) {
        answer(tree, asker, request, Ok(None));
    }
}

/// Has an open question answered by others than the tree, once: `look` begins to.
pub(crate) fn look_out(
    record: &mut Record,
    request: RequestId,
    look: impl FnOnce(ActorId, String, bool) -> Lookout,
) {
    let who = record.id.clone();
    if let Some(search) = record.searches.get_mut(&request).filter(|search| search.lookout.is_none()) {
        search.lookout = Some(look(who, search.name.clone(), search.wait));
    }
}

/// Answers an open question with whom others than the tree have.
pub(crate) fn found_beyond(record: &mut Record, request: RequestId, result: FoundBeyond) {
    if record.searches.remove(&request).is_none() {
        // It has been answered, or given up; a pipe is dropped, which its other end sees.
        return;
    }
    match result {
        Ok(Some((actor, pipe))) => {
            record.strangers.insert(actor.uuid.clone());
            record.hand(&ToActor::FoundBeyond { request, actor }, pipe);
        }
        Ok(None) => record.tell(&ToActor::Found { request, result: Ok(None) }, Vec::new()),
        Err(error) => record.tell(&ToActor::Found { request, result: Err(error) }, Vec::new()),
    }
}

/// Gives the open questions of an actor that is being ended an answer.
pub(crate) fn forsake(record: &mut Record) {
    for request in std::mem::take(&mut record.searches).into_keys() {
        let result = Err(ending(record));
        record.tell(&ToActor::Found { request, result }, Vec::new());
    }
}

/// Looks again at all questions for a name; gives those for whom there is nobody.
#[must_use = "what the tree cannot answer, the machine may"]
pub(crate) fn revisit(tree: &mut Tree, name: &str) -> Vec<(Key, RequestId)> {
    let mut open = Vec::new();
    for key in tree.askers() {
        let searches = tree.get(key).into_iter().flat_map(|record| &record.searches);
        open.extend(searches.filter(|(_, search)| search.name == name).map(|(request, _)| (key, *request)));
    }
    open.retain(|(key, request)| pursue(tree, *key, *request) == Progress::Nobody);
    open
}

/// Ends the questions of an actor whose time is up.
pub(crate) fn expire(record: &mut Record, now: Instant) {
    let late = |search: &mut Search| search.due().is_some_and(|due| due <= now);
    let late: Vec<_> = record.searches.extract_if(.., |_, search| late(search)).collect();
    for (request, Search { name, .. }) in late {
        let reason = format!("actor `{name}` does not take the pipes that it is sent: it may be stopped");
        record.tell(&ToActor::Found { request, result: Err(failed(reason)) }, Vec::new());
    }
}

/// Answers a question if the tree can.
fn pursue(tree: &mut Tree, asker: Key, request: RequestId) -> Progress {
    let search = tree.get(asker).and_then(|record| record.searches.get(&request));
    let Some(found) = search.map(|search| tree.find(&search.name, asker)) else { return Progress::Settled };
    let full = |key| tree.get(key).is_some_and(|record| record.untaken >= record.limits.finds);
    match found {
        Some(found) if !full(found) => {
            let (id, pipe) = match introduce(tree, asker, found) {
                Ok(introduced) => introduced,
                Err(error) => {
                    answer(tree, asker, request, Err(failed(format!("the system refuses: {error}"))));
                    return Progress::Settled;
                }
            };
            if let Some(record) = tree.get_mut(asker) {
                record.searches.remove(&request);
                record.hand(&ToActor::Found { request, result: Ok(Some(id)) }, pipe);
            }
            Progress::Settled
        }
        _ => {
            let Some(record) = tree.get_mut(asker) else { return Progress::Settled };
            let held_up = found.map(|_| Instant::now() + record.limits.start);
            if let Some(search) = record.searches.get_mut(&request) {
                search.patience = held_up.map(|until| search.patience.unwrap_or(until));
            }
            if found.is_some() { Progress::Settled } else { Progress::Nobody }
        }
    }
}

/// Answers an open question, without a pipe.
fn answer(
    tree: &mut Tree,
    asker: Key,
    request: RequestId,
    result: Result<Option<ActorId>, Box<RemoteError>>,
) {
    let Some(record) = tree.get_mut(asker) else { return };
    if record.searches.remove(&request).is_some() {
        record.tell(&ToActor::Found { request, result }, Vec::new());
    }
}

fn ending(record: &Record) -> Box<RemoteError> {
    failed(format!("actor `{}` is being ended, and waits for nobody any more", record.id))
}

/// Whether an actor may have a name.
///
/// # Errors
/// `NameTaken`, if it is to be the only one and there is another, or if another is.
pub(crate) fn check_unique(tree: &Tree, name: &str, unique: bool) -> Result<(), RemoteError> {
    let holder = tree.holders(name).find(|record| unique || record.unique);
    holder.map_or(Ok(()), |holder| {
        Err(RemoteError::of(&NameTaken { name: name.to_owned(), by: holder.id.clone() }))
    })
}

/// The actors of the tree that can be called, or those of them that have the name.
pub(crate) fn entries(tree: &Tree, name_of_tree: &str, name: Option<&str>) -> Vec<ActorEntry> {
    let entry = |record: &Record| ActorEntry {
        id: record.id.clone(),
        tree: name_of_tree.to_owned(),
        path: record.path.clone(),
        pid: record.pid,
        started: record.started,
        published: record.published,
    };
    tree.settled().filter(|record| name.is_none_or(|name| record.id.name == name)).map(entry).collect()
}

/// Tells an actor of others, or why nobody can.
pub(crate) fn tell_all(
    record: &Record,
    request: RequestId,
    result: Result<Vec<ActorEntry>, Box<RemoteError>>,
) {
    match result {
        Ok(entries) => tell_entries(record, request, entries),
        Err(error) => {
            record.tell(&ToActor::Listed { request, result: Err(error), more: false }, Vec::new());
        }
    }
}

/// Tells an actor of others, in as many parts as it takes.
fn tell_entries(record: &Record, request: RequestId, entries: Vec<ActorEntry>) {
    let mut entries = entries.into_iter().peekable();
    loop {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while bytes < PART_BYTES
            && let Some(entry) = entries.next()
        {
            bytes += encode(&entry).map_or(0, |bytes| bytes.len());
            part.push(entry);
        }
        let more = entries.peek().is_some();
        record.tell(&ToActor::Listed { request, result: Ok(part), more }, Vec::new());
        if !more {
            return;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::{Duration, SystemTime};

    use greenroom_wire::control::{Limits, decode};
    use uuid::Uuid;

    use super::*;
    use crate::introduce::tests::{Channel, family, heard, id};
    use crate::ladder::Ladder;
    use crate::tree::tests::record;

    /// Looks for somebody in the tree alone.
    pub(crate) fn find(tree: &mut Tree, asker: Key, request: RequestId, name: &str) {
        ask(tree, asker, request, name, false);
    }

    pub(crate) fn wait(tree: &mut Tree, asker: Key, request: RequestId, name: &str) {
        ask(tree, asker, request, name, true);
    }

    fn ask(tree: &mut Tree, asker: Key, request: RequestId, name: &str, wait: bool) {
        if super::find(tree, asker, request, name.to_owned(), wait) == Progress::Nobody {
            give_up(tree, asker, request);
        }
    }

    fn again(tree: &mut Tree, name: &str) {
        for (asker, request) in revisit(tree, name) {
            give_up(tree, asker, request);
        }
    }

    fn silent(channel: &mut Channel) -> bool {
        channel.try_recv().is_err()
    }

    /// What was found, by name; an error by its type.
    fn found(channel: &mut Channel) -> (RequestId, Result<Option<String>, String>) {
        match heard(channel) {
            (ToActor::Found { request, result }, pipe) => {
                assert_eq!(
                    pipe.is_some(),
                    matches!(result, Ok(Some(_))),
                    "a pipe comes with whom it leads to"
                );
                (request, result.map(|id| id.map(|id| id.name)).map_err(|error| error.src_type))
            }
            (other, _) => panic!("not an answer: {other:?}"),
        }
    }

    fn enlist(tree: &mut Tree, key: Key, record: Record) {
        tree.insert(key, record);
        tree.enlist(key, SystemTime::now());
    }

    #[test]
    fn a_name_that_nobody_has_is_answered_without_a_pipe() {
        let (mut tree, [operator, one, ..], [mut of_operator, mut of_one, ..]) = family();
        for (asker, name) in [(one, "three"), (one, "operator"), (one, "one"), (operator, "operator")] {
            find(&mut tree, asker, 1, name);
            let channel = if asker == one { &mut of_one } else { &mut of_operator };
            assert_eq!(found(channel), (1, Ok(None)), "{name}");
        }
        find(&mut tree, Uuid::from_u128(9), 1, "one");
        assert!(silent(&mut of_one), "nobody asked");
    }

    #[test]
    fn who_waits_is_answered_when_there_is_somebody() {
        let (mut tree, [operator, one, two, _], [mut of_operator, mut of_one, mut of_two, _]) = family();
        wait(&mut tree, one, 1, "late");
        wait(&mut tree, two, 2, "late");
        wait(&mut tree, operator, 3, "later");
        wait(&mut tree, operator, 4, "one");
        assert_eq!(found(&mut of_operator), (4, Ok(Some("one".to_owned()))), "at once");
        let _ = heard(&mut of_one);
        abandon(&mut tree, two, 2);
        let late = Uuid::from_u128(5);
        enlist(&mut tree, late, record("late", Some(operator)));
        again(&mut tree, "late");
        assert_eq!(found(&mut of_one), (1, Ok(Some("late".to_owned()))));
        assert!(silent(&mut of_two), "it does not wait any more");
        again(&mut tree, "late");
        assert!(silent(&mut of_one) && silent(&mut of_operator), "each is answered once");
    }

    #[test]
    fn who_is_being_ended_waits_for_nobody() {
        let (mut tree, [_, one, ..], [_, mut of_one, ..]) = family();
        wait(&mut tree, one, 1, "late");
        wait(&mut tree, one, 2, "later");
        let record = tree.get_mut(one).expect("there");
        record.ladder = Some(Ladder::kill(Instant::now()));
        forsake(record);
        wait(&mut tree, one, 3, "late");
        for request in 1..=3 {
            assert_eq!(found(&mut of_one), (request, Err("IntroductionFailed".to_owned())));
        }
        assert!(tree.get(one).expect("there").searches.is_empty());
        find(&mut tree, one, 4, "two");
        assert_eq!(found(&mut of_one), (4, Ok(Some("two".to_owned()))), "what does not wait is answered");
    }

    #[test]
    fn an_actor_asks_and_leaves_lying_only_so_much() {
        let (mut tree, [_, one, ..], [_, mut of_one, ..]) = family();
        for request in 1..=2 {
            wait(&mut tree, one, request, "late");
            find(&mut tree, one, 10 + request, "two");
            assert_eq!(found(&mut of_one).1, Ok(Some("two".to_owned())));
        }
        for (request, waits) in [(20, true), (21, false)] {
            ask(&mut tree, one, request, "two", waits);
            assert_eq!(found(&mut of_one), (request, Err("LimitExceeded".to_owned())));
        }
        abandon(&mut tree, one, 1);
        tree.get_mut(one).expect("there").untaken -= 1;
        find(&mut tree, one, 22, "two");
        assert_eq!(found(&mut of_one), (22, Ok(Some("two".to_owned()))));
    }

    #[test]
    fn who_takes_no_pipes_is_sent_no_more_and_those_who_ask_are_told_in_the_end() {
        let (mut tree, [operator, one, two, below], [mut of_operator, mut of_one, mut of_two, mut of_below]) =
            family();
        for request in 1..=4 {
            find(&mut tree, [operator, one][request as usize % 2], request, "two");
        }
        let before = Instant::now();
        find(&mut tree, below, 5, "two");
        wait(&mut tree, below, 6, "two");
        assert!(silent(&mut of_below), "it is waited for the one that was found");
        // One is taken: one more is sent.
        tree.get_mut(two).expect("there").untaken -= 1;
        again(&mut tree, "two");
        assert_eq!(found(&mut of_below), (5, Ok(Some("two".to_owned()))));
        assert!(silent(&mut of_below));
        assert_eq!(tree.get(two).expect("there").untaken, 4);
        // The other is told past the time for a start.
        let record = tree.get_mut(below).expect("there");
        let due = record.due().expect("something is due");
        assert!((before..Instant::now() + Limits::default().start).contains(&due));
        expire(record, due - Duration::from_millis(1));
        assert!(silent(&mut of_below));
        let record = tree.get_mut(below).expect("there");
        expire(record, due);
        assert_eq!(found(&mut of_below), (6, Err("IntroductionFailed".to_owned())));
        assert_eq!(tree.due(), None);
        // Its end is news too: a wait goes on, and a question is answered.
        find(&mut tree, below, 7, "two");
        wait(&mut tree, below, 8, "two");
        tree.get_mut(two).expect("there").ladder = Some(Ladder::kill(Instant::now()));
        again(&mut tree, "two");
        assert_eq!(found(&mut of_below), (7, Ok(None)));
        assert!(silent(&mut of_below));
        assert!(tree.get(below).expect("there").due().is_none(), "it waits for another");
        drop((of_operator.try_recv(), of_one.try_recv(), of_two.try_recv()));
    }

    #[test]
    fn e2_only_one_has_a_unique_name() {
        let (mut tree, [operator, one, ..], _channels) = family();
        assert_eq!(check_unique(&tree, "one", false), Ok(()));
        assert_eq!(check_unique(&tree, "three", true), Ok(()));
        assert_eq!(check_unique(&tree, "operator", true), Ok(()), "it is not found either");
        let taken = check_unique(&tree, "one", true).expect_err("there is one");
        assert_eq!(taken.kind(), Some(NameTaken { name: "one".to_owned(), by: id(&tree, one) }));
        let only = Uuid::from_u128(5);
        enlist(&mut tree, only, Record { unique: true, ..record("only", Some(operator)) });
        assert!(check_unique(&tree, "only", false).expect_err("it is the only one").is::<NameTaken>());
        tree.get_mut(only).expect("there").ladder = Some(Ladder::kill(Instant::now()));
        assert_eq!(check_unique(&tree, "only", true), Ok(()), "it is being ended");
    }

    #[test]
    fn a_list_has_those_who_are_found_in_as_many_parts_as_it_takes() {
        let (mut tree, [operator, one, two, _], [_, mut of_one, ..]) = family();
        for number in 0..300u64 {
            let path = vec!["x".repeat(128); 8];
            let mut record = Record { path, pid: 7, ..record("many", Some(operator)) };
            record.id.uuid = format!("{number}");
            enlist(&mut tree, Uuid::from_u128(100 + u128::from(number)), record);
        }
        tree.get_mut(two).expect("there").ladder = Some(Ladder::kill(Instant::now()));
        let all = entries(&tree, "forest", None);
        let names: Vec<_> = all.iter().map(|entry| entry.id.name.as_str()).collect();
        assert_eq!(names[..3], ["one", "below", "many"], "in the order in which they could be called");
        assert_eq!(all.len(), 302);
        assert!(all[2].started > 0 && all[2].tree == "forest" && all[2].pid == 7 && !all[2].published);
        tell_entries(tree.get(one).expect("there"), 9, all.clone());
        let (mut told, mut parts, mut more) = (Vec::new(), 0, true);
        while more {
            let packet = of_one.try_recv().expect("a part");
            assert!(packet.bytes.len() <= greenroom_transport::MAX_PACKET_BYTES);
            match decode(&packet.bytes) {
                Ok(ToActor::Listed { request: 9, result: Ok(part), more: left }) => {
                    told.extend(part);
                    (parts, more) = (parts + 1, left);
                }
                other => panic!("not a part: {other:?}"),
            }
        }
        assert!(silent(&mut of_one) && parts > 1);
        assert_eq!(told, all);
        assert_eq!(entries(&tree, "forest", Some("below")).len(), 1);
        tell_entries(tree.get(one).expect("there"), 9, entries(&tree, "forest", Some("two")));
        let nobody = ToActor::Listed { request: 9, result: Ok(Vec::new()), more: false };
        assert_eq!(heard(&mut of_one).0, nobody);
    }
}
