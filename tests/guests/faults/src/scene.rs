//! Actors that a test puts up, calls through, and takes down, one step at a time.
//!
//! Owns: the children of this instance by name, and the ways for a scope to end. Must not know:
//! what is tested. Invariant: a child is listed exactly while the task that owns it runs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::{IntoFuture, pending, poll_fn};
use std::task::{Poll, Waker};

use greenroom_guest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{faults, traps};

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

/// Calls `function`, as `module:function`, in the actor at the end of a path of children.
pub(crate) async fn pass(path: Vec<String>, function: String, kwargs: ByteBuf) -> Result<ByteBuf, Fault> {
    let Some((next, rest)) = path.split_first() else { fault!("the path is empty") };
    let listed = CHILDREN.with_borrow(|children| children.portals.get(next).cloned());
    let Some(portal) = listed else { fault!("there is no child `{next}`") };
    if !rest.is_empty() {
        return Ok(portal.run(crate::stage::pass { path: rest.to_vec(), function, kwargs }).await?);
    }
    let Some((module, function)) = function.split_once(':') else { fault!("`{function}` has no module") };
    Ok(ByteBuf::from(portal.run_encoded(module, function, Kwargs::from_payload(kwargs.into_vec())).await?))
}

/// Cancels a child.
pub(crate) async fn cancel(name: String) -> Result<(), Fault> {
    let listed = CHILDREN.with_borrow(|children| children.portals.get(&name).cloned());
    let Some(portal) = listed else { fault!("there is no child `{name}`") };
    Ok(portal.cancel_actor().await?)
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
            let _failed = nursery.run_in_actor(inner).named(name).await?.wait_for_result().await;
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
