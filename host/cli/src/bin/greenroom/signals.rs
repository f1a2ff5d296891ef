//! The signals that ask for the end.
//!
//! Owns: listening for them, and the status they come to. Must not know: what is ended. Invariant:
//! once they are listened for, none ends the program by itself, and one that whoever started the
//! program has it ignore, as `nohup` does, stays ignored.

use std::fs;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for all of them.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    pub(crate) fn listen() -> std::io::Result<Self> {
        let hangup = SignalKind::hangup();
        let heeded = !is_ignored(hangup, &fs::read_to_string("/proc/self/status")?);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: heeded.then(|| signal(hangup)).transpose()?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> SignalKind {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = hangup => SignalKind::hangup(),
        }
    }
}

/// Whether a process of this status, as Linux writes it, ignores a signal.
fn is_ignored(kind: SignalKind, status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (kind.as_raw_value() - 1)) != 0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_told_by_the_mask() {
        for (mask, ignored) in [("0000000000000001", true), ("0000000000001000", false), ("", false)] {
            let status = format!("Name:\tgreenroom\nSigIgn:\t{mask}\nSigCgt:\t0000000000000001\n");
            assert_eq!(is_ignored(SignalKind::hangup(), &status), ignored, "{mask}");
        }
    }
}
