//! `greenroom new`: a project that builds and runs at once.
//!
//! Owns: what is in it. Must not know: how it is built. Invariant: nothing that was there before is
//! changed, and what could not be completed is taken away again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::CliError;
use crate::values::write_line;

/// The sources of the SDK, as this program was built with them.
const SDK: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// Where they go in a project.
const VENDOR: &str = "vendor/greenroom";

/// The files of a project, with `NAME`, `SDK` and `VENDOR` to be filled in.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../../template/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("../../../template/src/lib.rs")),
    ("greenroom.toml", include_str!("../../../template/greenroom.toml")),
    ("README.md", include_str!("../../../template/README.md")),
    (".gitignore", include_str!("../../../template/gitignore")),
];

/// What is said of the vendored SDK in a project's README.
const VENDORED: &str = "
`vendor/greenroom` holds the guest SDK as `greenroom new` put it there. It is to be committed, and is
replaced when the project is to use another version.
";

/// Words of Rust, and names that cargo has taken.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "greenroom-guest",
    "greenroom_guest",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Make a project: a guest crate that builds and runs at once
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The guest SDK goes along, into vendor/greenroom, as this program was built with it.
Examples:
  greenroom new hello && cd hello && greenroom run
  greenroom new hello --sdk ../greenroom/guest-sdk

Exit status:
  0 the project is there     2 it cannot be made, and nothing was changed")]
pub(crate) struct NewArgs {
    /// The project's folder, which is made; its last part is the project's name
    #[arg(value_name = "NAME")]
    pub(crate) folder: PathBuf,

    /// Another SDK: the folder of its crate, or a version in the registry
    #[arg(long, value_name = "PATH|VERSION")]
    pub(crate) sdk: Option<String>,
}

pub(crate) fn new(args: &NewArgs) -> Result<(), CliError> {
    let name = args.folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.ok_or_else(|| {
        CliError::input(format!("`{}` has no last part to name the project after", args.folder.display()))
    })?;
    check_name(&name).map_err(|why| {
        CliError::input(format!("`{name}` cannot be the name of a project: {why}"))
            .hint("write lowercase letters, digits, `-` and `_`, beginning with a letter")
    })?;
    let sdk = args.sdk.as_deref().map(sdk).transpose()?;
    let made = vacant(&args.folder)?;
    if let Err(error) = write(&args.folder, &name, sdk.as_deref()) {
        // What is half there would keep a second try from succeeding.
        let undone = if made { fs::remove_dir_all(&args.folder) } else { empty(&args.folder) };
        let rest = undone.err().map(|error| format!("; some of it is left: {error}")).unwrap_or_default();
        let folder = args.folder.display();
        return Err(CliError::input(format!("cannot make the project in `{folder}`: {error}{rest}")));
    }
    write_line(&format!("made `{}`; next:", args.folder.display()))?;
    write_line(&format!("  cd {} && greenroom run", args.folder.display()))
}

/// Whether cargo, Rust and WIT take this name.
fn check_name(name: &str) -> Result<(), String> {
    if TAKEN.contains(&name) {
        return Err("it is a word of Rust, or of this SDK".to_owned());
    }
    if name.len() > 64 {
        return Err("it is longer than 64 bytes".to_owned());
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("it does not begin with a lowercase letter".to_owned());
    }
    let odd =
        name.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_')));
    odd.map_or(Ok(()), |odd| Err(format!("it has {odd:?} in it")))
}

/// How the manifest names another SDK than the vendored one.
fn sdk(text: &str) -> Result<String, CliError> {
    let path = Path::new(text);
    let is_version = text.starts_with(|c: char| c.is_ascii_digit()) && !path.exists();
    if is_version {
        return Ok(format!("{text:?}"));
    }
    let manifest = path.join("Cargo.toml");
    let found = fs::read_to_string(&manifest).map_err(|error| {
        let message = format!("--sdk {text}: cannot read `{}`: {error}", manifest.display());
        CliError::input(message)
            .hint("give the folder of the crate greenroom-guest, or a version such as 0.1")
    })?;
    if !found.contains("name = \"greenroom-guest\"") {
        return Err(CliError::input(format!("--sdk {text}: this is not the crate greenroom-guest")));
    }
    let full = fs::canonicalize(path).map_err(|error| CliError::input(format!("--sdk {text}: {error}")))?;
    Ok(format!("{{ path = {:?} }}", full.display().to_string()))
}

/// That there is an empty folder; whether it was made for that.
fn vacant(folder: &Path) -> Result<bool, CliError> {
    let refuse =
        |why: String| CliError::input(format!("cannot make a project in `{}`: {why}", folder.display()));
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(false),
            Some(_) => Err(refuse("the folder is not empty".to_owned()).hint("choose another name")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder).map_err(|error| refuse(error.to_string()))?;
            Ok(true)
        }
        Err(error) => Err(refuse(error.to_string())),
    }
}

fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

fn write(folder: &Path, name: &str, sdk: Option<&str>) -> io::Result<()> {
    let vendored = format!("{{ path = \"{VENDOR}/guest-sdk\" }}");
    let note = if sdk.is_none() { VENDORED } else { "" };
    for (file, text) in FILES {
        let text = text.replace("NAME", name).replace("VENDOR\n", note);
        put(folder, file, text.replace("= SDK", &format!("= {}", sdk.unwrap_or(&vendored))).trim_start())?;
    }
    if sdk.is_none() {
        for (file, text) in SDK {
            put(&folder.join(VENDOR), file, text)?;
        }
    }
    Ok(())
}

fn put(folder: &Path, file: &str, text: &str) -> io::Result<()> {
    let path = folder.join(file);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_cargo_rust_and_wit_take() {
        for name in ["x", "hello", "my-app", "my_app2"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "1x", "Hello", "my app", "fn", "std", "greenroom-guest", "über", "a.b", "-x"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_sdk_that_goes_along_names_no_crate_that_does_not() {
        let (_, manifest) = SDK.iter().find(|(name, _)| *name == "Cargo.toml").expect("a workspace");
        assert!(manifest.contains("greenroom-abi = { path = \"wit\""), "{manifest}");
        assert!(!manifest.contains("host/"), "{manifest}");
        for member in
            ["wit/Cargo.toml", "guest-sdk/Cargo.toml", "guest-sdk/macro/Cargo.toml", "wit/world.wit"]
        {
            assert!(SDK.iter().any(|(name, _)| *name == member), "{member}");
        }
    }
}
