//! Traps as data.
//!
//! Owns: turning wasmtime's errors into remote errors. Must not know: who called. Invariant:
//! what the caller sees is the trap's name and the guest's own backtrace, nothing of the host.

use greenroom_abi::RemoteError;
use greenroom_abi::kind::{LimitExceeded, PANIC, PermissionDenied, Trap};
use wasmtime::WasmBacktrace;

use crate::wasi::Refused;

/// How many frames of a backtrace are kept: enough to find the place, bounded for a runaway
/// recursion.
const MAX_FRAMES: usize = 32;

/// What a guest said just before it aborted.
#[derive(Clone, Debug)]
pub(crate) struct PanicNote {
    pub(crate) message: String,
    pub(crate) location: String,
}

/// The error of the task that trapped. The limit that it ran into just before is the reason, if there
/// is one.
pub(crate) fn describe(
    error: &wasmtime::Error,
    crossed: Option<LimitExceeded>,
    panic: Option<PanicNote>,
) -> RemoteError {
    let trace = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
    if let Some(crossed) = crossed {
        return RemoteError { trace, ..RemoteError::of(&crossed) };
    }
    if let Some(panic) = panic {
        let trace = format!("at {}\n{trace}", panic.location);
        return RemoteError { trace, ..RemoteError::new(PANIC, panic.message) };
    }
    if let Some(wasmtime_wasi::I32Exit(status)) = error.downcast_ref() {
        let code = format!("the guest called exit with status {status}");
        return RemoteError { trace, ..RemoteError::of(&Trap { code }) };
    }
    if let Some(Refused(right)) = error.downcast_ref() {
        let right = (*right).to_owned();
        return RemoteError { trace, ..RemoteError::of(&PermissionDenied { right }) };
    }
    let code = match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
        None => error.root_cause().to_string(),
    };
    RemoteError { trace, ..RemoteError::of(&Trap { code }) }
}

/// Whether the guest ended itself, and says that all is well.
pub(crate) fn is_good_exit(error: &wasmtime::Error) -> bool {
    matches!(error.downcast_ref(), Some(wasmtime_wasi::I32Exit(0)))
}

fn frames(backtrace: &WasmBacktrace) -> String {
    let mut lines: Vec<String> = backtrace
        .frames()
        .iter()
        .take(MAX_FRAMES)
        .map(|frame| {
            let place = frame
                .symbols()
                .first()
                .and_then(|symbol| Some(format!(" at {}:{}", symbol.file()?, symbol.line()?)));
            let name = frame
                .symbols()
                .first()
                .and_then(|symbol| symbol.name().map(str::to_owned))
                .or_else(|| frame.func_name().map(str::to_owned))
                .map(|name| format!("{:#}", rustc_demangle::demangle(&name)))
                .unwrap_or_else(|| format!("function {}", frame.func_index()));
            format!("in {name}{}", place.unwrap_or_default())
        })
        .collect();
    let left_out = backtrace.frames().len().saturating_sub(MAX_FRAMES);
    if left_out > 0 {
        lines.push(format!("({left_out} frames more)"));
    }
    lines.join("\n")
}
