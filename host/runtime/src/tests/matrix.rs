//! Who is ended and who is started again, for every kind of end there is.
//!
//! Owns: B7's strategies and restart rules, as two tables. Must not know: pauses, intensity.
//! Invariant of what is tested: the tables say what happens, in which order, and nothing else does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::Exit;

use super::kit::*;
use crate::Restart::{self, Permanent, Temporary, Transient};
use crate::Strategy::{self, OneForAll, OneForOne, RestForOne};
use crate::{Nursery, Outcome, Portal, Supervision};

/// How the child in question ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Killed,
    Fails,
    Returns,
}
use How::{Fails, Killed, Returns};

/// What the child in question was started as.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    Daemon,
    OneShot,
}

/// Whether a child that ends like this is started again.
const RENEWED: [(Restart, How, bool); 9] = [
    (Permanent, Killed, true),
    (Permanent, Fails, true),
    (Permanent, Returns, true),
    (Transient, Killed, true),
    (Transient, Fails, true),
    (Transient, Returns, false),
    (Temporary, Killed, false),
    (Temporary, Fails, false),
    (Temporary, Returns, false),
];

/// If the child at this place is started again: who is ended for it, and who is started, in order.
const GROUPS: [(Strategy, usize, &[usize], &[usize]); 9] = [
    (OneForOne, 0, &[], &[0]),
    (OneForOne, 1, &[], &[1]),
    (OneForOne, 2, &[], &[2]),
    (RestForOne, 0, &[2, 1], &[0, 1, 2]),
    (RestForOne, 1, &[2], &[1, 2]),
    (RestForOne, 2, &[], &[2]),
    (OneForAll, 0, &[2, 1], &[0, 1, 2]),
    (OneForAll, 1, &[2, 0], &[0, 1, 2]),
    (OneForAll, 2, &[1, 0], &[0, 1, 2]),
];

const NAMES: [&str; 3] = ["first", "middle", "last"];

/// What main tasks are told to end with; each order is followed once.
type Orders = Arc<Mutex<BTreeMap<String, Outcome>>>;

fn library(orders: &Orders) -> Library {
    let orders = orders.clone();
    let library = Library::default().with("leaf:who", |task, _| async move { value(task.actor().id()) });
    library.with("leaf:main", move |task, _| {
        let orders = orders.clone();
        async move {
            let name = task.actor().id().name.clone();
            let ordered = async {
                loop {
                    if let Some(outcome) = orders.lock().expect("not poisoned").remove(&name) {
                        return outcome;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::select! {
                outcome = ordered => outcome,
                outcome = forever(task.clone()) => outcome,
            }
        }
    })
}

#[derive(Clone, Copy, Debug)]
struct Case {
    strategy: Strategy,
    place: usize,
    stop: &'static [usize],
    start: &'static [usize],
    restart: Restart,
    how: How,
    renewed: bool,
    work: Work,
    /// What the two others are.
    others: Restart,
}

impl Case {
    /// All there are.
    fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for (strategy, place, stop, start) in GROUPS {
            for (restart, how, renewed) in RENEWED {
                for work in [Work::Daemon, Work::OneShot] {
                    for others in [Permanent, Transient, Temporary] {
                        cases.push(Self {
                            strategy,
                            place,
                            stop,
                            start,
                            restart,
                            how,
                            renewed,
                            work,
                            others,
                        });
                    }
                }
            }
        }
        cases
    }

    fn name(&self) -> &'static str {
        NAMES[self.place]
    }

    /// What the broker sees from the end on.
    fn wanted(&self) -> Vec<String> {
        let mut lines = Vec::new();
        // The actor of a task that has ended is asked to end as well.
        if self.work == Work::OneShot && self.how != Killed {
            lines.push(format!("asked {}", self.name()));
        }
        lines.push(format!("exited {}", self.name()));
        if self.renewed {
            for at in self.stop {
                lines.extend([format!("asked {}", NAMES[*at]), format!("exited {}", NAMES[*at])]);
            }
            let again = self.start.iter().filter(|at| **at == self.place || self.others != Temporary);
            lines.extend(again.map(|at| format!("started {}", NAMES[*at])));
        }
        lines
    }

    /// How often each has been started in the end.
    fn incarnations(&self, at: usize) -> usize {
        let again =
            self.renewed && self.start.contains(&at) && (at == self.place || self.others != Temporary);
        1 + usize::from(again)
    }

    fn is_up(&self, at: usize) -> bool {
        if at == self.place {
            return self.renewed;
        }
        self.others != Temporary || !(self.renewed && self.stop.contains(&at))
    }

    async fn start(&self, nursery: &Nursery) -> Vec<Portal> {
        let mut portals = Vec::new();
        for (at, name) in NAMES.iter().enumerate() {
            let restart = if at == self.place { self.restart } else { self.others };
            let main = if self.work == Work::OneShot { one_shot("leaf:main") } else { None };
            portals
                .push(nursery.start_with(spec(name, &["leaf"]), main, Some(restart)).await.expect("starts"));
        }
        portals
    }

    fn end_it(&self, world: &World, orders: &Orders, portal: &Portal) {
        let order = |outcome| {
            orders.lock().expect("not poisoned").insert(self.name().to_owned(), outcome);
        };
        match (self.how, self.work) {
            (Killed, _) => world.broker.kill(&portal.peer(), Exit::Signal(9)),
            (Fails, Work::Daemon) => world.broker.kill(&portal.peer(), Exit::Code(3)),
            (Returns, Work::Daemon) => world.actor(portal).cancel(&id("stranger")),
            (Fails, Work::OneShot) => order(failure("no")),
            (Returns, Work::OneShot) => order(value("well")),
        }
    }

    async fn run(self) {
        let orders = Orders::default();
        let world = World::new(library(&orders));
        let nursery = world.supervised(Supervision { strategy: self.strategy, ..Supervision::default() });
        let portals = self.start(&nursery).await;
        let first: Vec<_> = portals.iter().map(Portal::peer).collect();
        let before = world.broker.journal().lines().len();
        self.end_it(&world, &orders, &portals[self.place]);
        tokio::time::sleep(Duration::from_secs(1)).await;

        let lines = world.broker.journal().lines();
        assert_eq!(lines[before..], self.wanted(), "{self:?}");
        for (at, portal) in portals.iter().enumerate() {
            let started = format!("started {}", NAMES[at]);
            let incarnations = lines.iter().filter(|line| **line == started).count();
            assert_eq!(incarnations, self.incarnations(at), "{} of {self:?}", NAMES[at]);
            assert_eq!(world.broker.named(NAMES[at]).len(), usize::from(self.is_up(at)), "{self:?}");
            let answer =
                tokio::time::timeout(Duration::from_millis(1), portal.call("leaf:who", Bytes::new()));
            let answer = answer.await.expect("at once");
            match self.is_up(at) {
                true => assert_eq!(answer, value(portal.peer()), "{} of {self:?}", NAMES[at]),
                false => assert!(died(&answer).is_some(), "{} of {self:?}", NAMES[at]),
            }
            assert_eq!(portal.peer() != first[at], incarnations > 1, "{} of {self:?}", NAMES[at]);
        }
        if self.work == Work::OneShot && !self.renewed {
            let result = portals[self.place].wait_for_result();
            let result = tokio::time::timeout(Duration::ZERO, result).await.expect("has ended for good");
            match self.how {
                Killed => assert_eq!(died(&result), Some(Exit::Signal(9)), "{self:?}"),
                Fails => assert_eq!(result.expect_err("fails").message, "no", "{self:?}"),
                Returns => assert_eq!(result, value("well"), "{self:?}"),
            }
        }
        nursery.cancel().await.unwrap_or_else(|error| panic!("{error} in {self:?}"));
        world.settle().await;
    }
}

#[test]
fn b7_the_supervision_matrix() {
    let cases = Case::all();
    assert_eq!(cases.len(), 9 * 9 * 2 * 3);
    for case in cases {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(case.run());
    }
}
