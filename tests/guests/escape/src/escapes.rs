//! Forty ways out of granted folders.
//!
//! Owns: the list, and what each way does. Must not know: what an operation on a file is made of,
//! or whether the kernel or a component's host does it. Invariant: an escape gives all that it has
//! read; whatever else it has changed is seen from outside.
//!
//! Around an escape there are four folders, beside each other: `rw`, granted to be written, `ro`,
//! granted to be read, `secret`, of which nobody was told, and what was planted in `rw` by somebody
//! who may: links that lead out of it.

use std::fs::File;
use std::io::{self, Read, Write};

use super::files::{
    APPEND, CREATE, FOLDER, READ, TRUNCATE, WRITE, link, make_folder, names, open, remove, remove_folder,
    rename, symlink, touch,
};

/// Where an escape begins.
#[derive(Debug)]
pub struct Place {
    /// The folder that may be written.
    pub rw: File,
    /// Its path, as the one who escapes sees it.
    pub rw_path: String,
    /// The folder that may be read.
    pub ro: File,
    /// The path of the folder around all, as the machine sees it.
    pub base: String,
}

/// A way out.
#[derive(Clone, Copy, Debug)]
pub struct Escape {
    /// Its number, with that of its family before it.
    pub id: &'static str,
    /// What is tried.
    pub title: &'static str,
    /// Tries it, and gives what it has read.
    pub run: fn(&Place) -> io::Result<Vec<u8>>,
}

macro_rules! escapes {
    ($($id:literal $title:literal $run:expr;)*) => {
        /// All of them.
        pub const ESCAPES: &[Escape] = &[$(Escape { id: $id, title: $title, run: $run },)*];
    };
}

escapes! {
    "fs-01" "read by an absolute path" |place| read(place, &format!("{}/secret/file", place.base));
    "fs-02" "read through `..`" |place| read(place, "../secret/file");
    "fs-03" "read through a folder and `..`" |place| read(place, "sub/../../secret/file");
    "fs-04" "read through `..` among dots and slashes" |place| read(place, "././/..//.///secret/.//file");
    "fs-05" "read by an absolute path that begins in a granted folder"
        |place| read(place, &format!("{}/../secret/file", place.rw_path));
    "fs-06" "read through the root of its process"
        |place| read(place, &format!("/proc/self/root{}/secret/file", place.base));
    "fs-07" "read through a descriptor of its process" |place| read(place, &by_descriptor(place));
    "fs-08" "read through a planted absolute link" |place| read(place, "planted/absolute");
    "fs-09" "read through a planted relative link" |place| read(place, "planted/relative");
    "fs-10" "read in a folder behind a planted link" |place| read(place, "planted/folder/file");
    "fs-11" "read through a chain of links" |place| read(place, "planted/chain");
    "fs-12" "read through `..` behind a link" |place| read(place, "planted/deep/../file");
    "fs-13" "list a folder behind a link with a trailing slash" |place| list(place, "planted/folder/");
    "fs-14" "read through its own absolute link"
        |place| read_linked(place, &format!("{}/secret/file", place.base), "own");
    "fs-15" "read through its own relative link" |place| read_linked(place, "../secret/file", "own");
    "fs-16" "read through its own link to the folder above" |place| {
        symlink("..", &place.rw, "up")?;
        read(place, "up/secret/file")
    };
    "fs-17" "read in a folder that is swapped for a link meanwhile" |place| race(place, "swapped/folder/file");
    "fs-18" "read a file that is swapped for a link meanwhile" |place| race(place, "swapped/file");
    "fs-19" "read from a folder that is moved out meanwhile" moved;
    "fs-20" "read by a very long path" |place| {
        read(place, &format!("{}../secret/file", "sub/../".repeat(500)))
    };
    "fs-21" "make a file outside" |place| write(place, "../secret/new", CREATE);
    "fs-22" "write through a link" |place| write(place, "planted/absolute", TRUNCATE);
    "fs-23" "append through a link" |place| write(place, "planted/relative", APPEND);
    "fs-24" "make a file through a link that leads nowhere" |place| write(place, "planted/nowhere", CREATE);
    "fs-25" "make a folder outside" |place| done(make_folder(&place.rw, "../secret/new"));
    "fs-26" "rename its own file to outside"
        |place| done(rename(&place.rw, "own-file", &place.rw, "../secret/new"));
    "fs-27" "rename a file of others into its folder" |place| {
        rename(&place.rw, "../secret/file", &place.rw, "got")?;
        read(place, "got")
    };
    "fs-28" "link a file of others into its folder" |place| {
        link(&place.rw, "../secret/file", &place.rw, "got")?;
        read(place, "got")
    };
    "fs-29" "link its own file to outside" |place| done(link(&place.rw, "own-file", &place.rw, "../secret/new"));
    "fs-30" "remove a file outside" |place| done(remove(&place.rw, "../secret/file"));
    "fs-31" "remove a folder outside" |place| done(remove_folder(&place.rw, "../secret/empty"));
    "fs-32" "make a link outside" |place| done(symlink("file", &place.rw, "../secret/new"));
    "fs-33" "set the times of a file outside" |place| done(touch(&place.rw, "../secret/file"));
    "fs-34" "write in a folder that may be read" |place| {
        done(open(&place.ro, "file", WRITE)?.write_all(b"written"))
    };
    "fs-35" "empty a file that may be read" |place| done(open(&place.ro, "file", READ | TRUNCATE));
    "fs-36" "make a file in a folder that may be read" |place| {
        done(open(&place.ro, "new", READ | CREATE))
    };
    "fs-37" "remove a file that may be read" |place| done(remove(&place.ro, "file"));
    "fs-38" "move a file that may be read where it may be written"
        |place| done(rename(&place.ro, "file", &place.rw, "got"));
    "fs-39" "put another file in the place of one that may be read"
        |place| done(rename(&place.rw, "own-file", &place.ro, "file"));
    "fs-40" "write a file that may be read by another name" |place| {
        link(&place.ro, "file", &place.rw, "got")?;
        write(place, "got", TRUNCATE)
    };
}

fn done<T>(result: io::Result<T>) -> io::Result<Vec<u8>> {
    result.map(|_| Vec::new())
}

fn read(place: &Place, path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(&place.rw, path, READ)?.take(1 << 16).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write(place: &Place, path: &str, how: u32) -> io::Result<Vec<u8>> {
    done(open(&place.rw, path, WRITE | how)?.write_all(b"written"))
}

fn list(place: &Place, path: &str) -> io::Result<Vec<u8>> {
    Ok(names(&format!("{}/{path}", place.rw_path))?.join(" ").into_bytes())
}

fn read_linked(place: &Place, target: &str, name: &str) -> io::Result<Vec<u8>> {
    symlink(target, &place.rw, name)?;
    read(place, name)
}

/// A path through what the process has open: the granted folder is among it.
fn by_descriptor(place: &Place) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}/../secret/file", place.rw.as_raw_fd())
}

/// How often a race is run.
const ROUNDS: usize = 20_000;

/// Reads what a path leads to over and over, while it is pointed elsewhere, and gives the first that
/// is not what belongs there.
fn race(place: &Place, path: &str) -> io::Result<Vec<u8>> {
    // Who points it elsewhere waits for this.
    open(&place.rw, "ready", WRITE | CREATE)?;
    for _ in 0..ROUNDS {
        // Between two swaps there is nothing.
        match read(place, path) {
            Ok(bytes) if bytes != b"harmless" => return Ok(bytes),
            Ok(_) | Err(_) => {}
        }
    }
    Err(io::Error::other("nothing else was read"))
}

/// Holds a folder until it has been moved beside the secret, and goes on from there.
fn moved(place: &Place) -> io::Result<Vec<u8>> {
    let inner = open(&place.rw, "moving/inner", READ | FOLDER)?;
    open(&place.rw, "ready", WRITE | CREATE)?;
    for _ in 0..ROUNDS * 5 {
        if open(&place.rw, "moving/inner", READ | FOLDER).is_err() {
            break;
        }
    }
    let mut bytes = Vec::new();
    open(&inner, "../file", READ)?.take(1 << 16).read_to_end(&mut bytes)?;
    Ok(bytes)
}
