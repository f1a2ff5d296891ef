//! Whether something has to be made again.
//!
//! Owns: the file that tells what a thing was made of. Must not know: what is made. Invariant: a
//! stamp is set only once the thing is there, and is compared in full.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

/// What a thing was last made of, against what it would be made of now.
pub(super) struct Stamp {
    file: PathBuf,
    product: PathBuf,
    parts: String,
}

impl Stamp {
    pub(super) fn new(file: PathBuf, product: PathBuf, parts: &[&str]) -> Self {
        // Where one part ends matters: its length says so.
        let parts = parts.iter().map(|part| format!("{}\n{part}\n", part.len())).collect();
        Self { file, product, parts }
    }

    /// Whether the thing is there, made of the same.
    pub(super) fn is_current(&self) -> bool {
        self.product.exists() && fs::read_to_string(&self.file).is_ok_and(|parts| parts == self.parts)
    }

    /// Notes that it has been made.
    pub(super) fn set(&self) -> anyhow::Result<()> {
        fs::write(&self.file, &self.parts).with_context(|| format!("cannot write {}", self.file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_current_while_it_is_there_and_its_parts_are_the_same() {
        let folder = std::env::temp_dir().join(format!("stamp-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let (file, product) = (folder.join("it.stamp"), folder.join("it"));
        let stamp = |parts: &[&str]| Stamp::new(file.clone(), product.clone(), parts);
        let made = stamp(&["a", "bc"]);
        assert!(!made.is_current());
        fs::write(&product, "made").expect("the thing");
        made.set().expect("a stamp");
        assert!(made.is_current());
        assert!(!stamp(&["ab", "c"]).is_current() && !stamp(&["a"]).is_current());
        fs::remove_file(&product).expect("no thing");
        assert!(!made.is_current());
        fs::remove_dir_all(&folder).expect("nothing is left");
    }
}
