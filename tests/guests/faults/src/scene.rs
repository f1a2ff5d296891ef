//! Actors that a test puts up, calls through, and takes down, one step at a time.
//!
//! Owns: the children of this instance by name, and the ways for a scope to begin and end. Must not know:
//! what is tested. Invariant: a child is listed exactly while the task that owns it runs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::{IntoFuture, pending, poll_fn};
use std::task::{Poll, Waker};
use std::time::Duration;

use greenroom_guest::Run;
use greenroom_guest::kind::Exit;
use greenroom_guest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::searches::as_usual;
use crate::{faults, stage, traps};

thread_local! {
    static CHILDREN: RefCell<Children> = RefCell::default();
}

#[derive(Default)]
struct Children {
    portals: HashMap<String, Portal>,
    waiting: Vec<Waker>,
}

/// Takes a name off the list when its task ends.
struct Listed(String);

impl Listed {
    fn new(name: String, portal: Portal) -> Self {
        CHILDREN.with_borrow_mut(|children| {
            children.portals.insert(name.clone(), portal);
            children.waiting.drain(..).for_each(Waker::wake);
        });
        Self(name)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        CHILDREN.with_borrow_mut(|children| children.portals.remove(&self.0));
    }
}

/// Starts a child and keeps it until its end, or this task's.
pub(crate) async fn keep(name: String, modules: Vec<String>, options: SpawnOptions) -> Result<(), Fault> {
    let nursery = Nursery::open();
    let portal = nursery.start_actor(name.clone(), modules).with(options).await?;
    let _listed = Listed::new(name, portal);
    Ok(nursery.join().await?)
}

/// Waits until a child is listed.
pub(crate) async fn ready(name: String) -> ActorId {
    poll_fn(|context| {
        CHILDREN.with_borrow_mut(|children| match children.portals.get(&name) {
            Some(portal) => Poll::Ready(portal.actor()),
            None => {
                children.waiting.push(context.waker().clone());
                Poll::Pending
            }
        })
    })
    .await
}

fn child(name: &str) -> Option<Portal> {
    CHILDREN.with_borrow(|children| children.portals.get(name).cloned())
}

fn listed(name: &str) -> Result<Portal, Fault> {
    child(name).ok_or_else(|| Fault::msg(format_args!("there is no child `{name}`")))
}

/// A portal to a child, or to any other actor of the tree.
pub(crate) async fn peer(name: &str) -> Result<Portal, Fault> {
    if let Some(child) = child(name) {
        return Ok(child);
    }
    let found = find_actor(name).await?;
    found.ok_or_else(|| Fault::msg(format_args!("there is no actor `{name}`")))
}

/// Calls `function`, as `module:function`, in the actor at the end of a path of children.
pub(crate) async fn pass(
    path: Vec<String>,
    function: String,
    kwargs: ByteBuf,
    timeout: Option<Duration>,
) -> Result<ByteBuf, Fault> {
    let Some((next, rest)) = path.split_first() else { fault!("the path is empty") };
    let portal = listed(next)?;
    if !rest.is_empty() {
        let call = portal.run(crate::stage::pass { path: rest.to_vec(), function, kwargs });
        return Ok(within(call, timeout).await?);
    }
    let Some((module, function)) = function.split_once(':') else { fault!("`{function}` has no module") };
    let call = portal.run_encoded(module, function, Kwargs::from_payload(kwargs.into_vec()));
    Ok(ByteBuf::from(within(call, timeout).await?))
}

fn within<T>(call: Run<T>, timeout: Option<Duration>) -> Run<T> {
    match timeout {
        Some(timeout) => call.timeout(timeout),
        None => call,
    }
}

/// Cancels a child.
pub(crate) async fn cancel(name: String) -> Result<(), Fault> {
    Ok(listed(&name)?.cancel_actor().await?)
}

/// How the process of a child ended that runs now.
pub(crate) async fn closed(name: String) -> Result<Exit, Fault> {
    Ok(listed(&name)?.closed().await)
}

/// When a supervised child is started again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Again {
    /// Always.
    Permanent,
    /// When it failed.
    Transient,
    /// Never.
    Temporary,
}

impl From<Again> for Restart {
    fn from(again: Again) -> Self {
        match again {
            Again::Permanent => Self::Permanent,
            Again::Transient => Self::Transient,
            Again::Temporary => Self::Temporary,
        }
    }
}

/// How a nursery supervises its children.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Rules {
    strategy: Strategy,
    restarts: u32,
    within_ms: u64,
    pause_ms: u64,
}

/// Which children are started again when one is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Strategy {
    /// That one.
    OneForOne,
    /// That one and the later ones.
    RestForOne,
    /// All.
    OneForAll,
}

impl From<Rules> for Supervision {
    fn from(rules: Rules) -> Self {
        let supervision = match rules.strategy {
            Strategy::OneForOne => Self::one_for_one(),
            Strategy::RestForOne => Self::rest_for_one(),
            Strategy::OneForAll => Self::one_for_all(),
        };
        let pause = Duration::from_millis(rules.pause_ms);
        let within = Duration::from_millis(rules.within_ms);
        supervision.intensity(rules.restarts, within).backoff(pause, pause * 8)
    }
}

/// Keeps children in a supervised nursery until its end, or this task's.
pub(crate) async fn supervise(children: Vec<(String, Option<Again>)>, rules: Rules) -> Result<(), Fault> {
    let nursery = Nursery::supervised(rules.into());
    let mut kept = Vec::new();
    for (name, again) in children {
        let starting = nursery.start_actor(name.clone(), [faults::MODULE, stage::MODULE]).with(as_usual());
        let portal = match again {
            Some(again) => starting.restart(again.into()).await?,
            None => starting.await?,
        };
        kept.push(Listed::new(name, portal));
    }
    Ok(nursery.join().await?)
}

/// Has a one-shot supervised that always fails, or never.
pub(crate) async fn supervise_shot(fail: bool, rules: Rules) -> Result<(), Fault> {
    let nursery = Nursery::supervised(rules.into());
    if fail {
        let failing = faults::error { code: 7, text: "again".into() };
        let _running = nursery.run_in_actor(failing).named("shot").await?;
        nursery.join().await?;
    } else {
        let _running = nursery.run_in_actor(faults::sleep_ms { ms: 1 }).named("shot").await?;
        nursery.join().await?;
    }
    Ok(())
}

/// Keeps the workers of a cluster until their end, or this task's.
pub(crate) async fn cluster(name: String, modules: Option<Vec<String>>, count: u32) -> Result<(), Fault> {
    let nursery = Nursery::open();
    let modules = modules.unwrap_or_else(|| vec![faults::MODULE.name().into(), stage::MODULE.name().into()]);
    let portals = nursery.open_actor_cluster(name, modules, count as usize).with(as_usual()).await?;
    let _listed: Vec<_> =
        portals.into_iter().map(|portal| Listed::new(portal.actor().name, portal)).collect();
    Ok(nursery.join().await?)
}

/// The main task of an actor that lives only for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Shot {
    /// Waits, and succeeds.
    Sleep(u64),
    /// Fails with this number in a `MyError`.
    Error(u32),
    /// Panics.
    Panic,
    /// Waits for ever.
    Hold,
    /// A scope of its own, of one-shots that fail with numbers from the first up to the second;
    /// the next is started once it has failed.
    Scope(u32, u32),
}

/// How a scope ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The nursery is joined.
    Join,
    /// The nursery is cancelled.
    Cancel,
    /// The nursery is dropped, and the task goes on for ever.
    Drop,
    /// The nursery's handle is leaked, and the task succeeds.
    Leak,
    /// The task succeeds with the nursery open.
    Return,
    /// The task fails.
    Error,
    /// The task panics.
    Panic,
    /// The task traps.
    Trap,
    /// The task waits for ever.
    Wait,
}

/// Opens a nursery with daemons and one-shots in it, and ends in the given way. Logs
/// `scope: ready` once all have been started.
pub(crate) async fn scope(daemons: u32, shots: Vec<Shot>, at_once: bool, end: End) -> Result<(), Fault> {
    let nursery = Nursery::open();
    let daemon = |n| nursery.start_actor(format!("daemon_{n}"), [faults::MODULE]).into_future();
    let _daemons = try_join_all((0..daemons).map(daemon)).await?;
    let shots = shots.into_iter().enumerate();
    if at_once {
        // A start that fails is a failure of the nursery, which tells of it when it is joined.
        join_all(shots.map(|(n, shot)| shoot(&nursery, n, shot))).await;
    } else {
        for (n, shot) in shots {
            let _started = shoot(&nursery, n, shot).await;
        }
    }
    log::info!("scope: ready");
    match end {
        End::Join => nursery.join().await?,
        End::Cancel => nursery.cancel().await?,
        End::Drop => {
            drop(nursery);
            pending::<()>().await;
        }
        End::Leak => std::mem::forget(nursery),
        End::Return => {}
        End::Error => fault!("the scope was left by an error"),
        End::Panic => panic!("the scope was left by a panic"),
        End::Trap => traps::unreachable(),
        End::Wait => pending::<()>().await,
    }
    Ok(())
}

async fn shoot(nursery: &Nursery, n: usize, shot: Shot) -> Result<(), RemoteActorError> {
    let name = format!("shot_{n}");
    match shot {
        Shot::Sleep(ms) => drop(nursery.run_in_actor(faults::sleep_ms { ms }).named(name).await?),
        Shot::Error(code) => {
            let failing = faults::error { code, text: format!("shot {code}") };
            drop(nursery.run_in_actor(failing).named(name).await?);
        }
        Shot::Panic => drop(nursery.run_in_actor(faults::panic { msg: name.clone() }).named(name).await?),
        // Without a name of its own: it takes the function's.
        Shot::Hold => drop(nursery.run_in_actor(faults::hold { key: name }).await?),
        Shot::Scope(from, to) => {
            let shots = (from..to).map(Shot::Error).collect();
            let inner = crate::stage::scope { daemons: 0, shots, at_once: true, end: End::Join };
            let scope = nursery.run_in_actor(inner).named(name).with(as_usual());
            let _failed = scope.await?.wait_for_result().await;
        }
    }
    Ok(())
}

/// What waiting for results gives: twice while the nursery is open, once after it has closed.
pub(crate) async fn results(fail: bool) -> Result<Vec<Result<u64, RemoteActorError>>, Fault> {
    let nursery = Nursery::open();
    let mut results = Vec::new();
    if fail {
        let shot = nursery.run_in_actor(faults::error { code: 4, text: "four".into() }).await?;
        for _ in 0..2 {
            results.push(shot.wait_for_result().await.map(|()| 0));
        }
        // The failure is the nursery's too: here it is the results that count.
        let _failed = nursery.join().await;
        results.push(shot.wait_for_result().await.map(|()| 0));
    } else {
        let shot = nursery.run_in_actor(faults::sleep_ms { ms: 4 }).await?;
        for _ in 0..2 {
            results.push(shot.wait_for_result().await);
        }
        nursery.join().await?;
        results.push(shot.wait_for_result().await);
    }
    Ok(results)
}

/// Waits for the result of an actor that has no main task.
pub(crate) async fn daemon_result() -> Result<u64, Fault> {
    let nursery = Nursery::open();
    let daemon = nursery.start_actor("daemon", [faults::MODULE]).await?;
    let result = daemon.wait_for_result().await;
    nursery.cancel().await?;
    Ok(result?)
}

/// Who and what the running task is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Whoami {
    name: String,
    uuid: String,
    path: Vec<String>,
    pid: u32,
    is_root: bool,
    function: String,
    caller: ActorId,
    task_id: u64,
}

pub(crate) fn whoami() -> Whoami {
    let (actor, task) = (current_actor(), current_context());
    Whoami {
        name: actor.id.name,
        uuid: actor.id.uuid,
        path: actor.path,
        pid: actor.pid,
        is_root: actor.is_root,
        function: task.function(),
        caller: task.caller(),
        task_id: task.task_id(),
    }
}
