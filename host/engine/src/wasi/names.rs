//! Looking up the addresses of names, in both versions of WASI.
//!
//! Owns: the interfaces `ip-name-lookup`. Must not know: how names are looked up, which is the
//! broker's to do: an actor has no way to a name server. Invariant: only names that are granted are
//! asked for.

use core::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::vec;

use futures_util::FutureExt;
use greenroom_abi::kind::PermissionDenied;
use tokio::task::JoinHandle;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup as p3;

use crate::host::Host;
use crate::wasi::Gate;

/// Why a name leads nowhere.
#[derive(Clone, Copy, Debug)]
enum Lost {
    Denied,
    NoName,
    Unknown,
    Later,
}

impl From<Lost> for ErrorCode {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Denied => Self::AccessDenied,
            Lost::NoName => Self::InvalidArgument,
            Lost::Unknown => Self::NameUnresolvable,
            Lost::Later => Self::TemporaryResolverFailure,
        }
    }
}

impl From<Lost> for p3::ErrorCode {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Denied => Self::AccessDenied,
            Lost::NoName => Self::InvalidArgument,
            Lost::Unknown => Self::NameUnresolvable,
            Lost::Later => Self::TemporaryResolverFailure,
        }
    }
}

/// The addresses of a name.
async fn look_up(gate: Arc<Gate>, name: String) -> Result<Vec<IpAddr>, Lost> {
    if let Some(address) = literal(&name) {
        return Ok(vec![address]);
    }
    if name.is_empty() || !name.is_ascii() {
        return Err(Lost::NoName);
    }
    if !gate.names(&name) {
        gate.tell(&format!("network {name}"), &format!("--net {name}:PORT"));
        return Err(Lost::Denied);
    }
    // Nobody can ask before there are tasks.
    let actor = gate.actor().ok_or(Lost::Later)?;
    let addresses = actor.look_up(&name).await.map_err(|error| match error.is::<PermissionDenied>() {
        true => Lost::Denied,
        false => Lost::Later,
    })?;
    if addresses.is_empty() {
        return Err(Lost::Unknown);
    }
    gate.learn(&name, &addresses);
    Ok(addresses)
}

/// An address that is written as such.
fn literal(name: &str) -> Option<IpAddr> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse().ok(),
    }
}

/// A lookup, as the second version of WASI has it: what comes of it is taken one by one.
enum Lookup {
    Waiting(JoinHandle<Result<Vec<IpAddr>, Lost>>),
    Done(Result<vec::IntoIter<IpAddr>, Lost>),
}

impl Lookup {
    /// What it has come to, if it has.
    fn now(&mut self) -> Option<&mut Result<vec::IntoIter<IpAddr>, Lost>> {
        if let Self::Waiting(task) = self {
            let ended = task.now_or_never()?;
            *self = Self::done(ended);
        }
        match self {
            Self::Done(done) => Some(done),
            Self::Waiting(_) => None,
        }
    }

    fn done(ended: Result<Result<Vec<IpAddr>, Lost>, tokio::task::JoinError>) -> Self {
        Self::Done(ended.unwrap_or(Err(Lost::Later)).map(Vec::into_iter))
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        if let Self::Waiting(task) = self {
            task.abort();
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        if let Self::Waiting(task) = self {
            let ended = task.await;
            *self = Self::done(ended);
        }
    }
}

type Store<'a> = StoreContextMut<'a, Host>;

/// Puts these in the place of what wasmtime offers. The linker must allow that.
///
/// # Errors
/// Never in practice: the names are such.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    instance.resource("resolve-address-stream", ResourceType::host::<Lookup>(), |mut store, rep| {
        store.data_mut().table.delete(Resource::<Lookup>::new_own(rep))?;
        Ok(())
    })?;
    instance.func_wrap(
        "resolve-addresses",
        |mut store: Store<'_>, (network, name): (Resource<Network>, String)| {
            let host = store.data_mut();
            let _held = host.table.get(&network)?;
            let mut lookup = Lookup::Waiting(tokio::spawn(look_up(host.gate.clone(), name)));
            let found: Result<_, ErrorCode> = match lookup.now() {
                Some(Err(lost)) => Err((*lost).into()),
                _ => Ok(host.table.push(lookup)?),
            };
            Ok((found,))
        },
    )?;
    instance.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: Store<'_>, (this,): (Resource<Lookup>,)| {
            let next: Result<Option<IpAddress>, ErrorCode> =
                match store.data_mut().table.get_mut(&this)?.now() {
                    None => Err(ErrorCode::WouldBlock),
                    Some(Err(lost)) => Err((*lost).into()),
                    Some(Ok(addresses)) => Ok(addresses.next().map(IpAddress::from)),
                };
            Ok((next,))
        },
    )?;
    instance.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: Store<'_>, (this,): (Resource<Lookup>,)| {
            let ready: Resource<DynPollable> = subscribe(&mut store.data_mut().table, this)?;
            Ok((ready,))
        },
    )?;
    linker.instance("wasi:sockets/ip-name-lookup@0.3.0")?.func_wrap_concurrent(
        "resolve-addresses",
        |accessor, (name,): (String,)| {
            let gate = accessor.with(|mut access| access.get().gate.clone());
            Box::pin(async move {
                let found = look_up(gate, name).await;
                let found: Result<Vec<p3::IpAddress>, p3::ErrorCode> =
                    found.map(|all| all.into_iter().map(Into::into).collect()).map_err(Into::into);
                Ok((found,))
            })
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_not_looked_up() {
        for (name, address) in
            [("127.0.0.1", Some("127.0.0.1")), ("::1", Some("::1")), ("[::1]", Some("::1"))]
        {
            assert_eq!(literal(name), address.and_then(|address| address.parse().ok()), "{name}");
        }
        for name in ["example.com", "[127.0.0.1]", "1.2.3", "", "[]"] {
            assert_eq!(literal(name), None, "{name}");
        }
    }
}
