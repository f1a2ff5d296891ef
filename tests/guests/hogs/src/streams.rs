//! Streams, and what waits in them.

use greenroom_guest::prelude::*;

use crate::hogs;

/// How large a message is.
const MESSAGE: usize = 64 * 1024;

/// Opens streams to one that reads none, and fills each, until one is refused.
pub(crate) async fn bomb() -> Result<String, Fault> {
    let nursery = Nursery::open();
    let child = nursery.start_actor("child", [hogs::MODULE]).await?;
    let mut kept = Vec::new();
    let refused = loop {
        let (context, ()) = match child.open_context(hogs::deaf {}).await {
            Ok(opened) => opened,
            Err(error) => break error,
        };
        let stream = match context.open_stream_with(StreamOptions::new().overrun(Overrun::Error)) {
            Ok(stream) => stream,
            Err(error) => break error,
        };
        while stream.send(ByteBuf::from(vec![7; MESSAGE])).await.is_ok() {}
        kept.push((context, stream));
    };
    Ok(refused.to_string())
}
