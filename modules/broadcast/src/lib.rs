//! Broadcast: one stream with three subscribers in one actor. Each of them receives everything,
//! but for the one who is too slow: that one is told how many messages it has lost, and neither
//! the others nor the station wait for it.
//!
//! `greenroom run broadcast.wasm --allow spawn messages=200`

use std::time::Duration;

use greenroom_guest::kind::Lagged;
use greenroom_guest::{Subscription, prelude::*};

/// How many messages the slow subscriber may fall behind.
const BEHIND: usize = 8;

/// How long it thinks about each message.
const THINKS: Duration = Duration::from_millis(5);

/// What the station serves.
#[module]
pub mod station {
    use greenroom_guest::prelude::*;

    /// Sends so many numbers.
    #[context]
    pub async fn numbers(mut ctx: Context<(), u32, ()>, messages: u32) -> Result<(), RemoteActorError> {
        ctx.started(())?;
        ctx.open_stream()?.send_all(1..=messages).await
    }
}

/// One of those who listen.
struct Subscriber {
    name: &'static str,
    station: Subscription<u32>,
    /// How long it thinks about each message.
    thinks: Duration,
}

impl Subscriber {
    /// Listens to the end, and tells what it has received and lost.
    async fn listen(mut self) -> Result<String, RemoteActorError> {
        let (mut received, mut lost) = (0, 0);
        loop {
            match self.station.receive().await {
                Ok(None) => return Ok(told(self.name, received, lost)),
                Ok(Some(_number)) => received += 1,
                Err(error) => match error.downcast() {
                    // It goes on behind what was lost.
                    Some(Lagged { lost: missed }) => lost += missed,
                    None => return Err(error),
                },
            }
            if !self.thinks.is_zero() {
                sleep(self.thinks).await;
            }
        }
    }
}

fn told(name: &str, received: u64, lost: u64) -> String {
    format!("{name}: {received} received, {lost} lost")
}

/// Has a station send so many messages (default 200), and tells what became of them.
#[greenroom_guest::main]
async fn main(messages: Option<u32>) -> Result<String, Fault> {
    let nursery = Nursery::open();
    let station = nursery.start_actor("station", [station::MODULE]).await?;

    let numbers = station.open_context(station::numbers { messages: messages.unwrap_or(200) });
    let (told, _ended) = numbers
        .scope(async |ctx, ()| {
            let mut stream = ctx.open_stream()?;
            let subscribers = [
                Subscriber { name: "first", station: stream.subscribe(), thinks: Duration::ZERO },
                Subscriber { name: "second", station: stream.subscribe(), thinks: Duration::ZERO },
                Subscriber { name: "slow", station: stream.subscribe_with(BEHIND), thinks: THINKS },
            ];
            try_join_all(subscribers.map(Subscriber::listen)).await
        })
        .await?;

    station.cancel_actor().await?;
    Ok(told.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_became_of_the_messages() {
        assert_eq!(told("slow", 9, 191), "slow: 9 received, 191 lost");
    }
}
