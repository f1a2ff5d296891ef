//! The sixty calls that no actor may make, made by one that would.
//!
//! Owns: that each is denied, by which walls, and that it is those walls which deny it.

use greenroom::{Rights, Wall};
use greenroom_tests::villain::{CALLS, Call, OUTSIDE, Unwalled};
use greenroom_tests::{Attack, Place, Wall as Told, alone, assert_page_tells};

use super::{Birth, Den, Outcome};

/// Makes every call in an actor with these walls.
async fn outcomes(place: &Place, walls: &[Wall], birth: Birth) -> Vec<(&'static Call, Outcome)> {
    let (den, outside) = (Den::new(place, walls), place.folder().join("outside"));
    std::fs::create_dir_all(&outside).expect("a folder");
    let env = (OUTSIDE.to_owned(), outside.display().to_string());
    let mut outcomes = Vec::new();
    for (number, call) in CALLS.iter().enumerate() {
        let rights = match birth {
            Birth::Executed => rights(number),
            Birth::Forked => Rights::default(),
        };
        outcomes.push((call, den.attempt_with(call.attack.id, vec![env.clone()], rights).await));
    }
    let forked = den.forked();
    match birth {
        Birth::Executed => assert_eq!(forked, 0),
        Birth::Forked => assert!(forked > CALLS.len() / 4, "{forked} villains were forked"),
    }
    outcomes
}

/// Rights that no more than one other has of as many numbers as there are calls: they do not change
/// the walls, but two actors with different ones are of different kinds.
fn rights(number: usize) -> Rights {
    let bit = |bit: usize| number >> bit & 1 == 1;
    Rights {
        spawn: bit(0),
        clock: bit(1),
        random: bit(2),
        stdin: bit(3),
        discover: bit(4),
        ..Rights::default()
    }
}

/// Those that were not denied, of those that a wall is said to deny alone.
fn made(outcomes: &[(&Call, Outcome)], alone: Told) -> Vec<String> {
    let made = outcomes.iter().filter(|(call, _)| call.attack.alone.contains(&alone));
    let made = made.filter(|(_, outcome)| !outcome.is_denial());
    made.map(|(call, outcome)| format!("{}, {}: {outcome:?}", call.attack.id, call.attack.title)).collect()
}

#[test]
fn the_page_tells_of_the_calls() {
    let attacks: Vec<Attack> = CALLS.iter().map(|call| call.attack).collect();
    assert_page_tells("sys", 60, &attacks);
}

#[test]
fn f3_no_forbidden_call_is_made_behind_the_walls() {
    alone(async |place| {
        for birth in [Birth::Executed, Birth::Forked] {
            let outcomes = outcomes(place, &Wall::ALL, birth).await;
            let made: Vec<_> = outcomes.iter().filter(|(_, outcome)| !outcome.is_denial()).collect();
            assert!(made.is_empty(), "{birth:?}: {made:#?}");
        }
    });
}

#[test]
fn f3_no_forbidden_call_is_made_behind_seccomp_alone() {
    alone(async |place| {
        let outcomes = outcomes(place, &[Wall::Privileges, Wall::Seccomp], Birth::Forked).await;
        assert_eq!(outcomes.len(), 60);
        let made = made(&outcomes, Told::Seccomp);
        assert!(made.is_empty(), "{made:#?}");
    });
}

#[test]
fn f3_landlock_alone_denies_what_it_is_said_to() {
    alone(async |place| {
        let outcomes = outcomes(place, &[Wall::Privileges, Wall::Landlock], Birth::Forked).await;
        let made = made(&outcomes, Told::Landlock);
        assert!(made.is_empty(), "{made:#?}");
        // And no others, or the page says too little.
        let more = outcomes.iter().filter(|(call, outcome)| {
            outcome.is_denial()
                && call.unwalled == Unwalled::Free
                && !call.attack.alone.contains(&Told::Landlock)
        });
        let more: Vec<_> = more.map(|(call, outcome)| (call.attack.id, outcome)).collect();
        assert!(more.is_empty(), "{more:?}");
    });
}

#[test]
fn where_there_is_no_wall_every_call_reaches_the_kernel() {
    alone(async |place| {
        let root = rustix::process::geteuid().is_root();
        let outcomes = outcomes(place, &[], Birth::Forked).await;
        let denied: Vec<_> = outcomes
            .iter()
            .filter(|(call, outcome)| match call.unwalled {
                Unwalled::Free => outcome.is_denial(),
                Unwalled::Root => root && outcome.is_denial(),
                Unwalled::Built => false,
            })
            .collect();
        assert!(denied.is_empty(), "no wall denies these, so that their tests prove nothing: {denied:#?}");
        let done = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Done(_))).count();
        assert!(done >= 30 || !root, "half of the calls just do what they say: {outcomes:#?}");
    });
}
