//! The exception tag that unwinding needs once in every final link.
//!
//! Owns: the object file that defines it. Must not know: cargo. Invariant: the definition is
//! weak, so a crate that brings its own links as well.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// A WebAssembly object file that defines the tag `__cpp_exception`, which code compiled to
/// unwind refers to. A C++ runtime would define it; Rust alone does not, so without this
/// every guest would have to.
///
/// Laid out as the tool conventions of WebAssembly have it (`Linking.md`).
const OBJECT: &[u8] = b"\
    \0asm\x01\0\0\0\
    \x01\x05\x01\x60\x01\x7f\x00\
    \x0d\x03\x01\x00\x00\
    \x00\x1f\x07linking\x02\
    \x08\x14\x01\
    \x04\x01\x00\x0f__cpp_exception";
// Line by line: magic and version; types: one, (i32) -> (); tags: one, of type 0; the custom
// section "linking", version 2; its symbol table of one; a tag, weak, index 0, its name.

const FILE: &str = "greenroom-exception-tag.o";

/// Puts the object file into `dir` unless it is there already, and says where it is.
pub(crate) fn write(dir: &Path) -> io::Result<PathBuf> {
    let file = dir.join(FILE);
    if fs::read(&file).is_ok_and(|found| found == OBJECT) {
        return Ok(file);
    }
    fs::create_dir_all(dir)?;
    fs::write(&file, OBJECT)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits a module into (section id, content).
    fn sections(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
        let mut found = Vec::new();
        while let [id, len, rest @ ..] = bytes {
            let (content, after) = rest.split_at(usize::from(*len));
            found.push((*id, content));
            bytes = after;
        }
        found
    }

    #[test]
    fn lengths_add_up() {
        assert_eq!(&OBJECT[..8], b"\0asm\x01\0\0\0");
        let sections = sections(&OBJECT[8..]);
        assert_eq!(sections.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 13, 0]);
        let (_, linking) = sections[2];
        let symbols = &linking[b"\x07linking\x02".len()..];
        assert_eq!(usize::from(symbols[1]), symbols.len() - 2);
        assert!(symbols.ends_with(b"\x0f__cpp_exception"));
    }

    #[test]
    fn leaves_a_file_that_is_right_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = write(&dir.path().join("new")).expect("written");
        let before = fs::metadata(&file).and_then(|meta| meta.modified()).expect("a time");
        write(&dir.path().join("new")).expect("written");
        assert_eq!(fs::metadata(&file).and_then(|meta| meta.modified()).expect("a time"), before);
    }
}
