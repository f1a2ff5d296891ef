//! A host in this process, to measure actors with.
//!
//! Owns: starting it, and what its actors have to say. Must not know: what is measured.
//! Invariant: reports are always taken, so that no actor waits for that.

use std::time::Duration;

use bytes::Bytes;
use greenroom::{
    Cache, Catalogue, Engine, ExecCompiler, Host, Isolation, Limits, ModuleOptions, Portal, RemoteError,
    Report, Rights, Setup, SpawnSpec, Without, payload,
};
use greenroom_tests::{guest, program};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::Result;

/// The component all of whose modules the actors serve.
const GUEST: &str = "bench";

/// The same component, each task of which has an instance of its own.
pub(crate) const ALONE: &str = "alone";

/// What actors may have here, where a bench takes more at a time than anybody should.
fn limits() -> Limits {
    Limits {
        spawn_rate: 100_000,
        children: 20_000,
        actors: 20_000,
        memory: 4 << 30,
        copy: 1 << 30,
        payload: 256 << 20,
        queue: 1 << 30,
        spawn: Duration::from_secs(60),
        ..Limits::default()
    }
}

/// A host and the component the benches call.
pub(crate) struct Stage {
    host: Host,
    ready: watch::Receiver<usize>,
}

impl Stage {
    /// Starts a host; its actors inherit where this thread runs.
    pub(crate) fn open() -> Result<Self> {
        Self::open_without(Without::default())
    }

    /// As [`Stage::open`], of actors that do not raise these walls.
    pub(crate) fn open_without(without: Without) -> Result<Self> {
        let engine = Engine::new()?;
        let mut catalogue = Catalogue::default();
        let cache = Cache::open_default(ExecCompiler::new(program()))?;
        for (name, isolation) in [(GUEST, None), (ALONE, Some(Isolation::Task))] {
            catalogue.add(&cache, &engine, name, &guest(GUEST), ModuleOptions { isolation })?;
        }
        let (host, mut reports) = Host::start(Setup {
            tree: GUEST.to_owned(),
            catalogue,
            limits: limits(),
            grants: Vec::new(),
            without,
            stdin: None,
            registry: None,
            log: None,
            program: program(),
        })?;
        let (sender, ready) = watch::channel(0);
        tokio::spawn(async move {
            while let Some(report) = reports.recv().await {
                match report {
                    Report::Log { line, .. } if line.message == "ready" => {
                        sender.send_modify(|count| *count += 1);
                    }
                    // Nothing else is expected; whatever it is, it explains odd numbers.
                    other => eprintln!("note: {other:?}"),
                }
            }
        });
        Ok(Self { host, ready })
    }

    /// Starts an actor.
    pub(crate) async fn start(&self, name: &str) -> Result<Portal> {
        self.start_as(GUEST, name).await
    }

    /// Starts an actor with the component under another name.
    pub(crate) async fn start_as(&self, module: &str, name: &str) -> Result<Portal> {
        let modules = vec![module.to_owned()];
        let spec =
            SpawnSpec { name: name.to_owned(), modules, rights: Rights::all(), ..SpawnSpec::default() };
        self.host.nursery().start(spec, None).await.map_err(failed)
    }

    /// How many actors have logged that they are ready, ever.
    pub(crate) fn ready(&self) -> watch::Receiver<usize> {
        self.ready.clone()
    }

    /// Ends all actors and the host.
    pub(crate) async fn close(self) -> Result<()> {
        self.host.nursery().cancel().await.map_err(failed)
    }
}

/// The processes of all actors of all stages, by their titles: what else a host may start is none.
pub(crate) fn actors() -> Vec<i32> {
    greenroom_tests::actors(&format!("{GUEST}/")).into_values().collect()
}

/// The arguments of a call.
pub(crate) fn arguments(kwargs: &impl Serialize) -> Result<Bytes> {
    Ok(payload::encode(kwargs)?.into())
}

/// Calls a function and reads its result.
pub(crate) async fn call<T: DeserializeOwned>(portal: &Portal, function: &str, kwargs: Bytes) -> Result<T> {
    let function = format!("{GUEST}:{function}");
    let value = portal.call(&function, kwargs).await.map_err(failed)?;
    Ok(payload::decode(&value)?)
}

/// An actor's error as one of this program.
pub(crate) fn failed(error: Box<RemoteError>) -> Box<dyn std::error::Error> {
    error.to_string().into()
}

/// Squares a number, and sees that it is squared.
pub(crate) async fn square(portal: &Portal) -> Result<()> {
    match call::<i64>(portal, "square", arguments(&Square { x: 12 })?).await? {
        144 => Ok(()),
        other => Err(format!("the actor cannot square: {other}").into()),
    }
}

/// The arguments of the function that squares.
#[derive(Serialize)]
pub(crate) struct Square {
    pub(crate) x: i64,
}
