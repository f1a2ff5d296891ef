//! Machines made of folders, and the way that is picked on each.
//!
//! Owns: the table of ways. Must not know: the machine it runs on. Invariant: no compiler
//! runs here; a machine's folders and its answers are made up.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

/// A made-up machine.
struct Machine {
    root: TempDir,
    places: Places,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let path = vec![root.path().join("shims")];
        let places =
            Places { system: root.path().join("usr"), rustup_home: Some(root.path().join("rustup")), path };
        Self { root, places }
    }

    fn file(&self, path: &str) -> &Self {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, "").expect("a file");
        self
    }

    /// All of Debian's packages, the source being of `version`.
    fn with_packages(&self, version: &str) -> &Self {
        self.file("usr/bin/rustc").file("usr/bin/cargo").file("usr/lib/wasm32-wasi/libc.a");
        self.file(&format!("usr/src/rustc-{version}/library/std/Cargo.toml"));
        let link = self.root.path().join("usr/lib/rustlib/src/rust");
        fs::create_dir_all(link.parent().expect("a parent")).expect("a folder");
        let source = self.root.path().join(format!("usr/src/rustc-{version}"));
        std::os::unix::fs::symlink(source, link).expect("a link");
        self
    }

    /// A toolchain of rustup, as it is first installed.
    fn with_rustup(&self, name: &str) -> &Self {
        let home = format!("rustup/toolchains/{name}");
        for file in
            ["bin/rustc", "bin/cargo", "lib/rustlib/h/bin/rust-lld", "lib/rustlib/h/bin/gcc-ld/wasm-ld"]
        {
            self.file(&format!("{home}/{file}"));
        }
        self.file(&format!("{home}/lib/rustlib/h/bin/wasm-component-ld"))
    }

    fn with_target(&self, name: &str) -> &Self {
        self.file(&format!("rustup/toolchains/{name}/lib/rustlib/wasm32-wasip2/lib/libstd-1.rlib"))
    }

    fn with_source(&self, name: &str) -> &Self {
        self.file(&format!("rustup/toolchains/{name}/lib/rustlib/src/rust/library/std/Cargo.toml"))
    }

    /// Chooses, where the system's rustc says it is of one version, rustup's of another.
    fn choose(&self, system: &str, rustup: &str) -> Result<Toolchain, NoToolchain> {
        let active = self.root.path().join("rustup/toolchains/stable");
        let answer = |program: &Path, args: &[&str]| -> Option<String> {
            match args {
                ["--print", "sysroot"] => Some(active.display().to_string()),
                _ if program.starts_with(&self.places.system) => Some(format!("rustc {system} (abc)")),
                _ => Some(format!("rustc {rustup} (abc)")),
            }
        };
        choose(&Survey::take(&self.places, &answer))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Replaces the machine's own root in a text.
    fn plain(&self, text: &impl ToString) -> String {
        text.to_string().replace(&self.root.path().display().to_string(), "")
    }
}

fn ways(toolchain: &Toolchain) -> Vec<Way> {
    toolchain.recipes.iter().map(|recipe| recipe.way).collect()
}

#[test]
fn packages_with_any_toolchains_linker_are_the_best_way() {
    let machine = Machine::new();
    machine.with_packages("1.96.0").with_rustup("stable").file("shims/rustc");
    let found = machine.choose("1.96.0", "1.95.0").expect("a way");
    assert_eq!(ways(&found), [Way::SourceUnwind, Way::SourceAbort]);
    assert_eq!(found.refusals(), []);
    let recipe = found.recipe();
    assert_eq!(recipe.rustc, machine.path("usr/bin/rustc"));
    assert_eq!(recipe.libc, Some(machine.path("usr/lib/wasm32-wasi")));
    let bin = machine.path("rustup/toolchains/stable/lib/rustlib/h/bin");
    assert_eq!(recipe.linkers, [bin.clone(), bin.join("gcc-ld")]);

    // With the target too, the prebuilt library comes second.
    machine.with_target("stable");
    let found = machine.choose("1.96.0", "1.95.0").expect("a way");
    assert_eq!(ways(&found), [Way::SourceUnwind, Way::Prebuilt, Way::SourceAbort]);
    assert_eq!(found.recipes[1].libc, None);
}

#[test]
fn a_toolchain_with_source_and_target_needs_no_packages() {
    let machine = Machine::new();
    machine.with_rustup("stable").with_rustup("nightly").with_source("nightly").with_target("nightly");
    let found = machine.choose("none", "1.97.0-nightly").expect("a way");
    assert_eq!(found.way(), Way::SourceUnwind);
    assert_eq!(found.recipe().cargo, machine.path("rustup/toolchains/nightly/bin/cargo"));
    assert_eq!(found.recipe().libc, None);
}

#[test]
fn the_active_toolchain_goes_before_the_others() {
    let machine = Machine::new();
    machine.with_rustup("stable").with_rustup("beta").file("shims/rustc");
    machine.with_target("stable").with_target("beta");
    let found = machine.choose("none", "1.95.0").expect("a way");
    assert_eq!(found.recipe().rustc, machine.path("rustup/toolchains/stable/bin/rustc"));
}

#[test]
fn a_lesser_way_says_why_the_better_one_was_not_taken() {
    let machine = Machine::new();
    machine.with_rustup("stable").with_target("stable").file("shims/rustc");
    let found = machine.choose("none", "1.95.0").expect("a way");
    assert_eq!(ways(&found), [Way::Prebuilt]);
    assert_eq!(
        machine.plain(&found),
        "standard library from rustup, panics abort (/rustup/toolchains/stable/bin/rustc, version 1.95.0)\n  \
         not standard library from source, panics unwind: system packages: no working compiler at \
         /usr/bin/rustc; no cargo at /usr/bin/cargo; no source of the standard library at \
         /usr/lib/rustlib/src/rust; no C library for WASI at /usr/lib/wasm32-wasi (fix: apt-get install \
         --no-install-recommends rustc-web cargo-web rust-web-src wasi-libc)\n  \
         not standard library from source, panics unwind: rustup toolchain stable: no source of the \
         standard library at /rustup/toolchains/stable/lib/rustlib/src/rust (fix: rustup component add \
         rust-src --toolchain stable)"
    );
}

#[test]
fn a_machine_without_any_way_says_what_each_lacks() {
    let machine = Machine::new();
    machine.with_packages("1.96.0").with_rustup("stable");
    fs::remove_dir_all(machine.path("usr/lib/wasm32-wasi")).expect("removed");
    let none = machine.choose("1.96.0", "1.95.0").expect_err("no C library");
    assert_eq!(
        machine.plain(&none),
        "no way to build guest crates on this machine; any one of these would do:\n  \
         standard library from source, panics unwind: system packages: no C library for WASI at \
         /usr/lib/wasm32-wasi (fix: apt-get install --no-install-recommends rustc-web cargo-web \
         rust-web-src wasi-libc)\n  \
         standard library from source, panics unwind: rustup toolchain stable: no source of the standard \
         library at /rustup/toolchains/stable/lib/rustlib/src/rust; no C library for WASI at \
         /usr/lib/wasm32-wasi (fix: rustup component add rust-src --toolchain stable && rustup target add \
         wasm32-wasip2 --toolchain stable)\n  \
         standard library from rustup, panics abort: rustup toolchain stable: target wasm32-wasip2 is not \
         installed (fix: rustup target add wasm32-wasip2 --toolchain stable)"
    );
}

#[test]
fn each_piece_of_the_first_way_is_needed() {
    let lacking = |remove: &str, version: &str, system: &str| {
        let machine = Machine::new();
        machine.with_packages(version).with_rustup("stable");
        if !remove.is_empty() {
            fs::remove_file(machine.path(remove)).expect("removed");
        }
        let none = machine.choose(system, "1.95.0").expect_err("a piece is missing");
        none.refusals[0].missing.iter().map(|missing| machine.plain(missing)).collect::<Vec<_>>()
    };
    for (remove, version, system, missing) in [
        ("usr/bin/rustc", "1.96.0", "1.96.0", "no working compiler at /usr/bin/rustc"),
        ("usr/bin/cargo", "1.96.0", "1.96.0", "no cargo at /usr/bin/cargo"),
        ("usr/lib/wasm32-wasi/libc.a", "1.96.0", "1.96.0", "no C library for WASI at /usr/lib/wasm32-wasi"),
        (
            "usr/src/rustc-1.96.0/library/std/Cargo.toml",
            "1.96.0",
            "1.96.0",
            "no source of the standard library at /usr/lib/rustlib/src/rust",
        ),
        (
            "rustup/toolchains/stable/lib/rustlib/h/bin/wasm-component-ld",
            "1.96.0",
            "1.96.0",
            "no wasm-component-ld with its wasm-ld",
        ),
        ("", "1.96.0", "rustc gone wrong", "no working compiler at /usr/bin/rustc"),
        ("", "1.63.0", "1.63.0", "rustc 1.63.0 is older than 1.95.0"),
        ("", "1.96.0", "1.96.1", "the source of the standard library is of 1.96.0, the compiler is 1.96.1"),
    ] {
        assert_eq!(lacking(remove, version, system), [missing]);
    }
}

#[test]
fn an_empty_machine_is_told_of_both_installers() {
    let none = Machine::new().choose("none", "none").expect_err("nothing is there");
    let ways: Vec<_> = none.refusals.iter().map(|refusal| (refusal.way, refusal.missing.len())).collect();
    assert_eq!(ways, [(Way::SourceUnwind, 5), (Way::Prebuilt, 1)]);
    assert!(none.to_string().contains("rustc-web") && none.to_string().contains("install rustup"));
}

#[test]
fn linkers_on_the_search_path_will_do() {
    let machine = Machine::new();
    machine.with_packages("1.96.0").file("shims/wasm-ld").file("shims/wasm-component-ld");
    let found = machine.choose("1.96.0", "none").expect("a way");
    assert_eq!(found.recipe().linkers, [machine.path("shims")]);
}
