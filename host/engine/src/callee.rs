//! A function of an instance, and the ways to call it.
//!
//! Owns: how a portal function is called, how a plain one is, and which plain ones need not have
//! their bytes taken apart. Must not know: other calls. Invariant: a call that has begun is noted
//! in its store before guest code runs for it.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use greenroom_abi::RemoteError;
use greenroom_runtime::{Outcome, Task};
use wasmtime::AsContextMut;
use wasmtime::component::{
    Accessor, ComponentExportIndex, ComponentNamedList, Func, GuestTaskId, Instance, Lift, Lower, Resource,
    TypedFunc, Val,
};

use crate::host::{Host, Payload, RemoteErrorRecord, Running};
use crate::plain::{Argument, PlainFunction};
use crate::resident::Blueprint;
use crate::value::ValueType;

/// An exported function that can be called.
#[derive(Clone)]
pub(crate) struct Exported {
    pub(crate) index: ComponentExportIndex,
    /// What must be known of it, if it is a plain one.
    pub(crate) plain: Option<Arc<PlainFunction>>,
}

/// What a function is called with.
#[derive(Debug)]
pub(crate) enum Arguments {
    /// The caller's payload, as it came.
    Portal(Payload),
    /// Values that fit the function's parameters.
    Plain(Vec<Argument>),
}

/// The one answer to a call: it ends the call's task. Dropped without, the instance was lost.
pub(crate) struct Reply {
    task: Task,
    blueprint: Arc<Blueprint>,
}

impl Reply {
    pub(crate) fn new(task: Task, blueprint: Arc<Blueprint>) -> Self {
        Self { task, blueprint }
    }

    /// The task that it ends.
    pub(crate) fn task(&self) -> &Task {
        &self.task
    }

    pub(crate) fn give(self, outcome: Outcome) {
        self.task.end(outcome);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.task.has_ended() {
            self.task.end(Err(Box::new(self.blueprint.lost())));
        }
    }
}

/// A call that is to begin.
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) arguments: Arguments,
    pub(crate) reply: Reply,
}

/// What a call comes to, with its number. It fails if the instance is lost.
pub(crate) type Calling<'a> = Pin<Box<dyn Future<Output = (u64, wasmtime::Result<Outcome>)> + Send + 'a>>;

/// A function of an instance.
pub(crate) trait Callee: Send + Sync {
    /// Calls it; nothing has begun until the future is polled.
    fn call<'a>(self: Arc<Self>, accessor: &'a Accessor<Host>, call: Call) -> Calling<'a>;
}

impl Exported {
    /// The function of an instance.
    ///
    /// # Errors
    /// When it only looks like one of ours.
    pub(crate) fn of(
        &self,
        instance: &Instance,
        mut store: impl AsContextMut<Data = Host>,
    ) -> wasmtime::Result<Arc<dyn Callee>> {
        let Some(plain) = &self.plain else {
            return Ok(Arc::new(Portal(instance.get_typed_func(&mut store, self.index)?)));
        };
        let missing = || wasmtime::format_err!("the function is not among the instance's exports");
        let func = instance.get_func(&mut store, self.index).ok_or_else(missing)?;
        let moves_bytes = plain.ty.params.iter().any(|(_, ty)| ty.is_bytes())
            || plain.ty.result.as_ref().is_some_and(ValueType::holds_bytes);
        let direct = DIRECT.iter().filter(|_| moves_bytes).find_map(|look| look(func, &mut store, plain));
        Ok(direct.unwrap_or_else(|| Arc::new(Values { func, plain: plain.clone() })))
    }
}

impl Host {
    /// Notes a call that has begun.
    fn note(&mut self, id: GuestTaskId, number: u64, running: Running) {
        self.tasks.insert(id, number);
        self.calls.insert(number, running);
    }
}

/// A portal function: it gets the task as its context, and does the rest itself.
struct Portal(TypedFunc<(Resource<Task>, Payload), Answer>);

/// What a portal function returns.
type Answer = (Result<Payload, RemoteErrorRecord>,);

impl Callee for Portal {
    fn call<'a>(self: Arc<Self>, accessor: &'a Accessor<Host>, call: Call) -> Calling<'a> {
        let Call { number, arguments, reply } = call;
        let called = async move {
            let Arguments::Portal(kwargs) = arguments else { return Err(mixed_up()) };
            let begun = accessor.with(|mut access| {
                let context = access.get().table.push(reply.task().clone())?;
                let begun = self.0.start_call_concurrent(access.as_context_mut(), (context, kwargs))?;
                access.get().note(begun.task(), number, Running { reply, exit: None });
                Ok::<_, wasmtime::Error>(begun)
            })?;
            let (outcome,) = self.0.finish_call_concurrent(accessor, begun).await?;
            Ok(outcome.map_err(|error| Box::new(RemoteError::from(error))))
        };
        Box::pin(async move { (number, called.await) })
    }
}

/// A plain function of any type.
struct Values {
    func: Func,
    plain: Arc<PlainFunction>,
}

impl Callee for Values {
    fn call<'a>(self: Arc<Self>, accessor: &'a Accessor<Host>, call: Call) -> Calling<'a> {
        let Call { number, arguments, reply } = call;
        let called = async move {
            let Arguments::Plain(arguments) = arguments else { return Err(mixed_up()) };
            let arguments: Vec<Val> = arguments.into_iter().map(Val::from).collect();
            // What stands here before the call is of no consequence.
            let mut returned = vec![Val::Bool(false); usize::from(self.plain.ty.result.is_some())];
            let begun = accessor.with(|mut access| {
                let begun =
                    self.func.start_call_concurrent(access.as_context_mut(), &arguments, &mut returned)?;
                access.get().note(begun.task(), number, Running { reply, exit: self.plain.exit() });
                Ok::<_, wasmtime::Error>(begun)
            })?;
            self.func.finish_call_concurrent(accessor, begun).await?;
            Ok(self.plain.outcome(returned.first()))
        };
        Box::pin(async move { (number, called.await) })
    }
}

/// A plain function of a type that the host knows: bytes are copied, not taken apart.
struct Direct<P, R> {
    func: TypedFunc<P, R>,
    plain: Arc<PlainFunction>,
}

impl<P: Parameters, R: Returned> Callee for Direct<P, R> {
    fn call<'a>(self: Arc<Self>, accessor: &'a Accessor<Host>, call: Call) -> Calling<'a> {
        let Call { number, arguments, reply } = call;
        let called = async move {
            let Arguments::Plain(arguments) = arguments else { return Err(mixed_up()) };
            let params = P::take(arguments).ok_or_else(mixed_up)?;
            let begun = accessor.with(|mut access| {
                let begun = self.func.start_call_concurrent(access.as_context_mut(), params)?;
                access.get().note(begun.task(), number, Running { reply, exit: self.plain.exit() });
                Ok::<_, wasmtime::Error>(begun)
            })?;
            let returned = self.func.finish_call_concurrent(accessor, begun).await?;
            Ok(returned.outcome(&self.plain))
        };
        Box::pin(async move { (number, called.await) })
    }
}

/// Arguments that were checked against another function: the host's own mistake.
fn mixed_up() -> wasmtime::Error {
    wasmtime::format_err!("the arguments are not this function's")
}

/// Looks at a function as one of a type that the host knows.
type Look = fn(Func, &mut dyn LookedAt, &Arc<PlainFunction>) -> Option<Arc<dyn Callee>>;

/// A store, as far as looking needs it.
trait LookedAt {
    fn typed(&mut self) -> wasmtime::StoreContextMut<'_, Host>;
}

impl<S: AsContextMut<Data = Host>> LookedAt for S {
    fn typed(&mut self) -> wasmtime::StoreContextMut<'_, Host> {
        self.as_context_mut()
    }
}

fn look<P: Parameters, R: Returned>(
    func: Func,
    store: &mut dyn LookedAt,
    plain: &Arc<PlainFunction>,
) -> Option<Arc<dyn Callee>> {
    let func = func.typed::<P, R>(store.typed()).ok()?;
    Some(Arc::new(Direct { func, plain: plain.clone() }))
}

/// The types of parameters and of results for which there is a [`Direct`], each with each.
macro_rules! direct {
    ($($params:ty),*; $results:tt) => { &[$(direct!(@ $params; $results)),*].as_flattened() };
    (@ $params:ty; [$($result:ty),*]) => { [$(look::<$params, $result> as Look),*] };
}

const DIRECT: &[Look] = direct!(
    (), (Bytes,), (Bytes, Bytes), (String, Bytes), (Bytes, String);
    [(), (Bytes,), (String,), (Option<Bytes>,), (Result<Bytes, String>,)]
);

/// The parameters of a [`Direct`] function.
trait Parameters: Sized + ComponentNamedList + Lower + Send + Sync + 'static {
    fn take(arguments: Vec<Argument>) -> Option<Self>;
}

/// The result of a [`Direct`] function.
trait Returned: Sized + ComponentNamedList + Lift + Send + Sync + 'static {
    fn outcome(self, plain: &PlainFunction) -> Outcome;
}

/// One parameter of a [`Direct`] function.
trait Parameter: Sized {
    fn take(argument: Argument) -> Option<Self>;
}

impl Parameter for Bytes {
    fn take(argument: Argument) -> Option<Self> {
        let byte = |value| match value {
            Val::U8(byte) => Some(byte),
            _ => None,
        };
        match argument {
            Argument::Bytes(bytes) => Some(bytes),
            Argument::Value(Val::List(values)) => {
                values.into_iter().map(byte).collect::<Option<Vec<u8>>>().map(Self::from)
            }
            Argument::Value(_) => None,
        }
    }
}

impl Parameter for String {
    fn take(argument: Argument) -> Option<Self> {
        match argument {
            Argument::Value(Val::String(text)) => Some(text),
            _ => None,
        }
    }
}

impl Parameters for () {
    fn take(arguments: Vec<Argument>) -> Option<Self> {
        arguments.is_empty().then_some(())
    }
}

impl<A: Parameter + Lower + Send + Sync + 'static> Parameters for (A,) {
    fn take(arguments: Vec<Argument>) -> Option<Self> {
        let [a] = <[Argument; 1]>::try_from(arguments).ok()?;
        Some((A::take(a)?,))
    }
}

impl<A, B> Parameters for (A, B)
where
    A: Parameter + Lower + Send + Sync + 'static,
    B: Parameter + Lower + Send + Sync + 'static,
{
    fn take(arguments: Vec<Argument>) -> Option<Self> {
        let [a, b] = <[Argument; 2]>::try_from(arguments).ok()?;
        Some((A::take(a)?, B::take(b)?))
    }
}

impl Returned for () {
    fn outcome(self, plain: &PlainFunction) -> Outcome {
        plain.outcome(None)
    }
}

impl Returned for (Bytes,) {
    fn outcome(self, _: &PlainFunction) -> Outcome {
        PlainFunction::bytes(&self.0)
    }
}

impl Returned for (String,) {
    fn outcome(self, plain: &PlainFunction) -> Outcome {
        plain.outcome(Some(&Val::String(self.0)))
    }
}

impl Returned for (Option<Bytes>,) {
    fn outcome(self, plain: &PlainFunction) -> Outcome {
        match self.0 {
            Some(bytes) => PlainFunction::bytes(&bytes),
            None => plain.outcome(Some(&Val::Option(None))),
        }
    }
}

impl Returned for (Result<Bytes, String>,) {
    fn outcome(self, plain: &PlainFunction) -> Outcome {
        match self.0 {
            Ok(bytes) => PlainFunction::bytes(&bytes),
            Err(error) => plain.outcome(Some(&Val::Result(Err(Some(Box::new(Val::String(error))))))),
        }
    }
}
