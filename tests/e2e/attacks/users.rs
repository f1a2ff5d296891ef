//! Twenty things that another user of the machine may try.
//!
//! Owns: that none succeeds, and that each would if it were its owner's. Must not know: how they are
//! done. Becoming another user takes root: an ordinary user tries only what the owner may.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use greenroom::{Directory, Registry};
use greenroom_tests::villain::users::{
    ACTOR, CACHE, CODE, COMING, ENTRY, INTRUSIONS, Intrusion, LIFE, REGISTRY, STATION, Then,
};
use greenroom_tests::villain::{DONE, REFUSED, USER};
use greenroom_tests::{
    Attack, Options, Place, World, alone, assert_page_tells, own_program, program, say, until,
};
use serde_json::json;
use tempfile::TempDir;

/// A user who owns nothing.
const NOBODY: u32 = 65534;

/// The smallest component, which says nothing.
const COMPONENT: &str = "empty.wasm";

/// What the owner has, in a folder that everybody may look into.
struct Estate {
    base: TempDir,
    world: World,
    known: Vec<(&'static str, PathBuf)>,
}

impl Estate {
    async fn new(place: &Place) -> Self {
        let base = tempfile::Builder::new().prefix("estate").tempdir_in("/tmp").expect("a folder");
        let (registry, cache) =
            (base.path().join("registry"), base.path().join("caches/greenroom/components"));
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        // The suite's own folder may be closed to others.
        fs::copy(own_program("villain"), base.path().join("villain")).expect("a copy for everybody");
        fs::write(base.path().join(COMPONENT), b"\0asm\x0d\0\x01\0").expect("the smallest component");
        assert!(compiles(base.path(), &base.path().join("caches")), "it is compiled");
        let directory = Arc::new(Directory::at(&registry).expect("a registry"));
        let options = Options { registry: Some(directory), ..Options::default() };
        let world = World::with(place, options).await;
        let found = |folder: &Path, ending: &str| {
            let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
            let mut files = files.filter(|file| file.extension().is_some_and(|found| found == ending));
            files.next().unwrap_or_else(|| panic!("no `{ending}` in {}", folder.display()))
        };
        until("the root is published", std::time::Duration::from_secs(5), async || {
            let files = fs::read_dir(&registry).expect("a folder");
            files.flatten().any(|entry| entry.path().extension().is_some_and(|e| e == "actor")).then_some(())
        })
        .await;
        let known = vec![
            (ENTRY, found(&registry, "actor")),
            (LIFE, found(&registry, "host")),
            (STATION, found(&registry, "station")),
            (CODE, found(&cache, "code")),
            (REGISTRY, registry),
            (CACHE, cache),
            (ACTOR, PathBuf::from(world.pid("root").to_string())),
        ];
        Self { base, world, known }
    }

    fn path(&self, name: &str) -> &Path {
        let (_, path) = self.known.iter().find(|(known, _)| *known == name).expect("it is known");
        path
    }

    /// Whether an attack succeeds, tried by another user or by the owner.
    fn try_as(&self, intrusion: &Intrusion, user: Option<u32>) -> bool {
        let caches = self.base.path().join(format!("{}-{}", intrusion.attack.id, user.is_some()));
        let coming = caches.join("greenroom/components");
        open_to_all(&caches.join("greenroom"));
        let open = |folder: u32, station: u32| {
            for (name, mode) in [(REGISTRY, folder), (STATION, station)] {
                fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("its mode");
            }
        };
        if intrusion.open {
            open(0o755, 0o777);
        }
        let mut command = Command::new(self.base.path().join("villain"));
        command.args([USER, intrusion.attack.id]).env_clear().current_dir("/");
        command.envs(self.known.iter().cloned()).env(COMING, &coming);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if intrusion.open {
            open(0o700, 0o700);
        }
        let done = said.starts_with(DONE);
        assert!(done || said.starts_with(REFUSED), "{}: {output:?}", intrusion.attack.id);
        match intrusion.then {
            Then::Nothing => done,
            then => {
                assert!(done, "{}: the place cannot be prepared: {said}", intrusion.attack.id);
                match then {
                    Then::Cache => compiles(self.base.path(), &caches),
                    _ => Directory::at(&coming).is_ok(),
                }
            }
        }
    }

    /// That all is as it was.
    async fn is_whole(&self) {
        let echo = json!({"bytes": [1, 2]});
        let echoed: Vec<u8> = self.world.call(&[], "faults:echo", &echo).await.expect("it serves");
        assert_eq!(echoed, [1, 2]);
        let registry = Directory::at(self.path(REGISTRY)).expect("it is the owner's alone");
        assert_eq!(registry.list().expect("it can be read").len(), 1);
    }
}

/// A folder in which everybody may make things of their own, as the one for temporary files.
fn open_to_all(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o1777)).expect("its mode");
}

/// Whether the owner's program compiles a component to the cache that it has among these.
fn compiles(base: &Path, caches: &Path) -> bool {
    let mut inspect = Command::new(program());
    let inspect = inspect.arg("inspect").arg(base.join(COMPONENT)).env("XDG_CACHE_HOME", caches);
    inspect.output().expect("the program runs").status.success()
}

#[test]
fn the_page_tells_of_other_users() {
    let attacks: Vec<Attack> = INTRUSIONS.iter().map(|intrusion| intrusion.attack).collect();
    assert_page_tells("user", 20, &attacks);
}

#[test]
fn f3_another_user_gets_nothing() {
    alone(async |place| {
        if !rustix::process::geteuid().is_root() {
            say("only root can become another user: tried is what the owner may");
            return;
        }
        let estate = Estate::new(place).await;
        let succeeded = INTRUSIONS.iter().filter(|intrusion| estate.try_as(intrusion, Some(NOBODY)));
        let succeeded: Vec<_> = succeeded.map(|intrusion| intrusion.attack).collect();
        assert!(succeeded.is_empty(), "{succeeded:#?}");
        estate.is_whole().await;
        estate.world.end().await;
    });
}

#[test]
fn what_another_user_tries_its_owner_may() {
    alone(async |place| {
        let root = rustix::process::geteuid().is_root();
        let estate = Estate::new(place).await;
        let mut wrong = Vec::new();
        for intrusion in INTRUSIONS {
            let is_process = ["user-17", "user-18", "user-19"].contains(&intrusion.attack.id);
            let succeeded = estate.try_as(intrusion, None);
            // What one may do to one's own processes differs between machines.
            if succeeded == intrusion.nobody && (root || !is_process) {
                wrong.push(intrusion.attack);
            }
        }
        assert!(wrong.is_empty(), "their tests prove nothing: {wrong:#?}");
        estate.is_whole().await;
        estate.world.end().await;
    });
}
