//! An actor that lies, to the broker and to other actors.
//!
//! Owns: that each lie has its end, and that nobody else is hurt. Must not know: what is said.

use std::time::{Duration, Instant};

use greenroom_tests::kind::{ActorDied, Exit, PeerMisbehaved, SpawnFailed};
use greenroom_tests::liar::{Fate, LIES, Lie, REFUSED};
use greenroom_tests::{
    Attack, Begun, Exits, Memory, Options, Place, World, alone, assert_page_tells, own_program, say, until,
};
use serde_json::{Value, json};

use super::lines;

/// What the whole cancel ladder may take, and the broker's patience with one that has hung up.
const SOON: Duration = Duration::from_secs(3);

/// For how long those are let whom nobody ends.
const WHILE: Duration = Duration::from_secs(2);

/// By how much the broker, and an actor that is lied to, may grow meanwhile.
const GROWTH: u64 = 8 << 20;

#[test]
fn the_page_tells_of_the_lies() {
    let attacks: Vec<Attack> = LIES.iter().map(|lie| lie.attack).collect();
    assert_page_tells("proto", 32, &attacks);
}

/// A host that starts honest actors and liars, with an honest sibling of theirs.
struct Stage {
    world: World,
    sibling: Begun<()>,
    pids: [i32; 2],
    exits: Exits,
}

impl Stage {
    async fn new(place: &Place) -> Self {
        let exits = Exits::record();
        let options = Options { program: Some(own_program("liar")), ..Options::default() };
        let world = World::with(place, options).await;
        let sibling = world.keep(&[], "sibling").await;
        let pids = ["root", "root/sibling"].map(|name| world.pid(name));
        Self { world, sibling, pids, exits }
    }

    /// Requires that everybody else is there, and answers.
    async fn is_unharmed(&self, after: &str) {
        for (path, name) in [(&[][..], "root"), (&["sibling"], "root/sibling")] {
            let answer = self.world.call::<Value>(path, "stage:whoami", &json!({}));
            let answer = tokio::time::timeout(SOON, answer).await;
            assert!(matches!(answer, Ok(Ok(_))), "after {after}, {name}: {answer:?}");
        }
        let pids = ["root", "root/sibling"].map(|name| self.world.pid(name));
        assert_eq!(pids, self.pids, "nobody was started again after {after}");
    }

    /// Waits until a liar is gone.
    async fn is_rid_of(&self, lie: &Lie) {
        let place = format!("root/{}", lie.attack.id);
        until(&format!("{place} is gone"), SOON, async || {
            (!self.world.processes().contains_key(&place)).then_some(())
        })
        .await;
    }

    /// Has one lie told that ends with its teller.
    async fn hear_out(&self, lie: &Lie) {
        let id = lie.attack.id;
        let began = Instant::now();
        let kept = self.world.keep_with(&[], id, &["faults"], &[], &[]).await;
        let ended = match kept {
            Ok(mut keeper) => {
                // One of the lies is an answer, so that somebody has to ask.
                let asked = self.world.call::<()>(&[id], "faults:wait", &json!({}));
                let ended = tokio::time::timeout(SOON, &mut keeper).await;
                drop(asked);
                ended.unwrap_or_else(|_| panic!("{id} still lives: {:?}", lines(&self.world, id)))
            }
            Err(error) => Err(error),
        };
        let error = ended.expect_err("nobody's child ends so");
        match lie.fate {
            Fate::Caught(why) | Fate::Doomed(why) => {
                let caught = self.exits.take_caught();
                let words: Vec<_> = caught.iter().map(|caught| caught.words()).collect();
                assert!(
                    matches!(words.as_slice(), [words] if words.contains(why) && words.contains(id)),
                    "{id}: {words:?}; {error}"
                );
                match lie.fate {
                    Fate::Doomed(_) => {
                        let failed: SpawnFailed = error.downcast().unwrap_or_else(|| panic!("{error}"));
                        assert!(failed.reason.contains(why), "{failed:?}");
                    }
                    // Whether it lied before or after it was told of.
                    _ if error.is::<SpawnFailed>() => {}
                    _ => {
                        let died: ActorDied = error.downcast().unwrap_or_else(|| panic!("{id}: {error}"));
                        assert_eq!(died.exit, Exit::Signal(9), "{id}");
                    }
                }
            }
            Fate::Ended(why) => {
                let misbehaved: PeerMisbehaved = error.downcast().unwrap_or_else(|| panic!("{id}: {error}"));
                assert!(misbehaved.violation.contains(why), "{id}: {}", misbehaved.violation);
            }
            Fate::Refused(_) | Fate::Borne => unreachable!("nobody ends {id}"),
        }
        self.is_rid_of(lie).await;
        say(&format!("{id}: {:?}", began.elapsed()));
        self.is_unharmed(id).await;
    }

    /// Has one lie told that nobody is to end for.
    async fn bear(&self, lie: &Lie) {
        let id = lie.attack.id;
        let own = i32::try_from(std::process::id()).expect("a process has a number");
        let dirty = |pid| Memory::of(pid).expect("it is there").dirty;
        let before = [own, self.pids[0]].map(dirty);
        let keeper = self.world.keep_with(&[], id, &["faults"], &[], &[]).await.expect("it starts");
        let end = Instant::now() + WHILE;
        let asked = self.world.call::<()>(&[id], "faults:wait", &json!({}));
        while Instant::now() < end {
            self.is_unharmed(id).await;
            let said = lines(&self.world, id);
            match lie.fate {
                Fate::Refused(why) if !said.is_empty() => {
                    assert_eq!(said, [format!("{REFUSED} {why}")], "{id}");
                    break;
                }
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        let said = lines(&self.world, id);
        match lie.fate {
            Fate::Refused(_) => assert!(!said.is_empty(), "{id} was not answered"),
            _ => assert!(said.iter().all(|line| line == "the sibling has closed the pipe"), "{id}: {said:?}"),
        }
        assert!(self.exits.take_caught().is_empty(), "{id}");
        let after = [own, self.pids[0]].map(dirty);
        for (name, (before, after)) in
            ["the broker", "the root"].into_iter().zip(before.into_iter().zip(after))
        {
            let grown = after.saturating_sub(before);
            say(&format!("{id}: {name} grew by {} KiB", grown / 1024));
            assert!(grown < GROWTH, "beside {id}, {name} grew by {grown} bytes");
        }
        drop((asked, keeper));
        self.is_rid_of(lie).await;
        self.is_unharmed(id).await;
    }

    async fn end(self) {
        drop(self.sibling);
        self.world.end().await;
    }
}

#[test]
fn who_lies_to_the_broker_is_killed() {
    alone(async |place| {
        let stage = Stage::new(place).await;
        for lie in LIES.iter().filter(|lie| matches!(lie.fate, Fate::Caught(_) | Fate::Doomed(_))) {
            stage.hear_out(lie).await;
        }
        stage.end().await;
    });
}

#[test]
fn who_lies_to_its_parent_is_ended() {
    alone(async |place| {
        let stage = Stage::new(place).await;
        for lie in LIES.iter().filter(|lie| matches!(lie.fate, Fate::Ended(_))) {
            stage.hear_out(lie).await;
        }
        stage.end().await;
    });
}

#[test]
fn what_is_no_lie_hurts_nobody() {
    alone(async |place| {
        let stage = Stage::new(place).await;
        for lie in LIES.iter().filter(|lie| matches!(lie.fate, Fate::Refused(_) | Fate::Borne)) {
            stage.bear(lie).await;
        }
        stage.end().await;
    });
}
