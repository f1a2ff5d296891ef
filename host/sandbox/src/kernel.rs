//! What is asked of the kernel for which nobody else has a safe function.
//!
//! Owns: those calls. Must not know: what the answers are for.

use std::io;

/// Closes every descriptor but the standard three, whatever they are and whoever left them open: to
/// be called first thing in a process that must have been given nothing else.
///
/// # Errors
/// When the kernel has no `close_range`.
#[expect(unsafe_code, reason = "the caller has opened nothing yet, which the compiler cannot see")]
pub fn close_inherited() -> io::Result<()> {
    let (first, last, flags) = (3_u32, u32::MAX, 0_u32);
    // SAFETY: the call takes no pointers. What it closes was opened before the program began, so
    // that no value in this process owns it.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The version of Landlock's interface; none if there is none, or it is switched off.
#[expect(unsafe_code, reason = "the call for it takes a pointer, which is null here")]
pub(crate) fn landlock_version() -> Option<u32> {
    const VERSION: u32 = 1;
    let none = std::ptr::null::<u8>();
    // SAFETY: asked for its version, the call reads nothing through the pointer.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) };
    u32::try_from(version).ok().filter(|version| *version > 0)
}

/// Whether system calls can be filtered.
#[expect(unsafe_code, reason = "the call for it takes a pointer to the action that is asked about")]
pub(crate) fn has_seccomp() -> bool {
    let (ask, flags, action) = (libc::SECCOMP_GET_ACTION_AVAIL, 0_u32, libc::SECCOMP_RET_KILL_PROCESS);
    // SAFETY: the call reads one number through the pointer, which outlives it.
    unsafe { libc::syscall(libc::SYS_seccomp, ask, flags, &raw const action) == 0 }
}
