//! Finding the text files.
//!
//! Owns: the walk below a folder. Must not know: what the files hold. Invariant: links are not
//! followed, so the walk ends.

use std::fs::DirEntry;
use std::path::Path;

use greenroom_guest::{Fault, fault};

/// What counts as a text file, by the ending of its name.
const TEXT: &[&str] = &["adoc", "md", "org", "rst", "text", "txt"];

/// The paths of all text files below the folder, in order.
pub(crate) fn below(folder: &str) -> Result<Vec<String>, Fault> {
    let mut found = Vec::new();
    if let Err(error) = walk(Path::new(folder), &mut found) {
        fault!("cannot list `{folder}`: {error}");
    }
    found.sort_unstable();
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), found)?;
        } else if kind.is_file() && is_text(&entry) {
            found.extend(entry.path().into_os_string().into_string());
        }
    }
    Ok(())
}

fn is_text(entry: &DirEntry) -> bool {
    entry.path().extension().and_then(|ending| ending.to_str()).is_some_and(|ending| TEXT.contains(&ending))
}
