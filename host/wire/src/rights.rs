//! What an actor may do that none may who was not told so.
//!
//! Owns: [`Rights`], their names, and that a child's are a subset of its parent's. Must not know:
//! who keeps to them. Invariant: without being named, nothing is granted.

use serde::{Deserialize, Serialize};

use crate::network::Pattern;

/// What an actor may do beyond computing and answering. Nothing by default; folders, variables and
/// arguments are not here, since those are things it is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// Start children.
    pub spawn: bool,
    /// Read the wall clock. The monotonic clock is everyone's.
    pub clock: bool,
    /// Get random numbers.
    pub random: bool,
    /// Read the standard input of the program that started the tree.
    pub stdin: bool,
    /// Find, and be told of, the published actors of other programs.
    pub discover: bool,
    /// Start actors that other programs find.
    pub publish: bool,
    /// Connect to these hosts and ports.
    pub network: Vec<Pattern>,
}

/// Where one of the rights stands.
type Place = fn(&mut Rights) -> &mut bool;

/// All that are either held or not, by name.
const NAMED: [(&str, Place); 6] = [
    ("spawn", |rights| &mut rights.spawn),
    ("clock", |rights| &mut rights.clock),
    ("random", |rights| &mut rights.random),
    ("stdin", |rights| &mut rights.stdin),
    ("discover", |rights| &mut rights.discover),
    ("publish", |rights| &mut rights.publish),
];

impl Rights {
    /// All there are: the operator's.
    pub fn all() -> Self {
        let mut rights = Self { network: vec![Pattern::ANY], ..Self::default() };
        NAMED.iter().for_each(|(_, place)| *place(&mut rights) = true);
        rights
    }

    /// The names of those that are either held or not.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, _)| *name)
    }

    /// The one of this name, to be looked at or changed.
    pub fn named(&mut self, name: &str) -> Option<&mut bool> {
        NAMED.iter().find(|(known, _)| *known == name).map(|(_, place)| place(self))
    }

    /// The rights that are wanted, if these hold them.
    ///
    /// # Errors
    /// The name of the first that is missing; of the network, with the pattern.
    pub fn narrow(&self, mut wanted: Self) -> Result<Self, String> {
        let mut held = self.clone();
        if let Some((missing, _)) = NAMED.iter().find(|(_, place)| *place(&mut wanted) && !*place(&mut held))
        {
            return Err((*missing).to_owned());
        }
        let covered = |wanted: &Pattern| self.network.iter().any(|held| held.covers(wanted));
        match wanted.network.iter().find(|wanted| !covered(wanted)) {
            Some(missing) => Err(format!("network {missing}")),
            None => Ok(wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(name: &str) -> Rights {
        let mut rights = Rights::default();
        *rights.named(name).expect("it is known") = true;
        rights
    }

    #[test]
    fn rights_only_shrink_and_the_missing_one_is_named() {
        for held in Rights::names() {
            assert_eq!(Rights::all().narrow(only(held)), Ok(only(held)));
            assert_eq!(only(held).narrow(Rights::default()), Ok(Rights::default()));
            for wanted in Rights::names() {
                let narrowed = only(held).narrow(only(wanted));
                let expected = if held == wanted { Ok(only(wanted)) } else { Err(wanted.to_owned()) };
                assert_eq!(narrowed, expected, "{held} {wanted}");
            }
        }
        assert_eq!(Rights::all().narrow(Rights::all()), Ok(Rights::all()));
        assert_eq!(Rights::default().narrow(Rights::default()), Ok(Rights::default()));
        assert_eq!(Rights::default().narrow(Rights::all()), Err("spawn".to_owned()));
    }

    #[test]
    fn all_is_every_one_there_is() {
        let Rights { spawn, clock, random, stdin, discover, publish, network } = Rights::all();
        assert!(spawn && clock && random && stdin && discover && publish);
        assert_eq!(network, [Pattern::ANY]);
        assert_eq!(Rights::names().count(), 6);
        assert!(Rights::default().named("network").is_none(), "it is not a yes or no");
    }

    #[test]
    fn each_pattern_that_is_wanted_must_be_covered_by_one_that_is_held() {
        let to = |patterns: &[&str]| Rights {
            network: patterns.iter().map(|text| text.parse().expect("a pattern")).collect(),
            ..Rights::default()
        };
        let held = to(&["*.example.com:443", "10.0.0.0/8:*"]);
        for (wanted, missing) in [
            (&["a.example.com:443"][..], None),
            (&["a.example.com:443", "10.1.1.1:80"], None),
            (&[], None),
            (&["example.com:443"], Some("network example.com:443")),
            (&["10.1.1.1:80", "11.0.0.1:80"], Some("network 11.0.0.1:80")),
            (&["*:443"], Some("network *:443")),
        ] {
            assert_eq!(held.narrow(to(wanted)).err().as_deref(), missing, "{wanted:?}");
        }
        assert_eq!(only("spawn").narrow(to(&["a:1"])), Err("network a:1".to_owned()));
    }
}
