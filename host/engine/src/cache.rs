//! Compiled components, kept between runs.
//!
//! Owns: reading a component from a file, having it compiled once, the folder of compiled code. Must
//! not know: who compiles it, who will run it. Invariant: compiled code is trusted input to wasmtime,
//! so it is read only from a folder that this user owns, that nobody else can write, and only if this
//! file has sealed it.
//!
//! An entry's name is the hash of the component, wasmtime's version and its settings. Beside
//! the code lies what [`ComponentInfo`] says of it, with the entry's [seal](crate::seal).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use greenroom_abi::payload;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::compile::{CompileError, Compiled, Compiler};
use crate::engine::Engine;
use crate::inspect::ComponentInfo;
use crate::seal::{Seal, Sealer};

/// The largest component that is read: far above real ones (Python's interpreter is 18 MB).
const MAX_COMPONENT_BYTES: u64 = 256 * 1024 * 1024;

/// The mode bits that let others write.
const OTHERS_WRITE: u32 = 0o022;

/// Counts up when what is said of a component changes, so that it is found out again.
const REVISION: &[u8] = &[1];

/// What lies beside the compiled code; in the file, the seal of these bytes follows them.
#[derive(Serialize, Deserialize)]
struct Entry {
    info: ComponentInfo,
    /// The digest of the code.
    code: Vec<u8>,
}

/// A component ready to be loaded by an actor.
#[derive(Debug)]
pub struct Artifact {
    /// The compiled code, open for reading.
    pub code: File,
    /// What it is.
    pub info: ComponentInfo,
}

/// Why a file cannot be used as a component.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not WebAssembly.
    #[error("`{path}` is not a WebAssembly file")]
    NotWasm {
        /// The file.
        path: PathBuf,
    },
    /// The file is a core module.
    #[error(
        "`{path}` is a core WebAssembly module, not a component; build it for a component target \
         such as wasm32-wasip2 (`greenroom build` does)"
    )]
    CoreModule {
        /// The file.
        path: PathBuf,
    },
    /// wasmtime refuses it.
    #[error("cannot compile `{path}`: {reason}")]
    Compile {
        /// The file.
        path: PathBuf,
        /// What wasmtime said.
        reason: String,
    },
    /// It takes more than may be spent on it, or the compiler died of it.
    #[error("cannot compile `{path}`: {reason}")]
    TooMuch {
        /// The file.
        path: PathBuf,
        /// What there was too much of.
        reason: String,
    },
    /// There is no compiler to be had.
    #[error("cannot start the compiler: {0}")]
    Compiler(String),
    /// The cache cannot be used.
    #[error("cannot use the cache folder `{path}`: {source}")]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
}

/// The folder of compiled components.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    dir: Dir,
    sealer: Sealer,
    compiler: Box<dyn Compiler>,
}

impl Cache {
    /// The user's own cache: `$XDG_CACHE_HOME/greenroom/components`, by default below `~/.cache`.
    ///
    /// # Errors
    /// [`LoadError::Cache`] if it cannot be made, is not ours, or others can write it.
    pub fn open_default(compiler: impl Compiler + 'static) -> Result<Self, LoadError> {
        let base = directories::BaseDirs::new().map(|dirs| dirs.cache_dir().to_owned());
        let base = base.unwrap_or_else(std::env::temp_dir);
        Self::open(&base.join("greenroom").join("components"), compiler)
    }

    /// A cache in the given folder, which is made if need be.
    ///
    /// # Errors
    /// As [`Cache::open_default`].
    pub fn open(path: &Path, compiler: impl Compiler + 'static) -> Result<Self, LoadError> {
        let open = || -> io::Result<(Dir, Sealer)> {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            let dir = Dir::open_ambient_dir(path, ambient_authority())?;
            let stat = rustix::fs::fstat(&dir)?;
            if stat.st_uid != rustix::process::geteuid().as_raw() {
                return Err(io::Error::other("it belongs to another user"));
            }
            if stat.st_mode & OTHERS_WRITE != 0 {
                return Err(io::Error::other("other users may write to it; remove it"));
            }
            let sealer = Sealer::open(&dir)?;
            Ok((dir, sealer))
        };
        let (dir, sealer) = open().map_err(|source| LoadError::Cache { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), dir, sealer, compiler: Box::new(compiler) })
    }

    /// Reads, compiles if it was not before, and opens a component.
    ///
    /// # Errors
    /// [`LoadError`], saying what is wrong with which file.
    pub fn load(&self, engine: &Engine, path: &Path) -> Result<Artifact, LoadError> {
        let wasm = read_component(path)?;
        let key = key(engine, &wasm);
        // What this host cannot link another build of it may.
        if let Some(artifact) = self.find(&key).filter(|artifact| artifact.info.unlinkable.is_none()) {
            return Ok(artifact);
        }
        let Compiled { code, info } = self.compiler.compile(&wasm).map_err(|error| match error {
            CompileError::Refused(reason) => LoadError::Compile { path: path.to_owned(), reason },
            CompileError::TooMuch(reason) => LoadError::TooMuch { path: path.to_owned(), reason },
            CompileError::NoCompiler(reason) => LoadError::Compiler(reason),
        })?;
        let unwritable = |source| LoadError::Cache { path: self.path.clone(), source };
        let entry = Entry { info, code: Sha256::digest(&code).to_vec() };
        let mut described = payload::encode(&entry).map_err(|e| unwritable(io::Error::other(e)))?;
        described.extend(self.sealer.seal(key.as_bytes(), &described));
        self.write(&format!("{key}.code"), &code).map_err(unwritable)?;
        self.write(&format!("{key}.info"), &described).map_err(unwritable)?;
        self.find(&key).ok_or_else(|| unwritable(io::Error::other("what was written cannot be read")))
    }

    fn find(&self, key: &str) -> Option<Artifact> {
        let mut described = Vec::new();
        self.open_ours(&format!("{key}.info")).ok()?.read_to_end(&mut described).ok()?;
        let (entry, seal) = described.split_last_chunk::<{ size_of::<Seal>() }>()?;
        if !self.sealer.is_ours(key.as_bytes(), entry, seal) {
            return None;
        }
        let Entry { info, code: digest } = payload::decode(entry).ok()?;
        let mut code = self.open_ours(&format!("{key}.code")).ok()?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match code.read(&mut buffer).ok()? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        (hasher.finalize().as_slice() == digest).then_some(Artifact { code, info })
    }

    fn open_ours(&self, name: &str) -> io::Result<File> {
        open_ours(&self.dir, name, OTHERS_WRITE)
    }

    /// Writes a file whole, under its name only when it is complete.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let draft = format!("{name}.{}", std::process::id());
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = self
            .dir
            .open_with(&draft, &options)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| self.dir.rename(&draft, &self.dir, name));
        if written.is_err() {
            // The draft may not exist; the first error is the one that matters.
            let _ = self.dir.remove_file(&draft);
        }
        written
    }
}

/// Opens a file that is this user's and open to nobody in these ways, without waiting for a pipe.
pub(crate) fn open_ours(dir: &Dir, name: &str, others: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
    options.read(true).custom_flags(nonblocking.cast_signed());
    let file = dir.open_with(name, &options)?.into_std();
    let stat = rustix::fs::fstat(&file)?;
    let ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & others == 0;
    if ours && file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

fn read_component(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source| LoadError::Read { path: path.to_owned(), source };
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if kind.is_dir() {
        return Err(unreadable(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")));
    }
    if !kind.is_file() {
        return Err(unreadable(io::Error::other("it is not a regular file")));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut wasm = Vec::new();
    file.take(MAX_COMPONENT_BYTES + 1).read_to_end(&mut wasm).map_err(unreadable)?;
    if wasm.len() as u64 > MAX_COMPONENT_BYTES {
        return Err(unreadable(io::Error::other(format!("it is larger than {MAX_COMPONENT_BYTES} bytes"))));
    }
    if wasmparser::Parser::is_core_wasm(&wasm) {
        return Err(LoadError::CoreModule { path: path.to_owned() });
    }
    if !wasmparser::Parser::is_component(&wasm) {
        return Err(LoadError::NotWasm { path: path.to_owned() });
    }
    Ok(wasm)
}

/// The name of a component's entry.
fn key(engine: &Engine, wasm: &[u8]) -> String {
    struct Feed(Sha256);
    impl std::hash::Hasher for Feed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut feed = Feed(Sha256::new());
    feed.0.update(env!("CARGO_PKG_VERSION"));
    feed.0.update(REVISION);
    greenroom_abi::WIT.iter().for_each(|text| feed.0.update(text));
    std::hash::Hash::hash(&engine.wasmtime.precompile_compatibility_hash(), &mut feed);
    feed.0.update(wasm);
    feed.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Loads compiled code that this host's [`Cache`] wrote.
///
/// # Errors
/// When the code is of another version of wasmtime or other settings.
#[expect(unsafe_code, reason = "compiled code is trusted input, and wasmtime says so with `unsafe`")]
pub(crate) fn deserialize(engine: &Engine, code: &OwnedFd) -> wasmtime::Result<Component> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", code.as_raw_fd());
    // SAFETY: the descriptor comes from the broker, which opened it in a folder that only
    // `Cache` writes; nobody else can have made or changed the file.
    unsafe { Component::deserialize_file(&engine.wasmtime, path) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// The smallest component there is: a header and nothing in it.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    /// A compiler that has nothing to lose.
    #[derive(Debug)]
    struct Here;

    impl Compiler for Here {
        fn compile(&self, wasm: &[u8]) -> Result<Compiled, CompileError> {
            let engine = Engine::new().expect("an engine");
            crate::compile::compile(&engine, wasm).map_err(CompileError::Refused)
        }
    }

    fn setting() -> (tempfile::TempDir, Engine, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let component = folder.path().join("empty.wasm");
        fs::write(&component, EMPTY).expect("written");
        (folder, Engine::new().expect("an engine"), component)
    }

    fn entries(cache: &Path, ending: &str) -> Vec<PathBuf> {
        let all = fs::read_dir(cache).expect("a folder").map(|entry| entry.expect("an entry").path());
        all.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
    }

    #[test]
    fn a_damaged_entry_is_made_again() {
        let (folder, engine, component) = setting();
        let path = folder.path().join("cache");
        let cache = Cache::open(&path, Here).expect("opens");
        cache.load(&engine, &component).expect("compiles");
        for ending in ["code", "info"] {
            let entry = entries(&path, ending).pop().expect("an entry");
            let whole = fs::read(&entry).expect("read");
            let mut flipped = whole.clone();
            flipped[whole.len() / 2] ^= 1;
            for damaged in [&whole[..whole.len() - 1], &whole[..1], &[], &flipped] {
                fs::write(&entry, damaged).expect("damaged");
                cache.load(&engine, &component).expect("heals");
                assert_eq!(fs::read(&entry).expect("read").len(), whole.len(), "{ending}");
            }
        }
    }

    #[test]
    fn no_flipped_bit_is_believed() {
        let (folder, engine, component) = setting();
        let path = folder.path().join("cache");
        let cache = Cache::open(&path, Here).expect("opens");
        cache.load(&engine, &component).expect("compiles");
        let key = key(&engine, EMPTY);
        assert!(cache.find(&key).is_some(), "it is whole");
        let mut refused = 0;
        for ending in ["info", "code"] {
            let entry = entries(&path, ending).pop().expect("an entry");
            let whole = fs::read(&entry).expect("read");
            // All bits of what is small; of the code, so many places that they come to 10,000 in all.
            let places = whole.len().min(10_000 / 8);
            for place in 0..places {
                let place = place * whole.len() / places;
                for bit in 0..8 {
                    let mut flipped = whole.clone();
                    flipped[place] ^= 1 << bit;
                    fs::write(&entry, &flipped).expect("damaged");
                    assert!(cache.find(&key).is_none(), "bit {bit} of byte {place} of the {ending}");
                    refused += 1;
                }
            }
            fs::write(&entry, &whole).expect("healed");
        }
        assert!(refused >= 10_000, "{refused}");
        assert!(cache.find(&key).is_some(), "it is whole again");
    }

    #[test]
    fn an_entry_of_another_key_or_name_is_made_again() {
        let (folder, engine, component) = setting();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        for path in [&one, &other] {
            Cache::open(path, Here).expect("opens").load(&engine, &component).expect("compiles");
        }
        let key = key(&engine, EMPTY);
        for ending in ["code", "info"] {
            let entry = entries(&other, ending).pop().expect("an entry");
            fs::copy(&entry, one.join(entry.file_name().expect("a name"))).expect("planted");
        }
        let cache = Cache::open(&one, Here).expect("opens");
        assert!(cache.find(&key).is_none(), "another cache's entry, whole as it is");
        cache.load(&engine, &component).expect("made again");
        assert!(cache.find(&key).is_some());
        for ending in ["code", "info"] {
            let entry = entries(&one, ending).pop().expect("an entry");
            fs::copy(&entry, one.join(format!("{}.{ending}", "0".repeat(64)))).expect("planted");
        }
        assert!(cache.find(&"0".repeat(64)).is_none(), "another component's entry, whole as it is");
    }

    #[test]
    fn a_key_that_others_can_read_is_made_again_with_all_it_has_sealed() {
        let (folder, engine, component) = setting();
        let path = folder.path().join("cache");
        Cache::open(&path, Here).expect("opens").load(&engine, &component).expect("compiles");
        let (file, entry) = (path.join("key"), key(&engine, EMPTY));
        let old = fs::read(&file).expect("a key");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("opened to others");
        let cache = Cache::open(&path, Here).expect("opens");
        assert_ne!(fs::read(&file).expect("a key"), old);
        assert!(cache.find(&entry).is_none(), "sealed with a key that others may know");
        fs::write(&file, b"short").expect("damaged");
        let cache = Cache::open(&path, Here).expect("opens");
        cache.load(&engine, &component).expect("made again");
        assert!(cache.find(&entry).is_some());
    }

    #[test]
    fn what_others_can_write_is_not_trusted() {
        let (folder, engine, component) = setting();
        let path = folder.path().join("cache");
        let cache = Cache::open(&path, Here).expect("opens");
        cache.load(&engine, &component).expect("compiles");
        let entry = entries(&path, "code").pop().expect("an entry");
        fs::set_permissions(&entry, fs::Permissions::from_mode(0o666)).expect("opened to all");
        cache.load(&engine, &component).expect("made again");
        assert_eq!(fs::metadata(&entry).expect("there").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("opened to all");
        assert!(matches!(Cache::open(&path, Here), Err(LoadError::Cache { .. })));
    }

    #[test]
    fn each_wrong_file_is_told_apart() {
        let (folder, engine, component) = setting();
        let cache = Cache::open(&folder.path().join("cache"), Here).expect("opens");
        let refused = |path: &Path| cache.load(&engine, path).expect_err("refused");
        assert!(matches!(refused(folder.path()), LoadError::Read { .. }));
        assert!(matches!(refused(Path::new("/dev/null")), LoadError::Read { .. }));
        fs::write(&component, b"\0asm\x01\0\0\0").expect("written");
        assert!(matches!(refused(&component), LoadError::CoreModule { .. }));
        fs::write(&component, b"text").expect("written");
        assert!(matches!(refused(&component), LoadError::NotWasm { .. }));
        fs::write(&component, [EMPTY, b"rubbish"].concat()).expect("written");
        assert!(matches!(refused(&component), LoadError::Compile { .. }));
    }
}
