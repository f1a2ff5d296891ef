//! `greenroom doctor`: what this machine can and cannot do, and how to fix it.
//!
//! Owns: the checks, as a table. Must not know: how what is checked is used. Invariant: looking
//! changes nothing but for folders of this program's own, which it would make anyway; whatever is
//! not right comes with what to do about it.

use std::fmt::Write as _;
use std::fs;

use greenroom::{Cache, Directory, Engine, Support, Wall, Without, harmless_line};
use rustix::process::{PidfdFlags, Resource, getpid, getrlimit, pidfd_open};
use serde::Serialize;

use crate::args::Format;
use crate::error::CliError;
use crate::prepare::compiler;
use crate::ps::missing_walls;
use crate::values::write_line;
use crate::{actors, live};

/// Say what this machine can and cannot do, and how to fix it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  greenroom doctor
  greenroom doctor -o json

Exit status:
  0 applications can be run     1 something that is needed is not there")]
pub(crate) struct DoctorArgs {
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    Ok,
    /// Not as it should be, but not needed to run applications.
    Warn,
    Fail,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    grade: Grade,
    /// What is there, or is not.
    found: String,
    /// What to do about it.
    hint: Option<String>,
}

impl Finding {
    fn new(grade: Grade, found: impl Into<String>) -> Self {
        Self { grade, found: found.into(), hint: None }
    }

    fn ok(found: impl Into<String>) -> Self {
        Self::new(Grade::Ok, found)
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Looks at one thing.
type Check = fn() -> Finding;

/// All that is looked at.
const CHECKS: &[(&str, Check)] = &[
    ("kernel", kernel),
    ("pidfd", pidfd),
    ("proc", proc),
    ("engine", engine),
    ("address space", address_space),
    ("cache folder", cache_folder),
    ("runtime folder", runtime_folder),
    ("open files", open_files),
    ("processes", processes),
    ("guest builds", guest_builds),
    ("cgroups", cgroups),
    ("landlock", landlock),
    ("seccomp", seccomp),
    ("walls", walls),
    ("user namespaces", user_namespaces),
];

/// A finding under its name.
#[derive(Serialize)]
struct Line {
    name: &'static str,
    #[serde(flatten)]
    finding: Finding,
}

pub(crate) fn doctor(args: &DoctorArgs) -> Result<(), CliError> {
    let lines: Vec<Line> = CHECKS.iter().map(|(name, check)| Line { name, finding: check() }).collect();
    let text = match args.output {
        Format::Text => describe(&lines),
        Format::Json => serde_json::to_string_pretty(&lines)
            .map_err(|error| CliError::ended(125, format!("cannot write JSON: {error}")))?,
    };
    write_line(text.trim_end())?;
    let failed: Vec<&str> =
        lines.iter().filter(|line| line.finding.grade == Grade::Fail).map(|line| line.name).collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(CliError::failed(format!("applications cannot be run here: {}", failed.join(", ")))),
    }
}

fn describe(lines: &[Line]) -> String {
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Line { name, finding } in lines {
        let (word, colour) = match finding.grade {
            Grade::Ok => ("ok  ", anstyle::AnsiColor::Green),
            Grade::Warn => ("warn", anstyle::AnsiColor::Yellow),
            Grade::Fail => ("FAIL", anstyle::AnsiColor::Red),
        };
        let style = anstyle::Style::new().fg_color(Some(colour.into()));
        let indent = " ".repeat(width + 8);
        let found = finding.found.replace('\n', &format!("\n{indent}"));
        let _ = writeln!(text, "{style}{word}{style:#}  {name:width$}  {found}");
        if let Some(hint) = &finding.hint {
            let _ = writeln!(text, "{indent}hint: {}", hint.replace('\n', &format!("\n{indent}")));
        }
    }
    text
}

/// The text of a file of the kernel's, if there is one.
fn told(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn kernel() -> Finding {
    let Some(release) = told("/proc/sys/kernel/osrelease") else {
        return Finding::new(Grade::Fail, "unknown").hint("this program runs on Linux, with /proc mounted");
    };
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= (5, 9) => Finding::ok(format!("Linux {release}")),
        _ => Finding::new(Grade::Fail, format!("Linux {release}")).hint("5.9 or later is needed"),
    }
}

fn pidfd() -> Finding {
    match pidfd_open(getpid(), PidfdFlags::empty()) {
        Ok(_) => Finding::ok("processes can be waited for without a race"),
        Err(error) => Finding::new(Grade::Fail, format!("pidfd_open: {error}"))
            .hint("a container's seccomp profile may forbid it: allow pidfd_open and waitid"),
    }
}

fn proc() -> Finding {
    match fs::read_dir("/proc/self/fd") {
        Ok(_) => Finding::ok("/proc is there"),
        Err(error) => Finding::new(Grade::Fail, format!("/proc/self/fd: {error}"))
            .hint("mount it: granted folders are opened through it"),
    }
}

fn engine() -> Finding {
    match Engine::new() {
        Ok(_) => Finding::ok(format!("compiles for {}", std::env::consts::ARCH)),
        Err(error) => {
            Finding::new(Grade::Fail, error.to_string()).hint("this processor cannot be compiled for")
        }
    }
}

fn address_space() -> Finding {
    match getrlimit(Resource::As).current {
        None => Finding::ok("unlimited"),
        Some(bytes) => Finding::new(Grade::Warn, format!("limited to {} MiB", bytes >> 20))
            .hint("`ulimit -v unlimited`: each instance reserves 4 GiB of addresses, not of memory"),
    }
}

fn cache_folder() -> Finding {
    match compiler(&Without::default()).and_then(|compiler| Ok(Cache::open_default(compiler)?)) {
        Ok(_) => Finding::ok("compiled components are kept"),
        Err(error) => {
            Finding::new(Grade::Fail, error.message()).hint("set XDG_CACHE_HOME to a folder that you own")
        }
    }
}

fn runtime_folder() -> Finding {
    let set = std::env::var_os("XDG_RUNTIME_DIR").is_some();
    match Directory::open() {
        Ok(directory) if set => Finding::ok(format!("{}", directory.path().display())),
        Ok(directory) => {
            let found = format!("{}, as XDG_RUNTIME_DIR is not set", directory.path().display());
            Finding::ok(found).hint("programs find each other only where they agree on it")
        }
        Err(error) => Finding::new(Grade::Warn, error.to_string())
            .hint("without it, programs do not find each other's actors; applications run all the same"),
    }
}

/// A limit that is to be at least so much.
fn at_least(resource: Resource, least: u64, fix: &str) -> Finding {
    match getrlimit(resource).current {
        None => Finding::ok("unlimited"),
        Some(limit) if limit >= least => Finding::ok(format!("up to {limit}")),
        Some(limit) => Finding::new(Grade::Warn, format!("up to {limit}")).hint(fix),
    }
}

fn open_files() -> Finding {
    at_least(Resource::Nofile, 4096, "`ulimit -n 4096` or more, for trees of hundreds of actors")
}

fn processes() -> Finding {
    at_least(Resource::Nproc, 1024, "`ulimit -u 1024` or more, for trees of hundreds of actors")
}

fn guest_builds() -> Finding {
    match greenroom_toolchain::detect() {
        Ok(toolchain) if toolchain.refusals().is_empty() => Finding::ok(toolchain.to_string()),
        Ok(toolchain) => Finding::new(Grade::Warn, toolchain.to_string())
            .hint("it does, but a better way lacks what is named above"),
        Err(none) => Finding::new(Grade::Warn, none.to_string())
            .hint("only needed for guests in Rust; `greenroom build` sets it up where it may"),
    }
}

/// A fact about a part of the kernel that nothing depends on yet.
fn fact(there: bool, what: &str, hint: &str) -> Finding {
    if there {
        Finding::ok(what)
    } else {
        Finding::new(Grade::Warn, format!("no {what}")).hint(format!("{hint}; nothing depends on it yet"))
    }
}

fn cgroups() -> Finding {
    let controllers = told("/sys/fs/cgroup/cgroup.controllers");
    let what = format!("version 2 ({})", controllers.clone().unwrap_or_default());
    fact(
        controllers.is_some(),
        if controllers.is_some() { &what } else { "version 2" },
        "boot with cgroup v2",
    )
}

fn landlock() -> Finding {
    let support = Support::of_this_machine();
    match support.landlock {
        Some(version) if !support.missing().contains(&Wall::Landlock) => {
            Finding::ok(format!("version {version}: actors are kept from files and ports"))
        }
        version => {
            let found = version.map_or("none".to_owned(), |version| format!("version {version}: too old"));
            wall(Wall::Landlock, found, "boot Linux 6.2 or later, with `landlock` in lsm=")
        }
    }
}

fn seccomp() -> Finding {
    match Support::of_this_machine().missing().contains(&Wall::Seccomp) {
        false => Finding::ok("actors make no system calls but their own"),
        true => wall(Wall::Seccomp, "none", "use a kernel with CONFIG_SECCOMP_FILTER"),
    }
}

/// Whether the actors that run now have all walls around them.
fn walls() -> Finding {
    let found = live::machine().and_then(|machine| live::runtime()?.block_on(actors::trees(&machine, None)));
    let trees = match found {
        Ok(trees) => trees,
        Err(error) => {
            return Finding::new(Grade::Warn, error.message())
                .hint("the walls of running actors are unknown");
        }
    };
    let open: Vec<String> = trees
        .iter()
        .filter_map(|tree| Some(format!("`{}` has no {}", harmless_line(tree.name()), missing_walls(tree)?)))
        .collect();
    match open.is_empty() {
        true => Finding::ok(format!("around all actors of {} running trees", trees.len())),
        false => Finding::new(Grade::Warn, open.join("\n"))
            .hint("started with --without: run nothing in them but what you trust"),
    }
}

/// A wall that actors cannot raise here, and so do not start.
fn wall(wall: Wall, found: impl Into<String>, fix: &str) -> Finding {
    let hint = format!("{fix}; for what you trust, `--without {wall}` goes without it");
    Finding::new(Grade::Fail, found).hint(hint)
}

fn user_namespaces() -> Finding {
    let most = told("/proc/sys/user/max_user_namespaces").and_then(|text| text.parse::<u64>().ok());
    let restricted =
        told("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").is_some_and(|on| on == "1");
    fact(
        most.is_some_and(|most| most > 0) && !restricted,
        "unprivileged namespaces",
        "see user_namespaces(7)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_right_comes_with_a_hint() {
        for (name, check) in CHECKS {
            let finding = check();
            assert!(!finding.found.is_empty(), "{name}");
            assert!(finding.grade == Grade::Ok || finding.hint.is_some(), "{name}: {finding:?}");
        }
    }

    #[test]
    fn hints_and_several_lines_stand_below_what_they_are_about() {
        let finding = Finding::new(Grade::Warn, "one\ntwo").hint("do");
        let text = describe(&[Line { name: "x", finding }]);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, "warn  x  one\n         two\n         hint: do\n");
    }
}
