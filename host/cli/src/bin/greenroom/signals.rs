//! The two signals that ask for the end.
//!
//! Owns: listening for them, and the status they come to. Must not know: what is ended. Invariant:
//! once they are listened for, neither ends the program by itself.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for both.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        }
    }
}

/// Lets a signal end the program while it prints its result: nobody else listens any more.
pub(crate) fn exit_on_signal() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            if let Ok(mut signals) = Signals::listen() {
                std::process::exit(i32::from(status(signals.next().await)));
            }
        });
    })?;
    Ok(())
}

/// What a shell gives for a program that a signal ended.
pub(crate) fn status(kind: SignalKind) -> u8 {
    u8::try_from(128 + kind.as_raw_value()).unwrap_or(u8::MAX)
}
