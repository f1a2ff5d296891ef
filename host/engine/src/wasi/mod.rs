//! What a guest may see of the machine.
//!
//! Owns: turning grants into WASI contexts. Must not know: who granted. Invariant: nothing is
//! there that was not granted, except a monotonic clock, a seed for hash maps, and output.
//!
//! The seed, `wasi:random/insecure-seed`, is everyone's, since without one whoever sends a guest keys
//! can slow its maps down. Each instance has one of its own, from the kernel, and it never changes:
//! 128 bits that no other instance can tell.

mod gate;
mod names;
mod refusal;

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use greenroom_runtime::Voice;
use greenroom_wire::control::{Rights, Stream};
use tokio::io::AsyncRead;
use tokio::net::unix::pipe;
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use crate::output::Output;

pub(crate) use gate::Gate;
pub(crate) use names::add_to_linker as add_names_to_linker;
pub(crate) use refusal::{Refused, refuse};

/// The grants of one actor.
#[derive(Debug, Default)]
pub struct Grants {
    /// Open folders, each with the guest's path for it and whether it may write.
    pub dirs: Vec<(String, OwnedFd, bool)>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Arguments, without a program's name before them.
    pub args: Vec<String>,
    /// What it may do.
    pub rights: Rights,
    /// A pipe for standard input; without one it is closed.
    pub input: Option<OwnedFd>,
    /// Where standard output and standard error go; without it they are dropped.
    pub output: Option<Voice>,
}

impl Grants {
    /// A fresh context with these grants, for an instance of this module.
    ///
    /// # Errors
    /// When a folder or pipe cannot be used; says which.
    pub(crate) fn context(&self, module: &str, gate: &Arc<Gate>) -> wasmtime::Result<WasiCtx> {
        let mut builder = WasiCtxBuilder::new();
        builder.envs(&self.env);
        if !self.args.is_empty() {
            builder.arg(module).args(&self.args);
        }
        if let Some(pipe) = &self.input {
            builder.stdin(Input(pipe.try_clone()?));
        }
        if let Some(voice) = &self.output {
            builder.stdout(Output::new(voice.speak(Stream::Stdout)));
            builder.stderr(Output::new(voice.speak(Stream::Stderr)));
        }
        for (path, folder, writable) in &self.dirs {
            let perms = if *writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            // The descriptor is the grant; its entry under /proc is the one path to it that
            // cannot be pointed elsewhere meanwhile.
            builder.preopened_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()), path, perms)?;
        }
        let connects = gate.connects();
        builder.allow_tcp(connects).allow_udp(connects);
        let gate = gate.clone();
        builder.socket_addr_check(move |address, use_| {
            let allowed = gate.admits(address, use_);
            Box::pin(async move { allowed })
        });
        Ok(builder.build())
    }
}

/// A pipe that is read from when the guest reads, and not before: what one instance has not asked
/// for is there for others.
struct Input(OwnedFd);

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        let receiver = self.0.try_clone().and_then(|pipe| pipe::Receiver::from_file_unchecked(pipe.into()));
        match receiver {
            Ok(receiver) => Box::new(receiver),
            Err(error) => {
                tracing::warn!(%error, "standard input cannot be read");
                Box::new(tokio::io::empty())
            }
        }
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        false
    }
}
