//! Looking for other actors, in all the ways there are.
//!
//! Owns: what came of it. Must not know: what is tested.

use std::collections::BTreeMap;
use std::time::Duration;

use greenroom_guest::kind::Exit;
use greenroom_guest::prelude::*;
use serde::Serialize;

/// What an actor was told of another.
#[derive(Serialize)]
pub struct Told {
    name: String,
    uuid: String,
    tree: String,
    path: Vec<String>,
    pid: u32,
    started: u64,
    published: bool,
}

impl From<ActorEntry> for Told {
    fn from(entry: ActorEntry) -> Self {
        let ActorEntry { id: ActorId { name, uuid }, tree, path, pid, started, published } = entry;
        Self { name, uuid, tree, path, pid, started, published }
    }
}

/// What came of many searches: how many found somebody, how many nobody, and the others by the type
/// of their error.
#[derive(Default, Serialize)]
pub struct Flood {
    found: u32,
    nobody: u32,
    failed: BTreeMap<String, u32>,
}

/// What a child is given that this actor has too, unless a test says otherwise.
pub(crate) fn as_usual() -> SpawnOptions {
    SpawnOptions::new().rights(Rights { discover: false, publish: false, ..current_actor().rights })
}

/// What a child may do and is to other programs, from words.
pub(crate) fn options(words: &[String]) -> Result<SpawnOptions, Fault> {
    words.iter().try_fold(as_usual(), |options, word| match word.as_str() {
        "may nothing" => Ok(options.rights(Rights::default())),
        "may spawn" => Ok(options.grant_spawn()),
        "may clock" => Ok(options.grant_clock()),
        "may random" => Ok(options.grant_random()),
        "may stdin" => Ok(options.grant_stdin()),
        "publish" => Ok(options.publish()),
        "unique" => Ok(options.unique()),
        "may discover" => Ok(options.grant_discover()),
        "may publish" => Ok(options.grant_publish()),
        other => match other.strip_prefix("may network ") {
            Some(hosts) => Ok(options.grant_network(hosts)),
            None => fault!("`{other}` means nothing"),
        },
    })
}

pub(crate) async fn wait(name: String, ms: Option<u64>) -> Result<Option<ActorId>, Fault> {
    let waiting = wait_for_actor(name);
    let found = match ms {
        Some(ms) => waiting.timeout(Duration::from_millis(ms)).await?,
        None => Some(waiting.await?),
    };
    Ok(found.map(|portal| portal.actor()))
}

async fn found(name: String) -> Result<Portal, Fault> {
    let Some(portal) = find_actor(name.as_str()).await? else { fault!("there is no actor `{name}`") };
    Ok(portal)
}

pub(crate) async fn call(name: String, function: String, kwargs: ByteBuf) -> Result<ByteBuf, Fault> {
    let Some((module, function)) = function.split_once(':') else { fault!("`{function}` has no module") };
    let portal = found(name).await?;
    let call = portal.run_encoded(module, function, Kwargs::from_payload(kwargs.into_vec()));
    Ok(ByteBuf::from(call.await?))
}

pub(crate) async fn cancel(name: String) -> Result<(), Fault> {
    Ok(found(name).await?.cancel_actor().await?)
}

pub(crate) async fn closed(name: String) -> Result<Exit, Fault> {
    Ok(found(name).await?.closed().await)
}

pub(crate) async fn flood(name: &str, times: u32, keep_ms: u64) -> Flood {
    let found = join_all((0..times).map(|_| find_actor(name))).await;
    let mut flood = Flood::default();
    for found in &found {
        match found {
            Ok(Some(_)) => flood.found += 1,
            Ok(None) => flood.nobody += 1,
            Err(error) => *flood.failed.entry(error.src_type.clone()).or_default() += 1,
        }
    }
    sleep(Duration::from_millis(keep_ms)).await;
    flood
}
