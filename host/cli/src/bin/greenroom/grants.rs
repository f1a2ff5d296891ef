//! What an application is granted, as users write it.
//!
//! Owns: the syntax of folders, variables, rights and isolation, on the command line and in a
//! manifest alike. Must not know: who keeps to them. Invariant: what was read can be granted, but
//! for what the machine says.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use greenroom::{Isolation, Rights};

/// A folder to grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirArg {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
    pub(crate) writable: bool,
}

impl DirArg {
    /// Reads `HOST[::GUEST][:ro]`, the host's folder being relative to `base`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn parse(text: &str, base: &Path) -> Result<Self, String> {
        let (paths, writable) = match text.strip_suffix(":ro") {
            Some(paths) => (paths, false),
            None => (text.strip_suffix(":rw").unwrap_or(text), true),
        };
        match paths.split_once("::") {
            Some((host, guest)) => Self::new(host, Some(guest.to_owned()), writable, base),
            None => Self::new(paths, None, writable, base),
        }
    }

    /// One of these parts.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn new(
        host: &str,
        guest: Option<String>,
        writable: bool,
        base: &Path,
    ) -> Result<Self, String> {
        if host.is_empty() {
            return Err("the host's folder is missing: write HOST[::GUEST][:ro]".to_owned());
        }
        let host = base.join(host);
        let guest = match guest {
            Some(guest) => guest,
            None => {
                let full = std::path::absolute(&host).map_err(|error| error.to_string())?;
                let name = full.file_name().ok_or("a folder without a name needs ::GUEST")?;
                format!("/{}", name.to_string_lossy())
            }
        };
        Ok(Self { host, guest, writable })
    }
}

/// What an application may do that none may who was not told so, as written in `--allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Right {
    // Not in doc comments: the help would spread over twice as many lines.
    // Start actors.
    Spawn,
    // Read the wall clock.
    Clock,
    // Get random numbers.
    Random,
    // Read this program's standard input.
    Stdin,
    // Find actors of other programs.
    Discover,
    // Let other programs find actors of its own.
    Publish,
    // Nothing, whatever the manifest says.
    None,
}

impl Right {
    /// What several come to together.
    pub(crate) fn all(rights: &[Self]) -> Rights {
        Rights {
            spawn: rights.contains(&Self::Spawn),
            clock: rights.contains(&Self::Clock),
            random: rights.contains(&Self::Random),
            stdin: rights.contains(&Self::Stdin),
            discover: rights.contains(&Self::Discover),
            publish: rights.contains(&Self::Publish),
            network: Vec::new(),
        }
    }
}

/// What to do about an error that says which right was lacking.
pub(crate) fn lacking(message: &str) -> Option<String> {
    let (_, lacking) = message.split_once("permission denied: ")?;
    let lacking = lacking.lines().next().unwrap_or_default();
    // An actor that could not pass on what it has not says so in more words.
    let (_, right) = lacking.split_once("no right `").unwrap_or(("", lacking));
    let right = right.split('`').next().unwrap_or(right);
    if Rights::names().any(|name| name == right) {
        return Some(format!("`--allow {right}` would grant it, or `{right} = true` in [grants]"));
    }
    if let Some(hosts) = right.strip_prefix("network ") {
        return Some(format!("`--net {hosts}` would grant it, or `network = [{hosts:?}]` in [grants]"));
    }
    let folder = lacking.split_once("directory `")?.1.split('`').next()?;
    Some(format!("`--dir HOST::{folder}` would grant it, or `dirs = [\"HOST::{folder}\"]` in [grants]"))
}

/// How isolation is written.
pub(crate) const ISOLATIONS: &[(&str, Isolation)] = &[("actor", Isolation::Actor), ("task", Isolation::Task)];

/// Reads `[NAME=]actor` or `[NAME=]task`: without a name it is for all modules.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn isolation(text: &str) -> Result<(Option<String>, Isolation), String> {
    let (name, word) = match text.split_once('=') {
        Some((name, word)) => (Some(name.to_owned()), word),
        None => (None, text),
    };
    let isolation = ISOLATIONS.iter().find(|(known, _)| *known == word);
    let (_, isolation) = isolation.ok_or("write actor or task, for one module NAME=actor or NAME=task")?;
    Ok((name, *isolation))
}

/// The rule for names of modules: callers write them before a colon.
///
/// # Errors
/// The rule.
pub(crate) fn check_module_name(name: &str) -> Result<(), String> {
    greenroom::check_name(name)?;
    if name.contains(':') { Err("a module's name has no `:`".to_owned()) } else { Ok(()) }
}

/// The rule for names of environment variables.
///
/// # Errors
/// The rule.
pub(crate) fn check_variable_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains('=') || name.chars().any(char::is_control) {
        return Err("a variable's name has no control characters, no `=`, and is not empty".to_owned());
    }
    Ok(())
}

/// Reads `KEY=VALUE`, or `KEY` for a variable of this process.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => {
            check_variable_name(key).map_err(|rule| format!("--env {text:?}: {rule}"))?;
            Ok((key.to_owned(), value.to_owned()))
        }
        None => std::env::var(text)
            .map(|value| (text.to_owned(), value))
            .map_err(|_| format!("--env {text}: there is no such variable to pass on")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_folders() {
        let granted = |text: &str| {
            DirArg::parse(text, Path::new("")).map(|d| (d.host.display().to_string(), d.guest, d.writable))
        };
        assert_eq!(granted("docs"), Ok(("docs".into(), "/docs".into(), true)));
        assert_eq!(granted("a/b::/data:ro"), Ok(("a/b".into(), "/data".into(), false)));
        assert_eq!(granted("a/b:ro"), Ok(("a/b".into(), "/b".into(), false)));
        assert!(granted("/").is_err());
        assert!(granted("::/data").is_err());
    }

    #[test]
    fn folders_are_relative_to_where_they_are_written() {
        let dir = DirArg::parse("docs:ro", Path::new("/home/ada/app")).expect("a folder");
        assert_eq!((dir.host.as_path(), dir.guest.as_str()), (Path::new("/home/ada/app/docs"), "/docs"));
        let dir = DirArg::parse("/etc", Path::new("/home/ada/app")).expect("a folder");
        assert_eq!(dir.host, Path::new("/etc"));
        let dir = DirArg::parse(".", Path::new("/home/ada/app")).expect("a folder");
        assert_eq!(dir.guest, "/app");
    }

    #[test]
    fn what_was_lacking_is_told_with_what_would_grant_it() {
        for (message, flag) in [
            ("permission denied: clock", Some("`--allow clock`")),
            ("permission denied: actor `a` has no right `spawn` to use or pass on", Some("`--allow spawn`")),
            ("actor `a` cannot start: permission denied: random", Some("`--allow random`")),
            (
                "permission denied: actor `a` has no right `network a.b:80` to use or pass on",
                Some("`--net a.b:80`"),
            ),
            ("permission denied: network a.b", Some("`--net a.b`")),
            (
                "permission denied: actor `a` cannot grant what it does not have: directory `/etc`",
                Some("`--dir HOST::/etc`"),
            ),
            ("permission denied: something else", None),
            ("`a` has failed", None),
        ] {
            let hint = lacking(message);
            assert_eq!(hint.is_some(), flag.is_some(), "{message}: {hint:?}");
            assert!(hint.is_none_or(|hint| hint.starts_with(flag.unwrap_or_default())), "{message}");
        }
    }

    #[test]
    fn isolation_is_for_one_module_or_for_all() {
        assert_eq!(isolation("actor"), Ok((None, Isolation::Actor)));
        assert_eq!(isolation("m=task"), Ok((Some("m".to_owned()), Isolation::Task)));
        assert!(isolation("m=thread").is_err());
        assert!(isolation("").is_err());
    }

    #[test]
    fn what_is_not_granted_by_name_is_not_granted() {
        assert_eq!(Right::all(&[]), Rights::default());
        assert_eq!(Right::all(&[Right::None]), Rights::default());
        for name in Rights::names() {
            let right = Right::from_str(name, false).expect("each can be allowed");
            let mut granted = Right::all(&[right, Right::None]);
            assert!(granted.named(name).is_some_and(std::mem::take), "{name}");
            assert_eq!(granted, Rights::default(), "{name} and nothing else");
        }
    }
}
