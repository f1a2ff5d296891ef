//! System calls as they are, with nothing between an attack and the kernel.
//!
//! Owns: all that is unsafe in the villain. Must not know: what is attacked. Invariant: what the
//! kernel refuses comes back as its error number; nothing else is looked at.

#![expect(unsafe_code, reason = "attacks are made of calls that no safe interface offers")]

use std::ffi::{CString, c_int, c_long, c_void};
use std::io;

pub(super) use libc::{
    SYS_add_key, SYS_bind, SYS_bpf, SYS_capset, SYS_chroot, SYS_clone3, SYS_connect, SYS_execve,
    SYS_execveat, SYS_finit_module, SYS_fsopen, SYS_init_module, SYS_io_uring_setup, SYS_kexec_load,
    SYS_kill, SYS_memfd_create, SYS_mknodat, SYS_mmap, SYS_mount, SYS_mprotect, SYS_open_by_handle_at,
    SYS_perf_event_open, SYS_personality, SYS_pidfd_getfd, SYS_pidfd_open, SYS_pidfd_send_signal,
    SYS_pivot_root, SYS_pkey_mprotect, SYS_prlimit64, SYS_process_vm_readv, SYS_process_vm_writev,
    SYS_ptrace, SYS_reboot, SYS_remap_file_pages, SYS_seccomp, SYS_setgroups, SYS_setns, SYS_settimeofday,
    SYS_setuid, SYS_shmget, SYS_socket, SYS_socketpair, SYS_tgkill, SYS_umount2, SYS_unshare,
    SYS_userfaultfd, SYS_write,
};

/// The numbers that not every processor has; there is no such call where it is -1.
#[cfg(target_arch = "x86_64")]
pub(super) mod old {
    pub(in super::super) use libc::{SYS_fork as FORK, SYS_modify_ldt as MODIFY_LDT, SYS_vfork as VFORK};
}
#[cfg(not(target_arch = "x86_64"))]
pub(super) mod old {
    use std::ffi::c_long;
    pub(in super::super) const FORK: c_long = -1;
    pub(in super::super) const MODIFY_LDT: c_long = -1;
    pub(in super::super) const VFORK: c_long = -1;
}

/// What a call gave, or the number of its error.
pub(super) type Result<T = c_long> = std::result::Result<T, i32>;

/// The error number of the last call.
fn last() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or_default()
}

/// Makes a system call with up to six arguments.
pub(super) fn call<const N: usize>(number: c_long, arguments: [usize; N]) -> Result {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    let [a, b, c, d, e, f] = all;
    // SAFETY: attacks give the kernel addresses of what they own for as long as the call takes, or
    // addresses that it refuses. None names memory that this program uses otherwise.
    match unsafe { libc::syscall(number, a, b, c, d, e, f) } {
        -1 => Err(last()),
        value => Ok(value),
    }
}

/// Makes a call that may start a process. The new one ends at once, and is waited for.
pub(super) fn start<const N: usize>(number: c_long, arguments: [usize; N]) -> Result {
    match call(number, arguments)? {
        0 => leave(),
        pid => reap(pid),
    }
}

/// Starts a process that shares this one's memory.
pub(super) fn start_sharing() -> Result {
    extern "C" fn nothing(_: *mut c_void) -> c_int {
        0
    }
    let mut stack = vec![0_u128; 4096];
    let top = stack.as_mut_ptr_range().end;
    let flags = libc::CLONE_VM | libc::SIGCHLD;
    // SAFETY: the stack outlives the process, which is waited for, and which does nothing.
    match unsafe { libc::clone(nothing, top.cast(), flags, std::ptr::null_mut()) } {
        -1 => Err(last()),
        pid => reap(pid.into()),
    }
}

/// Starts a process that runs in this one's place until it ends.
#[cfg(target_arch = "x86_64")]
pub(super) fn start_in_place() -> Result {
    let mut result: i64;
    // SAFETY: the new process touches no memory before it ends, which is its next instruction but two.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov edi, 0",
            "mov eax, 60",
            "syscall",
            "2:",
            inlateout("rax") old::VFORK => result,
            out("rcx") _,
            out("r11") _,
            out("rdi") _,
        );
    }
    match result {
        pid @ 1.. => reap(pid),
        error => Err(i32::try_from(-error).unwrap_or_default()),
    }
}

/// As on other processors: there is no such call on this one.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn start_in_place() -> Result {
    call(old::VFORK, [])
}

/// Asks for the number of this process as programs of 32 bits do, past filters that look at the
/// numbers of calls only.
#[cfg(target_arch = "x86_64")]
pub(super) fn old_mode() -> Result {
    const GETPID: i64 = 20;
    let mut result: i64;
    // SAFETY: the call takes nothing and changes nothing but the register of its result.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") GETPID => result, out("r8") _, out("r9") _, out("r10") _, out("r11") _)
    };
    match result {
        pid @ 1.. => Ok(pid),
        error => Err(i32::try_from(-error).unwrap_or_default()),
    }
}

/// As on other processors: they have no such mode.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn old_mode() -> Result {
    call(-1, [])
}

fn reap(pid: c_long) -> Result {
    let pid = c_int::try_from(pid).unwrap_or(-1);
    // SAFETY: nothing is asked for but the end of a child.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    Ok(pid.into())
}

/// Ends this process, and nothing before that.
fn leave() -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(0) }
}

/// Text as the kernel takes it.
pub(super) fn text(text: &str) -> CString {
    CString::new(text).expect("attacks hold no NUL")
}

/// Where something is, for the kernel.
pub(super) fn at<T: ?Sized>(place: &T) -> usize {
    std::ptr::from_ref(place).cast::<u8>().addr()
}

/// The same, where the kernel writes to.
pub(super) fn to<T: ?Sized>(place: &mut T) -> usize {
    std::ptr::from_mut(place).cast::<u8>().addr()
}
