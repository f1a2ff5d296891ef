//! Ending actors that do not want to end.
//!
//! Owns: clause B8.

use std::time::{Duration, Instant};

use greenroom_tests::kind::ContextCancelled;
use greenroom_tests::{Command, Signal, World, alone, kill, undisturbed, until};
use serde_json::json;

/// What the whole ladder may take.
const LADDER: Duration = Duration::from_secs(2);

#[test]
fn b8_a_stopped_actor_is_gone_in_time() {
    undisturbed(async |place| {
        let world = World::new(place).await;
        let leaf = world.keep(&[], "leaf").await;
        let open = world.call::<()>(&["leaf"], "faults:wait", &json!({}));
        assert_eq!(world.call(&["leaf"], "faults:count", &json!({})).await, Ok(1));
        kill(world.pid("root/leaf"), Signal::STOP);
        let began = Instant::now();
        assert_eq!(world.call(&[], "stage:cancel", &json!({"name": "leaf"})).await, Ok(()));
        let took = began.elapsed();
        assert!(took < LADDER, "{took:?}");
        assert_eq!(world.processes().len(), 1, "it is gone when its owner hears of it");
        open.await.expect_err("its callee is gone");
        assert_eq!(leaf.await, Ok(()));
        world.end().await;
    });
}

#[test]
fn b8_a_spinning_actor_is_gone_in_time() {
    undisturbed(async |place| {
        let world = World::new(place).await;
        let leaf = world.keep(&[], "leaf").await;
        let open = world.call::<()>(&["leaf"], "faults:spin", &json!({}));
        // Of another instance: that of `faults` does not come to answer.
        let answered = world.call::<serde_json::Value>(&["leaf"], "stage:whoami", &json!({})).await;
        answered.expect("a spinning instance does not hold up the actor");
        let began = Instant::now();
        assert_eq!(world.call(&[], "stage:cancel", &json!({"name": "leaf"})).await, Ok(()));
        let took = began.elapsed();
        assert!(took < LADDER, "{took:?}");
        assert_eq!(world.processes().len(), 1);
        let error = open.await.expect_err("it was cancelled");
        assert!(error.is::<ContextCancelled>(), "{error}");
        assert_eq!(leaf.await, Ok(()));
        world.end().await;
    });
}

#[test]
fn b8_a_cancelled_call_that_spins_costs_its_instance_and_not_its_actor() {
    undisturbed(async |place| {
        let world = World::new(place).await;
        let _leaf = world.keep(&[], "leaf").await;
        let pid = world.pid("root/leaf");
        let spinning = world.call::<()>(&["leaf"], "faults:spin", &json!({}));
        world.call::<serde_json::Value>(&["leaf"], "stage:whoami", &json!({})).await.expect("it answers");
        drop(spinning);
        let answer =
            tokio::time::timeout(LADDER, world.call::<u32>(&["leaf"], "faults:count", &json!({}))).await;
        // Either it waits for the fresh instance, or it is lost with the old one.
        let answer = answer.expect("the instance is given up in time");
        if answer.is_err() {
            assert_eq!(world.call(&["leaf"], "faults:count", &json!({})).await, Ok(1));
        }
        assert_eq!(world.pid("root/leaf"), pid);
        world.end().await;
    });
}

#[test]
fn b8_an_actor_that_winds_up_slowly_is_let() {
    alone(async |place| {
        let world = World::new(place).await;
        let leaf = world.keep(&[], "leaf").await;
        let slow = world.call::<()>(&["leaf"], "faults:slow_drop", &json!({"ms": 100}));
        assert_eq!(world.call(&["leaf"], "faults:drops", &json!({})).await, Ok(0));
        assert_eq!(world.call(&[], "stage:cancel", &json!({"name": "leaf"})).await, Ok(()));
        slow.await.expect_err("it was cancelled");
        until("its destructor has run, and told so", LADDER, async || {
            world.logged().iter().any(|line| line == "slow drop: done").then_some(())
        })
        .await;
        assert_eq!(leaf.await, Ok(()));
        world.end().await;
    });
}

#[test]
fn b8_a_stopped_tree_is_gone_in_time() {
    undisturbed(async |place| {
        let world = World::new(place).await;
        let middle = world.keep(&[], "middle").await;
        let leaf = world.keep(&["middle"], "leaf").await;
        kill(world.pid("root/middle/leaf"), Signal::STOP);
        kill(world.pid("root/middle"), Signal::STOP);
        let began = Instant::now();
        assert_eq!(world.call(&[], "stage:cancel", &json!({"name": "middle"})).await, Ok(()));
        let took = began.elapsed();
        assert!(took < LADDER, "{took:?}");
        until("the leaf is gone with it", Duration::from_secs(1), async || {
            (world.processes().len() == 1).then_some(())
        })
        .await;
        leaf.await.expect_err("its keeper is gone");
        assert_eq!(middle.await, Ok(()));
        world.end().await;
    });
}

#[test]
fn b8_every_rung_is_in_the_trace_log() {
    undisturbed(async |place| {
        let command = Command::run(place, "faults", &["function=wait", "--log", "trace"]);
        command.await_line("started child=\"leaf\"", Duration::from_secs(10));
        let actors = command.actors();
        let stopped = actors.iter().find(|(path, _)| path == "middle/leaf").expect("the leaf").1;
        kill(stopped, Signal::STOP);
        command.signal(Signal::INT);
        let done = command.finish(Duration::from_secs(5));
        assert_eq!(done.code, Some(130), "{}", done.stderr);
        let trace =
            |words: &[&str]| done.stderr.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(trace(&["leaf", "asked to end"]), "{}", done.stderr);
        assert!(trace(&["leaf", "ordered to exit"]), "{}", done.stderr);
        assert!(trace(&["leaf", "killed", "after"]), "{}", done.stderr);
        assert!(trace(&["leaf", "gone", "Killed", "SIGKILL"]), "{}", done.stderr);
        assert!(trace(&["middle", "gone", "Asked", "exit status 0"]), "{}", done.stderr);
    });
}
