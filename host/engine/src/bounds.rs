//! What the instances of an actor may take: each, and all together.
//!
//! Owns: the counts, and what is said where one is full. Must not know: what guests do, who waits for
//! them. Invariant: what an instance took is given back with its store.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use greenroom_abi::RemoteError;
use greenroom_abi::kind::LimitExceeded;
use greenroom_sabotage::Protection;
use greenroom_wire::control::{Limit, Limits};
use wasmtime::component::{ResourceTable, ResourceTableError};
use wasmtime::{ResourceLimiter, Store, StoreContextMut, UpdateDeadline};

use crate::host::{self, Host};
use crate::ticker::Weight;

/// What an element of a table takes.
const ELEMENT_BYTES: u64 = size_of::<usize>() as u64;

/// How many handles a guest has beside its resources for each of its tasks: what it waits for.
const TASK_HANDLES: usize = 4;

/// A limit that a guest has run into, as what ends its code.
#[derive(Debug)]
pub(crate) struct Crossed(pub(crate) LimitExceeded);

impl fmt::Display for Crossed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Crossed {}

/// What all instances of an actor have together.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) limits: Limits,
    memory: AtomicU64,
    elements: AtomicU64,
    instances: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let (memory, elements, instances) = Default::default();
        Arc::new(Self { limits, memory, elements, instances })
    }

    /// What is said of a limit that is reached.
    fn exceeded(&self, limit: Limit) -> LimitExceeded {
        LimitExceeded { limit: limit.name().to_owned(), value: self.limits.get(limit) }
    }

    fn count(&self, limit: Limit) -> Option<(&AtomicU64, Protection)> {
        match limit {
            Limit::Memory => Some((&self.memory, Protection::Memory)),
            Limit::Elements => Some((&self.elements, Protection::Elements)),
            Limit::Instances => Some((&self.instances, Protection::Instances)),
            _ => None,
        }
    }

    /// Takes so much, unless it is too much.
    fn take(&self, limit: Limit, amount: u64) -> Result<(), LimitExceeded> {
        let Some((count, protection)) = self.count(limit) else { return Ok(()) };
        let most = if protection.is_off() { u64::MAX } else { self.limits.get(limit) };
        let grown = |taken: u64| taken.checked_add(amount).filter(|taken| *taken <= most);
        let taken = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown);
        taken.map(drop).map_err(|_| self.exceeded(limit))
    }

    fn give_back(&self, limit: Limit, amount: u64) {
        if let Some((count, _)) = self.count(limit) {
            count.fetch_sub(amount, Ordering::Relaxed);
        }
    }

    /// Room for an instance that serves one task.
    ///
    /// # Errors
    /// `LimitExceeded` if there is none.
    pub(crate) fn seat(self: &Arc<Self>) -> Result<Seat, RemoteError> {
        self.take(Limit::Instances, 1).map_err(|exceeded| RemoteError::of(&exceeded))?;
        Ok(Seat(self.clone()))
    }
}

/// Room for one instance; free again when dropped.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Budget>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.give_back(Limit::Instances, 1);
    }
}

/// The last growth of an instance, if it was refused. It outlives the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusal(Arc<Mutex<Option<LimitExceeded>>>);

impl Refusal {
    fn set(&self, refusal: Option<LimitExceeded>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }

    pub(crate) fn take(&self) -> Option<LimitExceeded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What one instance has, and what it has used.
#[derive(Debug)]
pub(crate) struct Bounds {
    budget: Arc<Budget>,
    refusal: Refusal,
    memory: u64,
    elements: u64,
    /// What the growth that is under way takes, to be given back if it fails.
    growing: u64,
    /// How much was refused last. That less is granted then, to who has to say that it has too
    /// little, makes it no less the reason.
    refused: u64,
    /// The processor time of each call, and of what runs for none.
    spent: HashMap<Option<u64>, Duration, RandomState>,
    /// Up to when it is charged.
    charged: Instant,
}

impl Bounds {
    pub(crate) fn new(budget: Arc<Budget>, refusal: Refusal) -> Self {
        let (memory, elements, growing, refused) = Default::default();
        Self {
            budget,
            refusal,
            memory,
            elements,
            growing,
            refused,
            spent: HashMap::default(),
            charged: Instant::now(),
        }
    }

    /// Takes memory; nothing, and notes it, where there is none.
    fn grow(&mut self, limit: Limit, amount: u64) -> bool {
        let taken = self.budget.take(limit, amount);
        let granted = taken.is_ok();
        if !granted || amount >= self.refused {
            self.refused = if granted { 0 } else { amount };
            self.refusal.set(taken.err());
        }
        granted
    }

    fn grow_memory(&mut self, amount: u64) -> bool {
        let granted = self.grow(Limit::Memory, amount);
        if granted {
            self.memory += amount;
            self.growing = amount;
        }
        granted
    }

    fn shrink_memory(&mut self) {
        let amount = std::mem::take(&mut self.growing);
        self.budget.give_back(Limit::Memory, amount);
        self.memory -= amount;
    }

    /// Charges a call, or what runs for none, for the time since the turn began or it was last
    /// charged.
    fn charge(&mut self, call: Option<u64>, turn: Instant) -> Result<(), Crossed> {
        let now = Instant::now();
        let spent = now.saturating_duration_since(self.charged.max(turn));
        self.charged = now;
        let all = self.spent.entry(call).or_default();
        *all += spent;
        match *all > self.budget.limits.cpu && !Protection::Cpu.is_off() {
            true => Err(Crossed(self.budget.exceeded(Limit::Cpu))),
            false => Ok(()),
        }
    }

    /// Forgets what the calls that are over have used, once there are many.
    fn tidy(&mut self, is_known: impl Fn(u64) -> bool, known: usize) {
        if self.spent.len() > 2 * known + TASK_HANDLES {
            self.spent.retain(|call, _| call.is_some_and(&is_known));
        }
    }
}

impl Drop for Bounds {
    fn drop(&mut self) {
        self.budget.give_back(Limit::Memory, self.memory);
        self.budget.give_back(Limit::Elements, self.elements);
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow_memory(desired.saturating_sub(current) as u64))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.shrink_memory();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let elements = desired.saturating_sub(current) as u64;
        if !self.grow_memory(elements.saturating_mul(ELEMENT_BYTES)) {
            return Ok(false);
        }
        let granted = self.grow(Limit::Elements, elements);
        if granted {
            self.elements += elements;
        } else {
            self.shrink_memory();
        }
        Ok(granted)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        let elements = std::mem::take(&mut self.growing) / ELEMENT_BYTES;
        self.budget.give_back(Limit::Memory, elements * ELEMENT_BYTES);
        self.budget.give_back(Limit::Elements, elements);
        self.memory -= elements * ELEMENT_BYTES;
        self.elements -= elements;
        Ok(())
    }
}

/// The table for a store's resources.
pub(crate) fn table(limits: &Limits) -> ResourceTable {
    let mut table = ResourceTable::new();
    if !Protection::Resources.is_off() {
        table.set_max_capacity(limits.resources);
    }
    table
}

/// Puts a new store under its bounds.
pub(crate) fn guard(store: &mut Store<Host>, limits: &Limits) {
    store.limiter(|host| &mut host.bounds);
    if !Protection::Copy.is_off() {
        store.set_hostcall_fuel(usize::try_from(limits.copy).unwrap_or(usize::MAX));
    }
    if !Protection::Resources.is_off() {
        store.set_max_component_handles(limits.resources + TASK_HANDLES * limits.tasks);
    }
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        charge(&mut store)?;
        Ok(UpdateDeadline::Yield(1))
    });
}

fn charge(store: &mut StoreContextMut<'_, Host>) -> Result<(), Crossed> {
    // Where nothing can be called yet, nobody is: a start function runs.
    let call = host::latest(store).ok().flatten();
    let Host { bounds, tasks, weight, .. } = store.data_mut();
    let turn = Weight::began(weight);
    bounds.charge(call, turn)?;
    bounds.tidy(|call| tasks.values().any(|known| *known == call), tasks.len());
    Ok(())
}

/// The limit that an error is about, if it is about one.
pub(crate) fn crossed(error: &wasmtime::Error, limits: &Limits) -> Option<LimitExceeded> {
    let of = |limit: Limit| LimitExceeded { limit: limit.name().to_owned(), value: limits.get(limit) };
    if let Some(Crossed(exceeded)) = error.downcast_ref() {
        return Some(exceeded.clone());
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Some(of(Limit::Resources));
    }
    // wasmtime keeps the types of these to itself.
    match error.root_cause().to_string() {
        text if text.contains("fuel allocated for hostcalls has been exhausted") => Some(of(Limit::Copy)),
        text if text.contains("store handle limit exceeded") => Some(of(Limit::Resources)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(budget: &Arc<Budget>) -> Bounds {
        Bounds::new(budget.clone(), Refusal::default())
    }

    fn budget() -> Arc<Budget> {
        Budget::new(Limits { memory: 1000, elements: 10, instances: 1, ..Limits::default() })
    }

    fn failed() -> wasmtime::Error {
        wasmtime::format_err!("the system has none")
    }

    #[test]
    fn memory_is_counted_over_all_instances_and_given_back() {
        let budget = budget();
        let (mut one, mut two) = (bounds(&budget), bounds(&budget));
        assert!(one.memory_growing(0, 600, None).expect("no trap"));
        assert!(!two.memory_growing(0, 600, None).expect("no trap"));
        assert_eq!(two.refusal.take(), Some(LimitExceeded { limit: "memory".to_owned(), value: 1000 }));
        assert!(one.memory_growing(600, 1000, None).expect("no trap"));
        drop(one);
        assert!(!two.memory_growing(0, 1001, None).expect("no trap"));
        assert!(two.memory_growing(0, 600, None).expect("no trap"));
        assert!(two.refusal.take().is_some(), "who got less than it wanted may fail for that");
        two.memory_grow_failed(failed()).expect("no trap");
        assert!(!two.memory_growing(0, 1001, None).expect("no trap"));
        two.refused = 600;
        assert!(two.memory_growing(0, 600, None).expect("no trap"));
        assert_eq!(two.refusal.take(), None, "what was refused before is no reason any more");
        two.memory_grow_failed(failed()).expect("no trap");
        assert!(two.memory_growing(0, 1000, None).expect("no trap"));
    }

    #[test]
    fn tables_count_as_elements_and_as_memory() {
        let budget = budget();
        let mut one = bounds(&budget);
        assert!(!one.table_growing(0, 11, None).expect("no trap"));
        assert_eq!(one.refusal.take().map(|refusal| refusal.limit).as_deref(), Some("elements"));
        assert!(one.table_growing(0, 10, None).expect("no trap"));
        assert!(!one.memory_growing(0, 921, None).expect("no trap"));
        one.table_grow_failed(failed()).expect("no trap");
        assert!(one.memory_growing(0, 1000, None).expect("no trap"));
        drop(one);
        assert_eq!(budget.memory.load(Ordering::Relaxed), 0);
        assert_eq!(budget.elements.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_seat_is_free_again_when_it_is_left() {
        let budget = budget();
        let seat = budget.seat().expect("there is one");
        let full = budget.seat().expect_err("there is no other");
        assert_eq!(full.kind(), Some(LimitExceeded { limit: "instances".to_owned(), value: 1 }));
        drop(seat);
        assert!(budget.seat().is_ok());
    }

    #[test]
    fn each_call_is_charged_for_its_own_time() {
        let budget = Budget::new(Limits { cpu: Duration::from_millis(20), ..Limits::default() });
        let mut one = bounds(&budget);
        let long_ago = Instant::now();
        std::thread::sleep(Duration::from_millis(15));
        one.charged = long_ago;
        assert!(one.charge(Some(1), long_ago).is_ok());
        std::thread::sleep(Duration::from_millis(15));
        assert!(one.charge(Some(2), long_ago).is_ok(), "what the first used is not the second's");
        assert!(one.charge(Some(2), Instant::now()).is_ok(), "what was before its turn is nobody's");
        std::thread::sleep(Duration::from_millis(15));
        let Crossed(exceeded) = one.charge(Some(2), long_ago).expect_err("too long");
        assert_eq!(exceeded, LimitExceeded { limit: "cpu".to_owned(), value: 20_000_000 });
    }
}
