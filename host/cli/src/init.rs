//! Being an actor, in a program that is not `greenroom`.
//!
//! Owns: the choice between a program's own work and an actor's. Must not know: what either does.
//! Invariant: a process that was started to be an actor does nothing else.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use greenroom_broker::{Forked, is_actor, is_compiler, is_zygote, run_actor, run_compiler, run_zygote};

/// Whether [`init`] has returned: this program can be executed as an actor.
static READY: AtomicBool = AtomicBool::new(false);

/// Lets this program serve as the actors that it starts: to be called first thing in the `main` of
/// a program that opens a root.
///
/// Every actor is a process of its own, and what it executes is this very program; so is what actors of
/// one kind are forked off, and what compiles a component that was not compiled before. In a process that
/// was started to be one of these, `init` serves as it and never returns. In any other it returns at once.
/// So a native program needs no other program beside it.
///
/// It must come before anything else, and before any thread: what runs before it runs in every
/// actor too, beside code that is not trusted, with a standard input that is the actor's way to its
/// broker. A thread that was started by then would go on in there.
///
/// An actor is told by how it was started: its standard input is a packet socket, and its command
/// line is `greenroom: TREE/PATH` and the word `actor`. Neither comes about by chance, nor is it
/// passed on to other programs. The process has no environment variables: those that its guest is given
/// come with what its broker says.
///
/// ```no_run
/// #[tokio::main(flavor = "current_thread")]
/// async fn work() -> Result<(), greenroom::HostError> {
///     let root = greenroom::open_root(greenroom::RootOptions::new("app")).await?;
///     root.close().await
/// }
///
/// fn main() -> Result<(), greenroom::HostError> {
///     greenroom::init();
///     work()
/// }
/// ```
pub fn init() {
    if is_compiler() {
        std::process::exit(i32::from(run_compiler() != ExitCode::SUCCESS));
    }
    if is_zygote() {
        std::process::exit(i32::from(run_zygote(Forked::live) != ExitCode::SUCCESS));
    }
    if is_actor() {
        // It returns only when it has failed, and has said why.
        let _failed = run_actor();
        std::process::exit(1);
    }
    READY.store(true, Ordering::Release);
}

/// Whether actors may execute this program.
pub(crate) fn is_ready() -> bool {
    READY.load(Ordering::Acquire)
}
