//! What an actor is asked for that it was not granted.
//!
//! Owns: which connections are allowed, what names were looked up, and the lines that tell of what
//! was refused. Must not know: how sockets are made. Invariant: an address is allowed as such, or
//! because a name that is allowed led to it; each refusal is told once.

use core::net::{IpAddr, SocketAddr};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use greenroom_runtime::Actor;
use greenroom_sabotage::Protection;
use greenroom_wire::control::{LogLevel, LogLine, Rights};
use wasmtime_wasi::sockets::SocketAddrUse;

/// How many addresses are remembered by the names that led there, and how many refusals as told.
const REMEMBERED: usize = 1024;

/// One actor's gate.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    rights: Rights,
    /// The actor, once it runs tasks.
    actor: OnceLock<Actor>,
    /// The names that led to an address.
    names: Mutex<HashMap<IpAddr, HashSet<String>>>,
    /// What has been refused, and told.
    told: Mutex<HashSet<String>>,
}

impl Gate {
    pub(crate) fn new(rights: Rights) -> Self {
        Self { rights, ..Self::default() }
    }

    /// Says whose gate it is.
    pub(crate) fn belongs_to(&self, actor: &Actor) {
        let _ = self.actor.get_or_init(|| actor.clone());
    }

    /// Whose it is, once that is known.
    pub(crate) fn actor(&self) -> Option<&Actor> {
        self.actor.get()
    }

    /// Whether there is anywhere to connect to.
    pub(crate) fn connects(&self) -> bool {
        !self.rights.network.is_empty()
    }

    /// Whether a name may be looked up.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.rights.network.iter().any(|pattern| pattern.names(name))
    }

    /// Notes where a name leads.
    pub(crate) fn learn(&self, name: &str, addresses: &[IpAddr]) {
        let mut names = lock(&self.names);
        if names.len() + addresses.len() > REMEMBERED {
            names.clear();
        }
        for address in addresses.iter().take(REMEMBERED) {
            names.entry(address.to_canonical()).or_default().insert(name.to_ascii_lowercase());
        }
    }

    /// Whether a socket may be used so.
    pub(crate) fn admits(&self, address: SocketAddr, way: SocketAddrUse) -> bool {
        match way {
            // Of its own addresses the system chooses: whoever names one waits to be found.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => self.connects() && address.port() == 0,
            SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
                let allowed = self.reaches(address) || Protection::Network.is_off();
                if !allowed {
                    let place = SocketAddr::new(address.ip().to_canonical(), address.port());
                    self.tell(&format!("network {place}"), &format!("--net {place}"));
                }
                allowed
            }
            _ => false,
        }
    }

    fn reaches(&self, address: SocketAddr) -> bool {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        let names = lock(&self.names);
        let known = names.get(&ip);
        self.rights.network.iter().any(|pattern| {
            let by_name = || known.into_iter().flatten().any(|name| pattern.allows_name(name, port));
            pattern.allows(ip, port) || by_name()
        })
    }

    /// Tells, once, what was refused, and what would grant it.
    pub(crate) fn tell(&self, right: &str, flag: &str) {
        let Some(actor) = self.actor() else { return };
        let mut told = lock(&self.told);
        if told.len() >= REMEMBERED || !told.insert(right.to_owned()) {
            return;
        }
        let message = format!("refused: {right} is not granted; {flag} would grant it");
        let target = "greenroom::grants".to_owned();
        actor.log(LogLine { level: LogLevel::Warn, target, message, task: None });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(patterns: &[&str]) -> Gate {
        let network = patterns.iter().map(|text| text.parse().expect("a pattern")).collect();
        Gate::new(Rights { network, ..Rights::default() })
    }

    fn admits(gate: &Gate, address: &str, way: SocketAddrUse) -> bool {
        gate.admits(address.parse().expect("an address"), way)
    }

    #[test]
    fn only_what_is_granted_is_reached_and_nobody_is_waited_for() {
        let gate = gate(&["127.0.0.1:80", "10.0.0.0/8:*"]);
        for way in [SocketAddrUse::TcpConnect, SocketAddrUse::UdpSend, SocketAddrUse::UdpReceive] {
            for allowed in ["127.0.0.1:80", "10.9.9.9:1", "[::ffff:127.0.0.1]:80"] {
                assert!(admits(&gate, allowed, way), "{allowed} {way:?}");
            }
            for refused in ["127.0.0.1:81", "127.0.0.2:80", "[::1]:80", "11.0.0.1:1"] {
                assert!(!admits(&gate, refused, way), "{refused} {way:?}");
            }
        }
        for way in [SocketAddrUse::TcpBind, SocketAddrUse::UdpBind] {
            assert!(admits(&gate, "0.0.0.0:0", way) && !admits(&gate, "0.0.0.0:80", way), "{way:?}");
            assert!(!admits(&Gate::default(), "0.0.0.0:0", way), "{way:?}");
        }
        for way in [SocketAddrUse::TcpListen, SocketAddrUse::TcpAccept] {
            assert!(!admits(&gate, "10.9.9.9:1", way) && !admits(&gate, "0.0.0.0:0", way), "{way:?}");
        }
    }

    #[test]
    fn an_address_is_reached_by_a_name_that_led_there() {
        let gate = gate(&["example.com:443", "*.example.org:*"]);
        let to = |address: &str| admits(&gate, address, SocketAddrUse::TcpConnect);
        assert!(!to("192.0.2.1:443"));
        gate.learn("Example.com", &["192.0.2.1".parse().expect("an address")]);
        assert!(to("192.0.2.1:443") && !to("192.0.2.1:80") && !to("192.0.2.2:443"));
        gate.learn("a.example.org", &["192.0.2.3".parse().expect("an address")]);
        assert!(to("192.0.2.3:80"));
        // What is remembered is bounded.
        for n in 0..5000_u32 {
            gate.learn("example.com", &[IpAddr::from(n.to_be_bytes())]);
        }
        assert!(lock(&gate.names).len() <= REMEMBERED);
        assert!(gate.names("example.com") && !gate.names("example.net"));
    }
}
