//! A process to raise walls around.
//!
//! Owns: making one, and hearing what became of it. Must not know: walls. Invariant: it ends.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It said this, and left.
    Said(String),
    /// The kernel ended it with this signal.
    Killed(i32),
}

/// Has a process of its own, with one thread, do something and say what came of it.
#[expect(unsafe_code, reason = "to fork is the one way to a process that has this very code to run")]
pub(crate) fn inside(deed: impl FnOnce() -> String) -> End {
    let mut ends = [0; 2];
    // SAFETY: the array has room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0, "a pipe");
    // SAFETY: both were just made, and nobody else knows of them.
    let [reader, writer] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    // SAFETY: the child makes no use of locks that another thread may have held: the allocator's are
    // taken care of by the C library, and it writes to no stream of the standard library's.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(reader);
        let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(deed));
        let said = said.unwrap_or_else(|_| "it panicked".to_owned());
        let wrote = File::from(writer).write_all(said.as_bytes()).is_ok();
        // SAFETY: it ends the process, as it must before the test's own end is reached in it.
        unsafe { libc::_exit(i32::from(!wrote)) };
    }
    assert!(child > 0, "a process");
    drop(writer);
    let mut said = String::new();
    File::from(reader).read_to_string(&mut said).expect("it says something, or nothing");
    let mut status = 0;
    // SAFETY: the child is ours and was not waited for, and the status outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child, "it is collected");
    if libc::WIFSIGNALED(status) { End::Killed(libc::WTERMSIG(status)) } else { End::Said(said) }
}

/// Has the kernel answer a call as if it did not have it, in this process from now on.
pub(crate) fn take_away(call: libc::c_long) {
    use seccompiler::{SeccompAction, SeccompFilter};
    let arch = std::env::consts::ARCH.try_into().expect("a known machine");
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let rules = [(call, Vec::new())].into_iter().collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, absent, arch).expect("a filter");
    let program: seccompiler::BpfProgram = filter.try_into().expect("a program");
    seccompiler::apply_filter(&program).expect("a wall to test walls with");
}

/// What a system call without pointers gives: `ok`, or its error.
#[expect(unsafe_code, reason = "the point is to call what nobody should")]
pub(crate) fn call(number: libc::c_long, arguments: [u64; 3]) -> String {
    let [one, two, three] = arguments;
    // SAFETY: the tests pass numbers only, or null where a pointer is meant.
    match unsafe { libc::syscall(number, one, two, three) } {
        -1 => name(&std::io::Error::last_os_error()),
        _ => "ok".to_owned(),
    }
}

/// The kind of an error, for short.
pub(crate) fn name(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM".to_owned(),
        Some(libc::EACCES) => "EACCES".to_owned(),
        Some(libc::ENOSYS) => "ENOSYS".to_owned(),
        Some(libc::ENOMEM) => "ENOMEM".to_owned(),
        Some(libc::EMFILE) => "EMFILE".to_owned(),
        _ => error.to_string(),
    }
}
