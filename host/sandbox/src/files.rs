//! What can be reached by name: files, ports, and those who are signalled.
//!
//! Owns: the rules of Landlock. Must not know: system calls. Invariant: every kind of access that
//! the running kernel can deny is denied, but in the folders and at the ports that are named.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use crate::wall::{Wall, WallError};
use crate::walls::{Network, Ports};

/// The least version of Landlock's interface that is a wall: older ones let a file be truncated
/// that can only be read.
pub(crate) const LEAST_LANDLOCK: u32 = 3;

const LEAST: ABI = ABI::V3;

/// The newest version whose kinds of access are known here; what the kernel lacks is left out.
const NEWEST: ABI = ABI::V10;

/// Raises the wall around the calling thread, and those that it will start.
pub(crate) fn raise(
    folders: &[(BorrowedFd<'_>, bool)],
    readable: &[BorrowedFd<'_>],
    network: &Network,
) -> Result<(), WallError> {
    let refused = |error: RulesetError| WallError::refused(Wall::Landlock, error);
    let status = restrict(folders, readable, network).map_err(refused)?;
    match status {
        // Of what is newer than the kernel, part is left out.
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(WallError::refused(Wall::Landlock, "the kernel does not have it")),
    }
}

fn restrict(
    folders: &[(BorrowedFd<'_>, bool)],
    readable: &[BorrowedFd<'_>],
    network: &Network,
) -> Result<RulesetStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(LEAST))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?;
    let handled = network.handled();
    if !handled.is_empty() {
        rules = rules.handle_access(handled)?;
    }
    let mut rules = rules.create()?;
    for (folder, writable) in folders {
        rules = rules.add_rule(PathBeneath::new(folder, in_folder(*writable)))?;
    }
    for file in readable {
        rules = rules.add_rule(PathBeneath::new(file, AccessFs::ReadFile))?;
    }
    for (port, access) in network.ports() {
        rules = rules.add_rule(NetPort::new(port, access))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// What may be done in a folder. Nothing is executed in it, and no devices, pipes or sockets are
/// made.
fn in_folder(writable: bool) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::Refer;
    if writable { read | write } else { read }
}

impl Network {
    /// The kinds of access that are denied but where a port is named.
    fn handled(&self) -> BitFlags<AccessNet> {
        match self {
            Self::None => AccessNet::from_all(NEWEST),
            Self::Some { connect, bind } => {
                let kinds = [(connect, AccessNet::ConnectTcp), (bind, AccessNet::BindTcp)];
                kinds.into_iter().filter(|(ports, _)| **ports != Ports::Any).map(|(_, kind)| kind).collect()
            }
        }
    }

    fn ports(&self) -> Vec<(u16, AccessNet)> {
        let Self::Some { connect, bind } = self else { return Vec::new() };
        let of = |ports: &Ports, access| match ports {
            Ports::Any => Vec::new(),
            Ports::Only(ports) => ports.iter().map(|port| (*port, access)).collect(),
        };
        [of(connect, AccessNet::ConnectTcp), of(bind, AccessNet::BindTcp)].concat()
    }
}
