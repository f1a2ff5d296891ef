//! That nothing can be switched off in what is handed out.
//!
//! Owns: the check that only builds made for `cargo xtask sabotage` heed its variable. Must not
//! know: what any protection does but the one it looks at.

use std::process::Command;

use greenroom_sabotage::{Protection, VARIABLE};
use greenroom_tests::{actors, alone, guest, program};

#[test]
fn a_build_that_is_not_made_for_it_cannot_be_sabotaged() {
    alone(async |place| {
        let tree = place.tree();
        let file = place.folder().join(format!("{tree}.wasm"));
        std::os::unix::fs::symlink(guest("faults"), &file).expect("a link to the guest");
        let all: Vec<_> = Protection::ALL.iter().map(|protection| protection.name()).collect();
        let done = Command::new(program())
            .args(["call", "--timeout", "20s", "--allow", "spawn"])
            .arg(&file)
            .args(["faults:spawn_tree", "depth=20", "fanout=1"])
            .env(VARIABLE, all.join(","))
            .output()
            .expect("the program runs");
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.code() == Some(1) && told.contains("`depth`"), "{}: {told}", done.status);
        assert!(actors(&tree).is_empty());
    });
}
