//! The functions of the namespace `self`: the runtime itself, callable like any module.
//!
//! Owns: their names, what they do, who may call them. Must not know: guests. Invariant:
//! whoever does not own the actor changes nothing in it.

use bytes::Bytes;
use greenroom_abi::kind::{BadArguments, FunctionNotFound, PermissionDenied};
use greenroom_abi::{ActorId, RemoteError, payload};
use greenroom_wire::Outcome;

use crate::actor::Actor;

/// The module name that stands for the runtime.
pub(crate) const SELF: &str = "self";

const FUNCTIONS: &[&str] = &["cancel", "describe"];

/// Runs `self:function` for `caller`, who does or does not own the actor.
pub(crate) fn run(actor: &Actor, function: &str, kwargs: &[u8], caller: &ActorId, owns: bool) -> Outcome {
    match payload::arguments(kwargs) {
        Ok(arguments) if arguments.is_empty() => {}
        found => {
            let unknown = found.map(|all| all.iter().map(|(name, _)| (*name).to_owned()).collect());
            return failed(&BadArguments {
                function: format!("{SELF}:{function}"),
                unknown: unknown.unwrap_or_default(),
                missing: Vec::new(),
                ill_typed: Vec::new(),
            });
        }
    }
    match function {
        "cancel" if owns => {
            actor.cancel(caller);
            value(&())
        }
        "cancel" => failed(&PermissionDenied {
            right: format!("only an owner may cancel actor `{}`; `{caller}` is not one", actor.id()),
        }),
        "describe" => value(&actor.exposed()),
        _ => failed(&FunctionNotFound {
            module: SELF.to_owned(),
            function: function.to_owned(),
            near: FUNCTIONS.iter().map(|name| (*name).to_owned()).collect(),
        }),
    }
}

fn value<T: serde::Serialize>(value: &T) -> Outcome {
    match payload::encode(value) {
        Ok(bytes) => Ok(Bytes::from(bytes)),
        Err(error) => failed(&error),
    }
}

fn failed<K: greenroom_abi::kind::Kind>(kind: &K) -> Outcome {
    Err(Box::new(RemoteError::of(kind)))
}
