//! This program's standard input, for an application that may read it.
//!
//! Owns: passing it on through a pipe. Must not know: who reads. Invariant: an actor never has the
//! descriptor itself: that of a terminal gives power over whatever else is done there.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};

/// The end of the pipe to read from. What is written ends with the input, or with the last reader.
///
/// # Errors
/// When the system refuses a pipe or a thread.
pub(crate) fn pass_on() -> io::Result<OwnedFd> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut writer = File::from(writer);
    std::thread::Builder::new().name("input".to_owned()).spawn(move || {
        // It ends with this program, whatever it waits for.
        if let Err(error) = io::copy(&mut io::stdin().lock(), &mut writer)
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            tracing::warn!("standard input is cut short: {error}");
        }
    })?;
    Ok(reader)
}
