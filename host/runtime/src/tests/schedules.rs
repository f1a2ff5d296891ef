//! Random schedules of calls, drops, deaths, cancels and restarts.
//!
//! Owns: a tree of actors, some of them supervised, and what is done to it at random. Must not know: which order things
//! happen in. Invariant of what is tested: every call ends once, and nothing is left.

use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{ActorDied, ContextCancelled, Exit, LimitExceeded, NurseryError};
use greenroom_wire::control::Limits;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::task::JoinHandle;

use super::kit::*;
use crate::{Nursery, Outcome, Portal, Restart, Supervision, Task};

/// How many schedules are tried.
const CASES: u32 = 300;

/// What is done next; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Act {
    Daemon {
        supervised: bool,
        restart: Option<Restart>,
    },
    OneShot {
        supervised: bool,
        restart: Option<Restart>,
        function: usize,
    },
    Cluster {
        supervised: bool,
        count: usize,
    },
    /// The next starts of this kind of name fail.
    Refuse {
        times: usize,
    },
    DropStart {
        after_ms: u64,
    },
    Call {
        whom: usize,
        function: usize,
        size: usize,
    },
    Drop {
        which: usize,
    },
    Kill {
        whom: usize,
    },
    Cut {
        whom: usize,
    },
    Stop {
        whom: usize,
    },
    CancelActor {
        whom: usize,
    },
    AskToEnd {
        whom: usize,
    },
    Pass {
        ms: u64,
    },
    Abandon,
    Supervise {
        strategy: crate::Strategy,
        intensity: u32,
    },
}

fn restart() -> impl Strategy<Value = Option<Restart>> {
    use Restart::{Permanent, Temporary, Transient};
    prop::sample::select(vec![None, Some(Permanent), Some(Transient), Some(Temporary)])
}

fn supervise() -> impl Strategy<Value = Act> {
    use crate::Strategy::{OneForAll, OneForOne, RestForOne};
    let strategies = prop::sample::select(vec![OneForOne, RestForOne, OneForAll]);
    (strategies, 0..6u32).prop_map(|(strategy, intensity)| Act::Supervise { strategy, intensity })
}

fn acts() -> impl Strategy<Value = Act> {
    let any = any::<usize>();
    let how = || (prop::bool::ANY, restart());
    prop_oneof![
        4 => how().prop_map(|(supervised, restart)| Act::Daemon { supervised, restart }),
        2 => (how(), any).prop_map(|((supervised, restart), function)| {
            Act::OneShot { supervised, restart, function }
        }),
        1 => (prop::bool::ANY, 0..4usize).prop_map(|(supervised, count)| Act::Cluster { supervised, count }),
        1 => (0..3usize).prop_map(|times| Act::Refuse { times }),
        1 => supervise(),
        1 => (0..30u64).prop_map(|after_ms| Act::DropStart { after_ms }),
        12 => (any, any, prop_oneof![0..100usize, 0..300_000usize])
            .prop_map(|(whom, function, size)| Act::Call { whom, function, size }),
        4 => any.prop_map(|which| Act::Drop { which }),
        1 => any.prop_map(|whom| Act::Kill { whom }),
        1 => any.prop_map(|whom| Act::Cut { whom }),
        1 => any.prop_map(|whom| Act::Stop { whom }),
        1 => any.prop_map(|whom| Act::CancelActor { whom }),
        1 => any.prop_map(|whom| Act::AskToEnd { whom }),
        6 => (0..100u64).prop_map(|ms| Act::Pass { ms }),
        1 => Just(Act::Abandon),
    ]
}

const FUNCTIONS: [&str; 6] = ["leaf:echo", "leaf:wait", "leaf:fail", "leaf:slow", "leaf:stuck", "leaf:tree"];

fn library(running: &Running) -> Library {
    let mut library = Library::default();
    for name in FUNCTIONS {
        let running = running.clone();
        library = library.with(name, move |task, kwargs| {
            let running = running.begin();
            async move {
                let outcome = run(name, task, kwargs).await;
                drop(running);
                outcome
            }
        });
    }
    library
}

async fn run(name: &str, task: Task, kwargs: Bytes) -> Outcome {
    match name {
        "leaf:echo" => Ok(kwargs),
        "leaf:wait" => forever(task).await,
        "leaf:fail" => failure("no"),
        "leaf:stuck" => std::future::pending().await,
        "leaf:slow" => {
            tokio::time::sleep(Duration::from_millis(75)).await;
            Ok(kwargs)
        }
        // A grandchild, used and then left to the task's end.
        _ => {
            let below = task.open_nursery().start(spec("below", &["leaf"]), None).await?;
            below.call("leaf:slow", kwargs).await
        }
    }
}

struct Schedule {
    world: World,
    nursery: Nursery,
    supervised: Nursery,
    running: Running,
    portals: Vec<Portal>,
    calls: Vec<(usize, Bytes, JoinHandle<Outcome>)>,
    started: usize,
}

impl Schedule {
    fn new() -> Self {
        let running = Running::default();
        let world = World::within(library(&running), Limits { tasks: 8, ..Limits::default() });
        world.broker.set_startup(Duration::from_millis(10));
        let (nursery, supervised) = (world.nursery(), world.supervised(Supervision::default()));
        Self { world, nursery, supervised, running, portals: Vec::new(), calls: Vec::new(), started: 0 }
    }

    async fn perform(&mut self, act: &Act) {
        let name = format!("leaf_{}", self.started);
        match *act {
            Act::Daemon { supervised, restart } | Act::OneShot { supervised, restart, .. } => {
                self.started += 1;
                let main = match act {
                    Act::OneShot { function, .. } => one_shot(FUNCTIONS[function % FUNCTIONS.len()]),
                    _ => None,
                };
                let start = self.scope(supervised).start_with(spec(&name, &["leaf"]), main, restart);
                let started = start.await.ok();
                self.portals.extend(started);
            }
            Act::Cluster { supervised, count } => {
                let cluster = self.scope(supervised).open_actor_cluster("pool", spec("", &["leaf"]), count);
                let cluster = cluster.await;
                self.portals.extend(cluster.into_iter().flatten());
            }
            Act::Refuse { times } => {
                // Two children that are there, if ever they are started again, and one of the next cluster.
                self.world.broker.refuse_next("leaf_0", times);
                self.world.broker.refuse_next("leaf_1", times);
                self.world.broker.refuse_next("pool.worker_1", times.min(1));
            }
            Act::DropStart { after_ms } => {
                let start = self.nursery.start(spec(&name, &["leaf"]), None);
                let _ = tokio::time::timeout(Duration::from_millis(after_ms), start).await;
            }
            Act::Call { whom, function, size } => {
                let function = function % FUNCTIONS.len();
                let Some(portal) = self.chosen(whom) else { return };
                let kwargs = Bytes::from(vec![0x41; size]);
                let call = portal.call(FUNCTIONS[function], kwargs.clone());
                self.calls.push((function, kwargs, tokio::spawn(call)));
            }
            Act::Drop { which } => {
                if !self.calls.is_empty() {
                    let (.., call) = self.calls.swap_remove(which % self.calls.len());
                    call.abort();
                }
            }
            Act::Kill { whom } => {
                self.chosen(whom).inspect(|portal| self.world.broker.kill(&portal.peer(), Exit::Signal(9)));
            }
            Act::Cut { whom } => {
                self.chosen(whom).inspect(|portal| self.world.broker.cut(&portal.peer()));
            }
            Act::Stop { whom } => {
                self.chosen(whom).inspect(|portal| self.world.broker.stop(&portal.peer()));
            }
            Act::CancelActor { whom } => {
                if let Some(portal) = self.chosen(whom).cloned() {
                    portal.cancel_actor().await.expect("its owner may");
                }
            }
            Act::AskToEnd { whom } => {
                self.chosen(whom).map(|portal| tokio::spawn(portal.call("self:cancel", Bytes::new())));
            }
            Act::Pass { ms } => tokio::time::sleep(Duration::from_millis(ms)).await,
            Act::Abandon => {
                self.nursery.abandon();
                self.nursery = self.world.nursery();
            }
            Act::Supervise { strategy, intensity } => {
                self.supervised.abandon();
                let rules = Supervision { strategy, intensity, ..Supervision::default() };
                self.supervised = self.world.supervised(rules);
            }
        }
    }

    fn scope(&self, supervised: bool) -> &Nursery {
        if supervised { &self.supervised } else { &self.nursery }
    }

    fn chosen(&self, whom: usize) -> Option<&Portal> {
        self.portals.get(whom.checked_rem(self.portals.len())?)
    }

    /// Ends everything and sees that nothing is left of it.
    async fn end(mut self) {
        let cancels = futures_util::future::join(self.nursery.cancel(), self.supervised.cancel());
        let _ = tokio::time::timeout(Duration::from_secs(2), cancels).await.expect("in time");
        self.world.settle().await;
        for (function, kwargs, call) in self.calls.drain(..) {
            let outcome = tokio::time::timeout(Duration::from_secs(20), call).await.expect("the call ends");
            judge(FUNCTIONS[function], &kwargs, outcome.expect("no panic"));
        }
        for portal in self.portals.drain(..) {
            let called = portal.call("leaf:echo", Bytes::new());
            // Nothing takes time any more, though the coordinator may still have to look at an end.
            let outcome =
                tokio::time::timeout(Duration::from_millis(1), called).await.expect("fails at once");
            assert!(died(&outcome).is_some());
        }
        // The tasks of the killed see the end of their links, and the stubborn their grace.
        tokio::time::sleep(Limits::default().grace * 2).await;
        assert_eq!(self.running.count(), 0, "tasks still run");
        self.world.daemon("sweeper", &["leaf"]).await;
        let memory = self.world.operator.memory();
        assert!(memory <= 2, "the sweeper is one peer and one link, but {memory} things are remembered");
    }
}

/// What a call that was not dropped may end with.
fn judge(function: &str, kwargs: &Bytes, outcome: Outcome) {
    match outcome {
        Ok(value) => {
            assert!(matches!(function, "leaf:echo" | "leaf:slow" | "leaf:tree"), "{function} gave a value");
            assert_eq!(&value, kwargs, "of {function}");
        }
        Err(error) => {
            let honest = error.is::<ActorDied>()
                || error.is::<ContextCancelled>()
                || error.is::<LimitExceeded>()
                || ["StartTimeout", "SpawnFailed", "NurseryClosed"].contains(&error.src_type.as_str())
                || (function == "leaf:tree" && error.is::<NurseryError>())
                || (function == "leaf:fail" && error.message == "no");
            assert!(honest, "{function} ended with {error}");
        }
    }
}

#[test]
fn every_call_ends_once_and_nothing_is_left() {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let schedules = prop::collection::vec(acts(), 0..40);
    let tried = TestRunner::new_with_rng(config, seed).run(&schedules, |acts| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut schedule = Schedule::new();
            for act in &acts {
                schedule.perform(act).await;
            }
            schedule.end().await;
        });
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}
