//! Contexts whose callee is the test.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;

use greenroom_abi::kind::{ContextCancelled, MsgTypeError};
use greenroom_abi::{RemoteError, payload};

use super::RemoteContext;
use crate::kit::{Numbers, Peer, dialog, settle};

type Context = RemoteContext<Numbers>;

fn peer() -> (Context, Rc<Peer>) {
    let peer = Rc::new(Peer::default());
    (Context::new(peer.clone(), dialog()), peer)
}

fn breach(error: &RemoteError) -> (String, String) {
    let breach: MsgTypeError = error.kind().expect("a breach");
    (breach.part, breach.expected)
}

#[test]
fn a_first_value_of_another_type_cancels_the_callee() {
    let peer = Rc::new(Peer::default());
    let first = payload::encode("ready").expect("encodes");
    let accepted = settle(Context::accept(peer.clone(), dialog(), &first)).expect("at once");
    assert_eq!(accepted.expect("a text").1, "ready");
    assert!(!peer.is_cancelled());
    let accepted = settle(Context::accept(peer.clone(), dialog(), &[0x03])).expect("at once");
    let error = accepted.expect_err("a number");
    assert_eq!(breach(&error), ("first value".into(), "alloc::string::String".into()));
    assert!(peer.is_cancelled());
}

#[test]
fn a_result_is_the_same_each_time() {
    let (context, peer) = peer();
    assert!(settle(context.wait_for_result()).is_none());
    assert!(peer.wire.is_closed(), "a stream that was never opened counts as closed");
    peer.give(7_u32);
    for _ in 0..2 {
        assert_eq!(settle(context.wait_for_result()).expect("there"), Ok(7));
    }
}

#[test]
fn a_result_of_another_type_is_a_breach() {
    let (context, peer) = peer();
    peer.give(-7);
    for _ in 0..2 {
        let error = settle(context.wait_for_result()).expect("there").expect_err("negative");
        assert_eq!(breach(&error), ("result".into(), "u32".into()));
    }
}

#[test]
fn a_breach_that_was_swallowed_is_the_outcome() {
    let (context, peer) = peer();
    let mut stream = context.open_stream().expect("opens");
    peer.wire.arrive(["three"]);
    settle(stream.receive()).expect("at once").expect_err("no number");
    peer.give(7_u32);
    let error = settle(context.wait_for_result()).expect("at once").expect_err("broken");
    assert_eq!(breach(&error).0, "message to the caller");
    assert!(peer.is_cancelled());
}

#[test]
fn a_scope_waits_for_the_result() {
    let (context, peer) = peer();
    let callee = peer.clone();
    let scope = context.enclose("first".into(), async move |context, first| {
        let mut stream = context.open_stream()?;
        callee.wire.arrive([9]);
        let nine = stream.receive().await?;
        callee.give(1_u32);
        Ok::<_, RemoteError>((first, nine))
    });
    assert_eq!(settle(scope).expect("it ends"), Ok((("first".into(), Some(9)), Some(1))));
    assert!(!peer.is_cancelled());
    assert!(peer.wire.is_closed());
}

#[test]
fn an_error_of_the_body_cancels_the_callee_and_is_raised_again() {
    let (context, peer) = peer();
    let own = RemoteError::new("Own", "own");
    let raised = own.clone();
    let scope = context.enclose(String::new(), async move |_, _| Err::<(), _>(raised));
    assert_eq!(settle(scope).expect("it ends"), Err(own));
    assert!(peer.is_cancelled());
}

#[test]
fn an_error_of_the_callee_drops_the_body() {
    struct Dropped(Rc<Cell<bool>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let (context, peer) = peer();
    let dropped = Rc::new(Cell::new(false));
    let guard = Dropped(dropped.clone());
    let scope = context.enclose(String::new(), async move |_, _| {
        let _guard = guard;
        peer.fail("oops");
        pending::<()>().await;
        Ok::<_, RemoteError>(())
    });
    assert_eq!(settle(scope).expect("it ends").expect_err("failed").message, "oops");
    assert!(dropped.get());
}

#[test]
fn a_body_that_cancels_gets_no_result() {
    let (context, peer) = peer();
    let scope = context.enclose(String::new(), async |context, _| {
        context.cancel().await?;
        assert!(context.wait_for_result().await.expect_err("cancelled").is::<ContextCancelled>());
        Ok::<_, RemoteError>(3)
    });
    assert_eq!(settle(scope).expect("it ends"), Ok((3, None)));
    assert!(peer.is_cancelled());
}

#[test]
fn a_cancellation_absorbs_nothing_else() {
    let (context, peer) = peer();
    peer.fail("oops");
    let scope = context.enclose(String::new(), async |context, _| {
        assert_eq!(context.cancel().await.expect_err("it had failed").message, "oops");
        Ok::<_, RemoteError>(())
    });
    assert_eq!(settle(scope).expect("it ends").expect_err("it had failed").message, "oops");
}
