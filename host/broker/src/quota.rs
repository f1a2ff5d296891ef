//! How many actors there may be, how fast they come, and what they may have.
//!
//! Owns: the check of a spawn against the limits. Must not know: how a spawn is carried out.
//! Invariant: an actor cannot start what would take its tree past a limit.

use std::time::Instant;

use greenroom_abi::kind::{LimitExceeded, PermissionDenied};
use greenroom_abi::{ActorId, RemoteError};
use greenroom_sabotage::Protection;
use greenroom_wire::Bucket;
use greenroom_wire::control::{LimitError, Limits};

/// Where a spawn would take place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Children that the asking actor has alive or starting.
    pub(crate) children: usize,
    /// The depth that the child would have.
    pub(crate) depth: usize,
}

/// Whether an actor may have another child.
///
/// # Errors
/// `LimitExceeded`, naming the limit.
pub(crate) fn check(standing: Standing, limits: &Limits) -> Result<(), RemoteError> {
    let exceeded = [
        ("children", standing.children >= limits.children && !Protection::Children.is_off(), limits.children),
        ("depth", standing.depth > limits.depth && !Protection::Depth.is_off(), limits.depth),
    ];
    match exceeded.iter().find(|(_, reached, _)| *reached) {
        None => Ok(()),
        Some((limit, _, value)) => Err(reached(limit, *value)),
    }
}

/// Whether there may be one more below an actor, itself and all below it being so many.
///
/// # Errors
/// `LimitExceeded`, naming the limit.
pub(crate) fn check_below(alive: usize, limits: &Limits) -> Result<(), RemoteError> {
    if alive < limits.actors || Protection::Actors.is_off() {
        Ok(())
    } else {
        Err(reached("actors", limits.actors))
    }
}

/// Whether an actor may start another child already.
///
/// # Errors
/// `LimitExceeded`, naming the limit.
pub(crate) fn check_rate(starts: &mut Bucket, now: Instant, limits: &Limits) -> Result<(), RemoteError> {
    match starts.take(now) {
        Err(_) if !Protection::SpawnRate.is_off() => Err(reached("spawn-rate", limits.spawn_rate)),
        _ => Ok(()),
    }
}

/// How often an actor may start children: as many at once as it may have, then at its rate.
pub(crate) fn starts(limits: &Limits) -> Bucket {
    Bucket::new(limits.spawn_rate, limits.children.max(limits.spawn_rate))
}

/// The limits of a child.
///
/// # Errors
/// `PermissionDenied` where they would be more than its parent's, naming the limit.
pub(crate) fn lowered(
    parent: &ActorId,
    limits: &Limits,
    wanted: &[(String, u64)],
) -> Result<Limits, Result<RemoteError, LimitError>> {
    let limits = if Protection::LowerLimits.is_off() { &Limits::most() } else { limits };
    limits.lowered(wanted).map_err(|error| match error {
        LimitError::Raised { .. } => {
            let right = format!("actor `{parent}` cannot give more than it has: {error}");
            Ok(RemoteError::of(&PermissionDenied { right }))
        }
        other => Err(other),
    })
}

fn reached(limit: &str, value: usize) -> RemoteError {
    RemoteError::of(&LimitExceeded { limit: limit.to_owned(), value: value as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_limit_that_is_reached() {
        let limits = Limits { children: 2, depth: 3, actors: 10, ..Limits::default() };
        let cases = [
            (1, 3, 9, None),
            (2, 3, 9, Some("children")),
            (1, 4, 9, Some("depth")),
            (1, 3, 10, Some("actors")),
        ];
        for (children, depth, alive, expected) in cases {
            let checked = check(Standing { children, depth }, &limits);
            let refused = checked.and_then(|()| check_below(alive, &limits)).err();
            let limit = refused.and_then(|error| error.kind::<LimitExceeded>()).map(|error| error.limit);
            assert_eq!(limit.as_deref(), expected);
        }
    }
}
