//! Actors that are forked off a process in which all is ready that they share.
//!
//! Owns: that process, the *zygote*, from its start to its end, both sides of the talk with it. Must
//! not know: the tree. Invariant: a zygote has one thread for ever, runs no guest code, and has mapped
//! the components of one [`Kind`](crate::Kind) of actor; the broker can do without it at any moment.
//!
//! The broker executes it as it executes an actor, and tells it a kind. It maps and links the
//! components, says so, and then takes orders: a title, and the actor's control channel. For each it
//! makes a copy of itself that is a child of the
//! broker and not of the zygote, and tells its number. The copy goes on where an executed actor is
//! when its broker has said who it is, all walls still before it.
//!
//! | who | says | with it |
//! |---|---|---|
//! | broker | the kind, in CBOR | the components' code |
//! | zygote | that it is ready, or why not, in CBOR | |
//! | broker | a title | control channel |
//! | zygote | the number of the process; negative: the system's error | |

mod fork;
mod serve;
mod spawner;
mod talk;

pub use serve::{Forked, is_zygote, run_zygote};
pub use spawner::ZygoteSpawner;

use serde::{Deserialize, Serialize};

/// The word that a program is executed with to be a zygote, before as many spaces as titles may need.
pub const ZYGOTE: &str = "zygote";

/// What its title is.
const TITLE: &str = "greenroom: zygote";

/// The longest title of an actor that is forked. Those of longer ones are executed.
const MAX_TITLE: usize = 3 * 1024;

/// How many spaces a zygote is executed with: room for a title and what follows it.
const ROOM: usize = MAX_TITLE + 64;

/// How a zygote's preparation went: why not, if it failed.
#[derive(Debug, Serialize, Deserialize)]
struct Prepared(Result<(), String>);
