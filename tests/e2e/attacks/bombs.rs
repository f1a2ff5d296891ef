//! Guests that take all they can get, of everything there is.
//!
//! Owns: that each is stopped, or held, within its bound, and that others are answered meanwhile.
//! Must not know: how a hog is made; see `tests/guests/hogs`.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use greenroom::{CallOptions, Limits, Portal, RemoteError, Rights, SpawnSpec, payload};
use greenroom_tests::kind::{ContextCancelled, DeadlineExceeded, LimitExceeded, SpawnFailed};
use greenroom_tests::{
    Attack, Memory, Options, Place, Wall, World, assert_page_tells, guest, say, undisturbed, until,
};
use serde::Serialize;
use serde_json::json;

/// A guest that takes too much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bomb {
    attack: Attack,
    pub(super) hog: Hog,
    end: End,
}

/// What is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hog {
    Heap,
    Tables,
    Strings,
    Stdout,
    Nothing,
    Start,
    Allocation,
    Export,
    Destructor,
    Recursion,
    Tasks,
    Streams,
    Spawns,
    Logs,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By itself, with an error of this type that has this among its words.
    Refused(&'static str, &'static str),
    /// At its deadline, as it has been let go on until then.
    Stopped,
    /// It returns, and has done no harm.
    Returns,
}

macro_rules! bombs {
    ($($id:literal $title:literal $hog:ident $wall:ident $end:expr;)*) => {
        pub(super) const BOMBS: &[Bomb] = &[$(
            Bomb {
                attack: Attack { id: $id, title: $title, walls: &[Wall::$wall], alone: &[Wall::$wall] },
                hog: Hog::$hog,
                end: $end,
            },
        )*];
    };
}

use End::{Refused, Returns, Stopped};

bombs! {
    "res-01" "allocate memory without end" Heap Limits Refused("LimitExceeded", "memory");
    "res-02" "grow tables without end" Tables Limits Refused("LimitExceeded", "");
    "res-03" "hand the host long texts without end" Strings Limits Stopped;
    "res-04" "write to standard output without end" Stdout Limits Stopped;
    "res-05" "write nothing to standard output, two hundred thousand times" Nothing Limits Returns;
    "res-06" "never end to start" Start Limits Stopped;
    "res-07" "never end to make room for an argument" Allocation Limits Stopped;
    "res-08" "never yield" Export Limits Stopped;
    "res-09" "never end to be dropped" Destructor Limits Stopped;
    "res-10" "call itself without end" Recursion Engine Refused("trap", "stack");
    "res-11" "have more tasks than there may be" Tasks Limits Returns;
    "res-12" "open streams that nobody reads" Streams Limits Stopped;
    "res-13" "start actors that start actors" Spawns Quotas Stopped;
    "res-14" "write to the log without end" Logs Limits Stopped;
}

/// The text components among the hogs.
const TEXTS: [(&str, &str); 3] = [
    ("start", include_str!("../../guests/hogs/wat/start.wat")),
    ("allocation", include_str!("../../guests/hogs/wat/allocation.wat")),
    ("tables", include_str!("../../guests/hogs/wat/tables.wat")),
];

/// How long a hog is let that ends at its deadline.
const DEADLINE: Duration = Duration::from_millis(1500);

/// How much later than that its caller may be told, on a machine that does much else.
const LATE: Duration = Duration::from_millis(50);

/// How long a hog may take that ends by itself.
const SOON: Duration = Duration::from_secs(1);

/// How long an answer to others may take beside it.
const ANSWER: Duration = Duration::from_secs(1);

/// How long a tree of actors takes to be ended.
const UNWIND: Duration = Duration::from_secs(2);

/// What an actor holds beside what its guests may.
const BESIDE: u64 = 64 << 20;

/// How much the broker may grow that had time to warm up: one part in so many, or this much.
const PART: u64 = 100;
const NOISE: u64 = 1 << 20;

/// How long until nothing is left of a hog that was stopped.
const SETTLE: Duration = Duration::from_millis(600);

/// How many tasks a hog wants, and how many it gets.
const TASKS_WANTED: u32 = 400;
const TASKS: usize = 100;

/// How many actors there may be in the tree of a fork bomb.
const TREE: usize = 24;

/// The memory of an actor's guests, as it is where nobody says otherwise.
const MEMORY: u64 = 64 << 20;

#[test]
fn the_page_tells_of_the_bombs() {
    let attacks: Vec<Attack> = BOMBS.iter().map(|bomb| bomb.attack).collect();
    assert_page_tells("res", BOMBS.len(), &attacks);
}

/// A host with a hog and its sibling.
pub(super) struct Sty {
    pub(super) world: World,
    pub(super) hog: Portal,
    pub(super) sibling: Portal,
}

impl Sty {
    pub(super) async fn new(place: &Place) -> Self {
        let folder = place.folder();
        let components = TEXTS.iter().map(|(name, text)| {
            let file = folder.join(format!("{name}.wasm"));
            std::fs::write(&file, wat::parse_str(text).expect("a component")).expect("a file");
            ((*name).to_owned(), file)
        });
        let mut components: Vec<_> = components.collect();
        components.push(("hogs".to_owned(), guest("hogs")));
        let limits =
            Limits { tasks: TASKS, actors: TREE, spawn: Duration::from_secs(2), ..Limits::default() };
        let world =
            World::empty(place, Options { components, limits, forgetful: true, ..Options::default() });
        let hog = ["hogs/hogs", "faults/quick", "allocation", "tables"];
        let hog = start(&world, "hog", &hog).await.expect("it starts");
        let sibling = start(&world, "sibling", &["faults/quick"]).await.expect("it starts");
        Self { world, hog, sibling }
    }

    /// Calls the sibling.
    pub(super) async fn ping(&self) {
        let nothing = payload::encode(&json!({})).expect("no arguments");
        self.sibling.call("faults/quick:ping", nothing.into()).await.expect("it answers");
    }

    /// Has the hog take what it takes, until its end or the deadline.
    pub(super) async fn take(&self, hog: Hog, deadline: Duration) -> Result<Vec<u8>, Box<RemoteError>> {
        match hog {
            Hog::Start => start(&self.world, "never", &["start"]).await.map(|_| Vec::new()),
            Hog::Heap => self.call("hogs/hogs:heap", &json!({}), deadline).await,
            Hog::Tables => self.call("tables:eat", &json!({}), deadline).await,
            Hog::Strings => self.call("hogs/hogs:strings", &json!({"mib": 4}), deadline).await,
            Hog::Stdout => self.call("hogs/hogs:stdout", &json!({}), deadline).await,
            Hog::Nothing => self.call("hogs/hogs:nothing", &json!({"writes": 200_000}), deadline).await,
            Hog::Allocation => self.call("allocation:take", &json!({"bytes": [1, 2, 3]}), deadline).await,
            Hog::Export => self.call("hogs/hogs:spin", &json!({}), deadline).await,
            Hog::Destructor => self.call("hogs/hogs:spin_in_drop", &json!({}), deadline).await,
            Hog::Recursion => self.call("hogs/hogs:recursion", &json!({}), deadline).await,
            Hog::Tasks => self.call("hogs/hogs:tasks", &json!({"count": TASKS_WANTED}), deadline).await,
            Hog::Streams => self.call("hogs/hogs:streams", &json!({}), deadline).await,
            Hog::Spawns => self.call("hogs/hogs:spawns", &json!({}), deadline).await,
            Hog::Logs => self.call("hogs/hogs:logs", &json!({}), deadline).await,
        }
    }

    async fn call(
        &self,
        function: &str,
        kwargs: &impl Serialize,
        deadline: Duration,
    ) -> Result<Vec<u8>, Box<RemoteError>> {
        let kwargs = payload::encode(kwargs).expect("arguments that can be encoded");
        let options = CallOptions { timeout: Some(deadline), ..CallOptions::default() };
        Ok(self.hog.call_with(function, kwargs.into(), options).await?.to_vec())
    }
}

async fn start(world: &World, name: &str, modules: &[&str]) -> Result<Portal, Box<RemoteError>> {
    let modules = modules.iter().map(|module| (*module).to_owned()).collect();
    let rights = Rights { discover: false, publish: false, ..Rights::all() };
    let spec = SpawnSpec { name: name.to_owned(), modules, rights, ..SpawnSpec::default() };
    world.host().nursery().start(spec, None).await
}

/// The slowest answers so far, and the most memory.
#[derive(Clone, Copy, Debug, Default)]
struct Beside {
    answers: u32,
    sibling: Duration,
    instance: Duration,
    memory: u64,
}

/// Calls an actor beside the hog, and another instance beside it in its own actor, again and again.
async fn beside(sty: &Sty, seen: &RefCell<Beside>) {
    let pid = sty.world.pid("hog");
    loop {
        for (portal, name) in [(&sty.sibling, "the sibling"), (&sty.hog, "the instance beside it")] {
            let began = Instant::now();
            let nothing = payload::encode(&json!({})).expect("no arguments");
            let answer = tokio::time::timeout(ANSWER, portal.call("faults/quick:ping", nothing.into())).await;
            assert!(matches!(answer, Ok(Ok(_))), "{name}: {answer:?}");
            let took = began.elapsed();
            let mut seen = seen.borrow_mut();
            seen.answers += 1;
            let slowest = if name == "the sibling" { &mut seen.sibling } else { &mut seen.instance };
            *slowest = took.max(*slowest);
            seen.memory = Memory::of(pid).map_or(0, |memory| memory.dirty).max(seen.memory);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn broker() -> u64 {
    let own = i32::try_from(std::process::id()).expect("a process has a number");
    Memory::of(own).expect("it is there").dirty
}

/// Sets off a bomb, and gives what its caller was told, and when.
async fn set_off(sty: &Sty, bomb: &Bomb) -> (Result<Vec<u8>, Box<RemoteError>>, Duration) {
    let id = bomb.attack.id;
    let seen = RefCell::default();
    let deadline = if bomb.end == Returns { DEADLINE * 4 } else { DEADLINE };
    let began = Instant::now();
    let outcome = tokio::select! {
        outcome = sty.take(bomb.hog, deadline) => outcome,
        () = beside(sty, &seen) => unreachable!("it goes on for ever"),
    };
    let took = began.elapsed();
    let Beside { answers, sibling, instance, memory } = seen.into_inner();
    say(&format!("{id}: {took:?}, {answers} answers, {sibling:?}, {instance:?}, {} MiB", memory >> 20));
    assert!(answers > 0, "{id}");
    assert!(memory < MEMORY + BESIDE, "{id}: its actor held {memory} bytes");
    (outcome, took)
}

#[test]
fn every_bomb_is_stopped_and_others_are_answered() {
    undisturbed(async |place| {
        let sty = Sty::new(place).await;
        for bomb in BOMBS.iter().filter(|bomb| bomb.hog != Hog::Spawns) {
            let (id, pid) = (bomb.attack.id, sty.world.pid("hog"));
            let (outcome, took) = set_off(&sty, bomb).await;
            match bomb.end {
                Refused(kind, word) => {
                    let error = outcome.expect_err("it is refused");
                    assert_eq!(error.src_type, kind, "{id}: {error}");
                    assert!(error.message.contains(word), "{id}: {error}");
                    assert!(took < SOON, "{id}: {took:?}");
                }
                Stopped if bomb.hog == Hog::Start => {
                    let error = outcome.expect_err("it does not come up");
                    assert!(error.is::<SpawnFailed>() || error.is::<LimitExceeded>(), "{id}: {error}");
                }
                // What it is refused may come before.
                Stopped if bomb.hog == Hog::Streams && outcome.is_ok() => {
                    returned(bomb, &outcome.unwrap_or_default());
                }
                Stopped => {
                    let error = outcome.expect_err("it is stopped");
                    assert!(
                        error.is::<DeadlineExceeded>()
                            || error.is::<LimitExceeded>()
                            || error.is::<ContextCancelled>(),
                        "{id}: {error}"
                    );
                    assert!(took < DEADLINE + LATE * 4, "{id}: {took:?}");
                }
                Returns => returned(bomb, &outcome.unwrap_or_else(|error| panic!("{id}: {error}"))),
            }
            tokio::time::sleep(SETTLE).await;
            assert_eq!(sty.world.pid("hog"), pid, "{id}: its actor goes on");
        }
        sty.world.end().await;
    });
}

/// What a hog says that ends well.
fn returned(bomb: &Bomb, value: &[u8]) {
    match bomb.hog {
        Hog::Tasks => {
            let refused: Vec<String> = payload::decode(value).expect("what became of some");
            let [refused] = refused.as_slice() else { panic!("{refused:?}") };
            assert!(refused.contains("tasks") && refused.contains(&TASKS.to_string()), "{refused}");
        }
        Hog::Streams => {
            let refused: String = payload::decode(value).expect("what ended it");
            assert!(refused.contains("LimitExceeded"), "{refused}");
        }
        _ => {}
    }
}

#[test]
fn a_fork_bomb_keeps_within_its_quota_and_is_gone_in_time() {
    undisturbed(async |place| {
        let sty = Sty::new(place).await;
        let most = RefCell::new(0);
        let count = async {
            loop {
                let now = sty.world.processes().len();
                most.replace_with(|most| now.max(*most));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let seen = RefCell::default();
        tokio::select! {
            ended = sty.take(Hog::Spawns, DEADLINE * 2) => { ended.expect_err("it is stopped at its deadline"); }
            () = beside(&sty, &seen) => unreachable!("it goes on for ever"),
            () = count => unreachable!("so does this"),
        }
        until("its tree is gone", UNWIND, async || (sty.world.processes().len() == 2).then_some(())).await;
        say(&format!("{} actors at most; {:?}", most.borrow(), seen.borrow()));
        assert!(*most.borrow() <= TREE, "{} actors", most.borrow());
        assert!(*most.borrow() > 4, "it has started some");
        sty.world.end().await;
    });
}

#[test]
fn floods_do_not_grow_the_broker() {
    undisturbed(async |place| {
        let sty = Sty::new(place).await;
        for hog in [Hog::Stdout, Hog::Logs, Hog::Nothing, Hog::Strings] {
            // All buffers are as large as they become.
            let warm = sty.take(hog, DEADLINE).await;
            assert!(
                warm.as_ref().err().is_none_or(|error| error.is::<DeadlineExceeded>()),
                "{hog:?}: {warm:?}"
            );
            // An instance that will not yield is given up after the grace.
            tokio::time::sleep(SETTLE).await;
            let before = broker();
            let began = Instant::now();
            let outcome = sty.take(hog, DEADLINE * 2).await;
            assert!(outcome.as_ref().err().is_none_or(|error| error.is::<DeadlineExceeded>()), "{outcome:?}");
            tokio::time::sleep(SETTLE).await;
            let (after, took) = (broker(), began.elapsed());
            let grown = after.saturating_sub(before);
            say(&format!("{hog:?}: {} KiB above {} KiB in {took:?}", grown / 1024, before / 1024));
            assert!(grown <= (before / PART).max(NOISE), "{hog:?}: it grew by {grown} bytes above {before}");
        }
        sty.world.end().await;
    });
}
