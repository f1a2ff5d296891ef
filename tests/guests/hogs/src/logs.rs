//! The log.

use greenroom_guest::prelude::*;

/// Logs long lines and short ones, some of them with what a terminal takes for orders.
pub(crate) fn flood() {
    let long = "x".repeat(100_000);
    loop {
        log::info!("\x1b[2J{long}");
        log::warn!("short");
    }
}
