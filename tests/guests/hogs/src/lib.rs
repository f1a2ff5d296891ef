//! Functions that take all they can get, one file each, for the end-to-end suite.
//!
//! Those that no Rust compiler writes are beside this, in `wat/`.

mod heap;
mod logs;
mod recursion;
mod spawns;
mod spin;
mod stdout;
mod streams;
mod strings;
mod tasks;

use greenroom_guest::prelude::*;

/// One function per thing to take without end.
#[module]
pub mod hogs {
    use greenroom_guest::prelude::*;

    /// Allocates memory, and writes to it, until there is no more.
    pub fn heap() {
        crate::heap::eat();
    }

    /// Gives the host texts of this many MiB, by every function that takes one, for ever.
    pub async fn strings(mib: u32) -> Result<(), Fault> {
        crate::strings::give(mib).await
    }

    /// Writes to standard output for ever.
    pub fn stdout() {
        crate::stdout::flood();
    }

    /// Writes nothing to standard output, this many times, and gives how often it was told of
    /// success.
    pub fn nothing(writes: u32) -> u32 {
        crate::stdout::nothing(writes)
    }

    /// Never yields and never ends.
    pub fn spin() {
        crate::spin::spin();
    }

    /// Waits for ever; its destructor never ends.
    pub async fn spin_in_drop() {
        let _guard = crate::spin::SpinsOnDrop;
        std::future::pending::<()>().await;
    }

    /// Calls itself for ever.
    pub fn recursion() -> u64 {
        crate::recursion::descend(0)
    }

    /// Has this many tasks wait in a child at once, and gives what those ended with that did not
    /// begin.
    pub async fn tasks(count: u32) -> Result<Vec<String>, Fault> {
        crate::tasks::bomb(count).await
    }

    /// Waits for ever.
    pub async fn wait() {
        std::future::pending::<()>().await;
    }

    /// Opens streams without end to a child that reads none, and sends on each what it takes. Gives
    /// what ended it.
    pub async fn streams() -> Result<String, Fault> {
        crate::streams::bomb().await
    }

    /// Opens its stream, and never reads it.
    #[context]
    pub async fn deaf(mut ctx: Context<(), (), ByteBuf>) -> Result<(), Fault> {
        ctx.started(())?;
        let _stream = ctx.open_stream()?;
        std::future::pending().await
    }

    /// Starts children that do the same, as many as it gets, and keeps asking for more.
    pub async fn spawns() -> Result<(), Fault> {
        crate::spawns::bomb().await
    }

    /// Writes log lines for ever without yielding.
    pub fn logs() {
        crate::logs::flood();
    }
}
