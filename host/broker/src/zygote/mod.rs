//! Actors that are forked off a process in which all is ready that they share.
//!
//! Owns: that process, the *zygote*, from its start to its end, both sides of the talk with it. Must
//! not know: the tree. Invariant: a zygote has one thread for ever, runs no guest code, and has mapped
//! the components of one [`Kind`](crate::Kind) of actor; the broker can do without it at any moment.
//!
//! The broker executes it as it executes an actor, and tells it a kind. It maps and links the
//! components, says so, and makes a copy of itself that is a child of the broker and not of the zygote.
//! The copy waits for its order: a title, and the actor's control channel. With that it goes on where an
//! executed actor is when its broker has said who it is, all walls still before it; and the zygote makes
//! the next. So a copy is there before it is asked for.
//!
//! | who | to whom | says | with it |
//! |---|---|---|---|
//! | broker | zygote | the kind, in CBOR | the components' code |
//! | zygote | broker | that it is ready, or why not, in CBOR | |
//! | zygote | broker | the number of a copy; negative: the system's error | the way to the copy |
//! | broker | copy | a title | control channel |
//! | broker | zygote | [`NEXT`] | |

mod fork;
mod heirloom;
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

/// What the title of a copy is until it has its order.
const SPARE: &str = "greenroom: spare";

/// What asks for the next copy.
const NEXT: &[u8] = b"next";

/// The longest title of an actor that is forked. Those of longer ones are executed.
const MAX_TITLE: usize = 3 * 1024;

/// How many spaces a zygote is executed with: room for a title and what follows it.
const ROOM: usize = MAX_TITLE + 64;

/// How a zygote's preparation went: why not, if it failed.
#[derive(Debug, Serialize, Deserialize)]
struct Prepared(Result<(), String>);
