//! Who is compared with whom: one line for each peer.
//!
//! Owns: their names, how their programs are started, and what they can do. Must not know: what their
//! answers mean. Invariant: a peer differs from the others in its line of this table alone.

use std::path::PathBuf;
use std::process::Command;

use greenroom_tests::repository;

use crate::Result;

/// What can be asked of a peer, as its program is asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Call,
    Flight,
    Echo,
    Stream,
    Spawn,
    Memory,
}

impl Asked {
    pub(crate) const ALL: [Self; 6] =
        [Self::Call, Self::Flight, Self::Echo, Self::Stream, Self::Spawn, Self::Memory];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Flight => "flight",
            Self::Echo => "echo",
            Self::Stream => "stream",
            Self::Spawn => "spawn",
            Self::Memory => "memory",
        }
    }
}

/// How a program is started.
#[derive(Clone, Copy, Debug)]
enum Program {
    /// This one, with what it is to be.
    Own(&'static str),
    /// One of the workspace of peers.
    Rust(&'static str),
    Erlang,
    Python(&'static str),
}

/// Somebody who can call another process.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// What is between its two ends.
    pub(crate) between: &'static str,
    program: Program,
    pub(crate) asked: &'static [Asked],
    /// Whether its ends can be pinned to cores.
    pub(crate) placed: bool,
    /// Whether each end can be on a core of its own.
    pub(crate) apart: bool,
}

/// A peer that can do everything.
const fn peer(name: &'static str, between: &'static str, program: Program) -> Peer {
    Peer { name, between, program, asked: &Asked::ALL, placed: true, apart: true }
}

const UNIX: &str = "Unix socket";
const MEMORY: &str = "shared memory";
const CALLS: &[Asked] = &[Asked::Call, Asked::Flight, Asked::Echo, Asked::Spawn, Asked::Memory];
const GUESTS: &[Asked] = &[Asked::Call, Asked::Flight, Asked::Stream];

/// All there are; the second is what the others are divided by.
pub(crate) const PEERS: [Peer; 11] = [
    peer("blocking sockets", UNIX, Program::Own("blocking")),
    peer(BASE, UNIX, Program::Own("tokio")),
    peer("Greenroom, native to guest", MEMORY, Program::Own("operator")),
    Peer { asked: GUESTS, apart: false, ..peer("Greenroom, guest to guest", MEMORY, Program::Own("guests")) },
    Peer { asked: CALLS, ..peer("tarpc", "Unix socket, bincode", Program::Rust("peer-tarpc")) },
    peer("capnp-rpc", UNIX, Program::Rust("peer-capnp")),
    peer("ractor_cluster", UNIX, Program::Rust("peer-ractor")),
    peer("tonic", "Unix socket, HTTP/2", Program::Rust("peer-tonic")),
    peer("Erlang, erpc", "loopback TCP", Program::Erlang),
    peer("tractor", "loopback TCP", Program::Python("tractor_peer.py")),
    Peer { placed: false, apart: false, ..peer("Ray", "loopback TCP", Program::Python("ray_peer.py")) },
];

/// What the others are divided by.
pub(crate) const BASE: &str = "bare tokio sockets";

impl Peer {
    /// The program, or what is not there.
    pub(crate) fn command(&self) -> Result<Command> {
        let peers = repository().join("tests/peers");
        let there = |path: PathBuf| -> Result<PathBuf> {
            if path.exists() { Ok(path) } else { Err("not set up: `cargo xtask peers`".into()) }
        };
        Ok(match self.program {
            Program::Own(what) => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg(format!("--peer={what}"));
                command
            }
            Program::Rust(name) => Command::new(there(peers.join("target/release").join(name))?),
            Program::Erlang => {
                let beam = there(peers.join("target/erlang/far.beam"))?;
                let folder = beam.parent().unwrap_or(&beam);
                let name = format!("near{}", std::process::id());
                let mut command = Command::new("erl");
                command.args(["-noinput", "-connect_all", "false", "-sname", &name, "-pa"]).arg(folder);
                command.args(["-eval", "far:main(init:get_plain_arguments())", "-extra"]);
                command
            }
            Program::Python(name) => {
                let mut command = Command::new(there(peers.join("target/venv/bin/python"))?);
                command.arg("-Wignore").arg(peers.join("python").join(name));
                command
            }
        })
    }
}
