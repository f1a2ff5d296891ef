//! Forty ways out of granted folders, tried by a component, and by an actor that is nobody's friend.
//!
//! Owns: what lies around the granted folders, and that none of it is read or changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use greenroom::{DirGrant, Portal, SpawnSpec, Wall, payload};
use greenroom_tests::villain::{BASE, ESCAPES, escapes};
use greenroom_tests::{Options, Place, Wall as Told, World, alone, assert_page_tells, guest};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;

use super::{Den, Outcome, without};

/// What nobody may read: what a file holds, and what another is called.
const SECRET: &str = "the-secret-9f2c";

/// The folders around an escape.
#[derive(Clone)]
struct Site {
    base: PathBuf,
}

/// What can be seen of one file: what it holds, when that was, and how many names it has.
type Sight = (String, i64, u64);

impl Site {
    fn new(place: &Place) -> Self {
        let site = Self { base: place.folder().join("site") };
        for folder in ["rw", "ro", "secret"] {
            fs::create_dir_all(site.path(folder)).expect("a folder");
        }
        site
    }

    fn path(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    fn dirs(&self) -> Vec<(PathBuf, String, bool)> {
        vec![(self.path("rw"), "/rw".to_owned(), true), (self.path("ro"), "/ro".to_owned(), false)]
    }

    /// Puts everything as it is before an escape.
    fn lay(&self) {
        for folder in ["rw", "ro", "secret"] {
            for entry in fs::read_dir(self.path(folder)).expect("a folder") {
                let path = entry.expect("an entry").path();
                let is_folder = path.symlink_metadata().expect("it is there").is_dir();
                if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
            }
        }
        for folder in ["rw/sub", "rw/planted", "rw/swapped/folder", "rw/moving/inner", "secret/empty"] {
            fs::create_dir_all(self.path(folder)).expect("a folder");
        }
        for (file, text) in [
            ("secret/file", SECRET),
            ("ro/file", "to be read"),
            ("rw/own-file", "own"),
            ("rw/swapped/folder/file", "harmless"),
            ("rw/swapped/file", "harmless"),
        ] {
            fs::write(self.path(file), text).expect("a file");
        }
        fs::write(self.path("secret").join(SECRET), "").expect("a file");
        let absolute = self.path("secret/file").display().to_string();
        for (link, target) in [
            ("planted/absolute", absolute.as_str()),
            ("planted/relative", "../../secret/file"),
            ("planted/folder", "../../secret"),
            ("planted/chain", "second"),
            ("planted/second", "relative"),
            ("planted/deep", "../../secret/empty"),
            ("planted/nowhere", "../../secret/new"),
            ("swapped/link", "../../secret/file"),
            ("swapped/other", "../../secret"),
        ] {
            symlink(target, self.path("rw").join(link)).expect("a link");
        }
    }

    /// All that may not change: by name, what can be seen of it.
    fn sight(&self) -> BTreeMap<String, Option<Sight>> {
        let mut seen = BTreeMap::new();
        for folder in ["ro", "secret"] {
            for entry in fs::read_dir(self.path(folder)).expect("a folder") {
                let path = entry.expect("an entry").path();
                let about = path.symlink_metadata().expect("it is there");
                let text = about.is_file().then(|| fs::read_to_string(&path).unwrap_or_default());
                let sight = text.map(|text| (text, about.mtime(), about.nlink()));
                seen.insert(format!("{folder}/{}", path.file_name().expect("a name").display()), sight);
            }
        }
        // What is moved there is moved by the test itself.
        seen.remove("secret/inner");
        seen
    }

    /// What others do while the escape is tried, until it is `over`.
    fn meddle(&self, id: &str, over: &AtomicBool) {
        let exchange = |one: &str, other: &str| {
            let (one, other) = (self.path("rw/swapped").join(one), self.path("rw/swapped").join(other));
            renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).expect("both are there");
        };
        while !over.load(Ordering::Relaxed) {
            if !self.path("rw/ready").exists() {
                thread::yield_now();
                continue;
            }
            match id {
                "fs-17" => exchange("folder", "other"),
                "fs-18" => exchange("file", "link"),
                "fs-19" => {
                    fs::rename(self.path("rw/moving/inner"), self.path("secret/inner")).expect("moved");
                    return;
                }
                _ => return,
            }
        }
    }

    /// Lays everything out, has an escape tried, and tells what it got or changed, if anything.
    async fn watch(&self, id: &'static str, attempt: impl Future<Output = String>) -> Option<String> {
        self.lay();
        let (before, over) = (self.sight(), Arc::new(AtomicBool::new(false)));
        let (site, until) = (self.clone(), over.clone());
        let others = thread::spawn(move || site.meddle(id, &until));
        let said = attempt.await;
        over.store(true, Ordering::Relaxed);
        others.join().expect("the others do their part");
        let after = self.sight();
        let escaped = said.contains(SECRET) || after != before;
        escaped.then(|| format!("{id}: it said `{said}`, and of {before:?} there is {after:?}"))
    }
}

/// Tries every escape by a component behind these walls of the kernel's, and gives those that succeed.
async fn by_component(place: &Place, walls: &[Wall]) -> Vec<String> {
    let site = Site::new(place);
    let options = Options {
        dirs: site.dirs(),
        components: vec![("escape".to_owned(), guest("escape"))],
        without: without(walls),
        ..Options::default()
    };
    let world = World::empty(place, options);
    let spec = SpawnSpec {
        name: "escape".to_owned(),
        modules: vec!["escape/escape".to_owned()],
        dirs: vec![DirGrant::writable("/rw"), DirGrant::read_only("/ro")],
        ..SpawnSpec::default()
    };
    let portal = world.host().nursery().start(spec, None).await.expect("it starts");
    let mut escaped = Vec::new();
    for escape in ESCAPES {
        escaped.extend(site.watch(escape.id, attempt(&portal, escape.id, &site)).await);
    }
    world.end().await;
    escaped
}

async fn attempt(portal: &Portal, id: &str, site: &Site) -> String {
    let arguments = json!({"id": id, "base": site.base.display().to_string()});
    let arguments = payload::encode(&arguments).expect("they can be encoded");
    let said = portal.call("escape/escape:attempt", arguments.into()).await;
    let said = said.unwrap_or_else(|error| panic!("{id}: {error}"));
    payload::decode(&said).expect("a text")
}

/// Tries every escape by native code behind these walls, and gives those that succeed.
async fn by_villain(place: &Place, walls: &[Wall]) -> Vec<(&'static str, String)> {
    let site = Site::new(place);
    let den = Den::with(place, walls, site.dirs());
    let base = (BASE.to_owned(), site.base.display().to_string());
    let mut escaped = Vec::new();
    for escape in ESCAPES {
        let attempt = async {
            match den.attempt(escape.id, vec![base.clone()]).await {
                Outcome::Done(said) => said,
                other => format!("{other:?}"),
            }
        };
        escaped.extend(site.watch(escape.id, attempt).await.map(|how| (escape.id, how)));
    }
    escaped
}

#[test]
fn the_page_tells_of_the_escapes() {
    assert_page_tells("fs", 40, &escapes());
}

#[test]
fn f1_no_component_escapes_from_its_folders() {
    alone(async |place| {
        let escaped = by_component(place, &Wall::ALL).await;
        assert!(escaped.is_empty(), "{escaped:#?}");
    });
}

#[test]
fn f1_no_component_escapes_from_its_folders_where_there_is_wasi_alone() {
    alone(async |place| {
        let escaped = by_component(place, &[]).await;
        assert!(escaped.is_empty(), "{escaped:#?}");
    });
}

#[test]
fn f3_no_native_code_escapes_from_its_folders_where_there_is_landlock_alone() {
    alone(async |place| {
        let mut escaped = by_villain(place, &[Wall::Privileges, Wall::Landlock]).await;
        let stopped: Vec<_> =
            escapes().into_iter().filter(|escape| escape.alone.contains(&Told::Landlock)).collect();
        assert_eq!(stopped.len(), 39);
        escaped.retain(|(id, _)| stopped.iter().any(|escape| escape.id == *id));
        assert!(escaped.is_empty(), "{escaped:#?}");
    });
}

#[test]
fn where_there_is_no_wall_every_escape_succeeds() {
    alone(async |place| {
        let escaped: Vec<_> = by_villain(place, &[]).await.into_iter().map(|(id, _)| id).collect();
        let kept: Vec<_> = ESCAPES.iter().filter(|escape| !escaped.contains(&escape.id)).collect();
        assert!(kept.is_empty(), "these lead nowhere, so that their tests prove nothing: {kept:?}");
    });
}
