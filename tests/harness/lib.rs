//! What the end-to-end tests and the benches share.
//!
//! Owns: finding what was built, putting up trees of actors, and the sweep after every test.
//! Must not know: what is tested. Invariant: a test that leaves anything behind fails.

mod alone;
mod artifact;
mod command;
mod corpus;
mod exits;
pub mod liar;
mod process;
mod sweep;
pub mod villain;
mod wait;
mod world;

pub use alone::{Place, alone, alone_for, compile, say, undisturbed};
pub use artifact::{example, foreign, guest, own_program, program, repository};
pub use command::{Command, Finished};
pub use corpus::{Attack, Wall, assert_page_tells};
pub use exits::{Exits, Left};
pub use greenroom::kind;
pub use process::{Memory, Signal, actors, is_forked, kill, spares, zygotes};
pub use sweep::{Descriptors, sweep_process};
pub use wait::{until, until_now};
pub use world::{Begun, Options, World};
