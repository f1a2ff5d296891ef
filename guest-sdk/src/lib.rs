//! What authors of Greenroom modules import: functions that other actors call, contexts in which
//! two tasks talk, actors to run them in, errors that come back whole.
//!
//! A module is an ordinary Rust module with an attribute. Its public functions may be called by
//! other actors, by name or, from Rust, by value: `math::square { x: 3 }` is a call of the
//! function `math::square`, and running it gives that function's result.
//!
//! ```no_run
//! # #![no_main]
//! use greenroom_guest::prelude::*;
//!
//! #[module]
//! pub mod math {
//!     /// Squares a number.
//!     pub async fn square(x: i64) -> i64 {
//!         x * x
//!     }
//! }
//!
//! #[greenroom_guest::main]
//! async fn main(vals: Vec<i64>) -> Result<Vec<i64>, Fault> {
//!     let nursery = Nursery::open();
//!     let leaf = nursery.start_actor("leaf", [math::MODULE]).await?;
//!     let squares = try_join_all(vals.into_iter().map(|x| leaf.run(math::square { x }))).await?;
//!     leaf.cancel_actor().await?;
//!     Ok(squares)
//! }
//! ```
//!
//! A function marked `#[context]` talks with its caller before it returns: it gives a first value,
//! and each side may send the other messages.
//!
//! ```no_run
//! # #![no_main]
//! use greenroom_guest::prelude::*;
//!
//! #[module]
//! pub mod math {
//!     use greenroom_guest::prelude::*;
//!
//!     /// Squares what it receives; starts with nothing, and gives how many there were.
//!     #[context]
//!     pub async fn squares(mut ctx: Context<(), i64, i64>) -> Result<u32, Fault> {
//!         ctx.started(())?;
//!         let mut stream = ctx.open_stream()?;
//!         let mut count = 0;
//!         while let Some(x) = stream.receive().await? {
//!             stream.send(x * x).await?;
//!             count += 1;
//!         }
//!         Ok(count)
//!     }
//! }
//!
//! async fn nine(leaf: &Portal) -> Result<Option<i64>, Fault> {
//!     let (nine, _count) = leaf
//!         .open_context(math::squares {})
//!         .scope(async |ctx, ()| {
//!             let mut stream = ctx.open_stream()?;
//!             stream.send(3).await?;
//!             Ok::<_, Fault>(stream.receive().await?)
//!         })
//!         .await?;
//!     Ok(nine)
//! }
//! ```
//!
//! The crate compiles for the host's own target too, so that a module's functions can be tested
//! as the plain Rust functions they are; whatever talks to other actors works in a component only.

#![cfg_attr(greenroom_unwind, feature(asm_experimental_arch))]

extern crate self as greenroom_guest;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod actor;
mod arguments;
mod bindings;
mod boundary;
mod call;
mod callee;
mod context;
mod contract;
mod convert;
mod discovery;
mod endpoint;
mod fault;
mod join;
#[cfg(test)]
mod kit;
mod logging;
mod nursery;
mod options;
mod panic;
mod portal;
pub mod prelude;
mod remote;
mod request;
mod stream;
mod supervision;
mod task;
mod time;
mod unwind;

pub use actor::{ActorInfo, Rights, current_actor};
pub use call::{Call, Module, ModuleRef};
pub use callee::Context;
pub use context::{TaskContext, current_context};
pub use contract::{ByName, ContextCall, Contract};
pub use discovery::{
    ActorEntry, WaitForActor, WaitForActorUntil, find_actor, list_actors, query_actor, wait_for_actor,
};
pub use fault::{Fault, OrFault};
pub use greenroom_abi::{ActorId, Kwargs, RemoteError as RemoteActorError, kind, kwargs};
pub use greenroom_guest_macro::{context, main, module};
pub use join::try_join_all;
pub use log;
pub use logging::progress;
pub use nursery::{Nursery, OpenCluster, RunInActor, StartActor};
pub use options::{DirGrant, LimitValue, SpawnOptions};
pub use portal::{Portal, ResultPortal, Run};
pub use remote::{OpenContext, RemoteContext};
pub use serde_bytes::ByteBuf;
pub use stream::{MsgStream, Overrun, Receiver, Sender, StreamOptions, Subscription};
pub use supervision::{Restart, Supervision};
pub use time::{monotonic_now, sleep};

/// The guide for authors, whose examples are compiled with this crate's tests.
#[cfg(doctest)]
#[doc(test(attr(no_main)))]
#[doc = include_str!("../../docs/sdk.md")]
mod guide {}
