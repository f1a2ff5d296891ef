//! What no honest actor says to its broker.
//!
//! Owns: telling a lie from a mistake. Must not know: what becomes of a liar. Invariant: what a
//! guest can bring its own host to say, or what may have crossed an answer on its way, is no lie;
//! so whoever tells one is no host of ours any more.

use greenroom_wire::control::ToBroker;
use uuid::Uuid;

use crate::tree::{Key, Record, Stage, Step, Tree};

/// What is wrong with a message, if no honest actor would have sent it. `operator` is the one who
/// may invite others.
pub(crate) fn lie(tree: &Tree, operator: Key, actor: Key, message: &ToBroker) -> Option<String> {
    let record = tree.get(actor)?;
    match (message, is_loading(record)) {
        (ToBroker::Ready | ToBroker::LoadFailed { .. }, true) => None,
        (ToBroker::Ready, false) => said("it says that it is ready, again"),
        (ToBroker::LoadFailed { .. }, false) => said("it says that it cannot be loaded, and is ready"),
        (_, true) => said("it asks for something before it is ready"),
        (ToBroker::Spawn { request, .. }, _) if tree.starting(actor, *request).is_some() => {
            twice("start", *request)
        }
        (ToBroker::Find { request, .. }, _) if record.searches.contains_key(request) => {
            twice("find", *request)
        }
        (ToBroker::CancelActor { actor: target, .. }, _) if Uuid::parse_str(target).is_err() => {
            said("it would end whom no uuid names")
        }
        (ToBroker::Taken, _) if record.untaken == 0 => said("it has taken a pipe that it was not sent"),
        (ToBroker::Measured { .. }, _) if record.counting.is_none() => {
            said("it counts its tasks, and was not asked to")
        }
        (ToBroker::Invite { .. }, _) if actor != operator => {
            said("it invites a program, which only the operator may")
        }
        _ => None,
    }
}

/// Whether its process runs, and it has said nothing yet.
fn is_loading(record: &Record) -> bool {
    matches!(&record.stage, Stage::Starting(birth) if birth.step == Step::Loading)
}

fn said(what: &str) -> Option<String> {
    Some(what.to_owned())
}

fn twice(what: &str, request: u64) -> Option<String> {
    Some(format!("it asks to {what} under the number {request}, which is that of another question"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use greenroom_transport::memory_pipe;
    use greenroom_wire::control::SpawnSpec;

    use super::*;
    use crate::discovery::tests::find;
    use crate::introduce::tests::family;
    use crate::tree::Birth;

    fn spawn(request: u64) -> ToBroker {
        ToBroker::Spawn { request, spec: SpawnSpec::default() }
    }

    fn cancel(actor: &str) -> ToBroker {
        ToBroker::CancelActor { request: 1, actor: actor.to_owned() }
    }

    fn birth(step: Step) -> Stage {
        let deadline = Instant::now() + Duration::from_secs(10);
        Stage::Starting(Birth { request: 7, pipe: memory_pipe().0, deadline, step, failure: None })
    }

    #[test]
    fn what_honest_actors_say_is_no_lie() {
        let (tree, [operator, one, two, below], _channels) = family();
        let invite = ToBroker::Invite { request: 1, actor: two.to_string(), name: "n".to_owned() };
        assert_eq!(lie(&tree, operator, operator, &invite), None);
        let list = ToBroker::List { request: 1, name: None };
        let find = ToBroker::Find { request: 1, name: "x".to_owned(), wait: true };
        let late = [ToBroker::AbandonSpawn { request: 9 }, ToBroker::AbandonFind { request: 9 }];
        // Who is not there any more, or is not its own, is answered and not punished.
        let cancels = [two, below, Uuid::from_u128(9)].map(|key| cancel(&key.to_string()));
        for message in [spawn(1), list, find].into_iter().chain(late).chain(cancels) {
            assert_eq!(lie(&tree, operator, one, &message), None, "{message:?}");
        }
        assert_eq!(lie(&tree, operator, Uuid::from_u128(9), &ToBroker::Ready), None, "it is gone");
    }

    #[test]
    fn what_no_honest_actor_says_is_a_lie() {
        let (mut tree, [operator, one, two, below], _channels) = family();
        find(&mut tree, one, 3, "nobody");
        tree.get_mut(below).expect("there").stage = birth(Step::Loading);
        tree.note_birth(below, 7);
        crate::discovery::tests::wait(&mut tree, two, 3, "nobody");
        let invite = ToBroker::Invite { request: 1, actor: one.to_string(), name: "n".to_owned() };
        let again = ToBroker::Find { request: 3, name: "x".to_owned(), wait: false };
        let failed = || ToBroker::LoadFailed { reason: String::new() };
        for (actor, message, why) in [
            (two, invite, "invites"),
            (two, again, "find under the number 3"),
            (one, ToBroker::Ready, "again"),
            (one, failed(), "cannot be loaded"),
            (one, ToBroker::Taken, "not sent"),
            (one, ToBroker::Measured { tasks: 3 }, "not asked"),
            (one, cancel("below"), "no uuid"),
            (one, spawn(7), "start under the number 7"),
            (below, spawn(1), "before it is ready"),
            (below, ToBroker::Taken, "before it is ready"),
        ] {
            let lie = lie(&tree, operator, actor, &message);
            assert!(lie.as_ref().is_some_and(|lie| lie.contains(why)), "{message:?}: {lie:?}");
        }
        for message in [ToBroker::Ready, failed()] {
            assert_eq!(lie(&tree, operator, below, &message), None);
        }
        // Once it is ready, its starter need not know yet.
        tree.get_mut(below).expect("there").stage = birth(Step::Publishing);
        assert_eq!(lie(&tree, operator, below, &spawn(1)), None);
        assert!(lie(&tree, operator, below, &ToBroker::Ready).is_some());
    }
}
