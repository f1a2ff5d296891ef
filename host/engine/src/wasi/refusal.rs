//! Functions that are refused to whoever was not granted what they give.
//!
//! Owns: which those are, and the trap that calling one ends with. Must not know: who granted.
//! Invariant: where a function can give an error that says that access is denied, it does; these are
//! the others.

use greenroom_sabotage::Protection;
use greenroom_wire::control::Rights;
use wasmtime::component::Linker;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::{TcpSocket, UdpSocket};

use crate::host::Host;

/// That a guest has called a function that was not granted: what its task ends with.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("permission denied: {0}")]
pub(crate) struct Refused(pub(crate) &'static str);

/// The right that an interface takes, and all of its functions.
struct Interface {
    right: &'static str,
    protection: Protection,
    name: &'static str,
    functions: &'static [&'static str],
}

const CLOCK: &str = "clock";
const RANDOM: &str = "random";

/// The interfaces whose functions have no way to say no. Versions are those that wasmtime offers.
const INTERFACES: &[Interface] = &[
    Interface {
        right: CLOCK,
        protection: Protection::Clock,
        name: "wasi:clocks/wall-clock@0.2.12",
        functions: &["now", "resolution"],
    },
    Interface {
        right: CLOCK,
        protection: Protection::Clock,
        name: "wasi:clocks/system-clock@0.3.0",
        functions: &["now", "get-resolution"],
    },
    Interface {
        right: RANDOM,
        protection: Protection::Random,
        name: "wasi:random/random@0.2.12",
        functions: &["get-random-bytes", "get-random-u64"],
    },
    Interface {
        right: RANDOM,
        protection: Protection::Random,
        name: "wasi:random/random@0.3.0",
        functions: &["get-random-bytes", "get-random-u64"],
    },
    Interface {
        right: RANDOM,
        protection: Protection::Random,
        name: "wasi:random/insecure@0.2.12",
        functions: &["get-insecure-random-bytes", "get-insecure-random-u64"],
    },
    Interface {
        right: RANDOM,
        protection: Protection::Random,
        name: "wasi:random/insecure@0.3.0",
        functions: &["get-insecure-random-bytes", "get-insecure-random-u64"],
    },
];

/// Puts refusals in the place of what these rights do not grant. The linker must allow that.
///
/// # Errors
/// Never in practice: the names are such.
pub(crate) fn refuse(linker: &mut Linker<Host>, rights: &Rights) -> wasmtime::Result<()> {
    let mut rights = rights.clone();
    for Interface { right, protection, name, functions } in INTERFACES {
        if rights.named(right).is_some_and(|held| *held) || protection.is_off() {
            continue;
        }
        let mut instance = linker.instance(name)?;
        for function in *functions {
            instance.func_new(function, |_, _, _, _| Err(Refused(right).into()))?;
        }
    }
    if rights.network.is_empty() {
        no_sockets(linker)?;
    }
    Ok(())
}

/// Sockets can be refused with an error, which wasmtime would give too; but here it is told.
fn no_sockets(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    type NoSocket<T> = (Result<wasmtime::component::Resource<T>, ErrorCode>,);
    let told = |host: &Host| host.gate.tell("network", "--net HOST:PORT");
    linker.instance("wasi:sockets/tcp-create-socket@0.2.12")?.func_wrap(
        "create-tcp-socket",
        move |store, (_,): (IpAddressFamily,)| {
            told(store.data());
            Ok::<NoSocket<TcpSocket>, _>((Err(ErrorCode::AccessDenied),))
        },
    )?;
    linker.instance("wasi:sockets/udp-create-socket@0.2.12")?.func_wrap(
        "create-udp-socket",
        move |store, (_,): (IpAddressFamily,)| {
            told(store.data());
            Ok::<NoSocket<UdpSocket>, _>((Err(ErrorCode::AccessDenied),))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    #[test]
    fn what_is_refused_is_what_wasmtime_offers() {
        let engine = Engine::new().expect("an engine");
        let mut linker = engine.wasi().expect("a linker");
        linker.allow_shadowing(false);
        let sockets = [
            ("wasi:sockets/tcp-create-socket@0.2.12", &["create-tcp-socket"][..]),
            ("wasi:sockets/udp-create-socket@0.2.12", &["create-udp-socket"]),
        ];
        let refused = INTERFACES.iter().map(|interface| (interface.name, interface.functions));
        for (name, functions) in refused.chain(sockets) {
            for function in functions {
                let mut instance = linker.instance(name).expect("a name");
                let again = instance.func_new(function, |_, _, _, _| Ok(()));
                assert!(again.is_err(), "wasmtime offers no `{function}` in `{name}`");
            }
        }
    }
}
