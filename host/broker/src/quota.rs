//! How many actors there may be.
//!
//! Owns: the check of a spawn against the limits. Must not know: how a spawn is carried out.
//! Invariant: an actor cannot start what would take its tree past a limit.

use greenroom_abi::RemoteError;
use greenroom_abi::kind::LimitExceeded;
use greenroom_sabotage::Protection;
use greenroom_wire::control::Limits;

/// Where a spawn would take place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Children that the asking actor has alive or starting.
    pub(crate) children: usize,
    /// The depth that the child would have.
    pub(crate) depth: usize,
    /// Actors alive or starting in the tree.
    pub(crate) tree: usize,
}

/// # Errors
/// `LimitExceeded`, naming the limit.
pub(crate) fn check(standing: Standing, limits: &Limits) -> Result<(), RemoteError> {
    let exceeded = [
        ("children", standing.children >= limits.children && !Protection::Children.is_off(), limits.children),
        ("depth", standing.depth > limits.depth && !Protection::Depth.is_off(), limits.depth),
        ("tree", standing.tree >= limits.tree && !Protection::Tree.is_off(), limits.tree),
    ];
    match exceeded.iter().find(|(_, reached, _)| *reached) {
        None => Ok(()),
        Some((limit, _, value)) => {
            Err(RemoteError::of(&LimitExceeded { limit: (*limit).to_owned(), value: *value as u64 }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_limit_that_is_reached() {
        let limits = Limits { children: 2, depth: 3, tree: 10, ..Limits::default() };
        let cases = [
            (1, 3, 9, None),
            (2, 3, 9, Some("children")),
            (1, 4, 9, Some("depth")),
            (1, 3, 10, Some("tree")),
        ];
        for (children, depth, tree, expected) in cases {
            let refused = check(Standing { children, depth, tree }, &limits).err();
            let limit = refused.and_then(|error| error.kind::<LimitExceeded>()).map(|error| error.limit);
            assert_eq!(limit.as_deref(), expected);
        }
    }
}
