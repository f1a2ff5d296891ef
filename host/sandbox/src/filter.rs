//! The wall against system calls.
//!
//! Owns: what a call that is refused comes to. Must not know: what the calls are for. Invariant: it
//! holds every thread of the process, those that are there and those to come.
//!
//! What is in no table fails (`EPERM`): a library that tries something must get an answer that it
//! understands. What nobody calls who was not taken over ends the process. `clone3`, whose flags
//! cannot be seen, is answered as by an older kernel, so that the C library takes `clone` instead.

use std::collections::BTreeMap;

use libc::{EPERM, c_long};
use seccompiler::{BpfProgram, apply_filter_all_threads};

use crate::calls::{
    ALWAYS, ALWAYS_OLD, COMPILER, FILES, HOSTILE, HOSTILE_OLD, NETWORK, SOCKETS, SOMETIMES, Way,
};
use crate::program::{Verdict, assemble};
use crate::wall::{Wall, WallError};
use crate::walls::Purpose;

/// What a process may do by system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) purpose: Purpose,
    /// Whether it has names of files to resolve.
    pub(crate) files: bool,
    /// Whether it has sockets to make.
    pub(crate) network: bool,
}

/// Raises the wall around all threads.
pub(crate) fn raise(calls: Calls) -> Result<(), WallError> {
    apply_filter_all_threads(&program(calls)).map_err(|error| WallError::refused(Wall::Seccomp, error))
}

fn program(calls: Calls) -> BpfProgram {
    assemble(&table(calls), Verdict::Refuse(EPERM), std::process::id())
}

fn table(calls: Calls) -> BTreeMap<u32, Verdict> {
    let number = |call: c_long| u32::try_from(call).expect("calls have numbers from 0");
    let mut table = BTreeMap::new();
    let mut add = |calls: &[c_long], verdict| {
        table.extend(calls.iter().map(|call| (number(*call), verdict)));
    };
    add(HOSTILE, Verdict::Kill);
    add(HOSTILE_OLD, Verdict::Kill);
    add(&[libc::SYS_clone3], Verdict::Refuse(libc::ENOSYS));
    add(ALWAYS, Verdict::Allow);
    add(ALWAYS_OLD, Verdict::Allow);
    let ways = |(call, ways): &(c_long, &'static [Way])| (number(*call), Verdict::Ways(ways, EPERM));
    let mut more = |calls: &[(c_long, &'static [Way])]| table.extend(calls.iter().map(ways));
    more(SOMETIMES);
    if calls.network {
        more(SOCKETS);
    }
    // What is allowed in some ways may be allowed altogether.
    let mut add = |calls: &[c_long]| {
        table.extend(calls.iter().map(|call| (number(*call), Verdict::Allow)));
    };
    if calls.purpose == Purpose::Compiler {
        add(COMPILER);
    }
    if calls.files {
        add(FILES);
    }
    if calls.network {
        add(NETWORK);
    }
    table
}

#[cfg(test)]
mod tests {
    use libc::{SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS};

    use super::*;
    use crate::program::MACHINE;
    use crate::program::tests::run;

    const CALLS: Calls = Calls { purpose: Purpose::Actor, files: false, network: false };
    const EPERM: u32 = SECCOMP_RET_ERRNO | libc::EPERM as u32;

    fn verdict(calls: Calls, call: c_long, arguments: [u64; 6]) -> u32 {
        run(&program(calls), MACHINE, call as u32, arguments)
    }

    #[test]
    fn each_purpose_makes_its_calls_and_no_others() {
        let files = Calls { files: true, ..CALLS };
        let network = Calls { network: true, ..CALLS };
        let compiler = Calls { purpose: Purpose::Compiler, ..CALLS };
        let all = [CALLS, files, network, compiler];
        let stream = [libc::AF_INET as u64, libc::SOCK_STREAM as u64, 0, 0, 0, 0];
        let local = [libc::AF_UNIX as u64, libc::SOCK_STREAM as u64, 0, 0, 0, 0];
        let raw = [libc::AF_INET as u64, libc::SOCK_RAW as u64, 0, 0, 0, 0];
        let code = [0, 4096, (libc::PROT_READ | libc::PROT_EXEC) as u64, 0, 0, 0];
        let none = [0; 6];
        for (call, arguments, allowed) in [
            (libc::SYS_read, none, [true; 4]),
            (libc::SYS_openat, none, [false, true, false, false]),
            (libc::SYS_socket, stream, [false, false, true, false]),
            (libc::SYS_socket, local, [false; 4]),
            (libc::SYS_socket, raw, [false; 4]),
            (libc::SYS_mprotect, code, [false, false, false, true]),
            (libc::SYS_mprotect, none, [true; 4]),
            (libc::SYS_socketpair, none, [false; 4]),
            (libc::SYS_kill, none, [false; 4]),
            (libc::SYS_memfd_create, none, [false; 4]),
        ] {
            let given = all.map(|calls| verdict(calls, call, arguments));
            assert_eq!(given, allowed.map(|is| if is { SECCOMP_RET_ALLOW } else { EPERM }), "call {call}");
        }
        for calls in all {
            assert_eq!(verdict(calls, libc::SYS_execve, none), SECCOMP_RET_KILL_PROCESS);
            assert_eq!(verdict(calls, libc::SYS_clone3, none), SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
        }
    }

    #[test]
    fn threads_are_made_and_processes_are_not() {
        let thread = (libc::CLONE_VM
            | libc::CLONE_FS
            | libc::CLONE_FILES
            | libc::CLONE_SIGHAND
            | libc::CLONE_THREAD
            | libc::CLONE_SYSVSEM
            | libc::CLONE_SETTLS
            | libc::CLONE_PARENT_SETTID
            | libc::CLONE_CHILD_CLEARTID) as u64;
        let clone = |flags: u64| verdict(CALLS, libc::SYS_clone, [flags, 0, 0, 0, 0, 0]);
        assert_eq!(clone(thread), SECCOMP_RET_ALLOW);
        for flags in [
            libc::SIGCHLD as u64,
            thread & !(libc::CLONE_THREAD as u64),
            thread | libc::CLONE_NEWUSER as u64,
            (libc::CLONE_VM | libc::CLONE_VFORK) as u64,
        ] {
            assert_eq!(clone(flags), EPERM, "{flags:#x}");
        }
    }

    #[test]
    fn memory_is_private_and_never_code() {
        let map = |protection: i32, flags: i32| {
            verdict(CALLS, libc::SYS_mmap, [0, 4096, protection as u64, flags as u64, 0, 0])
        };
        let (data, code) = (libc::PROT_READ | libc::PROT_WRITE, libc::PROT_READ | libc::PROT_EXEC);
        assert_eq!(map(data, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS), SECCOMP_RET_ALLOW);
        assert_eq!(map(libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_NORESERVE), SECCOMP_RET_ALLOW);
        for (protection, flags) in [
            (code, libc::MAP_PRIVATE),
            (libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
            (data, libc::MAP_SHARED | libc::MAP_ANONYMOUS),
            (data, libc::MAP_SHARED_VALIDATE),
        ] {
            assert_eq!(map(protection, flags), EPERM, "{protection} {flags}");
        }
    }
}
