//! The namespace `self`, and who may use what of it.
//!
//! Owns: C3 and C5 as far as the runtime answers for them. Must not know: guests. Invariant of
//! what is tested: whoever does not own an actor changes nothing in it.

use std::time::Duration;

use bytes::Bytes;
use greenroom_abi::kind::{BadArguments, FunctionNotFound, PermissionDenied, StartTimeout};
use greenroom_abi::payload;
use greenroom_wire::Role;
use greenroom_wire::control::Limits;

use super::kit::*;
use crate::context::CallOptions;
use crate::link::{Link, Owner};
use crate::{Actor, Idle};

/// A parent's and a child's end of one link.
fn family() -> (Actor, Actor, Link, Link, Cable) {
    let (parent, _) = Actor::new(identity("parent"), Limits::default(), Box::new(Idle));
    let (child, _) = Actor::new(identity("child"), Limits::default(), Box::new(Idle));
    let (cable, near, far) = Cable::lay();
    let down = parent
        .link(id("child"), near, parent.watch_peer(&id("child")), Role::Initiator, Owner::Us)
        .expect("links");
    let up = child
        .link(id("parent"), far, child.watch_peer(&id("parent")), Role::Acceptor, Owner::Peer)
        .expect("links");
    (parent, child, down, up, cable)
}

#[tokio::test(start_paused = true)]
async fn only_an_owner_may_cancel() {
    let (parent, child, down, up, _cable) = family();
    let error = up.call("self:cancel", Bytes::new(), CallOptions::default()).await.expect_err("not an owner");
    let right = error.kind::<PermissionDenied>().expect("its kind").right;
    assert!(right.contains("`parent`") && right.contains("`child`"), "{right}");
    assert_eq!(parent.canceller(), None);

    assert_eq!(down.call("self:cancel", Bytes::new(), CallOptions::default()).await, value(()));
    assert_eq!(child.canceller(), Some(&id("parent")));
}

/// Its process may have been stopped, or the machine busy: both are there, and neither would learn that the pipe
/// between them is of no use.
#[tokio::test(start_paused = true)]
async fn a_family_waits_for_each_other_however_long_that_takes() {
    let (_parent, child, down, up, cable) = family();
    cable.delay(Duration::from_secs(3600));
    for link in [&down, &up] {
        let error =
            link.call("self:describe", Bytes::new(), CallOptions::default()).await.expect_err("too late");
        assert_eq!(error.kind::<StartTimeout>().expect("its kind").waited_ms, 10_000);
    }
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!down.is_closed() && !up.is_closed());
    assert_eq!(down.call("self:cancel", Bytes::new(), CallOptions::default()).await, value(()));
    assert_eq!(child.canceller(), Some(&id("parent")));
}

#[tokio::test(start_paused = true)]
async fn anybody_may_ask_what_is_exposed() {
    let world = World::new(Library::default().with("math:square", |_, _| async { value(()) }));
    let leaf = world.daemon("leaf", &["math"]).await;
    let described = leaf.call("self:describe", Bytes::new()).await.expect("says");
    assert_eq!(payload::decode::<Vec<String>>(&described).expect("names"), ["math:square"]);
    let (_parent, _child, _down, up, _cable) = family();
    assert_eq!(
        up.call("self:describe", Bytes::new(), CallOptions::default()).await,
        value(Vec::<String>::new())
    );
}

#[tokio::test(start_paused = true)]
async fn wrong_arguments_and_names_change_nothing() {
    let (_parent, child, down, _up, _cable) = family();
    let error =
        down.call("self:cancel", kwargs("now", true), CallOptions::default()).await.expect_err("takes none");
    assert_eq!(error.kind::<BadArguments>().expect("its kind").unknown, ["now"]);
    let error = down
        .call("self:cancel", Bytes::from_static(b"\x01"), CallOptions::default())
        .await
        .expect_err("no map");
    assert!(error.is::<BadArguments>(), "{error}");
    let error =
        down.call("self:explode", Bytes::new(), CallOptions::default()).await.expect_err("no such function");
    assert_eq!(error.kind::<FunctionNotFound>().expect("its kind").near, ["cancel", "describe"]);
    assert_eq!(child.canceller(), None);
}
