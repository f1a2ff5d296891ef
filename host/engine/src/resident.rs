//! One resident instance of a module, with many tasks in it.
//!
//! Owns: the store, the loop that feeds it calls, and what becomes of its tasks when one of
//! them traps. Must not know: how functions are found. Invariant: every call handed to an
//! instance is answered, also when the instance is lost.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use greenroom_abi::RemoteError;
use greenroom_abi::kind::InstanceLost;
use greenroom_runtime::{Outcome, Task};
use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{Accessor, ComponentExportIndex, InstancePre, Resource, ResourceTable, TypedFunc};
use wasmtime::{AsContextMut, Store, StoreLimitsBuilder};

use crate::host::{self, Host, Payload, RemoteErrorRecord, Running};
use crate::ticker::{Ticker, Weight};
use crate::trap;
use crate::wasi::Grants;

/// The memory an instance may grow to. Its own limit type comes with the sandbox's limits; until
/// then this keeps one guest from eating the machine.
const MAX_MEMORY_BYTES: usize = 1024 * 1024 * 1024;

/// From which size on a payload makes the turn that copies it a long one: some tenths of a
/// millisecond.
pub(crate) const LARGE_BYTES: usize = 1024 * 1024;

type Returned = (Result<Payload, RemoteErrorRecord>,);

type PortalFunction = TypedFunc<(Resource<Task>, Payload), Returned>;

/// What an instance is made from.
pub(crate) struct Blueprint {
    pub(crate) module: String,
    pub(crate) pre: InstancePre<Host>,
    /// The callable functions, by their number within the module.
    pub(crate) functions: Vec<ComponentExportIndex>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) ticker: Ticker,
}

/// A call for an instance.
pub(crate) struct Job {
    pub(crate) function: usize,
    pub(crate) task: Task,
    pub(crate) kwargs: Bytes,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

/// A handle to an instance. Dropping it gives the instance up.
pub(crate) struct Resident {
    jobs: mpsc::UnboundedSender<Job>,
    weight: Weight,
    _stop: oneshot::Sender<()>,
}

impl Resident {
    /// Makes an instance; the receiver tells whether its start functions went well.
    pub(crate) fn start(blueprint: Arc<Blueprint>) -> (Self, oneshot::Receiver<Result<(), RemoteError>>) {
        let (jobs, queue) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let (ready_sender, ready) = oneshot::channel();
        let weight = Weight::default();
        let instance = Instance { blueprint, queue, weight: weight.clone() };
        tokio::spawn(async move {
            if let Some((queue, error)) = instance.live(stopped, ready_sender).await {
                answer_the_rest(queue, error).await;
            }
        });
        (Self { jobs, weight, _stop: stop }, ready)
    }

    /// Whether the instance can still be given calls.
    pub(crate) fn is_alive(&self) -> bool {
        !self.jobs.is_closed()
    }

    /// Hands over a call; gives it back if the instance is lost.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Job> {
        if job.kwargs.len() >= LARGE_BYTES {
            self.weight.announce();
        }
        self.jobs.send(job).map_err(|error| error.0)
    }
}

type Queue = mpsc::UnboundedReceiver<Job>;

struct Instance {
    blueprint: Arc<Blueprint>,
    queue: Queue,
    weight: Weight,
}

impl Instance {
    /// Runs until the instance is given up or traps; gives the queue back, and what calls in it end
    /// with. An instance that is given up takes the queue along: its calls end with it.
    async fn live(
        self,
        mut stopped: oneshot::Receiver<()>,
        ready: oneshot::Sender<Result<(), RemoteError>>,
    ) -> Option<(Queue, RemoteError)> {
        let Self { blueprint, queue, weight } = self;
        let made = tokio::select! {
            biased;
            _ = &mut stopped => return None,
            made = blueprint.ticker.turns(weight.clone(), instantiate(blueprint.clone(), weight.clone())) => made,
        };
        let (store, functions) = match made {
            Ok(made) => made,
            Err(error) => {
                let error = trap::describe(&error, None);
                let _ = ready.send(Err(error.clone()));
                return Some((queue, error));
            }
        };
        let _ = ready.send(Ok(()));
        let run = run(store, queue, functions);
        let (mut store, mut queue, outcome) = tokio::select! {
            biased;
            _ = stopped => return None,
            ended = blueprint.ticker.turns(weight, run) => ended,
        };
        queue.close();
        let lost = RemoteError::of(&InstanceLost { module: blueprint.module.clone() });
        if let Err(error) = outcome {
            // wasmtime leaves the trapped task as the current one.
            let culprit = host::running(&mut store.as_context_mut()).ok().flatten();
            let only = store.data().calls.keys().next().copied().filter(|_| store.data().calls.len() == 1);
            let panic = store.data_mut().panic.take();
            let described = trap::describe(&error, panic);
            tracing::debug!(module = blueprint.module, error = %described, "instance lost");
            fail_all(&mut store, culprit.or(only).map(|number| (number, described)), &lost);
        }
        Some((queue, lost))
    }
}

async fn instantiate(
    blueprint: Arc<Blueprint>,
    weight: Weight,
) -> wasmtime::Result<(Store<Host>, Vec<PortalFunction>)> {
    let limits = StoreLimitsBuilder::new().memory_size(MAX_MEMORY_BYTES).build();
    let data = Host {
        table: ResourceTable::new(),
        wasi: blueprint.grants.context()?,
        limits,
        calls: HashMap::default(),
        tasks: HashMap::default(),
        panic: None,
        weight,
    };
    let mut store = Store::new(blueprint.pre.engine(), data);
    store.limiter(|host| &mut host.limits);
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    let instance = blueprint.pre.instantiate_async(&mut store).await?;
    let functions = blueprint
        .functions
        .iter()
        .map(|index| instance.get_typed_func(&mut store, index))
        .collect::<wasmtime::Result<_>>()?;
    Ok((store, functions))
}

/// Runs an instance until nobody can call it any more, or it traps.
async fn run(
    mut store: Store<Host>,
    mut queue: Queue,
    functions: Vec<PortalFunction>,
) -> (Store<Host>, Queue, wasmtime::Result<()>) {
    let served = store.run_concurrent(async |accessor| serve(accessor, &mut queue, &functions).await).await;
    (store, queue, served.flatten())
}

/// Answers calls that no instance takes.
async fn answer_the_rest(mut queue: Queue, error: RemoteError) {
    queue.close();
    while let Some(job) = queue.recv().await {
        let _ = job.reply.send(Err(Box::new(error.clone())));
    }
}

/// Feeds calls to the guest until nobody can make any more.
async fn serve(
    accessor: &Accessor<Host>,
    queue: &mut Queue,
    functions: &[PortalFunction],
) -> wasmtime::Result<()> {
    let mut running = FuturesUnordered::new();
    let mut numbers = 0..;
    loop {
        tokio::select! {
            // A call that has ended makes room before another begins.
            biased;
            Some(ended) = running.next(), if !running.is_empty() => {
                let (number, returned): (u64, wasmtime::Result<Returned>) = ended;
                let (outcome,) = returned?;
                let call = accessor.with(|mut access| access.get().calls.remove(&number));
                if let Some(call) = call {
                    let _ = call.reply.send(outcome.map_err(|error| Box::new(error.into())));
                }
            }
            job = queue.recv() => {
                let Some(Job { function, task, kwargs, reply }) = job else { return Ok(()) };
                let (Some(function), Some(number)) = (functions.get(function), numbers.next()) else { continue };
                let call = accessor.with(|mut access| {
                    let context = access.get().table.push(task.clone())?;
                    let call = function.start_call_concurrent(access.as_context_mut(), (context, kwargs))?;
                    let host = access.get();
                    host.tasks.insert(call.task(), number);
                    host.calls.insert(number, Running { task, reply });
                    Ok::<_, wasmtime::Error>(call)
                })?;
                running.push(async move { (number, function.finish_call_concurrent(accessor, call).await) });
            }
        }
    }
}

/// Ends every call of a lost instance: the culprit with what it did, the others with `lost`.
fn fail_all(store: &mut Store<Host>, mut culprit: Option<(u64, RemoteError)>, lost: &RemoteError) {
    for (number, call) in store.data_mut().calls.drain() {
        let error = match culprit.take_if(|(guilty, _)| *guilty == number) {
            Some((_, error)) => error,
            None => lost.clone(),
        };
        let _ = call.reply.send(Err(Box::new(error)));
    }
}
