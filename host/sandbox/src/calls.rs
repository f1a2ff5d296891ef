//! Which system calls a walled process makes.
//!
//! Owns: the tables, and what the arguments of some calls must be. Must not know: how a filter is
//! made of them. Invariant: what stands in no table is refused.

use libc::{
    SYS_brk, SYS_clock_getres, SYS_clock_gettime, SYS_clock_nanosleep, SYS_clone, SYS_close, SYS_dup,
    SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_eventfd2, SYS_exit, SYS_exit_group, SYS_fcntl,
    SYS_fstat, SYS_futex, SYS_getpid, SYS_getrandom, SYS_getrusage, SYS_getsockopt, SYS_gettid,
    SYS_gettimeofday, SYS_ioctl, SYS_lseek, SYS_madvise, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_munmap,
    SYS_nanosleep, SYS_ppoll, SYS_prctl, SYS_pread64, SYS_prlimit64, SYS_read, SYS_readv, SYS_recvfrom,
    SYS_recvmsg, SYS_restart_syscall, SYS_rseq, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
    SYS_sched_getaffinity, SYS_sched_yield, SYS_sendmsg, SYS_sendto, SYS_set_robust_list, SYS_shutdown,
    SYS_sigaltstack, SYS_tgkill, SYS_write, SYS_writev,
};

/// What must hold of an argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// It is this.
    Is(u32),
    /// Of the bits of the first number, it has just those of the second.
    Bits(u32, u32),
    /// It is no pointer at all.
    None,
    /// It is the number of the process that calls.
    Ourselves,
}

/// One way in which a call may be made: what must hold of which of its arguments.
pub(crate) type Way = &'static [(u8, Test)];

/// What every process does: compute, wait, talk through descriptors that it has, start threads.
pub(crate) const ALWAYS: &[libc::c_long] = &[
    SYS_brk,
    SYS_clock_getres,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_close,
    SYS_dup,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_eventfd2,
    SYS_exit,
    SYS_exit_group,
    SYS_fstat,
    SYS_futex,
    SYS_getpid,
    SYS_getrandom,
    SYS_getrusage,
    SYS_getsockopt,
    SYS_gettid,
    SYS_gettimeofday,
    SYS_lseek,
    SYS_mremap,
    SYS_munmap,
    SYS_nanosleep,
    SYS_ppoll,
    SYS_pread64,
    SYS_read,
    SYS_readv,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_restart_syscall,
    SYS_rseq,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sched_getaffinity,
    SYS_sched_yield,
    SYS_sendmsg,
    SYS_set_robust_list,
    SYS_shutdown,
    SYS_sigaltstack,
    // Of timers that are there: none is made.
    libc::SYS_timer_settime,
    SYS_write,
    SYS_writev,
];

/// Those of [`ALWAYS`] that newer machines lack.
#[cfg(target_arch = "x86_64")]
pub(crate) const ALWAYS_OLD: &[libc::c_long] = &[libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_time];
/// Those of [`ALWAYS`] that newer machines lack.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const ALWAYS_OLD: &[libc::c_long] = &[];

/// What is done with names of files, where there are folders. Owners and modes stay as they are.
pub(crate) const FILES: &[libc::c_long] = &[
    libc::SYS_faccessat,
    libc::SYS_fadvise64,
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getdents64,
    libc::SYS_linkat,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_readlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_fstatfs,
];

/// What is done with sockets, where there is a network.
pub(crate) const NETWORK: &[libc::c_long] = &[
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_listen,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
];

/// The flags of `clone` that make a thread: all must be there.
const THREAD: u32 = (libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_SIGHAND) as u32;

/// The flags that no thread needs: other name spaces, and what concerns tracing.
const NO_THREAD: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_PTRACE
    | libc::CLONE_PIDFD
    | libc::CLONE_VFORK) as u32;

const EXEC: u32 = libc::PROT_EXEC as u32;

/// The kind of a mapping, among its flags, and that it is of no file.
const MAP_KIND: u32 = 0x0f;
const MAP_NOTHING: u32 = libc::MAP_ANONYMOUS as u32;

/// The kind of a socket, among its flags.
const SOCKET_KIND: u32 = 0x0f;

/// Calls that may be made in some ways only.
pub(crate) const SOMETIMES: &[(libc::c_long, &[Way])] = &[
    (SYS_clone, &[&[(0, Test::Bits(THREAD | NO_THREAD, THREAD))]]),
    (SYS_tgkill, &[&[(0, Test::Ourselves)]]),
    // Shared memory is counted with no bound: there is none but in what has been given.
    (
        SYS_mmap,
        &[
            &[(2, Test::Bits(EXEC, 0)), (3, Test::Bits(MAP_KIND, libc::MAP_PRIVATE as u32))],
            &[(2, Test::Bits(EXEC, 0)), (3, Test::Bits(MAP_KIND | MAP_NOTHING, libc::MAP_SHARED as u32))],
        ],
    ),
    (SYS_mprotect, &[&[(2, Test::Bits(EXEC, 0))]]),
    (
        SYS_madvise,
        &[
            &[(2, Test::Is(libc::MADV_NORMAL as u32))],
            &[(2, Test::Is(libc::MADV_RANDOM as u32))],
            &[(2, Test::Is(libc::MADV_SEQUENTIAL as u32))],
            &[(2, Test::Is(libc::MADV_WILLNEED as u32))],
            &[(2, Test::Is(libc::MADV_DONTNEED as u32))],
            &[(2, Test::Is(libc::MADV_FREE as u32))],
            &[(2, Test::Is(libc::MADV_REMOVE as u32))],
            &[(2, Test::Is(libc::MADV_HUGEPAGE as u32))],
            &[(2, Test::Is(libc::MADV_NOHUGEPAGE as u32))],
            // Guard pages of stacks: to set them, and to take them off.
            &[(2, Test::Is(102))],
            &[(2, Test::Is(103))],
        ],
    ),
    (SYS_ioctl, &[&[(1, Test::Is(libc::FIONBIO as u32))], &[(1, Test::Is(libc::FIONREAD as u32))]]),
    (SYS_prctl, &[&[(0, Test::Is(libc::PR_SET_NAME as u32))], &[(0, Test::Is(SET_VMA))]]),
    (
        SYS_fcntl,
        &[
            &[(1, Test::Is(libc::F_DUPFD_CLOEXEC as u32))],
            &[(1, Test::Is(libc::F_GETFD as u32))],
            &[(1, Test::Is(libc::F_SETFD as u32))],
            &[(1, Test::Is(libc::F_GETFL as u32))],
            &[(1, Test::Is(libc::F_SETFL as u32))],
        ],
    ),
    // To ask for one's own limits, and not to set any.
    (SYS_prlimit64, &[&[(0, Test::Is(0)), (2, Test::None)]]),
    // To whom the socket is connected, and to no other name.
    (SYS_sendto, &[&[(4, Test::None)]]),
];

/// Naming a mapping, which the C library's allocator does.
const SET_VMA: u32 = 0x5356_4d41;

/// Which sockets may be made where there is a network: of the internet, streams and datagrams.
pub(crate) const SOCKETS: &[(libc::c_long, &[Way])] = &[(
    libc::SYS_socket,
    &[
        &[(0, Test::Is(libc::AF_INET as u32)), (1, Test::Bits(SOCKET_KIND, libc::SOCK_STREAM as u32))],
        &[(0, Test::Is(libc::AF_INET as u32)), (1, Test::Bits(SOCKET_KIND, libc::SOCK_DGRAM as u32))],
        &[(0, Test::Is(libc::AF_INET6 as u32)), (1, Test::Bits(SOCKET_KIND, libc::SOCK_STREAM as u32))],
        &[(0, Test::Is(libc::AF_INET6 as u32)), (1, Test::Bits(SOCKET_KIND, libc::SOCK_DGRAM as u32))],
    ],
)];

/// What a compiler does besides: it makes code, and never a file.
pub(crate) const COMPILER: &[libc::c_long] = &[SYS_mprotect, libc::SYS_membarrier];

/// What no guest, no library and no mistake of ours calls: whoever does has taken the process over.
pub(crate) const HOSTILE: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Those of [`HOSTILE`] that newer machines lack.
#[cfg(target_arch = "x86_64")]
pub(crate) const HOSTILE_OLD: &[libc::c_long] = &[
    libc::SYS_fork,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kexec_file_load,
    libc::SYS_modify_ldt,
    libc::SYS_vfork,
];
/// Those of [`HOSTILE`] that newer machines lack.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const HOSTILE_OLD: &[libc::c_long] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hostile_is_nowhere_allowed() {
        let mut allowed: Vec<_> = [ALWAYS, ALWAYS_OLD, FILES, NETWORK, COMPILER].concat();
        allowed.extend([SOMETIMES, SOCKETS].concat().iter().map(|(call, _)| *call));
        for call in [HOSTILE, HOSTILE_OLD].concat() {
            assert!(!allowed.contains(&call), "{call}");
        }
    }
}
