//! Puts a finished component where it is wanted.
//!
//! Owns: the copy. Must not know: how the component was made. Invariant: whoever reads the
//! destination sees an old file or a new one, never a part; and an equal file is not touched,
//! so what depends on it stays up to date.

use std::io::{self, Write};
use std::path::Path;
use std::{fs, io::ErrorKind};

use tempfile::NamedTempFile;

/// Copies `from` to `to` unless they are equal; says whether it did.
pub(crate) fn deliver(from: &Path, to: &Path) -> io::Result<bool> {
    let bytes = fs::read(from)?;
    match fs::read(to) {
        Ok(found) if found == bytes => return Ok(false),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let dir = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut file = NamedTempFile::new_in(dir)?;
    file.write_all(&bytes)?;
    file.as_file().set_permissions(fs::metadata(from)?.permissions())?;
    file.persist(to)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_only_what_changed() {
        let dir = tempfile::tempdir().expect("a folder");
        let (from, to) = (dir.path().join("a"), dir.path().join("new/b"));
        fs::write(&from, "one").expect("written");
        assert!(deliver(&from, &to).expect("delivered"));
        let before = fs::metadata(&to).and_then(|meta| meta.modified()).expect("a time");
        assert!(!deliver(&from, &to).expect("delivered"));
        assert_eq!(fs::metadata(&to).and_then(|meta| meta.modified()).expect("a time"), before);

        fs::write(&from, "two").expect("written");
        assert!(deliver(&from, &to).expect("delivered"));
        assert_eq!(fs::read_to_string(&to).expect("read"), "two");
        assert_eq!(fs::read_dir(dir.path().join("new")).expect("listed").count(), 1, "no part is left");
    }
}
