//! Actors that wait for each other, and ask who there is.
//!
//! Owns: E2. Must not know: how the broker looks for names. Invariant of what is tested: a wait that
//! nobody is interested in any more is forgotten everywhere.

use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{DeadlineExceeded, Exit};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_transport::{Channel, memory_channel, memory_pipe};
use greenroom_wire::control::{self, ActorEntry, Limits, ToActor, ToBroker};
use tokio::time::Instant;

use super::kit::*;
use crate::{Actor, CallOptions, Idle, Portal};

const SECOND: Duration = Duration::from_secs(1);

fn library() -> Library {
    Library::default()
        .with("leaf:who", |task, _| async move { value(task.caller()) })
        .with("leaf:seek", |task, kwargs| async move {
            let (name, timeout): (String, Option<Duration>) = arguments(&kwargs);
            let found = task.wait_for_actor(&name, timeout).await?;
            value(found.map(|portal| portal.peer()))
        })
        .with("leaf:leave", |task, _| async move {
            let left = task.clone();
            tokio::spawn(async move { left.wait_for_actor("nobody", None).await });
            tokio::time::sleep(SECOND).await;
            value(())
        })
}

/// Lets everything happen that can happen now.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

async fn one() -> (World, Portal, Actor) {
    let world = World::new(library());
    let portal = world.daemon("one", &["leaf"]).await;
    let actor = world.actor(&portal);
    (world, portal, actor)
}

fn abandoned(world: &World) -> usize {
    world.broker.journal().lines().iter().filter(|line| *line == "abandoned a search").count()
}

fn names(entries: &[ActorEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.id.name.as_str()).collect()
}

fn seek(name: &str, timeout: Option<Duration>) -> Bytes {
    kwargs("what", (name, timeout))
}

#[tokio::test(start_paused = true)]
async fn e2_who_is_waited_for_is_found_once_it_can_be_called() {
    let (world, _, one) = one().await;
    world.broker.set_startup(SECOND);
    let waiting = [None, Some(5 * SECOND)].map(|timeout| {
        let one = one.clone();
        tokio::spawn(async move { one.wait_for_actor("two", timeout).await })
    });
    tokio::time::sleep(2 * SECOND).await;
    let began = Instant::now();
    let two = world.daemon("two", &["leaf"]).await;
    for waiting in waiting {
        let found = waiting.await.expect("no panic").expect("is answered").expect("is found");
        assert_eq!(found.peer(), two.peer());
        assert_eq!(found.call("leaf:who", Bytes::new()).await, value(one.id()));
    }
    assert!(began.elapsed() < SECOND + SECOND / 10, "{:?}", began.elapsed());
    let found = one.wait_for_actor("two", None).await.expect("is answered").expect("is there already");
    assert_eq!(found.peer(), two.peer());
    assert_eq!(abandoned(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn e2_a_bounded_wait_gives_none_in_time() {
    let (world, _, one) = one().await;
    let (began, memory) = (Instant::now(), one.memory());
    assert!(one.wait_for_actor("one", Some(SECOND)).await.expect("is answered").is_none(), "not itself");
    assert!((SECOND..SECOND + SECOND / 10).contains(&began.elapsed()), "{:?}", began.elapsed());
    pause().await;
    assert_eq!((abandoned(&world), one.memory()), (1, memory));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_is_forgotten() {
    let (world, _, one) = one().await;
    let memory = one.memory();
    for _ in 0..3 {
        let mut waiting = Box::pin(one.wait_for_actor("two", None));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        pause().await;
    }
    pause().await;
    assert_eq!((abandoned(&world), one.memory()), (3, memory));
    // Whoever comes now is introduced to nobody.
    let two = world.daemon("two", &["leaf"]).await;
    pause().await;
    assert_eq!(world.actor(&two).open_links(), 1, "its parent's");
}

#[tokio::test(start_paused = true)]
async fn e2_a_wait_ends_with_its_task() {
    let (world, portal, _) = one().await;
    // Its deadline is the task's.
    let call = CallOptions { timeout: Some(SECOND), within: None };
    let late = portal.call_with("leaf:seek", seek("two", Some(5 * SECOND)), call).await;
    assert!(late.expect_err("nobody comes").is::<DeadlineExceeded>());
    pause().await;
    assert_eq!(abandoned(&world), 1);
    // One that its task leaves behind ends with it.
    assert_eq!(portal.call("leaf:leave", Bytes::new()).await, value(()));
    pause().await;
    assert_eq!(abandoned(&world), 2);
    // As long as neither is over it goes on.
    assert_eq!(portal.call("leaf:seek", seek("two", Some(SECOND))).await, value(None::<ActorId>));
    let found = portal.call("leaf:seek", seek("two", None));
    pause().await;
    let two = world.daemon("two", &["leaf"]).await;
    assert_eq!(found.await, value(Some(two.peer())));
}

#[tokio::test(start_paused = true)]
async fn e2_all_who_can_be_called_are_listed_in_their_order() {
    let (world, _, one) = one().await;
    let two = world.daemon("two", &["leaf"]).await;
    let twin = world.daemon("two", &["leaf"]).await;
    let again = world.daemon("one", &["leaf"]).await;
    let all = one.list_actors().await.expect("is answered");
    assert_eq!(names(&all), ["one", "two", "two", "one"]);
    assert_eq!([&all[1].id, &all[2].id], [&two.peer(), &twin.peer()]);
    let query = async |name: &str| one.query_actor(name).await.expect("is answered").map(|entry| entry.id);
    assert_eq!(query("two").await, Some(two.peer()));
    assert_eq!(query("one").await, Some(again.peer()), "whom it would find, so not itself");
    assert_eq!(query("three").await, None);
    two.cancel_actor().await.expect("ends");
    assert_eq!(query("two").await, Some(twin.peer()));
    assert!(world.broker.journal().lines().iter().all(|line| !line.starts_with("introduced")));
}

/// An actor whose broker is played by the test.
fn alone() -> (Actor, Channel) {
    let (actor, outbox) = Actor::new(identity("one"), Limits::default(), Box::new(Idle));
    let (ours, theirs) = memory_channel();
    let running = actor.clone();
    tokio::spawn(async move { running.run(theirs, outbox).await });
    (actor, ours)
}

async fn heard(channel: &Channel) -> ToBroker {
    let packet = channel.receive().await.expect("receives").expect("a message");
    control::decode(&packet.bytes).expect("a request")
}

#[tokio::test(start_paused = true)]
async fn only_so_many_lists_are_under_way_at_once() {
    let (actor, channel) = alone();
    let asked = || {
        let actor = actor.clone();
        tokio::spawn(async move { actor.list_actors().await })
    };
    let (abandoned, kept) = (asked(), [(); 7].map(|()| asked()));
    pause().await;
    // That nobody waits for one any more does not make it shorter.
    abandoned.abort();
    let mut requests = Vec::new();
    let (mut answered, mut open) = (0, 0);
    while answered < 8 {
        while let Ok(asked) = tokio::time::timeout(SECOND, heard(&channel)).await {
            let ToBroker::List { request, name: None } = asked else { panic!("a list, not {asked:?}") };
            requests.push(request);
            open += 1;
        }
        assert!((1..=4).contains(&open), "{open} at once");
        let request = requests.remove(0);
        let gone = RemoteError::new("Oops", "on purpose");
        let listed = ToActor::Listed { request, result: Err(Box::new(gone)), more: false };
        channel.send(packet(&listed, Vec::new())).await.expect("sends");
        (answered, open) = (answered + 1, open - 1);
    }
    for list in kept {
        assert_eq!(list.await.expect("no panic").expect_err("is told").src_type, "Oops");
    }
}

#[tokio::test(start_paused = true)]
async fn the_broker_hears_of_every_pipe_that_is_taken() {
    let (actor, channel) = alone();
    let asking = actor.clone();
    let found = tokio::spawn(async move { asking.find_actor("two").await });
    let ToBroker::Find { request, wait: false, .. } = heard(&channel).await else { panic!("a question") };
    let say = async |message: ToActor, pipes: usize| {
        let pipes = (0..pipes).map(|_| memory_pipe().0).collect();
        channel.send(packet(&message, pipes)).await.expect("sends");
    };
    say(ToActor::Introduced { actor: id("three") }, 1).await;
    assert_eq!(heard(&channel).await, ToBroker::Taken);
    say(ToActor::Found { request, result: Ok(Some(id("two"))) }, 1).await;
    assert_eq!(heard(&channel).await, ToBroker::Taken);
    assert_eq!(found.await.expect("no panic").expect("is answered").expect("is found").peer(), id("two"));
    // Also of one that comes too late, but not of an answer without.
    say(ToActor::Found { request: 99, result: Ok(Some(id("four"))) }, 1).await;
    assert_eq!(heard(&channel).await, ToBroker::Taken);
    say(ToActor::FoundBeyond { request: 97, actor: id("five") }, 1).await;
    assert_eq!(heard(&channel).await, ToBroker::Taken);
    say(ToActor::Found { request: 98, result: Ok(None) }, 0).await;
    assert!(tokio::time::timeout(SECOND, heard(&channel)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn of_whom_was_found_in_another_tree_the_end_of_the_link_is_all_there_is() {
    let (actor, channel) = alone();
    let asking = actor.clone();
    let found = tokio::spawn(async move { asking.wait_for_actor("two", None).await });
    let ToBroker::Find { request, wait: true, .. } = heard(&channel).await else { panic!("a question") };
    let (near, far) = memory_pipe();
    let message = ToActor::FoundBeyond { request, actor: id("two") };
    channel.send(packet(&message, vec![near])).await.expect("sends");
    let portal = found.await.expect("no panic").expect("is answered").expect("is found");
    let call = portal.call("leaf:who", Bytes::new());
    let closed = tokio::spawn(portal.closed());
    pause().await;
    assert!(!closed.is_finished());
    let began = Instant::now();
    drop(far);
    assert_eq!(died(&call.await), Some(Exit::Unknown));
    assert_eq!(closed.await.expect("no panic"), Exit::Unknown);
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
}
