//! Functions whose caller is the test.

use std::rc::Rc;

use greenroom_abi::RemoteError;
use greenroom_abi::kind::{ContextProtocol, MsgTypeError};

use super::{Context, hold};
use crate::endpoint::Outcome;
use crate::kit::{Numbers, Peer, dialog, settle};

type Own = Context<String, i64, i64>;

/// Runs a function to its end.
fn run(
    peer: &Rc<Peer>,
    function: impl AsyncFnOnce(Own) -> Result<u32, RemoteError>,
) -> Result<Vec<u8>, RemoteError> {
    let function = async |context| Outcome::result(function(context).await);
    settle(hold::<Numbers>(peer.clone(), dialog(), function)).expect("it ends").into_result()
}

#[test]
fn starts_talks_and_returns() {
    let peer = Rc::new(Peer::default());
    peer.wire.make_room(10);
    peer.wire.arrive([2, 3]);
    peer.wire.end();
    let outcome = run(&peer, async |mut context| {
        context.started("ready".into())?;
        let mut stream = context.open_stream()?;
        while let Some(x) = stream.receive().await? {
            stream.send(x * x).await?;
        }
        assert!(context.open_stream().expect_err("once").is::<ContextProtocol>());
        Ok(7)
    });
    assert_eq!(outcome, Ok(vec![7]));
    assert_eq!(peer.started::<String>(), ["ready"]);
    assert_eq!(peer.wire.sent::<i64>(), [4, 9]);
    assert!(peer.wire.is_closed());
}

#[test]
fn an_encoded_first_value_is_checked() {
    let peer = Rc::new(Peer::default());
    let outcome = run(&peer, async |mut context| {
        context.started_encoded(vec![0x61, 0x61])?;
        Ok(7)
    });
    assert_eq!(outcome, Ok(vec![7]));
    let outcome = run(&peer, async |mut context| {
        let error = context.started_encoded(vec![0x03]).expect_err("a number");
        assert_eq!(context.started("too late".into()), Err(error.clone()));
        assert_eq!(context.open_stream().expect_err("too late"), error);
        Ok(7)
    });
    let breach: MsgTypeError = outcome.expect_err("broken").kind().expect("of that kind");
    assert_eq!((breach.part.as_str(), peer.started::<String>()), ("first value", vec!["a".into()]));
}

#[test]
fn a_breach_that_was_swallowed_is_the_outcome() {
    let peer = Rc::new(Peer::default());
    peer.wire.make_room(1);
    peer.wire.arrive(["three"]);
    let outcome = run(&peer, async |mut context| {
        let mut stream = context.open_stream()?;
        let error = stream.receive().await.expect_err("no number");
        assert_eq!(stream.send(1).await, Err(error));
        Ok(7)
    });
    let breach: MsgTypeError = outcome.expect_err("broken").kind().expect("of that kind");
    assert_eq!((breach.part.as_str(), breach.expected.as_str()), ("message to the callee", "i64"));
    assert!(peer.wire.sent::<i64>().is_empty());
    let peer = Rc::new(Peer::default());
    peer.wire.arrive(["three"]);
    let outcome = run(&peer, async |mut context| {
        context.open_stream()?.receive().await.expect_err("no number");
        Err(RemoteError::new("Own", "own"))
    });
    assert_eq!(outcome.expect_err("its own").src_type, "Own");
}
