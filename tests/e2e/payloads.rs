//! Large payloads beside small calls.
//!
//! Owns: the second half of clause C13.

use std::time::{Duration, Instant};

use greenroom_tests::{World, undisturbed, until};
use serde::Serialize;
use serde_bytes::ByteBuf;
use serde_json::json;

/// What is sent there and back.
const LARGE: usize = 64 << 20;

/// How long a small call of another module beside it may take. Alone it takes well under a millisecond; behind
/// 64 MiB that do not make way it would take as long as they do.
const QUICK: Duration = Duration::from_millis(250);

#[derive(Serialize)]
struct Echo {
    bytes: ByteBuf,
}

#[test]
fn c13_a_large_payload_holds_up_neither_calls_nor_a_cancel() {
    undisturbed(async |place| {
        let world = World::new(place).await;
        let bytes = ByteBuf::from((0..LARGE).map(|n| n.to_le_bytes()[0]).collect::<Vec<_>>());
        let held = world.call::<()>(&[], "stage:hold", &json!({"key": "beside"}));
        let mut held = Some(held);
        let large = world.call::<ByteBuf>(&[], "faults:echo", &Echo { bytes: bytes.clone() });
        // An instance runs one task at a time, and 64 MiB take a while to decode: the small calls are
        // of another instance. The link they share is what is tested.
        let began = Instant::now();
        let mut large = std::pin::pin!(large);
        let (mut calls, mut slowest) = (0_u32, Duration::ZERO);
        let echoed = loop {
            let call = Instant::now();
            let probe = world.call::<u32>(&[], "stage:probe", &json!({"key": "beside"}));
            tokio::select! {
                biased;
                echoed = &mut large => break echoed,
                count = probe => {
                    slowest = slowest.max(call.elapsed());
                    calls += 1;
                    match held.take() {
                        // In the midst of it: the next looks find that the cancel came through.
                        Some(call) if calls == 3 => {
                            assert_eq!(count, Ok(1));
                            drop(call);
                        }
                        kept => held = kept,
                    }
                }
            }
        };
        let took = began.elapsed();
        assert_eq!(echoed.map(|echoed| echoed == bytes), Ok(true));
        assert!(calls > 3, "small calls got through meanwhile: {calls} in {took:?}");
        // Where others are at work all takes longer alike: then a part of the whole is the measure.
        let allowed = QUICK.max(took / 3);
        assert!(slowest < allowed, "the slowest of {calls} small calls took {slowest:?} of {took:?}");
        assert!(held.is_none());
        until("the cancel got through", QUICK, async || {
            (world.call(&[], "stage:probe", &json!({"key": "beside"})).await == Ok(0)).then_some(())
        })
        .await;
        world.end().await;
    });
}
