//! The attacks that Greenroom is tried with, and the page that tells of them.
//!
//! Owns: what an attack is called, and the comparison of lists of attacks with the tables of
//! `docs/sandbox.md`. Must not know: how anything is attacked. Invariant: what the page says of
//! an attack is what its test is made of, and neither holds one that the other does not.

use std::fs;

use crate::artifact::repository;

/// What stops an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wall {
    /// The machine has users, and this is another.
    Users,
    /// Who connects is asked who it is.
    Peers,
    /// Folders of which the owner is looked at before they are used.
    Folders,
    /// A component can name only what it was given.
    Wasi,
    /// Guest code is checked before it is run, and its memory while it runs.
    Engine,
    /// The bounds that the actor keeps for its guests.
    Limits,
    /// The bounds that the broker keeps for its actors.
    Quotas,
    /// Each field of each message is checked, and who lies is ended.
    Protocol,
    /// Components are compiled in a process of their own.
    Compiler,
    /// The kernel's bounds of a process.
    Rlimits,
    /// The kernel gives the process no more privileges than it has.
    Privileges,
    /// The kernel opens only granted folders.
    Landlock,
    /// The kernel takes only listed calls.
    Seccomp,
}

impl Wall {
    /// As the page calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Users => "user ids",
            Self::Peers => "peer credentials",
            Self::Folders => "private folders",
            Self::Wasi => "WASI",
            Self::Engine => "engine",
            Self::Limits => "limits",
            Self::Quotas => "quotas",
            Self::Protocol => "protocol",
            Self::Compiler => "compile child",
            Self::Rlimits => "rlimits",
            Self::Privileges => "no new privileges",
            Self::Landlock => "Landlock",
            Self::Seccomp => "seccomp",
        }
    }
}

/// One attack, as the page tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Its family and its number in it: `fs-07`.
    pub id: &'static str,
    /// What is tried.
    pub title: &'static str,
    /// What stops it, outermost last.
    pub walls: &'static [Wall],
    /// What stops it also where everything else is switched off.
    pub alone: &'static [Wall],
}

impl Attack {
    /// Its line in the page's table.
    fn row(&self) -> String {
        format!("| {} | {} | {} | {} |", self.id, self.title, names(self.walls), names(self.alone))
    }
}

fn names(walls: &[Wall]) -> String {
    match walls {
        [] => "-".to_owned(),
        _ => walls.iter().map(|wall| wall.name()).collect::<Vec<_>>().join(", "),
    }
}

/// Requires that `docs/sandbox.md` has a line for each attack of a family, and no other lines of
/// that family; that there are `count` of them, numbered from 1 on; that each is stopped by
/// something, and that nothing stops it alone that does not stop it at all.
///
/// # Panics
/// If something differs. What the table should be is shown.
#[track_caller]
pub fn assert_page_tells(family: &str, count: usize, attacks: &[Attack]) {
    assert_eq!(attacks.len(), count, "attacks of the family `{family}`");
    for (place, attack) in attacks.iter().enumerate() {
        assert_eq!(attack.id, format!("{family}-{:02}", place + 1), "attacks are numbered from 1 on");
        assert!(!attack.walls.is_empty(), "nothing stops {}", attack.id);
        let other = attack.alone.iter().find(|wall| !attack.walls.contains(wall));
        assert_eq!(other, None, "{}: what stops an attack alone is one of its walls", attack.id);
    }
    let page = fs::read_to_string(repository().join("docs/sandbox.md")).expect("the page");
    let beginning = format!("| {family}-");
    let told: Vec<&str> = page.lines().filter(|line| line.starts_with(&beginning)).collect();
    let rows: Vec<String> = attacks.iter().map(Attack::row).collect();
    let table = rows.join("\n");
    assert!(told == rows, "docs/sandbox.md does not tell of the family `{family}` as it is:\n{table}");
}
