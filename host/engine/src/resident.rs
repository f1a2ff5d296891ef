//! One instance of a module, with its tasks: many, or a single one.
//!
//! Owns: the store, the loop that feeds it calls, and what becomes of its tasks when one of
//! them traps. Must not know: how functions are found, how long an instance is kept. Invariant:
//! every call handed to an instance is answered, also when the instance is lost.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use greenroom_abi::RemoteError;
use greenroom_abi::kind::{InstanceLost, Trap};
use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{Accessor, Instance as Exports, InstancePre};
use wasmtime::{AsContextMut, Store};

use crate::bounds::{self, Bounds, Budget, Refusal, Seat};
use crate::callee::{Arguments, Call, Callee, Exported, Reply};
use crate::host::{self, Host};
use crate::inspect::Chain;
use crate::ticker::{Ticker, Weight};
use crate::trap;
use crate::wasi::{Gate, Grants};

/// From which size on a payload makes the turn that copies it a long one: some tenths of a
/// millisecond.
pub(crate) const LARGE_BYTES: usize = 4 * 1024 * 1024;

/// From which size on one does that is taken apart into values, which takes far longer than to copy it.
pub(crate) const LARGE_VALUES_BYTES: usize = 64 * 1024;

/// What an instance is made from.
pub(crate) struct Blueprint {
    pub(crate) module: String,
    pub(crate) pre: InstancePre<Host>,
    /// The callable functions, by their number within the module.
    pub(crate) functions: Vec<Exported>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) ticker: Ticker,
}

impl Blueprint {
    /// What calls end with whose instance is lost.
    pub(crate) fn lost(&self) -> RemoteError {
        RemoteError::of(&InstanceLost { module: self.module.clone() })
    }
}

/// A call for an instance.
pub(crate) struct Job {
    pub(crate) function: usize,
    pub(crate) arguments: Arguments,
    /// Whether there is so much in them that the turn that copies it is a long one.
    pub(crate) large: bool,
    pub(crate) reply: Reply,
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
        Self::seated(blueprint, None)
    }

    /// As [`Resident::start`]; the seat is taken for as long as the instance is there.
    pub(crate) fn seated(
        blueprint: Arc<Blueprint>,
        seat: Option<Seat>,
    ) -> (Self, oneshot::Receiver<Result<(), RemoteError>>) {
        let (jobs, queue) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let (ready_sender, ready) = oneshot::channel();
        let weight = Weight::default();
        let instance = Instance { blueprint, queue, weight: weight.clone() };
        tokio::spawn(async move {
            if let Some((queue, error)) = instance.live(stopped, ready_sender).await {
                answer_the_rest(queue, error).await;
            }
            drop(seat);
        });
        (Self { jobs, weight, _stop: stop }, ready)
    }

    /// Whether the instance can still be given calls.
    pub(crate) fn is_alive(&self) -> bool {
        !self.jobs.is_closed()
    }

    /// Hands over a call; gives it back if the instance is lost.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Job> {
        if job.large {
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
        let (refusal, limits) = (Refusal::default(), &blueprint.budget.limits);
        let making = instantiate(blueprint.clone(), weight.clone(), refusal.clone());
        let made = tokio::select! {
            biased;
            _ = &mut stopped => return None,
            made = blueprint.ticker.turns(weight.clone(), making) => made,
        };
        let crossed = |error: &_| bounds::crossed(error, limits).or_else(|| refusal.take());
        let (store, exports) = match made {
            Ok(made) => made,
            Err(error) => {
                let error = trap::describe(&error, crossed(&error), None);
                let _ = ready.send(Err(error.clone()));
                return Some((queue, error));
            }
        };
        let _ = ready.send(Ok(()));
        let run = run(store, queue, exports, blueprint.clone());
        let (mut store, mut queue, outcome) = tokio::select! {
            biased;
            _ = stopped => return None,
            ended = blueprint.ticker.turns(weight, run) => ended,
        };
        queue.close();
        let lost = blueprint.lost();
        if let Err(error) = outcome {
            // wasmtime leaves the trapped task as the current one.
            let culprit = host::running(&mut store.as_context_mut()).ok().flatten();
            let only = store.data().calls.keys().next().copied().filter(|_| store.data().calls.len() == 1);
            let culprit = culprit.or(only);
            if trap::is_good_exit(&error) {
                conclude(&mut store, culprit);
            }
            let panic = store.data_mut().panic.take();
            let described = trap::describe(&error, crossed(&error), panic);
            tracing::debug!(module = blueprint.module, error = %described, "instance lost");
            fail_all(&mut store, culprit.map(|number| (number, described)), &lost);
        }
        Some((queue, lost))
    }
}

async fn instantiate(
    blueprint: Arc<Blueprint>,
    weight: Weight,
    refusal: Refusal,
) -> wasmtime::Result<(Store<Host>, Exports)> {
    let limits = &blueprint.budget.limits;
    let data = Host {
        table: bounds::table(limits),
        wasi: blueprint.grants.context(&blueprint.module, &blueprint.gate)?,
        gate: blueprint.gate.clone(),
        bounds: Bounds::new(blueprint.budget.clone(), refusal),
        calls: HashMap::default(),
        tasks: HashMap::default(),
        panic: None,
        weight,
    };
    let mut store = Store::new(blueprint.pre.engine(), data);
    bounds::guard(&mut store, limits);
    let exports = blueprint.pre.instantiate_async(&mut store).await?;
    Ok((store, exports))
}

/// Runs an instance until nobody can call it any more, or it traps.
async fn run(
    mut store: Store<Host>,
    mut queue: Queue,
    exports: Exports,
    blueprint: Arc<Blueprint>,
) -> (Store<Host>, Queue, wasmtime::Result<()>) {
    let mut functions = Functions { exports, found: vec![None; blueprint.functions.len()], blueprint };
    let served =
        store.run_concurrent(async |accessor| serve(accessor, &mut queue, &mut functions).await).await;
    (store, queue, served.flatten())
}

/// The functions of an instance, each looked up when it is first called.
struct Functions {
    exports: Exports,
    blueprint: Arc<Blueprint>,
    found: Vec<Option<Arc<dyn Callee>>>,
}

impl Functions {
    fn get(&mut self, number: usize, accessor: &Accessor<Host>) -> wasmtime::Result<Arc<dyn Callee>> {
        if let Some(found) = &self.found[number] {
            return Ok(found.clone());
        }
        let exported = &self.blueprint.functions[number];
        let found = accessor.with(|mut access| exported.of(&self.exports, access.as_context_mut()))?;
        self.found[number] = Some(found.clone());
        Ok(found)
    }
}

/// Answers calls that no instance takes.
async fn answer_the_rest(mut queue: Queue, error: RemoteError) {
    queue.close();
    while let Some(job) = queue.recv().await {
        job.reply.give(Err(Box::new(error.clone())));
    }
}

/// Feeds calls to the guest until nobody can make any more.
async fn serve(
    accessor: &Accessor<Host>,
    queue: &mut Queue,
    functions: &mut Functions,
) -> wasmtime::Result<()> {
    let mut running = FuturesUnordered::new();
    let mut numbers = 0..;
    loop {
        tokio::select! {
            // A call that has ended makes room before another begins.
            biased;
            Some((number, outcome)) = running.next(), if !running.is_empty() => {
                let outcome = outcome?;
                let call = accessor.with(|mut access| access.get().calls.remove(&number));
                if let Some(call) = call {
                    call.reply.give(outcome);
                }
            }
            job = queue.recv() => {
                let Some(Job { function, arguments, reply, .. }) = job else { return Ok(()) };
                let Some(number) = numbers.next() else { continue };
                match functions.get(function, accessor) {
                    Ok(callee) => running.push(callee.call(accessor, Call { number, arguments, reply })),
                    Err(error) => {
                        let code = Chain(&error).to_string();
                        reply.give(Err(Box::new(RemoteError::of(&Trap { code }))));
                    }
                }
            }
        }
    }
}

/// Ends the call that has exited well, if that is a way for it to return.
fn conclude(store: &mut Store<Host>, exited: Option<u64>) {
    let calls = &mut store.data_mut().calls;
    let exited = exited.filter(|number| calls.get(number).is_some_and(|call| call.exit.is_some()));
    if let Some((reply, outcome)) =
        exited.and_then(|number| calls.remove(&number)).and_then(|call| Some((call.reply, call.exit?)))
    {
        reply.give(outcome);
    }
}

/// Ends every call of a lost instance: the culprit with what it did, the others with `lost`.
fn fail_all(store: &mut Store<Host>, mut culprit: Option<(u64, RemoteError)>, lost: &RemoteError) {
    for (number, call) in store.data_mut().calls.drain() {
        let error = match culprit.take_if(|(guilty, _)| *guilty == number) {
            Some((_, error)) => error,
            None => lost.clone(),
        };
        call.reply.give(Err(Box::new(error)));
    }
}
