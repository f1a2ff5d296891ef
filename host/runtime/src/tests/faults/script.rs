//! What the two sides of a context do, by chance.
//!
//! Owns: the scripts and how likely each is. Must not know: how they are played. Invariant: a
//! script says all that its players choose, so that a schedule is the same each time.

use proptest::prelude::*;

use crate::{Overrun, StreamOptions};

/// One context or call.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// How many bytes its arguments are long, beside its number.
    pub(super) size: usize,
    /// Whether it is a context; a call otherwise.
    pub(super) linked: bool,
    pub(super) timeout_ms: Option<u64>,
    pub(super) caller: Caller,
    pub(super) callee: Callee,
}

/// What the caller of a context does once it has the first value.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) talk: Option<Talk>,
    /// How long it talks at most.
    pub(super) patience_ms: u64,
    /// Whether it keeps its stream while it ends the context.
    pub(super) keeps: bool,
    pub(super) leave: Leave,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Wait,
    Cancel,
    /// Asks for the end, and then waits for it.
    Abandon,
    /// Waits for its failure, for a time.
    Watch,
    Drop,
}

#[derive(Clone, Debug)]
pub(super) struct Callee {
    pub(super) begin: Begin,
    /// How long it takes until then.
    pub(super) late_ms: u64,
    pub(super) talk: Option<Talk>,
    pub(super) patience_ms: u64,
    /// Whether it does not hear that it is cancelled.
    pub(super) stubborn: bool,
    pub(super) end: End,
}

/// How often it calls `started`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Never,
    Once,
    Twice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Value,
    Fail,
    Never,
}

/// What one side does with its stream.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    pub(super) options: StreamOptions,
    pub(super) sends: u64,
    pub(super) size: usize,
    pub(super) send_pause_ms: u64,
    /// Whether it closes its direction behind its last message.
    pub(super) closes: bool,
    pub(super) receives: u64,
    pub(super) receive_pause_ms: u64,
    /// How many receive beside each other; none means without subscriptions.
    pub(super) subscribers: usize,
}

fn talk() -> impl Strategy<Value = Option<Talk>> {
    let overrun =
        prop::sample::select(vec![Overrun::Wait, Overrun::Wait, Overrun::Error, Overrun::DropOldest]);
    let capacity = prop_oneof![1 => Just(0), 2 => 1..6u32];
    let options = (capacity, overrun).prop_map(|(capacity, overrun)| StreamOptions { capacity, overrun });
    let size = prop_oneof![12 => 0..40usize, 1 => 0..200_000usize];
    let pause = || prop_oneof![2 => Just(0), 1 => 1..20u64];
    let send = (0..40u64, size, pause(), any::<bool>());
    let many = prop_oneof![2 => Just(u64::MAX), 1 => 0..20u64];
    let subscribers = prop_oneof![3 => Just(0), 1 => 1..3usize];
    let talk = (options, send, (many, pause(), subscribers)).prop_map(|(options, send, receive)| {
        let (sends, size, send_pause_ms, closes) = send;
        let (receives, receive_pause_ms, subscribers) = receive;
        Talk { options, sends, size, send_pause_ms, closes, receives, receive_pause_ms, subscribers }
    });
    prop::option::weighted(0.8, talk)
}

fn caller() -> impl Strategy<Value = Caller> {
    use Leave::{Abandon, Cancel, Drop, Wait, Watch};
    let leave = prop::sample::select(vec![Wait, Wait, Wait, Cancel, Cancel, Abandon, Watch, Drop]);
    (talk(), 0..400u64, any::<bool>(), leave).prop_map(|(talk, patience_ms, keeps, leave)| Caller {
        talk,
        patience_ms,
        keeps,
        leave,
    })
}

fn callee() -> impl Strategy<Value = Callee> {
    let begin = prop_oneof![1 => Just(Begin::Never), 10 => Just(Begin::Once), 1 => Just(Begin::Twice)];
    let late = prop_oneof![2 => Just(0), 1 => 1..150u64];
    let end = prop_oneof![6 => Just(End::Value), 2 => Just(End::Fail), 1 => Just(End::Never)];
    (begin, late, talk(), 0..400u64, prop::bool::weighted(0.1), end).prop_map(
        |(begin, late_ms, talk, patience_ms, stubborn, end)| Callee {
            begin,
            late_ms,
            talk,
            patience_ms,
            stubborn,
            end,
        },
    )
}

pub(super) fn script() -> impl Strategy<Value = Script> {
    let size = prop_oneof![5 => 0..100usize, 1 => 0..300_000usize];
    let timeout = prop::option::weighted(0.3, 0..600u64);
    (size, prop::bool::weighted(0.85), timeout, caller(), callee()).prop_map(
        |(size, linked, timeout_ms, caller, callee)| Script { size, linked, timeout_ms, caller, callee },
    )
}
