//! Telling the cache's own entries from what others have put there.
//!
//! Owns: the key, and the seals made with it. Must not know: what is sealed. Invariant: the key
//! never leaves the cache's folder, and nobody but its owner has ever been able to read it.
//!
//! A seal is an HMAC-SHA-256 (RFC 2104) over the entry's name and what lies under it. A digest would
//! tell damage as well; the key tells what this host wrote from what was copied, restored or written
//! into the folder by anybody who could write there for a moment, but not read.

use std::fs::File;
use std::io::{self, Read, Write};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use greenroom_sabotage::Protection;
use sha2::{Digest, Sha256};

use crate::cache::open_ours;

/// The file that holds the key.
const NAME: &str = "key";

/// The mode bits that let others do anything.
const OTHERS: u32 = 0o077;

/// The block that SHA-256 takes at a time.
const BLOCK: usize = 64;

/// A seal.
pub(crate) type Seal = [u8; 32];

/// Who makes seals and knows them again.
#[derive(Clone)]
pub(crate) struct Sealer {
    key: [u8; 32],
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Sealer {
    /// The sealer of the key in this folder, made if there is none that can be trusted: whatever was
    /// sealed with another is made again.
    pub(crate) fn open(dir: &Dir) -> io::Result<Self> {
        if let Ok(sealer) = Self::read(dir) {
            return Ok(sealer);
        }
        let draft = format!("{NAME}.{}", std::process::id());
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut key = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        // What is there is no key, such as one that others can read.
        match dir.remove_file(NAME) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        dir.open_with(&draft, &options)?.write_all(&key)?;
        // Of two programs that make one at the same time, the first has made it for both.
        let linked = dir.hard_link(&draft, dir, NAME);
        dir.remove_file(&draft)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Self::read(dir),
        }
    }

    fn read(dir: &Dir) -> io::Result<Self> {
        let mut key = Vec::new();
        open_ours(dir, NAME, OTHERS)?.take(BLOCK as u64).read_to_end(&mut key)?;
        let key = key.try_into().map_err(|_| io::Error::other("the key has another length"))?;
        Ok(Self { key })
    }

    /// The seal of what lies under a name.
    pub(crate) fn seal(&self, name: &[u8], bytes: &[u8]) -> Seal {
        hmac(&self.key, &[&(name.len() as u64).to_le_bytes(), name, bytes])
    }

    /// Whether this sealer has made the seal.
    pub(crate) fn is_ours(&self, name: &[u8], bytes: &[u8], seal: &Seal) -> bool {
        let ours = self.seal(name, bytes);
        let differ = ours.iter().zip(seal).fold(0, |differ, (one, other)| differ | (one ^ other));
        differ == 0 || Protection::CacheSeal.is_off()
    }
}

/// HMAC-SHA-256 of these parts, one after the other. The key is at most as long as a block.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Seal {
    let pad = |with: u8| {
        let mut block = [with; BLOCK];
        block.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
        block
    };
    let inner =
        parts.iter().fold(Sha256::new().chain_update(pad(0x36)), |hash, part| hash.chain_update(part));
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner.finalize()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_the_hmac_of_the_standard() {
        // Cases 1 and 2 of RFC 4231.
        for (key, text, begin) in [
            (&[0x0b; 20][..], "Hi There", [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53]),
            (b"Jefe", "what do ya want for nothing?", [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]),
        ] {
            let (one, two) = text.as_bytes().split_at(3);
            assert_eq!(hmac(key, &[one, two])[..8], begin, "{text}");
        }
    }

    #[test]
    fn a_seal_is_of_one_name_one_text_and_one_key() {
        let (one, other) = (Sealer { key: [1; 32] }, Sealer { key: [2; 32] });
        let seal = one.seal(b"name", b"text");
        assert!(one.is_ours(b"name", b"text", &seal));
        assert!(!one.is_ours(b"nam", b"etext", &seal));
        assert!(!one.is_ours(b"name", b"texts", &seal));
        assert!(!other.is_ours(b"name", b"text", &seal));
    }
}
