//! What a zygote does to itself that no safe function does.
//!
//! Owns: making a copy of this process, closing what the copy must not have, and the memory in which
//! the system finds a process's title. Must not know: what the copy is for. Invariant: only a
//! process with one thread is copied.

use std::fs;
use std::io;
use std::os::fd::RawFd;

use rustix::process::Pid;

/// Asks for the address at which the C library keeps the number of the running thread.
const PR_GET_TID_ADDRESS: libc::c_int = 40;

/// Makes a copy of this process that is a child of this one's parent. Gives its number; none in the
/// copy.
///
/// # Errors
/// When the system has no process or memory left, or there are threads.
#[expect(unsafe_code, reason = "no safe function makes a sibling")]
pub(super) fn fork_sibling() -> io::Result<Option<Pid>> {
    // A folder has two names more than it has folders: one for each thread.
    if rustix::fs::stat("/proc/self/task")?.st_nlink != 3 {
        return Err(io::Error::other("a zygote has one thread"));
    }
    let mut own_number: u64 = 0;
    // SAFETY: the call writes one address, into a variable that outlives it.
    let known = unsafe { libc::prctl(PR_GET_TID_ADDRESS, &raw mut own_number) } == 0 && own_number != 0;
    // Where the kernel tells it, the copy's C library knows its thread's number, as after its own fork.
    let numbered = if known { libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID } else { 0 };
    // SAFETY: a record of numbers, of which 0 is each one's default.
    let mut how: libc::clone_args = unsafe { std::mem::zeroed() };
    how.flags = (libc::CLONE_PARENT | numbered).cast_unsigned().into();
    how.child_tid = if known { own_number } else { 0 };
    // SAFETY: without a stack and without shared memory the call is a fork: the copy goes on here with
    // memory of its own. There is no other thread, so no lock is held that nobody would let go of. The
    // number is written where the C library itself has it written.
    match unsafe { libc::syscall(libc::SYS_clone3, &raw mut how, size_of_val(&how)) } {
        0 => Ok(None),
        number if number > 0 => {
            let number = i32::try_from(number).ok().and_then(Pid::from_raw);
            number.map(Some).ok_or_else(|| io::Error::other("the kernel gives no number"))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives memory back that is free but still there: each copy would have it copied.
#[expect(unsafe_code, reason = "no safe function has the C library give memory back")]
pub(super) fn tidy_up() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes no pointers, and touches free memory alone.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The descriptors that are open, in order, but for those that are named.
pub(super) fn open_descriptors(but: &[RawFd]) -> io::Result<Vec<RawFd>> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        // The folder that is read is open for as long as it is read.
        let itself = fs::read_link(entry.path()).is_ok_and(|target| target.ends_with("fd"));
        open.extend(number.filter(|number| !but.contains(number) && !itself));
    }
    open.sort_unstable();
    Ok(open)
}

/// Closes every descriptor but these, which are in order.
///
/// # Errors
/// When the kernel has no `close_range`.
#[expect(unsafe_code, reason = "nobody here owns what is closed, which the compiler cannot see")]
pub(super) fn close_all_but(kept: &[RawFd]) -> io::Result<()> {
    let ends = kept.iter().map(|fd| Some(*fd)).chain([None]);
    let mut first = 0;
    for end in ends {
        let last = end.map_or(RawFd::MAX, |end| end - 1);
        if first <= last {
            let (first, last) = (first.cast_unsigned(), last.cast_unsigned());
            // SAFETY: the call takes no pointers. The caller has dropped what it owned beside these.
            if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = end.map_or(RawFd::MAX, |end| end + 1);
    }
    Ok(())
}

/// The memory of a process's arguments, which is what the system shows of it.
#[derive(Debug)]
pub(super) struct Title {
    start: usize,
    room: usize,
    used: usize,
}

impl Title {
    /// That of this process, emptied behind its first argument.
    ///
    /// # Errors
    /// When the system does not say where it is.
    pub(super) fn take(first: usize) -> io::Result<Self> {
        let odd = || io::Error::other("the system does not say where the arguments are");
        let stat = fs::read_to_string("/proc/self/stat")?;
        // The name, in parentheses, may hold anything; the state is field 3.
        let fields = stat.rfind(')').and_then(|end| stat.get(end + 2..)).ok_or_else(odd)?;
        let field = |number: usize| {
            fields.split_ascii_whitespace().nth(number - 3).and_then(|text| text.parse::<usize>().ok())
        };
        let (start, end) = (field(48).ok_or_else(odd)?, field(49).ok_or_else(odd)?);
        let room = end.checked_sub(start).filter(|room| start > 0 && *room > first).ok_or_else(odd)?;
        let mut title = Self { start, room, used: room };
        let old = title.bytes()[..first].to_vec();
        title.write(&old);
        Ok(title)
    }

    /// Whether there is room for a line, and a NUL behind it.
    pub(super) fn fits(&self, line: &[u8]) -> bool {
        line.len() < self.room
    }

    /// Shows these bytes, which fit.
    pub(super) fn write(&mut self, line: &[u8]) {
        let used = self.used;
        let bytes = self.bytes();
        bytes[..line.len()].copy_from_slice(line);
        if used > line.len() {
            bytes[line.len()..used].fill(0);
        }
        self.used = line.len();
    }

    #[expect(unsafe_code, reason = "the arguments' memory has no other owner")]
    fn bytes(&mut self) -> &mut [u8] {
        let start = std::ptr::with_exposed_provenance_mut::<u8>(self.start);
        // SAFETY: the kernel put the arguments there, one behind the other, into memory that can be
        // written and stays for as long as the process. Of what reads them, a zygote does not.
        unsafe { std::slice::from_raw_parts_mut(start, self.room) }
    }
}
