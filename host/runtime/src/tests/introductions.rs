//! Actors that find each other by name.
//!
//! Owns: E1, and what a link between two of whom neither started the other is good for. Must not
//! know: how the broker makes pipes. Invariant of what is tested: such a link gives calls, and
//! nothing else.

use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::RemoteError;
use greenroom_abi::kind::{ActorDied, ContextCancelled, Exit, PermissionDenied};
use tokio::time::Instant;

use super::kit::*;
use crate::{Actor, Portal, broker_gone};

fn library() -> Library {
    Library::default()
        .with("leaf:wait", |task, _| forever(task))
        .with("leaf:who", |task, _| async move { value(task.caller()) })
        .with("leaf:seven", |_, _| async { value(7) })
        .with("leaf:tidy", |task, _| async move {
            task.cancelled().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            value("tidied up")
        })
}

/// A daemon of the library, the portal its owner has and the actor itself.
async fn leaf(world: &World, name: &str) -> (Portal, Actor) {
    let portal = world.daemon(name, &["leaf"]).await;
    let actor = world.actor(&portal);
    (portal, actor)
}

async fn find(actor: &Actor, name: &str) -> Portal {
    actor.find_actor(name).await.expect("is answered").expect("is found")
}

async fn nobody(actor: &Actor, name: &str) {
    assert!(actor.find_actor(name).await.expect("is answered").is_none(), "`{name}` is found");
}

/// Lets everything happen that can happen now.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Each of the two is a daemon of the operator's own, so that neither owns the other.
async fn siblings() -> (World, Actor, (Portal, Actor)) {
    let world = World::new(library());
    let (_, one) = leaf(&world, "one").await;
    let two = leaf(&world, "two").await;
    (world, one, two)
}

#[tokio::test(start_paused = true)]
async fn e1_an_actor_is_found_by_its_name() {
    let (_world, one, (two, _)) = siblings().await;
    let found = find(&one, "two").await;
    assert_eq!(found.peer(), two.peer());
    assert_eq!(found.call("leaf:who", Bytes::new()).await, value(one.id()));
    let back = found.wait_for_result().await.expect_err("it is no one-shot of the finder's");
    assert_eq!(back.src_type, "NoResult");
}

#[tokio::test(start_paused = true)]
async fn who_is_not_there_is_not_found() {
    let (world, one, _) = siblings().await;
    nobody(&one, "three").await;
    nobody(&one, "operator").await;
    nobody(&one, "one").await;
    // Another of its own name is not itself.
    let (other, _) = leaf(&world, "one").await;
    assert_eq!(find(&one, "one").await.peer(), other.peer());
}

#[tokio::test(start_paused = true)]
async fn of_several_the_one_that_was_ready_first_is_found() {
    let world = World::new(library());
    let (_, one) = leaf(&world, "one").await;
    world.broker.set_startup(Duration::from_secs(1));
    let nursery = world.nursery();
    let slow = tokio::spawn(async move { nursery.start(spec("two", &["leaf"]), None).await });
    pause().await;
    nobody(&one, "two").await;
    world.broker.set_startup(Duration::ZERO);
    let (quick, _) = leaf(&world, "two").await;
    let slow = slow.await.expect("no panic").expect("starts");
    assert_eq!(find(&one, "two").await.peer(), quick.peer());
    quick.cancel_actor().await.expect("ends");
    assert_eq!(find(&one, "two").await.peer(), slow.peer());
}

#[tokio::test(start_paused = true)]
async fn who_is_being_ended_is_not_found() {
    let (_world, one, (two, _)) = siblings().await;
    let tidy = two.call("leaf:tidy", Bytes::new());
    pause().await;
    let ending = tokio::spawn(async move { two.cancel_actor().await });
    pause().await;
    nobody(&one, "two").await;
    assert_eq!(tidy.await, value("tidied up"), "it was still alive");
    ending.await.expect("no panic").expect("ends");
    nobody(&one, "two").await;
}

#[tokio::test(start_paused = true)]
async fn an_exit_is_told_to_all_who_have_a_pipe() {
    let (world, one, (two, _)) = siblings().await;
    let (_, three) = leaf(&world, "three").await;
    let (from_one, from_three) = (find(&one, "two").await, find(&three, "two").await);
    let calls = [&from_one, &from_three, &two].map(|portal| portal.call("leaf:wait", Bytes::new()));
    pause().await;
    world.broker.kill(&two.peer(), Exit::Signal(9));
    for call in calls {
        assert_eq!(died(&call.await), Some(Exit::Signal(9)));
    }
    for portal in [from_one, from_three] {
        let error = portal.call("leaf:seven", Bytes::new()).await.expect_err("is dead");
        assert_eq!(error.kind(), Some(ActorDied { actor: two.peer().clone(), exit: Exit::Signal(9) }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_finders_death_cancels_its_tasks() {
    let (world, one, (two, actor)) = siblings().await;
    let found = find(&one, "two").await;
    let (lost, kept) = (found.call("leaf:wait", Bytes::new()), two.call("leaf:wait", Bytes::new()));
    pause().await;
    assert_eq!(actor.task_count(), 2);
    world.broker.kill(one.id(), Exit::Signal(9));
    pause().await;
    assert_eq!(actor.task_count(), 1, "only the owner's is left");
    drop((lost, kept));
    pause().await;
    assert_eq!(actor.task_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_found_peer_changes_nothing() {
    let (_world, one, (_, actor)) = siblings().await;
    let found = find(&one, "two").await;
    let error = found.call("self:cancel", Bytes::new()).await.expect_err("no owner");
    assert!(error.is::<PermissionDenied>(), "{error}");
    assert_eq!(actor.canceller(), None);
    assert_eq!(found.call("self:describe", Bytes::new()).await, value(actor.exposed()));
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_finds_its_child_still_owns_it() {
    let (world, _one, (two, actor)) = siblings().await;
    let links = actor.open_links();
    let found = find(&world.operator, "two").await;
    pause().await;
    assert_eq!((found.peer(), actor.open_links()), (two.peer(), links), "the same link");
    found.call("self:cancel", Bytes::new()).await.expect("an owner may");
    assert_eq!(actor.canceller(), Some(world.operator.id()));
}

#[tokio::test(start_paused = true)]
async fn a_second_find_takes_the_same_link() {
    let (_world, one, (_, actor)) = siblings().await;
    let (here, there) = (one.open_links(), actor.open_links());
    let (first, second) = tokio::join!(find(&one, "two"), find(&one, "two"));
    let third = find(&one, "two").await;
    pause().await;
    assert_eq!((one.open_links(), actor.open_links()), (here + 1, there + 1));
    drop((first, third));
    pause().await;
    assert_eq!(second.call("leaf:seven", Bytes::new()).await, value(7), "one is left to call through");
    // The other way is another link: who starts it opens the contexts of it.
    let _back = find(&actor, "one").await;
    pause().await;
    assert_eq!((one.open_links(), actor.open_links()), (here + 2, there + 2));
}

#[tokio::test(start_paused = true)]
async fn a_link_is_closed_with_its_last_portal_and_call() {
    let (_world, one, (_, actor)) = siblings().await;
    let (here, there, memory) = (one.open_links(), actor.open_links(), one.memory());
    for _ in 0..3 {
        let found = find(&one, "two").await;
        let call = found.call("leaf:wait", Bytes::new());
        drop(found);
        pause().await;
        assert_eq!(one.open_links(), here + 1, "a call is open");
        let again = find(&one, "two").await;
        assert_eq!(again.call("leaf:seven", Bytes::new()).await, value(7), "found anew while one closes");
        drop(call);
        pause().await;
        assert_eq!((one.open_links(), actor.open_links(), actor.task_count()), (here + 1, there + 1, 0));
        drop(again);
        pause().await;
        assert_eq!((one.open_links(), actor.open_links()), (here, there));
    }
    // What is done with is forgotten at the next occasion.
    drop(find(&one, "two").await);
    assert!(one.memory() <= memory + 3, "{} of {memory} before", one.memory());
}

#[tokio::test(start_paused = true)]
async fn a_portal_that_nobody_waits_for_closes_its_link() {
    let (_world, one, (_, actor)) = siblings().await;
    let (here, there) = (one.open_links(), actor.open_links());
    let mut finding = Box::pin(one.find_actor("two"));
    assert!(futures_util::poll!(&mut finding).is_pending(), "the broker has not heard of it yet");
    drop(finding);
    pause().await;
    assert_eq!((one.open_links(), actor.open_links()), (here, there));
}

#[tokio::test(start_paused = true)]
async fn only_an_owner_may_end_whom_it_found() {
    let world = World::new(library());
    let (_, one) = leaf(&world, "one").await;
    let (two, actor) = leaf(&world, "two").await;
    let below = crate::Nursery::open(&actor);
    let three = below.start(spec("three", &["leaf"]), None).await.expect("starts");
    let refused = find(&one, "three").await.cancel_actor().await.expect_err("a stranger");
    assert!(refused.is::<PermissionDenied>(), "{refused}");
    // The operator owns all there are.
    let call = two.call("leaf:wait", Bytes::new());
    find(&world.operator, "three").await.cancel_actor().await.expect("an ancestor may");
    assert_eq!(died(&three.call("leaf:seven", Bytes::new()).await), Some(Exit::Code(0)));
    drop(call);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_ends_takes_leave_of_those_who_found_it() {
    let (_world, one, (two, _)) = siblings().await;
    let found = find(&one, "two").await;
    let call = found.call("leaf:wait", Bytes::new());
    pause().await;
    let asked = Instant::now();
    two.cancel_actor().await.expect("ends");
    let error = call.await.expect_err("was cancelled");
    assert!(error.is::<ContextCancelled>(), "{error}");
    assert_eq!(error.canceller.map(|by| by.name).as_deref(), Some("operator"));
    assert!(asked.elapsed() < Duration::from_millis(100), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_find_is_answered_when_the_broker_is_gone() {
    let (actor, outbox) =
        Actor::new(identity("one"), greenroom_wire::control::Limits::default(), Box::new(crate::Idle));
    let (ours, theirs) = greenroom_transport::memory_channel();
    let running = actor.clone();
    tokio::spawn(async move { running.run(theirs, outbox).await });
    let asking = actor.clone();
    let asked = tokio::spawn(async move { asking.find_actor("two").await });
    pause().await;
    drop(ours);
    let gone: Box<RemoteError> = asked.await.expect("no panic").expect_err("nobody answers");
    assert_eq!(*gone, broker_gone());
    assert_eq!(*actor.find_actor("two").await.expect_err("nobody answers"), broker_gone());
}
