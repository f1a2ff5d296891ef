//! Taking as much as one is told to.

use greenroom_guest::prelude::*;

use std::future::IntoFuture;

use crate::{greed, scene, talk};

pub(crate) async fn spawn(count: u32) -> Result<u32, Fault> {
    let nursery = Nursery::open();
    for number in 0..count {
        let child = nursery.start_actor(format!("child_{number}"), [greed::MODULE]).await?;
        child.cancel_actor().await?;
    }
    Ok(count)
}

pub(crate) async fn call(with: &str, count: u32, bytes: u32) -> Result<(), Fault> {
    let portal = scene::peer(with).await?;
    let calls = (0..count).map(|_| {
        let bytes = ByteBuf::from(vec![1; bytes as usize]);
        portal.run(greed::swallow { bytes }).into_future()
    });
    try_join_all(calls).await?;
    Ok(())
}

pub(crate) async fn stream(with: &str, count: u32) -> Result<u32, Fault> {
    let portal = scene::peer(with).await?;
    let mut open = Vec::new();
    for _ in 0..count {
        let (context, ()) = portal.open_context(talk::sink {}).await?;
        let stream = context.open_stream()?;
        open.push((context, stream));
    }
    Ok(u32::try_from(open.len()).unwrap_or(u32::MAX))
}
