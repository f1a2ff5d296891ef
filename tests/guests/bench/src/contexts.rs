//! Contexts that do nothing.
//!
//! Owns: the module `held`. Must not know: how many are open, or how long.

use greenroom_guest::prelude::*;

/// Is at the other end of contexts.
#[module]
pub mod held {
    use greenroom_guest::prelude::*;

    /// Starts and ends.
    #[context]
    pub async fn touch(mut ctx: Context<(), (), ()>) -> Result<(), Fault> {
        ctx.started(())?;
        Ok(())
    }

    /// Starts, and ends when it is cancelled.
    #[context]
    pub async fn hold(mut ctx: Context<(), (), ()>) -> Result<(), Fault> {
        ctx.started(())?;
        std::future::pending().await
    }
}
