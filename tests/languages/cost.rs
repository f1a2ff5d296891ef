//! What an instance of each language costs.
//!
//! Owns: the figures of `docs/languages.md`. Must not know: why.

use std::time::{Duration, Instant};

use greenroom::{Isolation, Portal, Rights, SpawnSpec, payload};
use greenroom_tests::{Memory, Options, World, compile, foreign, say, undisturbed};
use serde_bytes::ByteBuf;
use serde_json::json;

use crate::LANGUAGES;

/// How often what is measured is done; the median counts.
const ROUNDS: usize = 15;

/// What a call may take on a machine that is busy, with an instance of its own.
const BOUND: Duration = Duration::from_secs(5);

/// Calls with encoded arguments, and gives how long that took.
async fn timed(leaf: &Portal, function: &str, kwargs: &[u8]) -> Duration {
    let began = Instant::now();
    leaf.call(function, kwargs.to_vec().into()).await.expect("it gives its argument back");
    began.elapsed()
}

/// The median of several rounds.
async fn median(leaf: &Portal, function: &str, kwargs: &[u8]) -> Duration {
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        all.push(timed(leaf, function, kwargs).await);
    }
    all.sort_unstable();
    all[ROUNDS / 2]
}

#[test]
fn an_instance_of_each_language_is_there_soon_and_one_that_is_kept_sooner() {
    LANGUAGES.map(foreign).iter().for_each(|component| compile(component));
    undisturbed(async |place| {
        let kept = |name: &str| format!("{name}-kept");
        let options = Options {
            components: LANGUAGES.map(|name| (name.to_owned(), foreign(name))).to_vec(),
            isolated: LANGUAGES.map(|name| (kept(name), foreign(name), Isolation::Actor)).to_vec(),
            ..Options::default()
        };
        let world = World::with(place, options).await;
        let small = payload::encode(&json!({"value": 1})).expect("it can be encoded");
        let bytes = std::collections::BTreeMap::from([("value", ByteBuf::from(vec![7; 1 << 20]))]);
        let large = payload::encode(&bytes).expect("it can be encoded");
        let megabyte = |took: Duration| format!("{:.1} ms for 1 MiB to and fro", took.as_secs_f64() * 1e3);
        for language in LANGUAGES {
            let mut medians = Vec::new();
            for module in [language.to_owned(), kept(language)] {
                let spec = SpawnSpec {
                    name: module.clone(),
                    modules: vec![module.clone()],
                    rights: Rights::all(),
                    ..SpawnSpec::default()
                };
                let began = Instant::now();
                let leaf = world.host().nursery().start(spec, None).await.expect("it starts");
                let start = began.elapsed();
                let echo = format!("{module}:echo-option");
                let first = timed(&leaf, &echo, &small).await;
                let usual = median(&leaf, &echo, &small).await;
                let bytes = median(&leaf, &format!("{module}:echo-bytes"), &large).await;
                let memory = Memory::of(world.pid(&module)).expect("it is there").private >> 20;
                say(&format!(
                    "{module}: starts in {start:.1?}, first call {first:.1?}, then {usual:.1?}; {}; holds {memory} MiB",
                    megabyte(bytes),
                ));
                assert!(first < BOUND && usual < BOUND, "{module}: {first:?}, {usual:?}");
                medians.push(usual);
                leaf.cancel_actor().await.expect("it ends");
            }
            // One that is fresh has to be made first.
            assert!(medians[1] <= medians[0] * 2, "{language}: {medians:?}");
        }
        world.end().await;
    });
}
