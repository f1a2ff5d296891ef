//! The kernel's bounds on one process.
//!
//! Owns: which are set, and to what. Must not know: what the process needs them for. Invariant:
//! the hard bound is the soft one, so that no process raises its own.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::wall::{Wall, WallError};

/// The largest stack of the first thread; others have what they are started with.
const STACK_BYTES: u64 = 8 << 20;

/// Sets the bounds. Whatever is bounded lower already stays so.
pub(crate) fn raise(data_bytes: u64, open_files: u64, cpu_seconds: Option<u64>) -> Result<(), WallError> {
    let bounds = [
        (Resource::Data, Some(data_bytes)),
        (Resource::Nofile, Some(open_files)),
        (Resource::Stack, Some(STACK_BYTES)),
        (Resource::Cpu, cpu_seconds),
        // A core file would hold what the actor knows, where nobody has asked for it.
        (Resource::Core, Some(0)),
        (Resource::Memlock, Some(0)),
        (Resource::Msgqueue, Some(0)),
        (Resource::Nice, Some(0)),
        (Resource::Rtprio, Some(0)),
    ];
    for (resource, bound) in bounds {
        bound.map_or(Ok(()), |bound| set(resource, bound))?;
    }
    Ok(())
}

/// Sets those that what comes between the first and the last wall would not pass: a timer takes a place
/// among the signals that all processes of a user may have waiting, of which nobody is to take more.
pub(crate) fn raise_last() -> Result<(), WallError> {
    set(Resource::Sigpending, 0)
}

fn set(resource: Resource, bound: u64) -> Result<(), WallError> {
    let held = getrlimit(resource);
    let bound = [held.current, held.maximum].into_iter().flatten().fold(bound, u64::min);
    let limit = Rlimit { current: Some(bound), maximum: Some(bound) };
    setrlimit(resource, limit)
        .map_err(|error| WallError::refused(Wall::Limits, format_args!("{resource:?}: {error}")))
}
