//! What a zygote has read of files, as each copy finds it.
//!
//! Owns: having the kernel hand on where the pages of files are. Must not know: who is copied, and when.
//!
//! A copy of a process begins without any page of a file that was only read, such as the program's own code:
//! each is asked for when it is needed, which took a tenth of an actor's start. Of memory that the process
//! has written to, the kernel copies all it knows, also of those pages that are still the file's. So a byte
//! of each mapping is written over itself.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

/// Has each copy of this process begin with all that this one has read of the files it maps.
///
/// # Errors
/// When the system does not let a process write to its own memory so.
pub(super) fn hand_on() -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let memory = File::options().read(true).write(true).open("/proc/self/mem")?;
    for start in maps.lines().filter_map(read_only) {
        let mut byte = [0];
        memory.read_exact_at(&mut byte, start)?;
        memory.write_all_at(&byte, start)?;
    }
    Ok(())
}

/// Where the mapping begins that such a line tells of, if it is this process's own of a file that it cannot
/// write to.
fn read_only(line: &str) -> Option<u64> {
    let mut words = line.split_ascii_whitespace();
    let start = words.next()?.split('-').next()?;
    let [b'r', b'-', _, b'p'] = words.next()?.as_bytes() else { return None };
    words.nth(2).filter(|inode| *inode != "0")?;
    u64::from_str_radix(start, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_of_files_and_only_read() {
        assert_eq!(read_only("5500a000-5500b000 r-xp 00002000 fe:00 24728 /usr/bin/head"), Some(0x5500_a000));
        assert_eq!(read_only("5500a000-5500b000 rw-p 00002000 fe:00 24728 /usr/bin/head"), None);
        assert_eq!(read_only("5500a000-5500b000 r--s 00002000 fe:00 24728 /dev/x"), None);
        assert_eq!(read_only("5500a000-5500b000 ---p 00002000 fe:00 24728 /usr/lib/x"), None);
        assert_eq!(read_only("7f85f550-7f85f551 r-xp 00000000 00:00 0 [vdso]"), None);
        assert_eq!(read_only(""), None);
    }

    #[test]
    fn leaves_all_as_it_was() {
        hand_on().expect("a process may write to its own memory");
    }
}
