//! Streams and payloads that are far larger than what may be held of them.
//!
//! Owns: clause D6 by numbers of messages and by memory, and D7 and the second half of C13 beside
//! one large payload.

use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use greenroom::{CallOptions, Context, Limits, Outcome, StreamOptions, payload};
use greenroom_tests::{Memory, Options, Place, World, say, undisturbed, until};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::json;

/// How many messages are sent.
const MESSAGES: u64 = 1_000_000;

/// How long their receiver sleeps meanwhile.
const SLEEP: Duration = Duration::from_secs(10);

/// How many messages one side of a stream holds at most, by default.
const CAPACITY: u64 = 1024;

/// What one of them holds: a number, and what is needed to keep it in a queue.
const MESSAGE_BYTES: u64 = 64;

/// By how much the memory of a process may grow beyond that: buffers of sockets are the kernel's, so
/// what is left is what allocators keep for themselves. A million messages would be sixty times
/// as much.
const ALLOWANCE: u64 = 1 << 20;

/// How long between two looks at the memory.
const LOOK: Duration = Duration::from_millis(20);

/// The large payload.
const LARGE: usize = 256 << 20;

/// What small calls beside it may take, but for one in a hundred.
const QUICK: Duration = Duration::from_millis(5);

/// What the cancel of a context beside it may take until its task has ended.
const CANCEL: Duration = Duration::from_millis(20);

/// How many tasks wait to be cancelled, one every so often for as long as the payload moves.
const LINGERING: u32 = 200;
const BETWEEN: Duration = Duration::from_millis(20);

/// Of how many calls the slowest hundredth says something.
const ENOUGH: usize = 100;

/// What a call or a cancel took whose instance was lost: a machine that stalls for longer than the
/// grace makes a task look like one that will not end.
const LOST: Duration = Duration::MAX;

/// How often it is measured, where the machine stalls, and how long it is left alone in between.
const ATTEMPTS: u32 = 12;
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, Deserialize)]
struct Tally {
    received: u64,
    lost: u64,
    astray: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Poured {
    sent: u64,
    refused_at: Option<u64>,
    took_ms: u64,
    sink: Tally,
}

/// How much the memory of a process has grown, at the most. Pages of files are not counted: those
/// of a program become private when the last other process that runs it ends.
struct Growth {
    pid: i32,
    name: &'static str,
    before: u64,
    most: u64,
    /// When that was.
    peak: Instant,
    looks: u32,
}

impl Growth {
    fn since_now(world: &World, name: &'static str) -> Self {
        let pid = world.pid(name);
        let before = Memory::of(pid).expect("it is there").dirty;
        Self { pid, name, before, most: before, peak: Instant::now(), looks: 0 }
    }

    fn look(&mut self) {
        if let Some(memory) = Memory::of(self.pid) {
            if memory.dirty > self.most {
                (self.most, self.peak) = (memory.dirty, Instant::now());
            }
            self.looks += 1;
        }
    }

    fn bytes(&self) -> u64 {
        self.most - self.before
    }
}

/// Pours a million numbers into a sink that sleeps, and looks at the memory of both actors until the
/// last has arrived.
async fn pour(world: &World, policy: &str) -> Poured {
    let arguments = json!({
        "messages": MESSAGES,
        "policy": policy,
        "sleep_ms": u64::try_from(SLEEP.as_millis()).expect("a short time"),
    });
    let began = Instant::now();
    let mut pouring = pin!(world.call::<Poured>(&[], "flood:pour", &arguments));
    let warm = until("both are warm", SLEEP, async || {
        world.logged().iter().any(|line| line == "flood: warm").then_some(())
    });
    tokio::select! {
        early = &mut pouring => panic!("it ended before it began: {early:?}"),
        () = warm => {}
    }
    // It rests for half a second now.
    tokio::time::sleep(Duration::from_millis(250)).await;
    let mut both = ["root", "root/sink"].map(|name| Growth::since_now(world, name));
    let poured = loop {
        tokio::select! {
            poured = &mut pouring => break poured.expect("numbers can be poured"),
            () = tokio::time::sleep(LOOK) => both.iter_mut().for_each(Growth::look),
        }
    };
    for growth in &both {
        let Growth { name, looks, before, peak, .. } = growth;
        let (grown, before) = (growth.bytes() / 1024, before / 1024);
        let peak = peak.duration_since(began);
        say(&format!("`{name}` grew by {grown} KiB above {before} KiB, at {peak:?}, in {looks} looks"));
    }
    say(&format!("{poured:?} in {:?}", began.elapsed()));
    for growth in &both {
        // Many are of the time in which the sink slept, many of that after.
        assert!(growth.looks > 100, "{} looks at `{}`", growth.looks, growth.name);
        let allowed = CAPACITY * MESSAGE_BYTES + ALLOWANCE;
        assert!(growth.bytes() <= allowed, "`{}` grew by {} bytes", growth.name, growth.bytes());
    }
    poured
}

#[test]
fn d6_a_million_messages_wait_for_a_receiver_that_sleeps() {
    undisturbed(async |place| {
        let world = world(place).await;
        let poured = pour(&world, "Wait").await;
        assert_eq!((poured.sent, poured.refused_at), (MESSAGES, None));
        let Tally { received, lost, astray } = poured.sink;
        assert_eq!((received, lost, astray), (MESSAGES, 0, 0), "all of them, in their order");
        assert!(u128::from(poured.took_ms) >= SLEEP.as_millis(), "its sender waited: {poured:?}");
        world.end().await;
    });
}

#[test]
fn d6_a_sender_is_told_of_a_receiver_that_is_full() {
    undisturbed(async |place| {
        let world = world(place).await;
        let poured = pour(&world, "Error").await;
        assert_eq!((poured.sent, poured.refused_at), (CAPACITY, Some(CAPACITY)));
        let Tally { received, lost, astray } = poured.sink;
        assert_eq!((received, lost, astray), (CAPACITY, 0, 0), "what was accepted has arrived");
        assert!(u128::from(poured.took_ms) < SLEEP.as_millis() / 2, "nobody waited: {poured:?}");
        world.end().await;
    });
}

#[test]
fn d6_a_receiver_is_told_how_many_were_dropped() {
    undisturbed(async |place| {
        let world = world(place).await;
        let poured = pour(&world, "DropOldest").await;
        assert_eq!((poured.sent, poured.refused_at), (MESSAGES, None));
        let Tally { received, lost, astray } = poured.sink;
        assert_eq!(received + lost, MESSAGES, "to the last one");
        assert_eq!(astray, 0, "each gap is as large as it was told");
        assert!(lost > 0 && received >= CAPACITY, "{poured:?}");
        world.end().await;
    });
}

#[derive(Serialize)]
struct Swallow {
    bytes: ByteBuf,
}

fn nothing() -> Bytes {
    payload::encode(&json!({})).expect("it can be encoded").into()
}

/// A world with room for what is large.
async fn world(place: &Place) -> World {
    let (memory, payload) = (8 << 30, 1 << 30);
    let limits = Limits { memory, payload, copy: payload, queue: memory, ..Limits::default() };
    World::with(place, Options { limits, ..Options::default() }).await
}

/// What was measured beside a large payload: how many calls, the 99th percentile of them, and the
/// worst cancel.
#[derive(Debug)]
struct Beside {
    calls: usize,
    p99: Duration,
    worst: Duration,
}

impl Beside {
    fn is_undisturbed(&self) -> bool {
        self.calls >= ENOUGH && self.p99 < QUICK && self.worst < CANCEL
    }
}

/// Measures [`beside`] a large payload, again where it was too slow: a machine that has other work, or
/// must first find the memory, stalls whoever runs on it. What would hold up calls by itself does so
/// every time.
async fn holds_up_nobody(world: &World, message: &impl Serialize, large: impl AsyncFn(Bytes) -> Outcome) {
    let message = || payload::encode(message).expect("it can be encoded").into();
    let mut disturbed = Vec::new();
    for _ in 0..ATTEMPTS {
        let measured = beside(world, large(message())).await;
        if measured.is_undisturbed() {
            return;
        }
        disturbed.push(measured);
        tokio::time::sleep(PAUSE).await;
    }
    panic!("never as quick as {QUICK:?} a call and {CANCEL:?} a cancel: {disturbed:#?}");
}

/// Calls and cancels beside a large payload, over the same link, in another instance of the same
/// actor: from when it begins to move until the guest that takes it has answered.
async fn beside(world: &World, large: impl Future<Output = Outcome>) -> Beside {
    let root = world.root();
    let mut lingering = Vec::new();
    for _ in 0..LINGERING {
        let opened = root.open_context("faults/quick:linger", nothing(), CallOptions::default());
        lingering.push(opened.await.expect("it starts").0);
    }
    let (mut calls, mut cancels) = (Vec::new(), Vec::new());
    let began = Instant::now();
    let mut large = pin!(large);
    let length = loop {
        let due = began + BETWEEN * u32::try_from(cancels.len()).expect("a few") < Instant::now();
        let cancelled: Option<Context> = if due { lingering.pop() } else { None };
        let one = async {
            let began = Instant::now();
            if let Some(context) = cancelled {
                context.cancel().await.expect("its task can be cancelled");
                cancels.push(began.elapsed());
            }
            let began = Instant::now();
            let pinged = world.call::<()>(&[], "quick:ping", &json!({})).await;
            calls.push(pinged.map_or(LOST, |()| began.elapsed()));
        };
        let mut one = pin!(one);
        tokio::select! {
            biased;
            ended = &mut large => {
                // What was asked while it moved counts.
                one.await;
                break ended.expect("the guest takes it");
            }
            () = &mut one => {}
        }
    };
    let took = began.elapsed();
    assert_eq!(payload::decode::<usize>(&length), Ok(LARGE));
    calls.sort_unstable();
    cancels.sort_unstable();
    let p99 = calls[(calls.len() * 99).div_ceil(100) - 1];
    let worst = cancels.last().copied().unwrap_or(Duration::MAX);
    say(&format!(
        "beside {} MiB in {took:?}: {} calls, median {:?}, p99 {p99:?}, worst {:?}; {} cancels, median {:?}, \
         worst {worst:?}",
        LARGE >> 20,
        calls.len(),
        calls[calls.len() / 2],
        calls[calls.len() - 1],
        cancels.len(),
        cancels[cancels.len() / 2],
    ));
    // An instance that was lost takes those along that linger in it.
    if ![&calls, &cancels].iter().any(|times| times.contains(&LOST)) {
        let left = world.call::<u32>(&[], "quick:lingering", &json!({})).await;
        assert_eq!(
            left.map(|left| left as usize),
            Ok(lingering.len()),
            "those that were cancelled have ended"
        );
        for context in lingering {
            context.cancel().await.expect("its task can be cancelled");
        }
    }
    Beside { calls: calls.len(), p99, worst }
}

#[test]
fn c13_a_large_payload_holds_up_neither_calls_nor_a_cancel() {
    undisturbed(async |place| {
        let world = world(place).await;
        let swallow = Swallow { bytes: ByteBuf::from(vec![7; LARGE]) };
        holds_up_nobody(&world, &swallow, async |kwargs| {
            world.root().call("faults/flood:swallow", kwargs).await
        })
        .await;
        world.end().await;
    });
}

#[test]
fn d7_a_large_message_holds_up_neither_calls_nor_a_cancel() {
    undisturbed(async |place| {
        let world = world(place).await;
        let message = ByteBuf::from(vec![7; LARGE]);
        holds_up_nobody(&world, &message, async |message| {
            let opened = world.root().open_context("faults/flood:gulp", nothing(), CallOptions::default());
            let (context, _) = opened.await?;
            let stream = context.open_stream(StreamOptions::default())?;
            stream.send(message).await?;
            stream.close();
            context.wait_for_result().await
        })
        .await;
        world.end().await;
    });
}

#[test]
fn byte_strings_of_all_sizes_come_back_as_they_were() {
    undisturbed(async |place| {
        let world = world(place).await;
        let opened = world.root().open_context("faults/flood:mirror", nothing(), CallOptions::default());
        let (context, _) = opened.await.expect("it starts");
        let stream = context.open_stream(StreamOptions::default()).expect("opens");
        let sizes = [0, 1, 5 << 20, 23, 24, 1 << 20, 0xff, 0x100, 16_383, 16_384, 0, 0xffff, 0x1_0000, 17];
        // The second time, large ones are lent.
        let messages = [sizes; 2].concat().into_iter().map(|size| {
            let content = ByteBuf::from((0..size).map(|at| (at % 251) as u8).collect::<Vec<_>>());
            Bytes::from(payload::encode(&content).expect("it can be encoded"))
        });
        let messages: Vec<_> = messages.collect();
        let send = async {
            for message in &messages {
                stream.send(message.clone()).await.expect("it is taken");
            }
            stream.close();
        };
        let receive = async {
            for message in &messages {
                let received = stream.receive().await.expect("no failure");
                assert!(received.as_ref() == Some(message), "one of {} bytes", message.len());
            }
            assert_eq!(stream.receive().await, Ok(None));
        };
        let actor = world.pid("root");
        let shared = || Memory::of(actor).expect("it is there").shared;
        tokio::join!(send, receive);
        assert!(shared() > 3 << 19, "at least the largest was lent once, and half of that is its share");
        let given_back = || (shared() < 1 << 19).then_some(());
        until("the memory is given back", Duration::from_secs(10), async || given_back()).await;
        world.end().await;
    });
}
