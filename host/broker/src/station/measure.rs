//! What the system knows of a process.
//!
//! Owns: reading `/proc`. Must not know: actors. Invariant: of a process that is gone nothing is
//! known.

use std::fs;

/// In which parts of a second the kernel tells processor time: the same on every machine.
const TICKS_PER_SECOND: u64 = 100;

/// The memory that a process has for itself alone, in bytes.
pub(super) fn memory(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    private(&rollup)
}

/// The processor time that a process has used, in milliseconds.
pub(super) fn cpu_ms(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(ticks(&stat)? * 1000 / TICKS_PER_SECOND)
}

fn private(rollup: &str) -> Option<u64> {
    let kib = |key: &str| -> Option<u64> {
        let line = rollup.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some((kib("Private_Clean:")? + kib("Private_Dirty:")?) * 1024)
}

/// The time in user and in system mode: the 14th and 15th field.
fn ticks(stat: &str) -> Option<u64> {
    // The name, in parentheses, may hold anything.
    let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ').skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_system_writes() {
        let rollup = "5583 rollup\nRss:  10 kB\nPrivate_Clean:    4 kB\nPrivate_Dirty:   12 kB\n";
        assert_eq!(private(rollup), Some(16 * 1024));
        assert_eq!(private(""), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 10 1 1";
        assert_eq!(ticks(stat), Some(300));
    }

    #[test]
    fn this_process_is_known_and_one_that_is_not_there_is_not() {
        assert!(memory(std::process::id()).is_some_and(|bytes| bytes > 0));
        assert!(cpu_ms(std::process::id()).is_some());
        assert_eq!((memory(u32::MAX), cpu_ms(u32::MAX)), (None, None));
    }
}
