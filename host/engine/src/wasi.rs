//! What a guest may see of the machine.
//!
//! Owns: turning grants into WASI contexts. Must not know: who granted. Invariant: nothing is
//! there that was not granted, except a monotonic clock, random numbers, and output.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use tokio::net::unix::pipe;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use crate::output::Output;

/// The grants of one actor.
#[derive(Debug, Default)]
pub struct Grants {
    /// Open folders, each with the guest's path for it and whether it may write.
    pub dirs: Vec<(String, OwnedFd, bool)>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Pipes for standard output and standard error; without one the output is dropped.
    pub output: [Option<OwnedFd>; 2],
}

impl Grants {
    /// A fresh context with these grants.
    ///
    /// # Errors
    /// When a folder or pipe cannot be used; says which.
    pub(crate) fn context(&self) -> wasmtime::Result<WasiCtx> {
        let mut builder = WasiCtxBuilder::new();
        builder.envs(&self.env);
        let [stdout, stderr] = &self.output;
        if let Some(pipe) = stdout {
            builder.stdout(Output::new(writer(pipe)?));
        }
        if let Some(pipe) = stderr {
            builder.stderr(Output::new(writer(pipe)?));
        }
        for (path, folder, writable) in &self.dirs {
            let perms = if *writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            // The descriptor is the grant; its entry under /proc is the one path to it that
            // cannot be pointed elsewhere meanwhile.
            builder.preopened_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()), path, perms)?;
        }
        Ok(builder.build())
    }
}

fn writer(pipe: &OwnedFd) -> std::io::Result<pipe::Sender> {
    let file = File::from(pipe.as_fd().try_clone_to_owned()?);
    pipe::Sender::from_file_unchecked(file)
}
