//! Streams between two guests.
//!
//! Owns: the modules `source` and `drain`. Must not know: what the rates mean.

use greenroom_guest::prelude::*;

/// Receives, and does nothing with it.
#[module]
pub mod drain {
    use greenroom_guest::prelude::*;

    /// Numbers, until there are no more.
    #[context]
    pub async fn numbers(mut ctx: Context<(), (), i64>) -> Result<u64, Fault> {
        ctx.started(())?;
        let (mut stream, mut count) = (ctx.open_stream()?, 0);
        while stream.receive().await?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// Byte strings, until there are no more.
    #[context]
    pub async fn blocks(mut ctx: Context<(), (), ByteBuf>) -> Result<u64, Fault> {
        ctx.started(())?;
        let (mut stream, mut count) = (ctx.open_stream()?, 0);
        while stream.receive().await?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

/// Sends to a drain in an actor of its own.
#[module]
pub mod source {
    use super::drain;
    use greenroom_guest::prelude::*;

    /// Sends `warm_up` numbers, then `messages`, and gives how long those took until the drain had
    /// received the last, in nanoseconds.
    pub async fn pour_numbers(warm_up: u32, messages: u32) -> Result<u64, Fault> {
        let nursery = Nursery::open();
        let actor = nursery.start_actor("drain", [drain::MODULE]).await?;
        let mut took = 0;
        for count in [warm_up, messages] {
            let (context, ()) = actor.open_context(drain::numbers {}).await?;
            let stream = context.open_stream()?;
            let began = monotonic_now();
            for number in 0..count {
                stream.send(i64::from(number)).await?;
            }
            stream.close();
            let received = context.wait_for_result().await?;
            took = crate::nanoseconds(began);
            super::check(received, count)?;
        }
        actor.cancel_actor().await?;
        Ok(took)
    }

    /// As `pour_numbers`, with byte strings of `size` bytes.
    pub async fn pour_blocks(warm_up: u32, messages: u32, size: usize) -> Result<u64, Fault> {
        let nursery = Nursery::open();
        let actor = nursery.start_actor("drain", [drain::MODULE]).await?;
        let mut took = 0;
        for count in [warm_up, messages] {
            let (context, ()) = actor.open_context(drain::blocks {}).await?;
            let stream = context.open_stream()?;
            let began = monotonic_now();
            for _ in 0..count {
                stream.send(ByteBuf::from(vec![7; size])).await?;
            }
            stream.close();
            let received = context.wait_for_result().await?;
            took = crate::nanoseconds(began);
            super::check(received, count)?;
        }
        actor.cancel_actor().await?;
        Ok(took)
    }
}

fn check(received: u64, sent: u32) -> Result<(), Fault> {
    if received != u64::from(sent) {
        fault!("{received} messages arrived of {sent}");
    }
    Ok(())
}
