//! The folder of the machine's registry.
//!
//! Owns: where it is, whether it is safe to use, its lock, its files. Must not know: what the files
//! say. Invariant: nothing is read from or written to a folder that another user could have
//! touched, and no symbolic link is followed in it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use greenroom_sabotage::Protection;
use rustix::fs::{
    AtFlags, Dir, FlockOperation, Mode, OFlags, flock, fstat, mkdir, open, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::geteuid;

use super::RegistryError;
use super::name::FileName;

/// Its name, in the folder that the system makes for a user.
const NAME: &str = "greenroom";

/// How long a program waits for the folder's lock, which is held for a few file operations.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// How long between two attempts to lock.
const PAUSE: Duration = Duration::from_millis(2);

/// The longest file that is read.
const MAX_FILE: u64 = 64 * 1024;

/// Where the folder is: in `runtime`, the value of `XDG_RUNTIME_DIR`, if that is a folder of this
/// user's; else one of the user's own in the folder for temporary files.
pub(super) fn place(runtime: Option<&Path>, temporary: &Path) -> PathBuf {
    let user = geteuid().as_raw();
    let is_ours = |path: &&Path| {
        let stat = rustix::fs::stat(*path);
        path.is_absolute() && stat.is_ok_and(|stat| stat.st_uid == user && is_folder(stat.st_mode))
    };
    match runtime.filter(is_ours) {
        Some(runtime) => runtime.join(NAME),
        None => temporary.join(format!("{NAME}-{user}")),
    }
}

fn is_folder(mode: u32) -> bool {
    rustix::fs::FileType::from_raw_mode(mode).is_dir()
}

/// The folder, open.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    fd: OwnedFd,
}

/// The folder's lock; it is let go with this.
#[derive(Debug)]
pub(super) struct Lock(OwnedFd);

impl Drop for Lock {
    fn drop(&mut self) {
        // Explicitly: a process that is being started may hold the descriptor for a moment more.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Folder {
    /// Opens the folder; makes it if it is not there.
    ///
    /// # Errors
    /// [`RegistryError::Unsafe`] if it is not this user's alone.
    pub(super) fn open(path: &Path) -> Result<Self, RegistryError> {
        let failed = |what, errno: Errno| system(what, path, errno);
        let wrong = |problem: &str, remedy: String| RegistryError::Unsafe {
            path: path.to_owned(),
            problem: problem.to_owned(),
            remedy,
        };
        match mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("make the registry's folder", errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let away = || "move it away: a folder takes its place".to_owned();
        let fd = match open(path, flags, Mode::empty()) {
            Ok(fd) => fd,
            // Which of the two is told of a link is up to the system.
            Err(Errno::LOOP | Errno::NOTDIR) => {
                let is_link = path.symlink_metadata().is_ok_and(|there| there.is_symlink());
                let problem = if is_link { "is a symbolic link" } else { "is not a folder" };
                return Err(wrong(problem, away()));
            }
            Err(errno) => return Err(failed("open the registry's folder", errno)),
        };
        let stat = fstat(&fd).map_err(|errno| failed("look at the registry's folder", errno))?;
        let user = geteuid().as_raw();
        if stat.st_uid != user && !Protection::RegistryOwner.is_off() {
            let problem = format!("belongs to user {}, and this is user {user}", stat.st_uid);
            let remedy = "set XDG_RUNTIME_DIR to a folder of your own".to_owned();
            return Err(wrong(&problem, remedy));
        }
        if stat.st_mode & 0o077 != 0 && !Protection::RegistryMode.is_off() {
            let problem = format!("is open to other users (mode {:o})", stat.st_mode & 0o7777);
            return Err(wrong(&problem, format!("close it with `chmod 700 {}`", path.display())));
        }
        Ok(Self { path: path.to_owned(), fd })
    }

    /// Its lock, if it can be had in time.
    pub(super) fn lock(&self, patience: Duration) -> Result<Lock, RegistryError> {
        // An open file of its own: the lock is then between threads as well.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed = |errno| system("lock", &self.path, errno);
        let own = openat(&self.fd, ".", flags, Mode::empty()).map_err(failed)?;
        match attempt(&own, FlockOperation::NonBlockingLockExclusive, patience).map_err(failed)? {
            true => Ok(Lock(own)),
            false => Err(RegistryError::Busy { path: self.path.clone(), waited: patience }),
        }
    }

    /// The registry's files in it; what else is there is nobody's business here.
    pub(super) fn names(&self) -> Result<Vec<FileName>, RegistryError> {
        let failed = |errno| system("read", &self.path, errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names.extend(entry.file_name().to_str().ok().and_then(FileName::parse));
        }
        Ok(names)
    }

    /// Makes a file and locks it; it is locked as long as it is open. To be done under the
    /// folder's lock.
    pub(super) fn make_locked(&self, name: FileName) -> Result<OwnedFd, RegistryError> {
        let failed = |errno| system("make", &self.path(name), errno);
        let fd = openat(&self.fd, name.to_string(), MAKE, FILE_MODE).map_err(failed)?;
        // Whoever looks whether it is locked holds it for a moment.
        match attempt(&fd, FlockOperation::NonBlockingLockExclusive, PATIENCE).map_err(failed)? {
            true => Ok(fd),
            false => Err(RegistryError::Busy { path: self.path(name), waited: PATIENCE }),
        }
    }

    /// Whether somebody has a file locked. One that is not there is not.
    pub(super) fn is_locked(&self, name: FileName) -> Result<bool, RegistryError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match openat(&self.fd, name.to_string(), flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(false),
            Err(errno) => return Err(system("open", &self.path(name), errno)),
        };
        // Shared, so that those who look do not meet each other.
        let locked = !attempt(&fd, FlockOperation::NonBlockingLockShared, Duration::ZERO)
            .map_err(|errno| system("lock", &self.path(name), errno))?;
        if !locked {
            let _ = flock(&fd, FlockOperation::Unlock);
        }
        Ok(locked)
    }

    /// Writes a file that appears at once, whole.
    pub(super) fn write(&self, name: FileName, draft: FileName, bytes: &[u8]) -> Result<(), RegistryError> {
        let failed = |source| RegistryError::System { what: "write", path: self.path(name), source };
        let fd =
            openat(&self.fd, draft.to_string(), MAKE, FILE_MODE).map_err(|errno| failed(errno.into()))?;
        let written = File::from(fd)
            .write_all(bytes)
            .and_then(|()| Ok(renameat(&self.fd, draft.to_string(), &self.fd, name.to_string())?));
        written.map_err(|source| {
            self.remove(draft);
            failed(source)
        })
    }

    /// What a file holds; none if it is gone, is too long or is no file.
    pub(super) fn read(&self, name: FileName) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name.to_string(), flags, Mode::empty()).ok()?;
        let mut bytes = Vec::new();
        let count = File::from(fd).take(MAX_FILE + 1).read_to_end(&mut bytes).ok()?;
        (count as u64 <= MAX_FILE).then_some(bytes)
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: FileName) {
        match unlinkat(&self.fd, name.to_string(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => tracing::warn!(path = %self.path(name).display(), %errno, "cannot be removed"),
        }
    }

    /// Listens at a socket in it.
    pub(super) fn listen(&self, name: FileName) -> Result<OwnedFd, RegistryError> {
        let listen = || {
            let socket = socket()?;
            rustix::net::bind(&socket, &self.address(name)?)?;
            rustix::net::listen(&socket, 128)?;
            Ok(socket)
        };
        listen().map_err(|errno| system("listen at", &self.path(name), errno))
    }

    /// Connects to a socket in it, without waiting.
    pub(super) fn connect(&self, name: FileName) -> io::Result<OwnedFd> {
        let socket = socket()?;
        rustix::net::connect(&socket, &self.address(name)?)?;
        Ok(socket)
    }

    /// The address of a socket: short, wherever the folder is.
    fn address(&self, name: FileName) -> Result<SocketAddrUnix, Errno> {
        SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", self.fd.as_raw_fd()))
    }

    fn path(&self, name: FileName) -> PathBuf {
        self.path.join(name.to_string())
    }
}

const MAKE: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::CLOEXEC);
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

fn socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Whether a lock can be had in time.
fn attempt(fd: &OwnedFd, operation: FlockOperation, patience: Duration) -> Result<bool, Errno> {
    let end = Instant::now() + patience;
    loop {
        match flock(fd, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) if Instant::now() < end => std::thread::sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn system(what: &'static str, path: &Path, errno: Errno) -> RegistryError {
    RegistryError::System { what, path: path.to_owned(), source: errno.into() }
}
