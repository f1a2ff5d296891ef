//! Those of the sixty calls that take some preparation.
//!
//! Owns: their arguments. Must not know: what becomes of them. Invariant: each fails or does
//! nothing that lasts, wherever it is not refused.

use std::ffi::c_long;

use super::ground::{Ground, SELF};
use super::raw::*;

/// A signal that is ignored by whoever has not asked for it (`SIGURG`).
pub(super) const HARMLESS: usize = 23;

/// The flag for a user's name space of its own.
pub(super) const NEW_USERS: usize = 0x1000_0000;

/// What the program that an attack has executed says: that it is there.
pub const EXECUTED: &str = "executed";

/// "This folder" and "by descriptor alone", for calls that take a descriptor and a path.
const HERE: usize = (-100_isize).cast_unsigned();
const EMPTY_PATH: usize = 0x1000;

/// Read, write and execute.
const EXECUTABLE: usize = 7;
const PAGE: usize = 4096;

pub(super) fn clone3() -> Result {
    // Flags, four addresses, and the signal at the end.
    let arguments: [u64; 8] = [0, 0, 0, 0, 17, 0, 0, 0];
    start(SYS_clone3, [at(&arguments), size_of_val(&arguments)])
}

/// The arguments of a program that says which attack has executed it.
struct Arguments {
    _words: [std::ffi::CString; 2],
    list: [usize; 3],
}

impl Arguments {
    fn new() -> Self {
        let words = ["villain", EXECUTED].map(text);
        let list = [words[0].as_ptr().addr(), words[1].as_ptr().addr(), 0];
        Self { _words: words, list }
    }
}

pub(super) fn execute_path(_ground: &Ground) -> Result {
    let (path, arguments) = (text(SELF), Arguments::new());
    call(SYS_execve, [at(path.as_bytes_with_nul()), at(&arguments.list), 0])
}

pub(super) fn execute_descriptor(ground: &Ground) -> Result {
    let (path, arguments) = (text(""), Arguments::new());
    let path = path.as_bytes_with_nul();
    call(SYS_execveat, [ground.program(), at(path), at(&arguments.list), 0, EMPTY_PATH])
}

/// A program that says [`EXECUTED`] and ends, for x86-64: a header, one segment, eleven instructions.
fn tiny_program() -> Vec<u8> {
    let code: &[u8] = &[
        0x48, 0x8d, 0x35, 0x15, 0x00, 0x00, 0x00, // lea rsi, [rip + 21]
        0x31, 0xff, 0xff, 0xc7, // edi = 1
        0x31, 0xd2, 0xb2, 0x09, // edx = 9
        0x31, 0xc0, 0xff, 0xc0, // eax = 1
        0x0f, 0x05, // write
        0x31, 0xff, // edi = 0
        0xb0, 0x3c, // al = 60
        0x0f, 0x05, // exit
        0x90,
    ];
    let start: u64 = 0x40_0000 + 120;
    let mut image = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut put = |bytes: &[u8]| image.extend_from_slice(bytes);
    put(&[2, 0, 0x3e, 0, 1, 0, 0, 0]);
    put(&start.to_le_bytes());
    put(&64_u64.to_le_bytes());
    put(&[0; 12]);
    put(&[64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    put(&[1, 0, 0, 0, 5, 0, 0, 0]);
    let size = 120 + code.len() as u64 + 9;
    for word in [0, 0x40_0000, 0x40_0000, size, size, 4096] {
        put(&word.to_le_bytes());
    }
    put(code);
    put(format!("{EXECUTED}\n").as_bytes());
    image
}

pub(super) fn execute_memory() -> Result {
    let name = text("program");
    let memory = call(SYS_memfd_create, [at(name.as_bytes_with_nul()), 0x10])
        .or_else(|_| call(SYS_memfd_create, [at(name.as_bytes_with_nul()), 0]))?;
    let memory = usize::try_from(memory).unwrap_or(usize::MAX);
    let program = tiny_program();
    call(SYS_write, [memory, at(program.as_slice()), program.len()])?;
    let (path, arguments) = (text(""), Arguments::new());
    call(SYS_execveat, [memory, at(path.as_bytes_with_nul()), at(&arguments.list), 0, EMPTY_PATH])
}

/// A stretch of memory, as calls on two processes take it.
#[repr(C)]
struct Stretch {
    begin: usize,
    length: usize,
}

pub(super) fn foreign_memory(ground: &Ground, number: c_long) -> Result {
    let mut bytes = [0_u8; 8];
    let own = Stretch { begin: to(&mut bytes), length: bytes.len() };
    // Nothing is there: who may look is told so, who may not is not.
    let theirs = Stretch { begin: PAGE, length: bytes.len() };
    call(number, [ground.broker, at(&own), 1, at(&theirs), 1, 0])
}

pub(super) fn bounds(ground: &Ground) -> Result {
    let files = 7;
    let mut held = [0_u64; 2];
    call(SYS_prlimit64, [ground.broker, files, 0, to(&mut held)])?;
    call(SYS_prlimit64, [ground.broker, files, at(&held), 0])
}

pub(super) fn pair() -> Result {
    let mut ends = [0_i32; 2];
    call(SYS_socketpair, [1, 1, 0, to(&mut ends)])
}

/// Gives a socket a name that no file has, or connects to it.
pub(super) fn address(ground: &Ground, number: c_long) -> Result {
    let mut address = vec![1, 0, 0];
    address.extend_from_slice(format!("villain-{}", std::process::id()).as_bytes());
    call(number, [ground.socket(), at(address.as_slice()), address.len()])
}

pub(super) fn map(protection: usize, flags: usize, file: usize) -> Result {
    call(SYS_mmap, [0, PAGE, protection, flags, file, 0])
}

pub(super) fn protect(number: c_long) -> Result {
    let page = map(3, 0x22, usize::MAX)?;
    // Without a key: what it does then is what the call without keys does.
    call(number, [usize::try_from(page).unwrap_or_default(), PAGE, EXECUTABLE, usize::MAX])
}

pub(super) fn mount() -> Result {
    let (root, kind) = (text("/"), text("no-such-file-system"));
    let [root, kind] = [&root, &kind].map(|text| at(text.as_bytes_with_nul()));
    call(SYS_mount, [root, root, kind, 0, 0])
}

pub(super) fn unmount() -> Result {
    // The root is not unmounted by those who say that it is unused.
    let (root, expire) = (text("/"), 4);
    call(SYS_umount2, [at(root.as_bytes_with_nul()), expire])
}

pub(super) fn file_system() -> Result {
    let kind = text("no-such-file-system");
    call(SYS_fsopen, [at(kind.as_bytes_with_nul()), 0])
}

pub(super) fn pivot() -> Result {
    let root = text("/");
    call(SYS_pivot_root, [at(root.as_bytes_with_nul()), at(root.as_bytes_with_nul())])
}

pub(super) fn change_root() -> Result {
    let root = text("/");
    call(SYS_chroot, [at(root.as_bytes_with_nul())])
}

pub(super) fn handle(ground: &Ground) -> Result {
    // A handle of eight bytes, of a kind that there is not.
    let handle: [u32; 4] = [8, u32::MAX, 0, 0];
    call(SYS_open_by_handle_at, [ground.program(), at(&handle), 0])
}

pub(super) fn device(ground: &Ground) -> Result {
    let path = text(&ground.outside("device"));
    // The device that swallows everything.
    call(SYS_mknodat, [HERE, at(path.as_bytes_with_nul()), 0o20_600, 0x103])
}

pub(super) fn same_user() -> Result {
    call(SYS_setuid, [rustix::process::getuid().as_raw() as usize])
}

pub(super) fn capabilities() -> Result {
    // None, of the third version, for this process.
    let (header, none) = ([0x2008_0522_u32, 0], [0_u32; 6]);
    call(SYS_capset, [at(&header), at(&none)])
}

pub(super) fn clock() -> Result {
    call(SYS_settimeofday, [0, 0])
}
