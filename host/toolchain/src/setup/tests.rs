//! Made-up machines, and the commands that setting them up runs.
//!
//! Owns: the table of steps. Must not know: the machine it runs on. Invariant: nothing is
//! installed by a test.

use super::*;
use crate::version::Version;
use crate::way::Recipe;

/// A machine that can do some commands, each recorded.
#[derive(Default)]
struct Fake {
    root: bool,
    sudo: bool,
    rustup: bool,
    /// How many updates of the package lists it takes until the packages are known; more
    /// than one is never.
    known_after: Option<usize>,
    /// How many installs it takes until one succeeds.
    installs_needed: usize,
    /// Whether the packages that the old lists name are too old.
    outdated: bool,
    target_works: bool,
    has: Option<Way>,
    ran: Vec<String>,
}

impl Fake {
    fn count(&self, word: &str) -> usize {
        self.ran.iter().filter(|line| line.contains(word)).count()
    }

    fn set_up(mut self) -> (Result<Way, String>, Vec<String>) {
        let result = set_up(&mut self, &mut io::sink());
        (result.map(|toolchain| toolchain.way()).map_err(|error| error.to_string()), self.ran)
    }
}

impl Machine for Fake {
    fn detect(&mut self) -> Result<Toolchain, NoToolchain> {
        let refusal = |way, home, missing| Refusal { way, home, missing: vec![missing] };
        let refusals = vec![
            refusal(Way::SourceUnwind, Home::System, Missing::Source("/usr/lib/rustlib/src/rust".into())),
            refusal(Way::Prebuilt, Home::Rustup("stable".into()), Missing::Target),
        ];
        let Some(way) = self.has else { return Err(NoToolchain { refusals }) };
        let recipe = Recipe {
            way,
            rustc: "/rustc".into(),
            cargo: "/cargo".into(),
            version: Version::oldest(),
            libc: None,
            linkers: Vec::new(),
        };
        let refusals = if way == Way::SourceUnwind { Vec::new() } else { refusals };
        Ok(Toolchain { recipes: vec![recipe], refusals })
    }

    fn succeeds(&mut self, command: &[&str]) -> bool {
        match command[0] {
            "apt-get" => self.known_after.is_some() || self.root,
            "apt-cache" => self.known_after.is_some_and(|updates| self.count("update") >= updates),
            "sudo" => self.sudo,
            "rustup" => self.rustup,
            other => panic!("{other} is not asked for"),
        }
    }

    fn run(&mut self, command: &[&str], _log: &mut dyn Write) -> io::Result<bool> {
        self.ran.push(command.join(" "));
        if command.contains(&"install") {
            let done = self.count("install") >= self.installs_needed;
            let helps = done && !(self.outdated && self.count("update") == 0);
            self.has = if helps { Some(Way::SourceUnwind) } else { self.has };
            return Ok(done);
        }
        if command.contains(&"target") && self.target_works {
            self.has = Some(Way::Prebuilt);
        }
        Ok(command.contains(&"update") || self.target_works)
    }

    fn is_root(&mut self) -> bool {
        self.root
    }
}

const UPDATE: &str = "apt-get -q update";
const INSTALL: &str =
    "apt-get -q install -y --no-install-recommends rustc-web cargo-web rust-web-src wasi-libc";
const TARGET_ADD: &str = "rustup target add wasm32-wasip2";

#[test]
fn the_best_way_is_left_alone() {
    let fake = Fake { root: true, rustup: true, has: Some(Way::SourceUnwind), ..Fake::default() };
    assert_eq!(fake.set_up(), (Ok(Way::SourceUnwind), vec![]));
}

#[test]
fn packages_come_first() {
    let debian = || Fake { root: true, rustup: true, known_after: Some(0), ..Fake::default() };
    assert_eq!(debian().set_up(), (Ok(Way::SourceUnwind), vec![INSTALL.into()]));

    let lesser = Fake { has: Some(Way::Prebuilt), ..debian() };
    assert_eq!(lesser.set_up(), (Ok(Way::SourceUnwind), vec![INSTALL.into()]));

    let no_lists = Fake { known_after: Some(1), ..debian() };
    assert_eq!(no_lists.set_up(), (Ok(Way::SourceUnwind), vec![UPDATE.into(), INSTALL.into()]));

    let stale_lists = Fake { installs_needed: 2, ..debian() };
    let ran = vec![INSTALL.into(), UPDATE.into(), INSTALL.into()];
    assert_eq!(stale_lists.set_up(), (Ok(Way::SourceUnwind), ran.clone()));

    let old_packages = Fake { outdated: true, ..debian() };
    assert_eq!(old_packages.set_up(), (Ok(Way::SourceUnwind), ran));

    let with_sudo = Fake { root: false, sudo: true, ..debian() };
    assert_eq!(with_sudo.set_up(), (Ok(Way::SourceUnwind), vec![format!("sudo -n {INSTALL}")]));
}

#[test]
fn rustup_is_for_machines_without_the_packages() {
    let elsewhere = || Fake { rustup: true, target_works: true, ..Fake::default() };
    assert_eq!(elsewhere().set_up(), (Ok(Way::Prebuilt), vec![TARGET_ADD.into()]));

    let no_rights = Fake { known_after: Some(0), ..elsewhere() };
    assert_eq!(no_rights.set_up(), (Ok(Way::Prebuilt), vec![TARGET_ADD.into()]));

    let other_distribution = Fake { root: true, known_after: Some(2), ..elsewhere() };
    assert_eq!(other_distribution.set_up(), (Ok(Way::Prebuilt), vec![UPDATE.into(), TARGET_ADD.into()]));
}

#[test]
fn a_lesser_way_is_kept_without_fetching_lists_again_and_again() {
    let fake = Fake { root: true, rustup: true, has: Some(Way::Prebuilt), ..Fake::default() };
    assert_eq!(fake.set_up(), (Ok(Way::Prebuilt), vec![]));
}

#[test]
fn failure_says_what_was_tried_and_what_is_missing() {
    let (result, _) = Fake { rustup: true, ..Fake::default() }.set_up();
    let text = result.expect_err("nothing works");
    assert!(text.starts_with("no way to build guest crates on this machine"), "{text}");
    assert!(text.ends_with("\ntried here: rustup target add wasm32-wasip2 (failed)"), "{text}");

    let (result, ran) = Fake::default().set_up();
    assert!(result.expect_err("nothing works").ends_with("tried here: nothing, for want of rights or tools"));
    assert_eq!(ran, Vec::<String>::new());
}
