//! Fan-in: two sources stream to an aggregator, which passes on to the root, still as a stream, what
//! it has not seen before. Four actors; each value crosses two processes as soon as it is there.
//!
//! `greenroom run fanin.wasm --allow spawn limit=20`

use greenroom_guest::prelude::*;

/// What a source serves.
#[module]
pub mod source {
    use greenroom_guest::prelude::*;

    /// Sends the multiples of a number, up to a limit, and gives how many there are.
    #[context]
    pub async fn multiples(mut ctx: Context<(), u64, ()>, of: u64, limit: u64) -> Result<u64, Fault> {
        if of == 0 {
            fault!("0 has no multiples but itself");
        }
        ctx.started(())?;
        let count = limit / of;
        ctx.open_stream()?.send_all((1..=count).map(|n| n * of)).await?;
        Ok(count)
    }
}

/// What the aggregator serves.
#[module]
pub mod aggregator {
    use super::source;
    use greenroom_guest::prelude::*;
    use std::collections::BTreeSet;

    /// Sends every number up to the limit that is a multiple of one of the given, each once and in
    /// no particular order. Gives how many came again.
    #[context]
    pub async fn merged(mut ctx: Context<(), u64, ()>, of: Vec<u64>, limit: u64) -> Result<u64, Fault> {
        let nursery = Nursery::open();
        let open = async |of: u64| {
            let portal = nursery.start_actor(format!("source_{of}"), [source::MODULE]).await?;
            let (source, ()) = portal.open_context(source::multiples { of, limit }).await?;
            Ok::<_, RemoteActorError>((source.open_stream()?, source))
        };
        let (streams, sources): (Vec<_>, Vec<_>) =
            try_join_all(of.into_iter().map(open)).await?.into_iter().unzip();

        ctx.started(())?;
        let root = ctx.open_stream()?;
        let (mut seen, mut again) = (BTreeSet::new(), 0);
        let mut merged = stream::select_all(streams);
        while let Some(value) = merged.try_next().await? {
            // A root that is slow makes this wait, and that makes the sources wait.
            if seen.insert(value) {
                root.send(value).await?;
            } else {
                again += 1;
            }
        }

        let counts = try_join_all(sources.iter().map(RemoteContext::wait_for_result)).await?;
        log::info!("{} of {} values were new", seen.len(), counts.iter().sum::<u64>());
        nursery.cancel().await?;
        Ok(again)
    }
}

/// The multiples of 2 and of 3 up to a limit (default 20), merged.
#[greenroom_guest::main]
async fn main(limit: Option<u64>) -> Result<String, Fault> {
    let nursery = Nursery::open();
    // The aggregator enables `source` too: what a child may serve, its parent must have.
    let modules = [aggregator::MODULE, source::MODULE];
    let may_spawn = SpawnOptions::new().grant_spawn();
    let aggregator = nursery.start_actor("aggregator", modules).with(may_spawn).await?;

    let merged = aggregator.open_context(aggregator::merged { of: vec![2, 3], limit: limit.unwrap_or(20) });
    let (values, again) = merged
        .scope(async |ctx, ()| {
            let values: Vec<u64> = ctx.open_stream()?.try_collect().await?;
            Ok::<_, Fault>(values)
        })
        .await?;

    aggregator.cancel_actor().await?;
    Ok(report(values, again.unwrap_or_default()))
}

/// What arrived, in order.
fn report(mut values: Vec<u64>, again: u64) -> String {
    values.sort_unstable();
    let listed: Vec<_> = values.iter().map(u64::to_string).collect();
    format!("{}\n{} values; {again} came twice", listed.join(" "), values.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_in_order() {
        assert_eq!(report(vec![3, 2, 6, 4], 1), "2 3 4 6\n4 values; 1 came twice");
        assert_eq!(report(Vec::new(), 0), "\n0 values; 0 came twice");
    }
}
