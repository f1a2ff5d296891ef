//! The wall against system calls.
//!
//! Owns: the filters, and what a call that is refused comes to. Must not know: what the calls are
//! for. Invariant: it holds every thread of the process, those that are there and those to come.
//!
//! Three filters lie over each other, of which the kernel takes the strictest answer. The first
//! refuses (`EPERM`) what is in no table: a library that tries something must get an answer that it
//! understands. The second ends the process at calls that nobody makes who was not taken over. The
//! third answers `clone3` as an older kernel would.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

use crate::calls::{
    ALWAYS, ALWAYS_OLD, COMPILER, FILES, HOSTILE, HOSTILE_OLD, NETWORK, SOCKETS, SOMETIMES, Test, Way,
};
use crate::wall::{Wall, WallError};
use crate::walls::Purpose;

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// What a process may do by system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) purpose: Purpose,
    /// Whether it has names of files to resolve.
    pub(crate) files: bool,
    /// Whether it has sockets to make.
    pub(crate) network: bool,
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Raises the wall around all threads.
pub(crate) fn raise(calls: Calls) -> Result<(), WallError> {
    let programs = programs(calls).map_err(|error| WallError::refused(Wall::Seccomp, error))?;
    for program in &programs {
        apply_filter_all_threads(program).map_err(|error| WallError::refused(Wall::Seccomp, error))?;
    }
    Ok(())
}

fn programs(calls: Calls) -> Result<[BpfProgram; 3], BackendError> {
    // Each filter goes through those before it, and the last one must let itself be the last.
    let absent = all(&[libc::SYS_clone3]);
    let hostile = all(&[HOSTILE, HOSTILE_OLD].concat());
    Ok([
        filter(absent, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS.unsigned_abs()))?,
        filter(hostile, SeccompAction::Allow, SeccompAction::KillProcess)?,
        filter(allowed(calls)?, SeccompAction::Errno(libc::EPERM.unsigned_abs()), SeccompAction::Allow)?,
    ])
}

fn filter(rules: Rules, others: SeccompAction, these: SeccompAction) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, others, these, ARCH)?.try_into()
}

fn all(calls: &[c_long]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn allowed(calls: Calls) -> Result<Rules, BackendError> {
    let mut rules = some(SOMETIMES)?;
    rules.extend(all(&[ALWAYS, ALWAYS_OLD].concat()));
    if calls.purpose == Purpose::Compiler {
        rules.extend(all(COMPILER));
    }
    if calls.files {
        rules.extend(all(FILES));
    }
    if calls.network {
        rules.extend(some(SOCKETS)?);
        rules.extend(all(NETWORK));
    }
    Ok(rules)
}

fn some(calls: &[(c_long, &[Way])]) -> Result<Rules, BackendError> {
    let rules = calls.iter().map(|(call, ways)| {
        let ways = ways.iter().map(|way| {
            let conditions = way.iter().map(|(place, test)| condition(*place, *test));
            SeccompRule::new(conditions.collect::<Result<_, _>>()?)
        });
        Ok((*call, ways.collect::<Result<_, BackendError>>()?))
    });
    rules.collect()
}

fn condition(place: u8, test: Test) -> Result<SeccompCondition, BackendError> {
    // The kernel takes most of these as 32 bits wide, and leaves the upper ones as they came; a
    // pointer that is to be none must be none in all of them.
    let (operator, value, width) = match test {
        Test::Is(0) => (SeccompCmpOp::Eq, 0, SeccompCmpArgLen::Qword),
        Test::Is(value) => (SeccompCmpOp::Eq, value, SeccompCmpArgLen::Dword),
        Test::Bits(mask, value) => (SeccompCmpOp::MaskedEq(mask), value, SeccompCmpArgLen::Dword),
        Test::Ourselves => (SeccompCmpOp::Eq, u64::from(std::process::id()), SeccompCmpArgLen::Dword),
    };
    SeccompCondition::new(place, width, operator, value)
}
