//! Everything a module usually needs: `use greenroom_guest::prelude::*;`.
//!
//! Owns: the choice of names. Must not know: anything else. The attribute `main` is left out,
//! as the compiler has one of that name: write `#[greenroom_guest::main]`.

pub use futures_util::future::{join, join_all, try_join};
pub use futures_util::stream::{self, StreamExt, TryStreamExt};
pub use log;

pub use crate::{
    ActorEntry, ActorId, ByteBuf, Call, Context, ContextCall, DirGrant, Fault, Kwargs, MsgStream, Nursery,
    OrFault, Overrun, Portal, RemoteActorError, RemoteContext, Restart, ResultPortal, Rights, SpawnOptions,
    StreamOptions, Supervision, context, current_actor, current_context, fault, find_actor, kwargs,
    list_actors, module, monotonic_now, progress, query_actor, sleep, try_join_all, wait_for_actor,
};
