//! Rights: what a child may have, and what it gets.
//!
//! Owns: clause B10.

use std::fs;

use greenroom_tests::kind::PermissionDenied;
use greenroom_tests::{Options, Place, World, alone};
use serde_json::json;

/// A world whose root may read `/read` and write `/write`.
async fn world(place: &Place) -> World {
    let folders = ["read", "write"].map(|name| {
        let folder = place.folder().join(name);
        fs::create_dir_all(folder.join("inner")).expect("a folder");
        fs::write(folder.join("inner/file"), "text").expect("a file in it");
        (folder, format!("/{name}"), name == "write")
    });
    let env = vec![("MOOD".to_owned(), "good".to_owned())];
    World::with(place, Options { dirs: folders.to_vec(), env, ..Options::default() }).await
}

#[test]
fn b10_a_child_gets_nothing_that_it_was_not_given() {
    alone(async |place| {
        let world = world(place).await;
        let _child = world.keep(&[], "child").await;
        let file = json!({"path": "/read/inner/file"});
        assert_eq!(world.call(&[], "stage:read", &file).await, Ok("text".to_owned()), "the root may");
        world.call::<String>(&["child"], "stage:read", &file).await.expect_err("the child sees no file");
        let mood = json!({"name": "MOOD"});
        assert_eq!(world.call(&[], "stage:variable", &mood).await, Ok(Some("good".to_owned())));
        assert_eq!(world.call(&["child"], "stage:variable", &mood).await, Ok(None::<String>));
        world.end().await;
    });
}

#[test]
fn b10_a_child_may_get_less() {
    alone(async |place| {
        let world = world(place).await;
        let (modules, dirs) = (["stage"], [("/read/inner", false), ("/write", false)]);
        let _child =
            world.keep_with(&[], "child", &modules, &dirs, &[("MOOD", "calm")]).await.expect("it starts");
        let read =
            |path: &'static str| world.call::<String>(&["child"], "stage:read", &json!({"path": path}));
        assert_eq!(read("/read/inner/file").await, Ok("text".to_owned()));
        read("/read/inner/../../write/inner/file").await.expect_err("no way leads out");
        let write = json!({"path": "/write/new", "text": "x"});
        world.call::<()>(&["child"], "stage:write", &write).await.expect_err("it may only read");
        assert_eq!(world.call(&[], "stage:write", &write).await, Ok(()), "the root may write");
        assert_eq!(fs::read_to_string(place.folder().join("write/new")).ok().as_deref(), Some("x"));
        let mood = json!({"name": "MOOD"});
        assert_eq!(world.call(&["child"], "stage:variable", &mood).await, Ok(Some("calm".to_owned())));
        world.end().await;
    });
}

#[test]
fn b10_asking_for_more_is_denied_naming_the_right() {
    alone(async |place| {
        let world = world(place).await;
        for (dir, right) in [
            (("/read", true), "write access to directory `/read`"),
            (("/etc", false), "directory `/etc`"),
            (("/", false), "directory `/`"),
        ] {
            let error = world.keep_with(&[], "child", &["stage"], &[dir], &[]).await.expect_err("denied");
            let denied: PermissionDenied = error.downcast().unwrap_or_else(|| panic!("{error}"));
            assert!(denied.right.contains(right) && denied.right.contains("`root`"), "{}", denied.right);
        }
        assert_eq!(world.processes().len(), 1, "nothing was started");
        // Nor may a child pass on what it was not given.
        let _child =
            world.keep_with(&[], "child", &["stage"], &[("/write", false)], &[]).await.expect("it starts");
        let denied = world
            .keep_with(&["child"], "leaf", &["stage"], &[("/write", true)], &[])
            .await
            .expect_err("denied");
        assert!(denied.is::<PermissionDenied>(), "{denied}");
        assert_eq!(denied.src_actor.map(|actor| actor.name).as_deref(), Some("child"));
        world.end().await;
    });
}
