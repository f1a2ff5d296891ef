//! Texts for the host, which has to copy them.

use greenroom_guest::prelude::*;

/// Gives the host the same text again and again: as a line for the log, as a name to find, as a
/// name and a variable for a child.
pub(crate) async fn give(mib: u32) -> Result<(), Fault> {
    let text = "x".repeat((mib as usize) << 20);
    let nursery = Nursery::open();
    loop {
        log::info!("{text}");
        // What it comes to is the host's answer to every one of them.
        let _ = find_actor(&text).await;
        let options = SpawnOptions::new().env("TEXT", text.clone());
        let _ = nursery.start_actor("child", [crate::hogs::MODULE]).with(options).await;
        let _ = nursery.start_actor(text.clone(), [crate::hogs::MODULE]).await;
    }
}
