//! Whoever has not started an actor: those who find it by name, and programs outside its tree.
//!
//! Owns: E1, and C8 where the caller is such a program.

use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use greenroom::{ActorId, Portal, RemoteError, join, payload};
use greenroom_tests::kind::{ActorDied, Exit, NoResult, PermissionDenied};
use greenroom_tests::{Signal, World, alone, kill, undisturbed, until};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::metronome::Metronome;

/// How often the client is killed.
const KILLS: u32 = 20;

/// What a machine that is busy may take.
const SOON: Duration = Duration::from_secs(10);

/// Tells this test program that it is the client of the test of this name.
const CLIENT: &str = "GREENROOM_E2E_CLIENT";

/// The test that starts a client, which is the test's own program once more.
const TEST: &str = "outside::c8_a_client_program_that_is_killed_takes_its_call_along";

async fn call<T: DeserializeOwned>(
    portal: &Portal,
    function: &str,
    kwargs: &Value,
) -> Result<T, Box<RemoteError>> {
    let kwargs = payload::encode(kwargs).expect("arguments that can be encoded");
    let ended = portal.call(function, kwargs.into()).await?;
    payload::decode(&ended).map_err(|error| Box::new(RemoteError::of(&error)))
}

/// How many tasks in the root hold the key.
async fn held(world: &World, key: &str) -> u32 {
    world.call(&[], "faults:probe", &json!({"key": key})).await.expect("it counts")
}

#[test]
fn e1_every_actor_of_a_tree_is_found_by_its_name() {
    alone(async |place| {
        let world = World::new(place).await;
        let middle = world.keep(&[], "middle").await;
        let leaf = world.keep(&["middle"], "leaf").await;
        let find = async |name: &str| world.host().find_actor(name).await.expect("it is answered");
        let found = find("leaf").await.expect("it is there");
        let caller: ActorId = call(&found, "faults:caller", &json!({})).await.expect("it can tell");
        assert_eq!(caller.name, "operator");
        assert!(find("nobody").await.is_none() && find("operator").await.is_none());
        let result = found.wait_for_result().await.expect_err("it is no one-shot");
        assert!(result.is::<NoResult>(), "{result}");
        let denied = call::<Value>(&found, "self:cancel", &json!({})).await.expect_err("not its parent");
        assert!(denied.is::<PermissionDenied>(), "{denied}");
        assert_eq!(find("root").await.expect("it is there").peer(), world.root().peer());

        // Whoever has found it is told how it died, as its parent is.
        kill(world.pid("root/middle/leaf"), Signal::KILL);
        let died = call::<Value>(&found, "faults:wait", &json!({})).await.expect_err("it is dead");
        assert_eq!(died.downcast().map(|died: ActorDied| died.exit), Some(Exit::Signal(9)));
        leaf.await.expect_err("its keeper is told");
        assert!(find("leaf").await.is_none());

        // An ancestor may end whom it found.
        let found = find("middle").await.expect("it is there");
        found.cancel_actor().await.expect("the operator may");
        assert_eq!(middle.await, Ok(()), "an owner's cancel is no failure of the nursery");
        world.end().await;
    });
}

#[test]
fn e1_a_program_outside_calls_the_actor_it_is_invited_to() {
    alone(async |place| {
        let world = World::new(place).await;
        let pipe = world.host().invite(world.root(), "client").await.expect("an invitation");
        let portal = join(pipe).await.expect("it can be joined by");
        assert_eq!(portal.peer(), world.root().peer());
        let caller: ActorId = call(&portal, "faults/faults:caller", &json!({})).await.expect("it can tell");
        assert_eq!(caller.name, "client");
        for denied in [
            portal.cancel_actor().await.expect_err("there is no broker to ask"),
            call::<Value>(&portal, "self:cancel", &json!({})).await.expect_err("it is no owner"),
        ] {
            assert!(denied.is::<PermissionDenied>(), "{denied}");
        }
        let named = world.host().invite(world.root(), "a/b").await.expect_err("no name");
        assert!(named.message.contains("no `/`"), "{named}");

        // One that is not joined by does no harm, nor does one that is used for something else.
        drop(world.host().invite(world.root(), "nobody").await.expect("an invitation"));
        assert_eq!(held(&world, "any").await, 0, "the root goes on");

        kill(world.pid("root"), Signal::KILL);
        let died = call::<Value>(&portal, "faults/faults:count", &json!({})).await.expect_err("it died");
        assert!(died.is::<ActorDied>(), "{died}");
        until("the broker knows", SOON, async || {
            let refused = world.host().invite(world.root(), "late").await.err()?;
            refused.is::<ActorDied>().then_some(())
        })
        .await;
        world.end().await;
    });
}

/// Starts this program again, with an end of a pipe as its standard input.
async fn start_client(world: &World) -> Child {
    let pipe = world.host().invite(world.root(), "client").await.expect("an invitation");
    Command::new(std::env::current_exe().expect("a running test has a path"))
        .args([TEST, "--exact", "--nocapture", "--test-threads=1"])
        .env(CLIENT, "1")
        .stdin(pipe)
        .stdout(Stdio::null())
        .spawn()
        .expect("this program can be started again")
}

/// What the client does: it calls, and waits for what never comes.
fn be_client() {
    let pipe = std::io::stdin().as_fd().try_clone_to_owned().expect("a second handle");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ended = runtime.block_on(async {
        let portal = join(pipe).await.expect("it can be joined by");
        call::<()>(&portal, "faults/faults:hold", &json!({"key": "client"})).await
    });
    panic!("it is held until the client is killed, and not {ended:?}");
}

#[test]
fn c8_a_client_program_that_is_killed_takes_its_call_along() {
    if std::env::var_os(CLIENT).is_some() {
        return be_client();
    }
    undisturbed(async |place| {
        let (world, metronome) = (World::new(place).await, Metronome::start());
        let pipe = world.host().invite(world.root(), "other").await.expect("an invitation");
        let other = join(pipe).await.expect("it can be joined by");
        let key = payload::encode(&json!({"key": "other"})).expect("it can be encoded");
        let kept = other.call("faults/faults:hold", key.into());
        for round in 0..KILLS {
            let mut client = start_client(&world).await;
            until("the client's task runs", SOON, async || (held(&world, "client").await == 1).then_some(()))
                .await;
            metronome.stall();
            kill(client.id().cast_signed(), Signal::KILL);
            let killed = Instant::now();
            until("the client's task is cancelled", SOON, async || {
                (held(&world, "client").await == 0).then_some(())
            })
            .await;
            metronome.assert_soon(killed.elapsed(), &format!("round {round}: the task was cancelled"));
            client.wait().expect("it is this process's child");
        }
        assert_eq!(held(&world, "other").await, 1, "nobody else's task is touched");
        drop(kept);
        world.end().await;
    });
}
