//! The sixty calls that no actor may make, made by one that would.
//!
//! Owns: that each is denied, by which walls, and that it is those walls which deny it.

use greenroom_tests::villain::{CALLS, Unwalled};
use greenroom_tests::{Attack, alone, assert_page_tells};

use super::{Den, Outcome};

#[test]
fn the_page_tells_of_the_calls() {
    let attacks: Vec<Attack> = CALLS.iter().map(|call| call.attack).collect();
    assert_page_tells("sys", 60, &attacks);
}

#[test]
fn where_there_is_no_wall_every_call_reaches_the_kernel() {
    alone(async |place| {
        let den = Den::new(place);
        let root = rustix::process::geteuid().is_root();
        let (mut outcomes, mut denied) = (Vec::new(), Vec::new());
        for call in CALLS {
            let outcome = den.attempt(call.attack.id).await;
            let may = match call.unwalled {
                Unwalled::Free => true,
                Unwalled::Root => root,
                Unwalled::Built => false,
            };
            if may && outcome.is_denial() {
                denied.push((call.attack, outcome.clone()));
            }
            outcomes.push((call.attack.id, outcome));
        }
        assert!(denied.is_empty(), "no wall denies these, so that their tests prove nothing: {denied:?}");
        let done = outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Done).count();
        assert!(done >= 30 || !root, "half of the calls just do what they say: {outcomes:?}");
    });
}
