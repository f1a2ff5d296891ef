//! Operations on files, as the kernel has them.
//!
//! Owns: the same operations that a component has. Must not know: what is tried. Invariant: each is
//! one call, and nothing is looked at before it.

use std::fs::File;
use std::io;

use rustix::fs::{
    AtFlags, Mode, OFlags, Timespec, Timestamps, linkat, mkdirat, openat, renameat, symlinkat, unlinkat,
    utimensat,
};

pub(super) const READ: u32 = 1;
pub(super) const WRITE: u32 = 2;
pub(super) const CREATE: u32 = 4;
pub(super) const FOLDER: u32 = 8;
pub(super) const TRUNCATE: u32 = 16;
pub(super) const APPEND: u32 = 32;

pub(super) fn open(dir: &File, path: &str, how: u32) -> io::Result<File> {
    let has = |flag: u32| how & flag != 0;
    let mut flags = match (has(READ), has(WRITE)) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        (_, false) => OFlags::RDONLY,
    };
    let others = [
        (CREATE, OFlags::CREATE),
        (FOLDER, OFlags::DIRECTORY),
        (TRUNCATE, OFlags::TRUNC),
        (APPEND, OFlags::APPEND),
    ];
    flags |= others.into_iter().filter(|(flag, _)| has(*flag)).map(|(_, flag)| flag).collect::<OFlags>();
    Ok(openat(dir, path, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?.into())
}

pub(super) fn symlink(target: &str, dir: &File, path: &str) -> io::Result<()> {
    Ok(symlinkat(target, dir, path)?)
}

pub(super) fn link(from: &File, old: &str, to: &File, new: &str) -> io::Result<()> {
    Ok(linkat(from, old, to, new, AtFlags::empty())?)
}

pub(super) fn rename(from: &File, old: &str, to: &File, new: &str) -> io::Result<()> {
    Ok(renameat(from, old, to, new)?)
}

pub(super) fn make_folder(dir: &File, path: &str) -> io::Result<()> {
    Ok(mkdirat(dir, path, Mode::RWXU)?)
}

pub(super) fn remove(dir: &File, path: &str) -> io::Result<()> {
    Ok(unlinkat(dir, path, AtFlags::empty())?)
}

pub(super) fn remove_folder(dir: &File, path: &str) -> io::Result<()> {
    Ok(unlinkat(dir, path, AtFlags::REMOVEDIR)?)
}

/// Sets both times of a file to the first second of 1970.
pub(super) fn touch(dir: &File, path: &str) -> io::Result<()> {
    let second = || Timespec { tv_sec: 1, tv_nsec: 0 };
    let times = Timestamps { last_access: second(), last_modification: second() };
    Ok(utimensat(dir, path, &times, AtFlags::empty())?)
}

pub(super) fn names(path: &str) -> io::Result<Vec<String>> {
    let entries = std::fs::read_dir(path)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
