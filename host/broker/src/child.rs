//! The processes of actors, as children of this one.
//!
//! Owns: signalling one, and collecting how it ended. Must not know: what it runs. Invariant: a number
//! is used only until its process is collected, and nobody else collects it: until then the kernel gives
//! the number to no other.

use std::sync::{Mutex, MutexGuard, PoisonError};

use greenroom_abi::kind::Exit;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, waitid};

/// A process that this one has started. It has no descriptor, of which there are few.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    is_collected: Mutex<bool>,
}

impl Child {
    /// The child of this number, which nobody else will wait for.
    pub fn new(pid: Pid) -> Self {
        Self { pid, is_collected: Mutex::new(false) }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Kills it, unless it is gone.
    pub(crate) fn kill(&self) {
        if !*self.is_collected() {
            // It may have just ended by itself.
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }

    /// How it ended, once, if it has.
    pub(crate) fn collect(&self) -> Option<Exit> {
        self.wait(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    /// Kills it and waits for its end, which takes no time worth mentioning.
    pub(crate) fn end(&self) {
        self.kill();
        self.wait(WaitIdOptions::EXITED);
    }

    fn wait(&self, options: WaitIdOptions) -> Option<Exit> {
        let mut is_collected = self.is_collected();
        if *is_collected {
            return None;
        }
        let exit = match rustix::io::retry_on_intr(|| waitid(WaitId::Pid(self.pid), options)) {
            Ok(status) => exit_of(&status?),
            // The program has it collected by somebody else, against the rule.
            Err(_) => Exit::Unknown,
        };
        *is_collected = true;
        Some(exit)
    }

    fn is_collected(&self) -> MutexGuard<'_, bool> {
        self.is_collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn exit_of(status: &WaitIdStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[expect(clippy::zombie_processes, reason = "what collects it is tested")]
    fn start(script: &str) -> Child {
        let child = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).spawn().expect("a shell");
        Child::new(Pid::from_raw(i32::try_from(child.id()).expect("a number")).expect("not 0"))
    }

    fn collected(child: &Child) -> Exit {
        let began = Instant::now();
        loop {
            match child.collect() {
                Some(exit) => return exit,
                None => assert!(began.elapsed() < Duration::from_secs(10), "it does not end"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_child_is_collected_once_and_left_alone_then() {
        let child = start("exit 7");
        assert_eq!(collected(&child), Exit::Code(7));
        assert_eq!(child.collect(), None);
        child.kill();
    }

    #[test]
    fn a_child_that_lives_is_not_waited_for_until_it_is_killed() {
        let child = start("exec tail -f /dev/null");
        assert_eq!(child.collect(), None);
        child.kill();
        assert_eq!(collected(&child), Exit::Signal(9));
        let other = start("exec tail -f /dev/null");
        other.end();
        assert_eq!(other.collect(), None);
    }
}
