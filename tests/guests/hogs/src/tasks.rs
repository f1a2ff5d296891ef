//! Tasks.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::future::IntoFuture;

use greenroom_guest::prelude::*;

use crate::hogs;

/// Has so many tasks wait in a child; gives the types of the errors that some ended with at once.
pub(crate) async fn bomb(count: u32) -> Result<Vec<String>, Fault> {
    let nursery = Nursery::open();
    let child = nursery.start_actor("child", [hogs::MODULE]).await?;
    let mut waiting: FuturesUnordered<_> =
        (0..count).map(|_| child.run(hogs::wait {}).into_future()).collect();
    let mut refused = BTreeSet::new();
    // Those that are refused are so at once; of the others none ever ends.
    while let Ok(Some(ended)) = within(waiting.next()).await {
        if let Err(error) = ended {
            refused.insert(error.to_string());
        }
    }
    child.cancel_actor().await?;
    Ok(refused.into_iter().collect())
}

/// What comes within half a second.
async fn within<T>(next: impl Future<Output = T>) -> Result<T, ()> {
    let late = sleep(std::time::Duration::from_millis(500));
    match futures_util::future::select(std::pin::pin!(next), std::pin::pin!(late)).await {
        futures_util::future::Either::Left((next, _)) => Ok(next),
        futures_util::future::Either::Right(_) => Err(()),
    }
}
