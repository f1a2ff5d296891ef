//! Streams at full stretch, and what goes on beside them.
//!
//! Owns: the modules `flood`, `quick` and `branches`. Must not know: what is measured. Invariant:
//! each module is an instance of its own in an actor, so that one can be busy beside another.

use std::pin::Pin;
use std::time::Duration;

use greenroom_guest::kind::{Lagged, StreamOverrun};
use greenroom_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// Messages before those that count: all code is loaded behind them and all buffers have grown.
const WARM_UP: u64 = 5_000;

/// How long nothing happens between those and the others, for whoever looks at the memory.
const REST: Duration = Duration::from_millis(500);

/// Messages that come and go in numbers.
#[module]
pub mod flood {
    use super::{Poured, REST, Tally, WARM_UP};
    use greenroom_guest::prelude::*;
    use std::time::Duration;

    pub use super::Policy;

    /// Sleeps, then receives numbers until there are no more.
    #[context]
    pub async fn sink(mut ctx: Context<(), (), u64>, policy: Policy, sleep_ms: u64) -> Result<Tally, Fault> {
        ctx.started(())?;
        let stream = ctx.open_stream_with(policy.into())?;
        sleep(Duration::from_millis(sleep_ms)).await;
        Tally::of(stream).await
    }

    /// Sends the numbers from 0 to a sink in an actor of its own, as many as that takes. Logs
    /// `flood: warm` once both actors have all that they need for it, and rests before it begins.
    pub async fn pour(messages: u64, policy: Policy, sleep_ms: u64) -> Result<Poured, Fault> {
        let nursery = Nursery::open();
        let actor = nursery.start_actor("sink", [MODULE]).await?;
        super::pour(&actor, WARM_UP, sink { policy: Policy::Wait, sleep_ms: 0 }).await?;
        log::info!("flood: warm");
        sleep(REST).await;
        let poured = super::pour(&actor, messages, sink { policy, sleep_ms }).await?;
        actor.cancel_actor().await?;
        Ok(poured)
    }

    /// Takes a payload, and gives its length.
    pub fn swallow(bytes: ByteBuf) -> usize {
        bytes.len()
    }

    /// Takes payloads until there are no more, and gives the length of all.
    #[context]
    pub async fn gulp(mut ctx: Context<(), (), ByteBuf>) -> Result<usize, Fault> {
        ctx.started(())?;
        let (mut stream, mut length) = (ctx.open_stream()?, 0);
        while let Some(bytes) = stream.receive().await? {
            length += bytes.len();
        }
        Ok(length)
    }

    /// Gives each payload back, until there are no more.
    #[context]
    pub async fn mirror(mut ctx: Context<(), ByteBuf, ByteBuf>) -> Result<(), Fault> {
        ctx.started(())?;
        let mut stream = ctx.open_stream()?;
        while let Some(bytes) = stream.receive().await? {
            stream.send(bytes).await?;
        }
        Ok(())
    }
}

/// Functions that take no time.
#[module]
pub mod quick {
    use crate::residency::{self, Held};
    use greenroom_guest::prelude::*;

    /// Answers.
    pub fn ping() {}

    /// Starts, and waits for ever, counted for as long as it does.
    #[context]
    pub async fn linger(mut ctx: Context<(), (), ()>) -> Result<(), Fault> {
        let _held = Held::new("linger".to_owned());
        ctx.started(())?;
        std::future::pending().await
    }

    /// How many tasks linger.
    pub fn lingering() -> u32 {
        residency::held("linger")
    }
}

/// Trees of actors that talk with those above and below them without end.
#[module]
pub mod branches {
    use greenroom_guest::prelude::*;

    /// Starts `fanout` actors below this one, with as many below each down to `depth` levels, and
    /// streams numbers to and from each, and to and from its caller. Every end of a stream logs
    /// `branch: flowing` with the first that it receives, and waits `pause_us` microseconds between
    /// two that it sends.
    #[context]
    pub async fn branch(
        mut ctx: Context<(), u64, u64>,
        depth: u32,
        fanout: u32,
        pause_us: u64,
    ) -> Result<(), Fault> {
        ctx.started(())?;
        super::grow(ctx.open_stream()?, depth, fanout, pause_us).await
    }
}

/// What becomes of messages for which a sink has no room.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Policy {
    /// See [`Overrun::Wait`].
    Wait,
    /// See [`Overrun::Error`].
    Error,
    /// See [`Overrun::DropOldest`].
    DropOldest,
}

impl From<Policy> for StreamOptions {
    fn from(policy: Policy) -> Self {
        Self::new().overrun(match policy {
            Policy::Wait => Overrun::Wait,
            Policy::Error => Overrun::Error,
            Policy::DropOldest => Overrun::DropOldest,
        })
    }
}

/// What a sink got of the numbers from 0.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    received: u64,
    /// How many it was told that it lost.
    lost: u64,
    /// How many were not the next, those lost being counted.
    astray: u64,
}

impl Tally {
    async fn of(mut stream: MsgStream<(), u64>) -> Result<Self, Fault> {
        let mut tally = Self::default();
        loop {
            match stream.receive().await {
                Ok(Some(number)) => {
                    tally.astray += u64::from(number != tally.received + tally.lost);
                    tally.received += 1;
                }
                Ok(None) => return Ok(tally),
                Err(error) => match error.kind::<Lagged>() {
                    Some(Lagged { lost }) => tally.lost += lost,
                    None => return Err(error.into()),
                },
            }
        }
    }
}

/// What became of the numbers that were poured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Poured {
    /// How many were sent.
    sent: u64,
    /// How many the sink holds at most, if one was refused for that.
    refused_at: Option<u64>,
    /// How long it took to send them.
    took_ms: u64,
    sink: Tally,
}

/// Sends the numbers from 0 to a sink until one is refused.
async fn pour(actor: &Portal, messages: u64, sink: flood::sink) -> Result<Poured, Fault> {
    let (context, ()) = actor.open_context(sink).await?;
    let stream = context.open_stream()?;
    let began = monotonic_now();
    let (mut sent, mut refused_at) = (0, None);
    while sent < messages && refused_at.is_none() {
        match stream.send(sent).await {
            Ok(()) => sent += 1,
            Err(error) => match error.kind::<StreamOverrun>() {
                Some(StreamOverrun { capacity }) => refused_at = Some(capacity),
                None => return Err(error.into()),
            },
        }
    }
    let took = monotonic_now() - began;
    stream.close();
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Ok(Poured { sent, refused_at, took_ms, sink: context.wait_for_result().await? })
}

/// One of the streams that an actor of a tree has open.
type Flow = Pin<Box<dyn Future<Output = Result<(), Fault>>>>;

/// Starts what belongs below this actor, and streams to and from that and what is above. Returns
/// only with an error.
async fn grow(above: MsgStream<u64, u64>, depth: u32, fanout: u32, pause_us: u64) -> Result<(), Fault> {
    let pause = Duration::from_micros(pause_us);
    let mut flows: Vec<Flow> = vec![Box::pin(flow(above, pause))];
    let nursery = Nursery::open();
    let name = current_actor().id.name;
    let children = if depth == 0 { 0 } else { fanout };
    let options = SpawnOptions::new().grant_spawn();
    let branch = |number| nursery.start_actor(format!("{name}_{number}"), [branches::MODULE]);
    let start = |number| branch(number).with(options.clone()).into_future();
    for child in try_join_all((0..children).map(start)).await? {
        flows.push(Box::pin(async move {
            let (context, ()) =
                child.open_context(branches::branch { depth: depth - 1, fanout, pause_us }).await?;
            flow(context.open_stream()?, pause).await
        }));
    }
    try_join_all(flows).await?;
    Ok(())
}

/// Sends numbers and receives them, without end.
async fn flow(stream: MsgStream<u64, u64>, pause: Duration) -> Result<(), Fault> {
    let (sender, mut receiver) = stream.split();
    let send: Flow = Box::pin(async move {
        for number in 0.. {
            sender.send(number).await?;
            sleep(pause).await;
        }
        Ok(())
    });
    let receive: Flow = Box::pin(async move {
        receiver.receive().await?;
        log::info!("branch: flowing");
        while receiver.receive().await?.is_some() {}
        fault!("the other end has closed the stream")
    });
    try_join_all([send, receive]).await?;
    Ok(())
}
