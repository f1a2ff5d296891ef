//! The interface `runtime`: what an actor may know and do about itself.
//!
//! Owns: identity, log, progress, the monotonic clock. Must not know: where log lines go.
//! Invariant: nothing here can block the host.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use greenroom_runtime::Actor;
use greenroom_wire::control::{LogLevel, LogLine};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use super::types::{ActorIdRecord, RightsFlags};
use super::{Host, current_task};
use crate::trap::PanicNote;

#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct ActorInfo {
    id: ActorIdRecord,
    path: Vec<String>,
    pid: u32,
    #[component(name = "is-root")]
    is_root: bool,
    rights: RightsFlags,
    network: Vec<String>,
}

impl ActorInfo {
    fn of(actor: &Actor) -> Self {
        let identity = actor.identity().clone();
        Self {
            id: identity.id.into(),
            path: identity.path,
            pid: identity.pid,
            is_root: identity.is_root,
            network: identity.rights.network.iter().map(ToString::to_string).collect(),
            rights: identity.rights.into(),
        }
    }
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "values of it are made by lifting only")]
enum Level {
    #[component(name = "error")]
    Error,
    #[component(name = "warn")]
    Warn,
    #[component(name = "info")]
    Info,
    #[component(name = "debug")]
    Debug,
    #[component(name = "trace")]
    Trace,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
            Level::Trace => Self::Trace,
        }
    }
}

type Store<'a> = StoreContextMut<'a, Host>;

pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("greenroom:portal/runtime@0.1.0")?;
    instance.func_wrap("current-actor", |mut store: Store<'_>, (): ()| {
        Ok((ActorInfo::of(current_task(&mut store)?.actor()),))
    })?;
    instance.func_wrap(
        "log",
        |mut store: Store<'_>, (level, target, message): (Level, String, String)| {
            let task = current_task(&mut store)?;
            let speaker = Some(format!("{}#{}", task.function(), task.id()));
            task.actor().log(LogLine { level: level.into(), target, message, task: speaker });
            Ok(())
        },
    )?;
    instance.func_wrap("progress", |mut store: Store<'_>, (done, total, message): (u64, u64, String)| {
        current_task(&mut store)?.actor().progress(done, total, message);
        Ok(())
    })?;
    instance.func_wrap("monotonic-now", |_: Store<'_>, (): ()| {
        static ZERO: OnceLock<Instant> = OnceLock::new();
        let elapsed = ZERO.get_or_init(Instant::now).elapsed();
        Ok((u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),))
    })?;
    instance.func_wrap_concurrent("sleep", |_, (nanoseconds,): (u64,)| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_nanos(nanoseconds)).await;
            Ok(())
        })
    })?;
    instance.func_wrap("panicking", |mut store: Store<'_>, (message, location): (String, String)| {
        store.data_mut().panic = Some(PanicNote { message, location });
        Ok(())
    })
}
