//! What cargo is given: its environment and its arguments.
//!
//! Owns: which inherited variables a guest build sees, and the flags of each way. Must not
//! know: how cargo is run. Invariant: nothing that configures a build of the host reaches a
//! build of a guest; what configures the network, the registries and the terminal does.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::iter;
use std::path::{Path, PathBuf};

use crate::way::{Recipe, TARGET, UNWIND_CFG, Way};

/// The variables of cargo that say where things are and how to talk to the network, by
/// prefix. Every other `CARGO…` is either a build setting or left by an outer cargo.
const CARGO_KEPT: [&str; 7] = [
    "CARGO_BUILD_JOBS",
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
];

/// Build settings, and what rustup leaves for the programs that it starts.
const DROPPED: [&str; 8] = [
    "RUSTC",
    "RUSTC_",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
    "RUST_TARGET_PATH",
    "__CARGO",
];

/// What makes loops of guests as fast as native ones: vectors, which every engine that runs components
/// has, and several steps in each turn, also where LLVM would not do that for WebAssembly, as the end of a
/// turn costs a look at the clock of the actor. More than so many instructions do not become one turn.
const FAST: [&str; 4] = [
    "-C",
    "target-feature=+simd128",
    "-C",
    "llvm-args=-force-vector-interleave=4 -unroll-runtime -unroll-allow-partial -unroll-threshold=400 \
     -unroll-partial-threshold=400",
];

/// The whole environment for a cargo of this way.
pub(crate) fn environment(
    recipe: &Recipe,
    inherited: impl Iterator<Item = (OsString, OsString)>,
) -> BTreeMap<OsString, OsString> {
    let mut variables: BTreeMap<_, _> = inherited.filter(|(name, _)| is_kept(name)).collect();

    let path = variables.remove(OsStr::new("PATH")).unwrap_or_default();
    let bin = recipe.rustc.parent().map(Path::to_owned);
    let folders = bin.into_iter().chain(recipe.linkers.iter().cloned()).chain(env::split_paths(&path));
    if let Ok(path) = env::join_paths(folders) {
        variables.insert("PATH".into(), path);
    }
    if let Some(libraries) = variables.remove(OsStr::new("LD_LIBRARY_PATH")) {
        let kept: Vec<PathBuf> = env::split_paths(&libraries).filter(|dir| !is_of_rust(dir)).collect();
        if let Ok(libraries) = env::join_paths(&kept)
            && !kept.is_empty()
        {
            variables.insert("LD_LIBRARY_PATH".into(), libraries);
        }
    }
    variables.insert("RUSTC".into(), recipe.rustc.clone().into());
    if recipe.way.compiles_std() {
        // Lets a released compiler take the unstable options below.
        variables.insert("RUSTC_BOOTSTRAP".into(), "1".into());
    }
    variables
}

fn is_kept(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if name.starts_with("CARGO") { starts(&CARGO_KEPT) } else { !starts(&DROPPED) }
}

/// Whether a folder of libraries is some compiler's own; rustup puts its there for the
/// programs that it starts, and they are not the libraries of another compiler.
fn is_of_rust(dir: &Path) -> bool {
    dir.components().any(|part| part.as_os_str() == "rustlib") || dir.join("rustlib").is_dir()
}

/// The arguments that make a cargo build by this way; `tag` is the exception tag's object file.
pub(crate) fn arguments(recipe: &Recipe, tag: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--target".into(), TARGET.into()];
    match recipe.way {
        Way::SourceUnwind => arguments.extend(["-Z", "build-std=std,panic_unwind"].map(Into::into)),
        Way::SourceAbort => arguments.extend(["-Z", "build-std=std,panic_abort"].map(Into::into)),
        Way::Prebuilt => {}
    }
    // Not the variable RUSTFLAGS: cargo adds these to what a crate configures for the target,
    // where the variable would replace it.
    let flags: Vec<String> = flags(recipe, tag).iter().map(|flag| quote(flag)).collect();
    arguments.push("--config".into());
    arguments.push(format!("target.{TARGET}.rustflags=[{}]", flags.join(",")).into());
    arguments
}

fn flags(recipe: &Recipe, tag: &Path) -> Vec<String> {
    let mut flags = vec!["--check-cfg".to_owned(), format!("cfg({UNWIND_CFG})")];
    flags.extend(FAST.map(str::to_owned));
    if let Some(libc) = &recipe.libc {
        flags.extend(["-L".to_owned(), format!("native={}", libc.display())]);
    }
    if recipe.way.unwinds() {
        flags.extend(["--cfg", UNWIND_CFG, "-C", "panic=unwind"].map(str::to_owned));
        // Without this, LLVM emits the instructions of the withdrawn proposal.
        flags.extend(["-C", "llvm-args=-wasm-use-legacy-eh=false"].map(str::to_owned));
        flags.extend(["-C".to_owned(), format!("link-arg={}", tag.display())]);
    }
    flags
}

/// A TOML basic string.
fn quote(text: &str) -> String {
    let escaped = text.chars().flat_map(|c| {
        let escape = matches!(c, '"' | '\\').then_some('\\');
        escape.into_iter().chain(iter::once(c))
    });
    iter::once('"').chain(escaped).chain(iter::once('"')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    fn recipe(way: Way) -> Recipe {
        Recipe {
            way,
            rustc: "/usr/bin/rustc".into(),
            cargo: "/usr/bin/cargo".into(),
            version: Version::oldest(),
            libc: way.compiles_std().then(|| "/usr/lib/wasm32-wasi".into()),
            linkers: vec!["/tc/bin".into(), "/tc/bin/gcc-ld".into()],
        }
    }

    fn given(way: Way, inherited: &[(&str, &str)]) -> BTreeMap<String, String> {
        let inherited = inherited.iter().map(|(name, value)| (name.into(), value.into()));
        let text = |value: OsString| value.into_string().expect("text");
        environment(&recipe(way), inherited).into_iter().map(|(k, v)| (text(k), text(v))).collect()
    }

    #[test]
    fn build_settings_of_the_outside_do_not_reach_a_guest() {
        let outside = [
            "CARGO",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_MAKEFLAGS",
            "CARGO_MANIFEST_DIR",
            "CARGO_PKG_NAME",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_TARGET_DIR",
            "CARGO_TARGET_WASM32_WASIP2_LINKER",
            "RUSTC",
            "RUSTC_BOOTSTRAP",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTDOCFLAGS",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "RUST_RECURSION_COUNT",
        ];
        let inherited: Vec<_> = outside.iter().map(|name| (*name, "x")).collect();
        let variables = given(Way::Prebuilt, &inherited);
        assert_eq!(variables.keys().collect::<Vec<_>>(), ["PATH", "RUSTC"]);
        assert_eq!(variables["RUSTC"], "/usr/bin/rustc");
    }

    #[test]
    fn network_registries_and_terminal_stay() {
        let kept = [
            "CARGO_BUILD_JOBS",
            "CARGO_HOME",
            "CARGO_HTTP_PROXY",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_MINE_INDEX",
            "CARGO_REGISTRY_TOKEN",
            "CARGO_TERM_COLOR",
            "HOME",
            "RUSTUP_HOME",
            "RUST_BACKTRACE",
            "https_proxy",
        ];
        let inherited: Vec<_> = kept.iter().map(|name| (*name, "x")).collect();
        let variables = given(Way::Prebuilt, &inherited);
        assert!(kept.iter().all(|name| variables[*name] == "x"));
    }

    #[test]
    fn compiling_std_finds_compiler_and_linkers_first() {
        let variables = given(
            Way::SourceUnwind,
            &[
                ("PATH", "/home/ada/.cargo/bin:/bin"),
                ("LD_LIBRARY_PATH", "/tc/lib/rustlib/host/lib:/opt/lib"),
            ],
        );
        assert_eq!(variables["PATH"], "/usr/bin:/tc/bin:/tc/bin/gcc-ld:/home/ada/.cargo/bin:/bin");
        assert_eq!(variables["RUSTC_BOOTSTRAP"], "1");
        assert_eq!(variables["LD_LIBRARY_PATH"], "/opt/lib");
        assert!(
            !given(Way::SourceAbort, &[("LD_LIBRARY_PATH", "/r/rustlib")]).contains_key("LD_LIBRARY_PATH")
        );
    }

    #[test]
    fn arguments_of_each_way() {
        let fast = "\"-C\",\"target-feature=+simd128\",\"-C\",\"llvm-args=-force-vector-interleave=4 -unroll-runtime \
                    -unroll-allow-partial -unroll-threshold=400 -unroll-partial-threshold=400\"";
        let lines = |way| {
            let arguments = arguments(&recipe(way), Path::new("/t \"x\"/tag.o"));
            arguments
                .iter()
                .map(|argument| argument.to_string_lossy())
                .collect::<Vec<_>>()
                .join(" ")
                .replace(fast, "FAST")
        };
        assert_eq!(
            lines(Way::SourceUnwind),
            "--target wasm32-wasip2 -Z build-std=std,panic_unwind --config \
             target.wasm32-wasip2.rustflags=[\"--check-cfg\",\"cfg(greenroom_unwind)\",\
             FAST,\"-L\",\"native=/usr/lib/wasm32-wasi\",\"--cfg\",\"greenroom_unwind\",\"-C\",\"panic=unwind\",\
             \"-C\",\"llvm-args=-wasm-use-legacy-eh=false\",\"-C\",\"link-arg=/t \\\"x\\\"/tag.o\"]"
        );
        assert_eq!(
            lines(Way::SourceAbort),
            "--target wasm32-wasip2 -Z build-std=std,panic_abort --config \
             target.wasm32-wasip2.rustflags=[\"--check-cfg\",\"cfg(greenroom_unwind)\",\
             FAST,\"-L\",\"native=/usr/lib/wasm32-wasi\"]"
        );
        assert_eq!(
            lines(Way::Prebuilt),
            "--target wasm32-wasip2 --config \
             target.wasm32-wasip2.rustflags=[\"--check-cfg\",\"cfg(greenroom_unwind)\",\
             FAST]"
        );
    }
}
