//! Random faults beneath random contexts, calls and streams.
//!
//! Owns: a tree of actors that start, find and lose each other, and what is done at random to them
//! and to the pipes between them. Must not know: what order things happen in. Invariant of what is
//! tested: every context ends exactly once with an outcome that is honest, what a receiver sees has
//! no unknown gaps, and at the end nothing is left.
//!
//! Every schedule has a number, from which all that is done follows; of what then happens in the
//! same moment, tokio has a say in the order. `GREENROOM_SCHEDULES=17` runs one alone, several times;
//! `GREENROOM_SCHEDULES=1000..5000` runs others than usual.

mod players;
mod script;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::Exit;
use greenroom_wire::control::Limits;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::kit::*;
use crate::dialog::census;
use crate::{Nursery, Portal, Restart, Supervision};
use players::{FUNCTION, Ledger};
use script::{Script, script};

/// The schedules that are tried.
const SCHEDULES: Range<u64> = 0..1000;

/// Where others are asked for.
const VARIABLE: &str = "GREENROOM_SCHEDULES";

/// How often one is run that is asked for alone.
const REPLAYS: usize = 20;

/// How many names the actors share.
const NAMES: usize = 3;

/// What is done next; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Act {
    Start {
        supervised: bool,
        restart: Option<Restart>,
    },
    /// Opens a context, or calls.
    Open {
        whom: usize,
        script: Box<Script>,
    },
    /// Drops the handles of a context, wherever it is.
    Drop {
        which: usize,
    },
    /// One looks for another, so often at once.
    Find {
        finder: usize,
        name: usize,
        times: usize,
    },
    DropPortal {
        which: usize,
    },
    Kill {
        whom: usize,
    },
    Stop {
        whom: usize,
    },
    /// Does something to one of the pipes that an actor has.
    Pipe {
        whom: usize,
        which: usize,
        fault: Fault,
    },
    CancelActor {
        whom: usize,
    },
    AskToEnd {
        whom: usize,
    },
    Notice(Word),
    /// The next starts of a name fail.
    Refuse {
        name: usize,
        times: usize,
    },
    Abandon,
    Pass {
        ms: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Delay { ms: u64 },
    Cut,
    Lose,
}

/// How the broker tells of exits from now on.
#[derive(Clone, Copy, Debug)]
enum Word {
    AtOnce,
    Late { ms: u64 },
    Never,
}

fn faults() -> impl Strategy<Value = Act> {
    let any = any::<usize>();
    let fault = prop_oneof![
        3 => (0..200u64).prop_map(|ms| Fault::Delay { ms }),
        1 => Just(Fault::Cut),
        1 => Just(Fault::Lose),
    ];
    let word =
        prop_oneof![Just(Word::AtOnce), (0..200u64).prop_map(|ms| Word::Late { ms }), Just(Word::Never)];
    prop_oneof![
        2 => any.prop_map(|whom| Act::Kill { whom }),
        1 => any.prop_map(|whom| Act::Stop { whom }),
        6 => (any, any, fault).prop_map(|(whom, which, fault)| Act::Pipe { whom, which, fault }),
        2 => any.prop_map(|whom| Act::CancelActor { whom }),
        1 => any.prop_map(|whom| Act::AskToEnd { whom }),
        1 => word.prop_map(Act::Notice),
        1 => (0..NAMES, 0..3usize).prop_map(|(name, times)| Act::Refuse { name, times }),
        1 => Just(Act::Abandon),
    ]
}

/// Anything; `harm` is how likely a fault is.
fn acts(harm: u32) -> impl Strategy<Value = Act> {
    use Restart::{Permanent, Temporary, Transient};
    let any = any::<usize>();
    let restart = prop::sample::select(vec![None, Some(Permanent), Some(Transient), Some(Temporary)]);
    let started = (prop::bool::ANY, restart);
    let opened = (any, script());
    prop_oneof![
        4 => started.prop_map(|(supervised, restart)| Act::Start { supervised, restart }),
        14 => opened.prop_map(|(whom, script)| Act::Open { whom, script: Box::new(script) }),
        2 => any.prop_map(|which| Act::Drop { which }),
        4 => (any, 0..NAMES, 1..3usize).prop_map(|(finder, name, times)| Act::Find { finder, name, times }),
        1 => any.prop_map(|which| Act::DropPortal { which }),
        7 => prop_oneof![8 => 0..60u64, 1 => 0..1500u64].prop_map(|ms| Act::Pass { ms }),
        harm => faults(),
    ]
}

fn rules() -> impl Strategy<Value = Supervision> {
    use crate::Strategy::{OneForAll, OneForOne, RestForOne};
    let strategies = prop::sample::select(vec![OneForOne, RestForOne, OneForAll]);
    (strategies, 0..6u32).prop_map(|(strategy, intensity)| Supervision {
        strategy,
        intensity,
        ..Supervision::default()
    })
}

/// All that a schedule is.
#[derive(Clone, Debug)]
struct Plan {
    rules: Supervision,
    acts: Vec<Act>,
    /// Whether all is left alone for a while in the end.
    lingers: bool,
}

fn plans() -> impl Strategy<Value = Plan> {
    let acts =
        prop::sample::select(vec![0, 1, 6]).prop_flat_map(|harm| prop::collection::vec(acts(harm), 5..50));
    (rules(), acts, any::<bool>()).prop_map(|(rules, acts, lingers)| Plan { rules, acts, lingers })
}

/// The schedule of that number.
fn plan(number: u64) -> Plan {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let config = Config { failure_persistence: None, ..Config::default() };
    plans().new_tree(&mut TestRunner::new_with_rng(config, seed)).expect("nothing is filtered").current()
}

fn name(number: usize) -> String {
    format!("leaf_{}", number % NAMES)
}

struct Schedule {
    world: World,
    nursery: Nursery,
    supervised: Nursery,
    running: Running,
    ledger: Ledger,
    portals: Vec<Portal>,
    found: Arc<Mutex<Vec<Portal>>>,
    callers: Vec<JoinHandle<()>>,
    finds: Vec<JoinHandle<()>>,
    started: usize,
    /// How many dialogs and tasks of the runtime there were before all this.
    base: (i64, usize),
}

impl Schedule {
    async fn new(rules: Supervision) -> Self {
        let (running, ledger) = (Running::default(), Ledger::default());
        let (counted, known) = (running.clone(), ledger.clone());
        let library = Library::default().with(FUNCTION, move |task, kwargs| {
            let run = counted.begin();
            let played = players::callee(known.clone(), task, kwargs);
            async move {
                let outcome = played.await;
                drop(run);
                outcome
            }
        });
        let world = World::within(library, Limits { tasks: 8, ..Limits::default() });
        world.broker.set_startup(Duration::from_millis(10));
        sleep(Duration::from_millis(1)).await;
        let base = (census::alive(), Handle::current().metrics().num_alive_tasks());
        let (nursery, supervised) = (world.nursery(), world.supervised(rules));
        Self {
            world,
            nursery,
            supervised,
            running,
            ledger,
            portals: Vec::new(),
            found: Arc::default(),
            callers: Vec::new(),
            finds: Vec::new(),
            started: 0,
            base,
        }
    }

    async fn perform(&mut self, act: Act) {
        match act {
            Act::Start { supervised, restart } => {
                let scope = if supervised { &self.supervised } else { &self.nursery };
                let start = scope.start_with(spec(&name(self.started), &["leaf"]), None, restart);
                self.portals.extend(start.await.ok());
                self.started += 1;
            }
            Act::Open { whom, script } => {
                let Some(portal) = self.chosen(whom) else { return };
                let line = self.ledger.enter(*script);
                self.callers.push(tokio::spawn(players::caller(line, portal)));
            }
            Act::Drop { which } => {
                if !self.callers.is_empty() {
                    self.callers.swap_remove(which % self.callers.len()).abort();
                }
            }
            Act::Find { finder, name: wanted, times } => {
                let finder = self.chosen(finder).and_then(|portal| self.world.broker.actor(&portal.peer()));
                let finder = finder.unwrap_or_else(|| self.world.operator.clone());
                for _ in 0..times {
                    let (finder, found) = (finder.clone(), self.found.clone());
                    self.finds.push(tokio::spawn(async move {
                        // One that has been stopped is told nothing.
                        let find = timeout(Duration::from_secs(1), finder.find_actor(&name(wanted))).await;
                        found.lock().expect("not poisoned").extend(find.ok().and_then(Result::ok).flatten());
                    }));
                }
            }
            Act::DropPortal { which } => {
                let mut found = self.found.lock().expect("not poisoned");
                if !found.is_empty() {
                    let which = which % found.len();
                    found.swap_remove(which);
                }
            }
            Act::Pass { ms } => sleep(Duration::from_millis(ms)).await,
            fault => {
                self.ledger.harm();
                self.inflict(fault);
            }
        }
    }

    fn inflict(&mut self, act: Act) {
        let broker = self.world.broker.clone();
        match act {
            Act::Kill { whom } => {
                self.chosen(whom).inspect(|portal| broker.kill(&portal.peer(), Exit::Signal(9)));
            }
            Act::Stop { whom } => {
                self.chosen(whom).inspect(|portal| broker.stop(&portal.peer()));
            }
            Act::Pipe { whom, which, fault } => {
                let Some(portal) = self.chosen(whom) else { return };
                let cables = broker.cables(&portal.peer());
                let Some(cable) = which.checked_rem(cables.len()).map(|which| &cables[which]) else { return };
                match fault {
                    Fault::Delay { ms } => cable.delay(Duration::from_millis(ms)),
                    Fault::Cut => cable.cut(),
                    Fault::Lose => cable.lose(),
                }
            }
            Act::CancelActor { whom } => {
                let Some(portal) = self.chosen(whom) else { return };
                let all = self.portals.len() + self.found.lock().expect("not poisoned").len();
                let owned = whom % all < self.portals.len();
                let ledger = self.ledger.clone();
                tokio::spawn(async move {
                    // Who has only found it may not; who was killed meanwhile is not answered.
                    let ended = timeout(Duration::from_secs(3), portal.cancel_actor()).await;
                    if owned && ended != Ok(Ok(())) {
                        ledger.wrong(format!("an owner cannot cancel {}: {ended:?}", portal.peer()));
                    }
                });
            }
            Act::AskToEnd { whom } => {
                self.chosen(whom).map(|portal| tokio::spawn(portal.call("self:cancel", Bytes::new())));
            }
            Act::Notice(word) => broker.set_notice(match word {
                Word::AtOnce => Notice::AtOnce,
                Word::Late { ms } => Notice::Late(Duration::from_millis(ms)),
                Word::Never => Notice::Never,
            }),
            Act::Refuse { name: number, times } => broker.refuse_next(&name(number), times),
            Act::Abandon => {
                self.nursery.abandon();
                self.nursery = self.world.nursery();
            }
            other => panic!("no fault: {other:?}"),
        }
    }

    /// One of the portals, whoever has it.
    fn chosen(&self, whom: usize) -> Option<Portal> {
        let found = self.found.lock().expect("not poisoned");
        let all: Vec<_> = self.portals.iter().chain(found.iter()).collect();
        Some(all[whom.checked_rem(all.len())?].clone())
    }

    /// Ends everything and sees that nothing is left of it.
    async fn end(mut self) {
        self.ledger.harm();
        let cancels = futures_util::future::join(self.nursery.cancel(), self.supervised.cancel());
        let _ = timeout(Duration::from_secs(2), cancels).await.expect("the nurseries end");
        self.world.settle().await;
        for task in self.callers.drain(..).chain(self.finds.drain(..)) {
            timeout(Duration::from_secs(20), task).await.expect("it ends").expect("no panic");
        }
        for portal in self.portals.drain(..) {
            let called = timeout(Duration::from_millis(1), portal.call(FUNCTION, Bytes::new())).await;
            assert!(died(&called.expect("fails at once")).is_some());
        }
        self.found.lock().expect("not poisoned").clear();
        let Self { world, nursery, supervised, running, ledger, base, .. } = self;
        drop((nursery, supervised));
        // The tasks of the killed see the end of their links, and the stubborn their grace. The broker
        // has long climbed all its ladders by then.
        sleep(Duration::from_secs(4)).await;
        assert_eq!(ledger.wrongs(), [""; 0]);
        for (number, (outcomes, runs)) in ledger.counts().into_iter().enumerate() {
            assert!(outcomes <= 1 && runs <= 1, "context {number}: {outcomes} outcomes of {runs} tasks");
        }
        assert_eq!(running.count(), 0, "tasks of actors still run");
        let left = (census::alive(), Handle::current().metrics().num_alive_tasks());
        assert_eq!(left, base, "dialogs, and tasks of the runtime");
        world.daemon("sweeper", &["leaf"]).await;
        let memory = world.operator.memory();
        assert!(memory <= 2, "the sweeper is one peer and one link, but {memory} things are remembered");
    }
}

fn run(Plan { rules, acts, lingers }: Plan) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut schedule = Schedule::new(rules).await;
        for act in acts {
            schedule.perform(act).await;
        }
        if lingers {
            sleep(Duration::from_secs(1)).await;
        }
        schedule.end().await;
    });
}

/// Which schedules are wanted.
fn wanted() -> Vec<u64> {
    let Ok(wanted) = std::env::var(VARIABLE) else { return SCHEDULES.collect() };
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("{VARIABLE} is `17` or `0..99`"));
    match wanted.split_once("..") {
        Some((from, to)) => (number(from)..number(to)).collect(),
        None => vec![number(&wanted); REPLAYS],
    }
}

#[test]
fn c6_every_context_ends_once_under_1000_fault_schedules() {
    for number in wanted() {
        // What has gone wrong is told by the panic that is caught here.
        if catch_unwind(AssertUnwindSafe(|| run(plan(number)))).is_err() {
            panic!("schedule {number} fails; {VARIABLE}={number} runs it alone: {:?}", plan(number));
        }
    }
}
