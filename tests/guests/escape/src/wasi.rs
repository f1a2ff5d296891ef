//! Operations on files, as WASI has them.
//!
//! Owns: handing each path to the host as it is. Must not know: what is tried. Invariant: the C
//! library, which would look at a path first, is passed by.

#![expect(unsafe_code, reason = "the C library's ways past its own look at paths")]

use std::ffi::{CString, c_char, c_int};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};

pub(crate) const READ: u32 = 0x0400_0000;
pub(crate) const WRITE: u32 = 0x1000_0000;
pub(crate) const CREATE: u32 = 1 << 12;
pub(crate) const FOLDER: u32 = 2 << 12;
pub(crate) const TRUNCATE: u32 = 8 << 12;
pub(crate) const APPEND: u32 = 1;

unsafe extern "C" {
    #[link_name = "__wasilibc_nocwd_openat_nomode"]
    fn c_open(dir: c_int, path: *const c_char, flags: c_int) -> c_int;
    #[link_name = "__wasilibc_nocwd_symlinkat"]
    fn c_symlink(target: *const c_char, dir: c_int, path: *const c_char) -> c_int;
    #[link_name = "__wasilibc_nocwd_linkat"]
    fn c_link(from: c_int, old: *const c_char, to: c_int, new: *const c_char, flags: c_int) -> c_int;
    #[link_name = "__wasilibc_nocwd_renameat"]
    fn c_rename(from: c_int, old: *const c_char, to: c_int, new: *const c_char) -> c_int;
    #[link_name = "__wasilibc_nocwd_mkdirat_nomode"]
    fn c_mkdir(dir: c_int, path: *const c_char) -> c_int;
    #[link_name = "__wasilibc_nocwd___wasilibc_unlinkat"]
    fn c_unlink(dir: c_int, path: *const c_char) -> c_int;
    #[link_name = "__wasilibc_nocwd___wasilibc_rmdirat"]
    fn c_rmdir(dir: c_int, path: *const c_char) -> c_int;
    #[link_name = "__wasilibc_nocwd_utimensat"]
    fn c_touch(dir: c_int, path: *const c_char, times: *const [i64; 4], flags: c_int) -> c_int;
}

fn text(path: &str) -> io::Result<CString> {
    CString::new(path).map_err(io::Error::other)
}

fn outcome(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(crate) fn open(dir: &File, path: &str, how: u32) -> io::Result<File> {
    let path = text(path)?;
    // SAFETY: the path outlives the call.
    match unsafe { c_open(dir.as_raw_fd(), path.as_ptr(), how.cast_signed()) } {
        // SAFETY: it was opened just now, for this file alone.
        fd @ 0.. => Ok(unsafe { File::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(crate) fn symlink(target: &str, dir: &File, path: &str) -> io::Result<()> {
    let (target, path) = (text(target)?, text(path)?);
    // SAFETY: both texts outlive the call.
    outcome(unsafe { c_symlink(target.as_ptr(), dir.as_raw_fd(), path.as_ptr()) })
}

pub(crate) fn link(from: &File, old: &str, to: &File, new: &str) -> io::Result<()> {
    let (old, new) = (text(old)?, text(new)?);
    // SAFETY: both texts outlive the call.
    outcome(unsafe { c_link(from.as_raw_fd(), old.as_ptr(), to.as_raw_fd(), new.as_ptr(), 0) })
}

pub(crate) fn rename(from: &File, old: &str, to: &File, new: &str) -> io::Result<()> {
    let (old, new) = (text(old)?, text(new)?);
    // SAFETY: both texts outlive the call.
    outcome(unsafe { c_rename(from.as_raw_fd(), old.as_ptr(), to.as_raw_fd(), new.as_ptr()) })
}

pub(crate) fn make_folder(dir: &File, path: &str) -> io::Result<()> {
    let path = text(path)?;
    // SAFETY: the path outlives the call.
    outcome(unsafe { c_mkdir(dir.as_raw_fd(), path.as_ptr()) })
}

pub(crate) fn remove(dir: &File, path: &str) -> io::Result<()> {
    let path = text(path)?;
    // SAFETY: the path outlives the call.
    outcome(unsafe { c_unlink(dir.as_raw_fd(), path.as_ptr()) })
}

pub(crate) fn remove_folder(dir: &File, path: &str) -> io::Result<()> {
    let path = text(path)?;
    // SAFETY: the path outlives the call.
    outcome(unsafe { c_rmdir(dir.as_raw_fd(), path.as_ptr()) })
}

/// Sets both times of a file to the first second of 1970.
pub(crate) fn touch(dir: &File, path: &str) -> io::Result<()> {
    let (path, times) = (text(path)?, [1, 0, 1, 0]);
    // SAFETY: the path and the times, two of two words each, outlive the call.
    outcome(unsafe { c_touch(dir.as_raw_fd(), path.as_ptr(), &raw const times, 0) })
}

pub(crate) fn names(path: &str) -> io::Result<Vec<String>> {
    let entries = std::fs::read_dir(path)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
