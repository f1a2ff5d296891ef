//! Panics as errors: what happened and where, given to the caller.
//!
//! Owns: the panic hook, and catching. Must not know: tasks. Invariant: the report of a panic
//! never reaches the wrong call, as one thread runs one task at a time and the report is taken
//! where the panic is caught.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use greenroom_abi::RemoteError;
use greenroom_abi::kind::PANIC;

/// What the hook saw of the latest panic.
struct Report {
    message: String,
    location: String,
}

thread_local! {
    static REPORT: RefCell<Option<Report>> = const { RefCell::new(None) };
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Installs the hook, once.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            report(info);
            // In a component the caller is told; printing it as well would tell it twice.
            if cfg!(not(target_family = "wasm")) {
                previous(info);
            }
        }));
    });
}

fn report(info: &PanicHookInfo<'_>) {
    let message = text(info.payload());
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let ends_in_trap = cfg!(panic = "abort") || !CATCHING.get();
    if cfg!(target_family = "wasm") && ends_in_trap {
        crate::bindings::greenroom::portal::runtime::panicking(&message, &location);
    }
    REPORT.set(Some(Report { message, location }));
}

/// Runs `action`; a panic in it becomes an error with its message and place.
///
/// # Errors
/// The panic, where panics unwind. Where they abort, a panic does not return.
pub(crate) fn catch<T>(action: impl FnOnce() -> T) -> Result<T, RemoteError> {
    let outer = CATCHING.replace(true);
    REPORT.set(None);
    let outcome = catch_unwind(AssertUnwindSafe(action));
    CATCHING.set(outer);
    outcome.map_err(|payload| error(&*payload))
}

fn error(payload: &(dyn Any + Send)) -> RemoteError {
    let message = text(payload);
    // A panic that was resumed did not pass the hook: the report is then of an older one.
    let report = REPORT.take().filter(|report| report.message == message);
    let trace = report.map(|report| format!("at {}", report.location)).unwrap_or_default();
    RemoteError { trace, ..RemoteError::new(PANIC, message) }
}

fn text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is no text".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_message_and_place() {
        install_hook();
        let error = catch(|| panic!("number {}", 7)).expect_err("it panicked");
        assert_eq!((error.src_type.as_str(), error.message.as_str()), (PANIC, "number 7"));
        assert!(error.trace.starts_with("at guest-sdk/src/panic.rs:"), "{}", error.trace);
        assert_eq!(catch(|| 3), Ok(3));
    }

    #[test]
    fn never_gives_the_place_of_another_panic() {
        install_hook();
        let error = catch(|| {
            let _ = catch_unwind(|| panic!("swallowed"));
            std::panic::resume_unwind(Box::new("resumed"));
        })
        .expect_err("it panicked");
        assert_eq!((error.message.as_str(), error.trace.as_str()), ("resumed", ""));
    }
}
