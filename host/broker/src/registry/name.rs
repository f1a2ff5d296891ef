//! The names of a registry's files.
//!
//! Owns: writing and reading them. Must not know: what the files hold. Invariant: a name is used
//! for one file ever, since each has the uuid of what it is about in it; so whoever removes a dead
//! one cannot meet another in its place.

use std::fmt;

use uuid::Uuid;

/// One file: which host's, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileName {
    pub(super) host: Uuid,
    pub(super) kind: Kind,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Is locked for as long as its host is there.
    Life,
    /// The socket of its host's station.
    Station,
    /// The entry of an actor.
    Actor(Uuid),
    /// An entry that is being written.
    Draft(Uuid),
}

impl FileName {
    /// The file of that name, if it is one of a registry.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (rest, suffix) = name.rsplit_once('.')?;
        let (host, actor) = match rest.split_once('.') {
            Some((host, actor)) => (host, Some(uuid(actor)?)),
            None => (rest, None),
        };
        let kind = match (suffix, actor) {
            ("host", None) => Kind::Life,
            ("station", None) => Kind::Station,
            ("actor", Some(actor)) => Kind::Actor(actor),
            ("draft", Some(actor)) => Kind::Draft(actor),
            _ => return None,
        };
        Some(Self { host: uuid(host)?, kind })
    }
}

/// A uuid in the one form that is written.
fn uuid(text: &str) -> Option<Uuid> {
    Uuid::parse_str(text).ok().filter(|uuid| uuid.to_string() == text)
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host;
        match self.kind {
            Kind::Life => write!(f, "{host}.host"),
            Kind::Station => write!(f, "{host}.station"),
            Kind::Actor(actor) => write!(f, "{host}.{actor}.actor"),
            Kind::Draft(actor) => write!(f, "{host}.{actor}.draft"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written_and_no_other_is() {
        let (host, actor) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for kind in [Kind::Life, Kind::Station, Kind::Actor(actor), Kind::Draft(actor)] {
            let name = FileName { host, kind };
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        let upper = format!("{}.host", Uuid::from_u128(0xabc).to_string().to_uppercase());
        for other in ["", "x", "x.host", &format!("{host}"), &format!("{host}.actor"), &upper] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
        for other in [format!("{host}.{actor}.host"), format!("{host}.{actor}.{actor}.actor")] {
            assert_eq!(FileName::parse(&other), None, "{other}");
        }
    }
}
