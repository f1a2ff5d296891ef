//! A component that tries whatever a component may ask of the machine.
//!
//! Owns: one way to ask for each thing, by the standard library; what that does not have here, such as
//! sockets, the guest `machine` asks for. Must not know: what it was granted. Invariant: it tells what
//! it got, and that it got nothing.

use std::fmt::Display;
use std::fs;
use std::io::{self, IsTerminal, Read};
use std::time::{Duration, Instant, SystemTime};

use greenroom_guest::prelude::*;
use greenroom_guest::{find_actor, list_actors};

/// What the child does that is started if that may be.
#[module]
pub mod child {
    /// Is there.
    pub fn there() -> bool {
        true
    }
}

/// Asks for one thing, and tells what it got: `got …`, or `nothing …`.
#[greenroom_guest::main]
async fn main(what: String, with: Option<String>) -> Result<String, RemoteActorError> {
    let with = with.unwrap_or_default();
    Ok(match what.as_str() {
        "files" => told(fs::read("/etc/passwd").map(|bytes| bytes.len())),
        "folders" => told(names("/").or_else(|_| names(".")).and_then(|names| some(names, "empty"))),
        "granted" => told(fs::read_to_string(with)),
        "new-file" => told(fs::write("/tmp/greenroom-was-here", "here").map(|()| "written")),
        "environment" => told(some(std::env::vars().map(|(key, _)| key).collect(), "no variables")),
        "arguments" => told(some(std::env::args().collect(), "no arguments")),
        "input" => told(input()),
        "terminal" => told(some(terminals(), "no terminal")),
        "clock" => {
            told(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_secs()))
        }
        "children" => {
            let nursery = Nursery::open();
            nursery.start_actor("child", [child::MODULE]).await?.cancel_actor().await?;
            "got a child".to_owned()
        }
        "others" => {
            let found = find_actor(with).await?.map(|portal| vec![portal.actor().name]);
            told(some(found.unwrap_or_default(), "not found"))
        }
        "list" => {
            let own = current_actor().id;
            let others = list_actors().await?.into_iter().filter(|entry| entry.id != own);
            told(some(others.map(|entry| entry.id.name).collect(), "nobody"))
        }
        // What everybody may.
        "compute" => told(Ok::<_, io::Error>((1..=100_u32).sum::<u32>())),
        "wait" => {
            let began = Instant::now();
            sleep(Duration::from_millis(5)).await;
            told(some(vec![began.elapsed() >= Duration::from_millis(5)], "no time"))
        }
        other => format!("nothing is called {other}"),
    })
}

fn told<T: std::fmt::Debug>(result: Result<T, impl Display>) -> String {
    match result {
        Ok(got) => format!("got {got:?}"),
        Err(error) => format!("nothing: {error}"),
    }
}

/// What there is, unless that is nothing.
fn some<T>(all: Vec<T>, nothing: &str) -> io::Result<Vec<T>> {
    if all.is_empty() { Err(io::Error::other(nothing.to_owned())) } else { Ok(all) }
}

fn names(folder: &str) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().display().to_string())).collect()
}

fn input() -> io::Result<Vec<String>> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    some(text.lines().map(str::to_owned).collect(), "the end")
}

fn terminals() -> Vec<&'static str> {
    let all = [
        ("stdin", io::stdin().is_terminal()),
        ("stdout", io::stdout().is_terminal()),
        ("stderr", io::stderr().is_terminal()),
    ];
    all.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
}
